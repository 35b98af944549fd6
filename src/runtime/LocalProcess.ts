/**
 * One process on this node: its state, its resources, its mailbox. An idle process is this record and nothing else: no
 * fiber waits for messages.
 */
import { Context, Deferred, Duration, Effect, Exit, Fiber, Ref, Schedule, Scope, type Stream } from "effect"
import type { FencingToken, Self, StopReason } from "../Process.ts"
import type { Spec } from "../protocol/claims.ts"
import type { CastLog } from "../protocol/casts.ts"
import type { Change, Timer } from "../protocol/extras.ts"
import type { SectionId } from "../protocol/ids.ts"
import { weigh } from "../protocol/replica.ts"
import { RestartWindow } from "../protocol/restarts.ts"
import { InvalidInput, StartFailed } from "../SwormError.ts"
import type { Numbered } from "./callFrames.ts"
import { isDone } from "./done.ts"
import {
  describe,
  type ErasedImplementation,
  type Hosted,
  type HostedType,
  type Message,
  optionsFor,
  type ResolvedOptions
} from "./Hosted.ts"
import { type BeforeAnswer, callError, type Envelope, Mailbox, NO_CHAIN } from "./Mailbox.ts"
import { type Outcome, ProcessSnapshots, type Taken } from "./Snapshots.ts"
import { closedInTime, closeInTime, HANDLER_END_MS, OpenStreams } from "./processScope.ts"
import { ProcessTimers } from "./ProcessTimers.ts"

/** What a process reports; the backend answers. */
export interface ProcessOwner {
  readonly node: { readonly id: string; readonly boot: number; readonly section: SectionId }
  /** May processes of this sworm handle messages now? Absent from those that always may. */
  readonly guard?: ((hosted: Hosted) => (() => boolean) | undefined) | undefined
  /** May it serve at this epoch already? If not, it is told to again once it may. Absent where it always may. */
  readonly admits?: ((process: LocalProcess, epoch: number) => boolean) | undefined
  /** For how long something takes. */
  readonly nowMs: () => number
  readonly wallMs: () => number
  /** It crashed and is to be started again: its new epoch, or `undefined` when it has lost its name meanwhile. */
  readonly renew: (process: LocalProcess) => number | undefined
  readonly crashed: (process: LocalProcess, detail: string) => void
  /** It has ended for good: normally, given up, or by a crash under `temporary`. */
  readonly ended: (process: LocalProcess, how: "Ended" | "GivenUp" | "Crashed", detail: string) => void
  /** It changes its own claim. */
  readonly change: (process: LocalProcess, change: Change) => void
  /** The timers that it has, besides one of this id. */
  readonly timersBeside: (process: LocalProcess, id: string) => ReadonlyArray<Timer>
  /** It takes messages from now on, or no longer: its timers are armed or not. */
  readonly serves: (process: LocalProcess, isServing: boolean) => void
  /** It is one that becomes passive when it is idle, and has just been used. */
  readonly used: (process: LocalProcess) => void
  /** Keeps its state elsewhere. */
  readonly keep: (process: LocalProcess, taken: Taken) => Effect.Effect<Outcome>
  /** Its state is to be kept elsewhere after so long. */
  readonly keepLater: (process: LocalProcess, inMs: number) => void
}

/** A state that comes from elsewhere. */
export interface Brought {
  readonly state: unknown
  /** Where a snapshot brought it. */
  readonly ageMs?: number | undefined
}

/** The process whose code is running: set for its handlers, `init` and everything they fork. */
export const CurrentProcess: Context.Reference<LocalProcess | undefined> = Context.Reference<LocalProcess | undefined>(
  "sworm/CurrentProcess",
  { defaultValue: () => undefined }
)

// every node keeps every timer
const MAX_TIMERS = 64
const MAX_TIMER_BYTES = 32 * 1024

/** A copy that serves because its source has let go has its waiting messages soon: so long after the last that came. */
export const COMMIT_MS = 2000

type RestartReason = "Ended" | "Crashed" | "Followed"

export class LocalProcess extends Mailbox implements Self<unknown, never> {
  readonly hosted: Hosted
  readonly type: HostedType
  readonly options: ResolvedOptions
  readonly name: string
  /** Shared with the claim. */
  readonly spec: Spec
  epoch: number
  /** For `prepared`: which section the move comes from. */
  preparedFrom: SectionId | undefined
  /** The epoch of the last move that was committed here, so that a repeated commit brings nothing twice. */
  committedEpoch = 0
  committedParts = 0
  /** Until when what a move has yet to bring is waited for, once it serves. */
  commitUntilMs = 0
  /** Who has cast to it, and how far it has come with that; made with the first cast that needs it. */
  casts: CastLog<Numbered> | undefined
  /** What its own code changed of its claim before there was one. */
  early: Array<Change> | undefined
  /** The failure in its link that its restart answers to. */
  following: number | undefined
  /** Absent where its state is not to be kept elsewhere. */
  readonly snapshots: ProcessSnapshots | undefined
  protected readonly beforeAnswer: BeforeAnswer | undefined
  readonly #owner: ProcessOwner
  #state: Ref.Ref<unknown> | undefined
  #scope: Scope.Closeable | undefined
  #run: Fiber.Fiber<unknown, unknown> | undefined
  #streams: OpenStreams | undefined
  #restarts: RestartWindow | undefined
  /** The next wait of its back-off. */
  #backoff: ((input: unknown) => Effect.Effect<unknown, unknown>) | undefined
  /** What starts it again, while it does. */
  #starting: Fiber.Fiber<void> | undefined
  /** The last closing of its resources, as long as it takes. */
  #closing: Deferred.Deferred<void> | undefined

  constructor(owner: ProcessOwner, hosted: Hosted, type: HostedType, name: string, spec: Spec, epoch: number) {
    super()
    this.#owner = owner
    this.hosted = hosted
    this.type = type
    this.options = optionsFor(type.options, spec.options)
    this.name = name
    this.spec = spec
    this.epoch = epoch
    this.guard = owner.guard?.(hosted)
    const plan = type.hasState ? this.options.snapshot : undefined
    this.snapshots = plan === undefined ? undefined : new ProcessSnapshots(plan, this)
    this.beforeAnswer = this.snapshots?.beforeAnswer
  }

  // ---- what its own code sees

  get sworm(): string {
    return this.hosted.id
  }

  get node(): string {
    return this.#owner.node.id
  }

  get token(): FencingToken {
    return { epoch: this.epoch, node: this.#owner.node.id, boot: this.#owner.node.boot }
  }

  get state(): Ref.Ref<unknown> {
    return this.#state ??= Ref.makeUnsafe<unknown>(undefined)
  }

  get stop(): Effect.Effect<void> {
    return Effect.sync(() => this.stopSoon())
  }

  get timers(): ProcessTimers {
    return new ProcessTimers(this)
  }

  // ---- what others ask it

  /** The same on every node. */
  get key(): string {
    return `${this.hosted.id}\n${this.name}`
  }

  wallMs(): number {
    return this.#owner.wallMs()
  }

  /** Has what `init` acquired; a passive process has not. */
  get isResident(): boolean {
    return this.context !== undefined
  }

  get isIdle(): boolean {
    return this.status === "running" && this.isFree && this.waiting === 0 &&
      (this.#streams?.count ?? 0) === 0
  }

  // ---- start and restart

  /** Runs `init`; a state handed over replaces what it answers. Leaves the process `starting`, without a message taken. */
  start(handoff: Brought | undefined): Effect.Effect<void, StartFailed> {
    return Effect.suspend(() => this.startNow(handoff))
  }

  /**
   * The same, begun at once: an exit where `init` answers at once. Then it needs no fiber, which counts when a node gives
   * thousands away.
   */
  startNow(handoff: Brought | undefined): Effect.Effect<void, StartFailed> {
    const implementation = this.type.implementation
    if (implementation === undefined) {
      return Exit.fail(this.#startFailed(`"${this.type.name}" is not implemented here`))
    }
    const args = this.type.args.decode(this.spec.args)
    if (args._tag === "Failure") return Exit.fail(this.#startFailed(`the args do not decode: ${describe(args)}`))
    const begun = this.#init(implementation.init, args.value, handoff)
    return isDone(begun)
      ? this.#started(begun.value, handoff)
      : Effect.flatMap(begun, (exit) => this.#started(exit, handoff))
  }

  #started(exit: Exit.Exit<unknown, unknown>, handoff: Brought | undefined): Effect.Effect<void, StartFailed> {
    if (exit._tag === "Failure") {
      return Effect.andThen(this.#closeScope(exit), Exit.fail(this.#startFailed(describe(exit))))
    }
    this.#state = Ref.makeUnsafe(handoff === undefined ? exit.value : handoff.state)
    return Exit.void
  }

  #init(
    init: ErasedImplementation["init"],
    args: unknown,
    handoff: Brought | undefined
  ): Effect.Effect<Exit.Exit<unknown, unknown>> {
    const { epoch, name, sworm, timers } = this
    this.#scope = Scope.makeUnsafe()
    this.context = Context.add(Context.add(this.type.context, Scope.Scope, this.#scope), CurrentProcess, this)
    const snapshotAge = handoff?.ageMs === undefined ? undefined : Duration.millis(handoff.ageMs)
    let started: ReturnType<typeof init>
    try {
      started = init({ args, sworm, name, epoch, handoff: handoff?.state, snapshotAge, timers })
    } catch (defect) {
      return Exit.succeed(Exit.die(defect))
    }
    // what it answers at once needs no fiber and no timer
    if (Exit.isExit(started)) return Exit.succeed(started)
    return Effect.provideContext(started, this.context).pipe(
      Effect.timeoutOrElse({
        duration: this.options.startTimeoutMs,
        orElse: () => Effect.fail(`init took longer than ${this.options.startTimeoutMs} ms`)
      }),
      // also when whoever waits for it is interrupted: what init has acquired so far is released
      Effect.onInterrupt(() => this.#closeScope(Exit.void)),
      Effect.exit,
      Effect.catchDefect((defect) => Effect.succeed(Exit.die(defect)))
    )
  }

  #closeScope(exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> {
    return Effect.suspend(() => {
      const scope = this.#scope
      this.#scope = undefined
      this.context = undefined
      return scope === undefined ? Effect.void : Effect.ignoreCause(Scope.close(scope, exit))
    })
  }

  #startFailed(detail: string): StartFailed {
    return new StartFailed({ name: this.name, node: this.node, detail })
  }

  /** It has been asked to end: it does so before it is moved anywhere. */
  get isEnding(): boolean {
    return this.stopsAfter
  }

  /** Takes messages from now on, the waiting ones first. One that starts again serves when it is done with that. */
  serve(epoch: number): void {
    if (this.status === "restarting" || this.status === "waking") this.epoch = epoch
    else if (this.#owner.admits?.(this, epoch) !== false) this.#begin(epoch)
  }

  #begin(epoch: number): void {
    if (this.status === "closed") return
    if (epoch !== this.epoch) this.snapshots?.expire()
    if (this.status === "prepared") this.commitUntilMs = this.#owner.nowMs() + COMMIT_MS
    this.epoch = epoch
    this.preparedFrom = undefined
    // moved or settled while passive: it goes on being so
    this.status = this.isResident ? "running" : "passive"
    this.#startRun()
    this.#owner.serves(this, true)
    this.snapshots?.serves()
    this.touch()
    if (this.status === "passive" && this.waiting > 0) return this.wake()
    this.pump()
  }

  protected touch(): void {
    if (this.options.idleTimeoutMs !== undefined || this.hosted.maxResident !== Infinity) this.#owner.used(this)
  }

  #startRun(): void {
    const run = this.type.implementation?.run
    if (run === undefined || this.#run !== undefined || this.context === undefined) return
    const fiber = this.#run = Effect.runForkWith(this.context)(Effect.suspend(() => run(this)))
    fiber.addObserver((exit) => {
      if (this.#run !== fiber) return
      this.#run = undefined
      if (exit._tag === "Failure" && this.status === "running") this.crash(describe(exit))
    })
  }

  #stopRun(): Effect.Effect<void> {
    return Effect.suspend(() => {
      const fiber = this.#run
      this.#run = undefined
      return fiber === undefined ? Effect.void : Fiber.interrupt(fiber)
    })
  }

  protected invoke({ message, payload }: Envelope): Effect.Effect<unknown, unknown> {
    const handler = this.type.implementation!.handlers[message.tag]
    if (handler === undefined || message.type !== this.type.name) {
      const detail = `it is a "${this.type.name}", which has no "${message.tag}" of "${message.type}"`
      return callError(this, "UnknownMessage", detail)
    }
    const result = handler(payload, this)
    if (!message.isStream) return result as Effect.Effect<unknown, unknown>
    this.#streams ??= new OpenStreams()
    return Exit.succeed(this.#streams.open(this.name, this.context!, result as Stream.Stream<unknown, unknown>))
  }

  // ---- timers

  setTimer(timer: Timer): void {
    const others = this.#owner.timersBeside(this, timer.id)
    if (others.length >= MAX_TIMERS) {
      throw new InvalidInput({ what: "timer", detail: `"${this.name}" has ${MAX_TIMERS} already` })
    }
    const bytes = others.reduce((sum, { payload }) => sum + weigh(payload), weigh(timer.payload))
    if (bytes > MAX_TIMER_BYTES) {
      const detail =
        `the payloads of "${this.name}" take ${bytes} bytes; ${MAX_TIMER_BYTES} are allowed for all together`
      throw new InvalidInput({ what: "timer", detail })
    }
    this.#owner.change(this, { _tag: "SetTimer", timer })
  }

  clearTimer(id: string): void {
    this.#owner.change(this, { _tag: "ClearTimer", id })
  }

  /** Can a timer's message be taken now? A full mailbox, or a restart under way, makes it wait. */
  takesTimer(): boolean {
    return (this.status === "running" || this.status === "passive" || this.status === "waking") &&
      this.waiting < this.options.mailboxCapacity
  }

  fire(timer: Timer): void {
    // forgotten first: a timer whose message crashes its process must not do so for ever
    if (timer.everyMs === undefined) this.clearTimer(timer.id)
    const message = this.type.messages.get(timer.tag)
    const payload = message?.payload.decode(timer.payload)
    if (message === undefined || payload?._tag !== "Success") return
    this.receive(castEnvelope(message, payload.value, timer.payload, this.#owner.node.section))
  }

  // ---- crash

  /** Its own code asked it to end: a `permanent` one starts again. */
  protected stopped(): void {
    this.stopsAfter = false
    if (this.spec.restart !== "permanent") return this.#owner.ended(this, "Ended", "")
    this.#startAgain("Ended", "it ends again and again")
  }

  protected crash(detail: string): void {
    this.#owner.crashed(this, detail)
    this.#startAgain("Crashed", detail)
  }

  /** A process that it is linked to has crashed: it starts again too. `false` when it can't just now. */
  follow(stamp: number): boolean {
    if (this.status !== "running" && this.status !== "passive") return false
    this.following = stamp
    this.#startAgain("Followed", "")
    return true
  }

  /** From its args; or from a state that it has kept, here or elsewhere. */
  #startAgain(
    reason: RestartReason,
    detail: string,
    kept: Brought | undefined = reason === "Ended" ? undefined : this.snapshots?.last
  ): void {
    this.status = "restarting"
    this.snapshots?.giveUpAnswers()
    if (reason === "Ended") this.snapshots?.forget()
    this.forgetEnds()
    this.#owner.serves(this, false)
    this.#starting = Effect.runForkWith(this.type.context)(this.#restart(reason, detail, kept))
  }

  #restart(reason: RestartReason, detail: string, kept: Brought | undefined): Effect.Effect<void> {
    return Effect.gen({ self: this }, function* () {
      yield* this.#interruptHandler()
      yield* this.#closeResources(reason)
      if (this.spec.restart === "temporary" && reason === "Crashed") return this.#owner.ended(this, "Crashed", detail)
      for (let why = detail, counts = reason !== "Followed";; counts = true) {
        if (counts && !(yield* this.#mayRestart())) return this.#owner.ended(this, "GivenUp", why)
        const epoch = this.status === "restarting" ? this.#owner.renew(this) : undefined
        if (epoch === undefined) return
        this.following = undefined
        this.epoch = epoch
        const exit = yield* Effect.exit(this.start(kept))
        if (this.status !== "restarting") return yield* this.#closeResources("Superseded")
        if (exit._tag === "Success") {
          this.snapshots?.beginAnew()
          return this.#begin(this.epoch)
        }
        why = describe(exit)
        this.#owner.crashed(this, why)
      }
    })
  }

  /** Notes one more restart, and waits as its back-off says; `false` past the limit, or the schedule's end. */
  #mayRestart(): Effect.Effect<boolean> {
    return Effect.gen({ self: this }, function* () {
      const { backoff, restartLimit } = this.options
      const restarts = this.#restarts ??= new RestartWindow()
      const now = this.#owner.nowMs()
      if (restarts.isFresh(now, restartLimit)) this.#backoff = undefined
      if (!restarts.allow(now, restartLimit)) return false
      if (backoff === undefined) return true
      const wait = this.#backoff ??= yield* Schedule.toStepWithSleep(backoff as Schedule.Schedule<unknown>)
      return (yield* Effect.exit(wait(undefined)))._tag === "Success"
    })
  }

  // ---- passive

  /** Lets go of what it holds, and keeps its state; `false` when it is at work. */
  passivate(): boolean {
    if (!this.isIdle) return false
    this.status = "passive"
    Effect.runForkWith(this.type.context)(this.#closeResources("Idle"))
    return true
  }

  protected wake(): void {
    this.status = "waking"
    const state = this.type.hasState ? { state: Ref.getUnsafe(this.state) } : undefined
    const closing = this.#closing
    const wake = Effect.gen({ self: this }, function* () {
      // what it held is let go before `init` asks for it again
      if (closing !== undefined) yield* closedInTime(closing, this.options.shutdownTimeoutMs)
      const exit = yield* Effect.exit(this.start(state))
      if (this.status !== "waking") return yield* this.#closeResources("Superseded")
      if (exit._tag === "Success") return this.#begin(this.epoch)
      const detail = describe(exit)
      this.#owner.crashed(this, detail)
      this.#startAgain("Crashed", detail, state)
    })
    this.#starting = Effect.runForkWith(this.type.context)(wake)
  }

  // ---- snapshots

  /** Goes on under a higher epoch. */
  rise(epoch: number): void {
    this.epoch = epoch
    this.snapshots?.expire()
  }

  /** Does its `run` go on beside the handlers? */
  get hasRun(): boolean {
    return this.#run !== undefined
  }

  keepElsewhere(taken: Taken): Effect.Effect<Outcome> {
    return this.#owner.keep(this, taken)
  }

  keepLater(inMs: number): void {
    this.#owner.keepLater(this, inMs)
  }

  // ---- move and stop

  /** Takes no further message; done when the one at hand is answered. */
  freeze(): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.freezeNow()
      return this.freezesAtOnce ? Effect.void : Effect.andThen(this.idle(), this.#stopRun())
    })
  }

  /** Takes no further message; the one at hand is not waited for. */
  freezeNow(): void {
    if (this.status !== "running" && this.status !== "passive") return
    this.status = "frozen"
    this.#owner.serves(this, false)
  }

  /** Handles nothing just now, and no code of its own runs beside its handlers. */
  get freezesAtOnce(): boolean {
    return this.isFree && this.#run === undefined
  }

  /**
   * Stops for good: interrupts what runs, answers what waits, closes the scope. Safe to call again. Done when that is,
   * or when the process's own limit or the given one is over.
   */
  close(reason: StopReason, limitMs = Infinity): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.status === "closed") return Effect.void
      this.status = "closed"
      this.snapshots?.giveUpAnswers()
      this.#owner.serves(this, false)
      this.#starting?.interruptUnsafe()
      const interrupted = this.#interruptHandler()
      for (const envelope of this.takeWaiting()) envelope.answer(callError(this, "Stopped", reason))
      return Effect.andThen(interrupted, this.#closeResources(reason, limitMs))
    })
  }

  /** What the handler holds is released before what the process holds; one that can't be interrupted is not waited for. */
  #interruptHandler(): Effect.Effect<void> {
    const fibers = this.handlers()
    if (fibers.length === 0) return Effect.void
    for (const fiber of fibers) fiber.interruptUnsafe()
    const wait = Math.min(HANDLER_END_MS, this.options.shutdownTimeoutMs)
    return Effect.timeoutOrElse(Effect.asVoid(Fiber.awaitAll(fibers)), { duration: wait, orElse: () => Effect.void })
  }

  #closeResources(reason: StopReason, limitMs = Infinity): Effect.Effect<void> {
    return Effect.suspend(() => {
      const { shutdownTimeoutMs } = this.options
      const waitMs = Math.min(shutdownTimeoutMs, limitMs)
      const [scope, context] = [this.#scope, this.context]
      this.#scope = undefined
      this.context = undefined
      this.#streams?.end(this.name, reason)
      this.#streams = undefined
      if (scope === undefined || context === undefined) {
        // what it held may be on its way to its end already
        return this.#closing === undefined ? Effect.void : closedInTime(this.#closing, waitMs)
      }
      const stop = shutdownTimeoutMs === 0 ? undefined : this.type.implementation?.stop
      if (stop === undefined && this.#run === undefined && scope.state._tag === "Empty") {
        Scope.closeUnsafe(scope, Exit.void)
        return Effect.void
      }
      const hook = stop === undefined
        ? Effect.void
        : Effect.provideContext(Effect.suspend(() => stop(reason, this)), context)
      const closed = this.#closing = Deferred.makeUnsafe<void>()
      return closeInTime(context, Effect.andThen(this.#stopRun(), hook), scope, waitMs, closed)
    })
  }
}

const castEnvelope = (message: Message, payload: unknown, encoded: unknown, caller: SectionId): Envelope => ({
  message,
  payload,
  from: undefined,
  chain: NO_CHAIN,
  answer: () => {},
  forward: () => ({ caller, seq: undefined, type: message.type, tag: message.tag, payload: encoded, deadlineMs: 0 })
})
