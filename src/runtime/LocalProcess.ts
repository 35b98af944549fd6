/**
 * One process on this node: its state, its mailbox, and the message it is handling. An idle process is this record and
 * nothing else: no fiber waits for messages; a message that finds the process idle starts its handler at once.
 */
import { Cause, Context, Deferred, Effect, Exit, Fiber, Ref, Schedule, Scope } from "effect"
import type { FencingToken, Self, StopReason } from "../Process.ts"
import type { Spec } from "../protocol/claims.ts"
import type { SectionId } from "../protocol/ids.ts"
import { RestartWindow } from "../protocol/restarts.ts"
import { CallError, StartFailed } from "../SwormError.ts"
import type { Forwarded } from "./callFrames.ts"
import { describe, type Hosted, type HostedType, type Message } from "./Hosted.ts"

export type Status =
  /** `init` runs for the first time; not registered yet. */
  | "starting"
  /** Holds a state that a move brought; serves once the move is committed. */
  | "prepared"
  | "running"
  /** Keeps its state and its messages, handles none. */
  | "frozen"
  | "restarting"
  | "closed"

/** Takes messages, now or once it serves. */
export const isOpen = ({ status }: LocalProcess): boolean => status !== "closed" && status !== "starting"

/** One message on its way through a process. */
export interface Envelope {
  readonly message: Message
  readonly payload: unknown
  /** The process that sent it, when it is on this node. */
  readonly from: LocalProcess | undefined
  /** Answers the sender; called once. */
  readonly answer: (exit: Exit.Exit<unknown, unknown>) => void
  /** What another node needs to take the message over. */
  readonly forward: () => Forwarded
}

/** What a process reports; the backend answers. */
export interface ProcessOwner {
  readonly node: { readonly id: string; readonly boot: number; readonly section: SectionId }
  readonly nowMs: () => number
  /** It crashed and is to be started again: its new epoch, or `undefined` when it has lost its name meanwhile. */
  readonly renew: (process: LocalProcess) => number | undefined
  readonly crashed: (process: LocalProcess, detail: string) => void
  /** It has ended for good: normally, given up, or by a crash under `temporary`. */
  readonly ended: (process: LocalProcess, how: "Ended" | "GivenUp" | "Crashed", detail: string) => void
}

/** The process whose code is running: set for its handlers, `init` and everything they fork. */
export const CurrentProcess: Context.Reference<LocalProcess | undefined> = Context.Reference<LocalProcess | undefined>(
  "sworm/CurrentProcess",
  { defaultValue: () => undefined }
)

// Replies run their caller, which may call again: beyond this depth they continue in a microtask, so that no chain of
// calls, however long, overflows the stack.
const MAX_DEPTH = 32
const HANDLER_END_MS = 1000
const CLOSE_MS = 5000
let depth = 0

const callError = (process: LocalProcess, reason: CallError["reason"], detail: string): Exit.Exit<never, CallError> =>
  Exit.fail(new CallError({ name: process.name, reason, detail }))

export class LocalProcess implements Self<unknown> {
  readonly hosted: Hosted
  readonly type: HostedType
  readonly name: string
  /** Shared with the claim. */
  readonly spec: Spec
  epoch: number
  status: Status = "starting"
  /** For `prepared`: which section the move comes from. */
  preparedFrom: SectionId | undefined
  /** The epoch of the last move that was committed here, so that a repeated commit brings nothing twice. */
  committedEpoch = 0
  committedParts = 0
  /** Groups joined before the claim is written. */
  groups: Array<string> = []
  waitingFor: LocalProcess | undefined
  readonly #owner: ProcessOwner
  #state: Ref.Ref<unknown> | undefined
  #scope: Scope.Closeable | undefined
  #context: Context.Context<never> | undefined
  #current: Envelope | undefined
  /** The handler's, from its first step on. */
  #fiber: Fiber.Fiber<unknown, unknown> | undefined
  #queue: Array<Envelope> | undefined
  #restarts: RestartWindow | undefined
  #stopAfter = false
  #whenIdle: (() => void) | undefined

  constructor(owner: ProcessOwner, hosted: Hosted, type: HostedType, name: string, spec: Spec, epoch: number) {
    this.#owner = owner
    this.hosted = hosted
    this.type = type
    this.name = name
    this.spec = spec
    this.epoch = epoch
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
    return Effect.sync(() => {
      this.#stopAfter = true
      if (this.#current === undefined) this.#pump()
    })
  }

  /** Is it the handler itself that runs on this fiber, not something it forked? */
  runsOn(fiber: Fiber.Fiber<unknown, unknown>): boolean {
    return this.#fiber === fiber
  }

  get waiting(): number {
    return this.#queue?.length ?? 0
  }

  // ---- start and restart

  /** Runs `init`; a state handed over replaces what it answers. Leaves the process `starting`, without a message taken. */
  start(handoff: { readonly state: unknown } | undefined): Effect.Effect<void, StartFailed> {
    const implementation = this.type.implementation
    if (implementation === undefined) {
      return Effect.fail(this.#startFailed(`"${this.type.name}" is not implemented here`))
    }
    const args = this.type.args.decode(this.spec.args)
    if (args._tag === "Failure") return Effect.fail(this.#startFailed(`the args do not decode: ${describe(args)}`))
    const { name, sworm } = this
    const init = Effect.suspend(() =>
      implementation.init({ args: args.value, sworm, name, epoch: this.epoch, handoff: handoff?.state })
    )
    return Effect.suspend(() => {
      this.#scope = Scope.makeUnsafe()
      this.#context = Context.add(Context.add(this.type.context, Scope.Scope, this.#scope), CurrentProcess, this)
      return this.#provided(init)
    }).pipe(
      Effect.timeoutOrElse({
        duration: this.type.options.startTimeoutMs,
        orElse: () => Effect.fail(`init took longer than ${this.type.options.startTimeoutMs} ms`)
      }),
      // also when whoever waits for it is interrupted: what init has acquired so far is released
      Effect.onInterrupt(() => this.#closeScope(Exit.void)),
      Effect.exit,
      Effect.flatMap((exit) => {
        if (exit._tag === "Failure") {
          return Effect.andThen(this.#closeScope(exit), Effect.fail(this.#startFailed(describe(exit))))
        }
        this.#state = Ref.makeUnsafe(handoff === undefined ? exit.value : handoff.state)
        return Effect.void
      })
    )
  }

  #provided<A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E> {
    // user code gets exactly the services that it was bound with
    return Effect.suspend(() => Effect.provideContext(effect, this.#context ?? this.type.context))
  }

  #startFailed(detail: string): StartFailed {
    return new StartFailed({ name: this.name, node: this.node, detail })
  }

  /** Takes messages from now on, the waiting ones first. */
  serve(epoch: number): void {
    if (this.status === "closed") return
    this.epoch = epoch
    this.status = "running"
    this.preparedFrom = undefined
    this.#pump()
  }

  // ---- messages

  /** Hands a message to the process: handled at once when it is idle, else kept in order, else refused. */
  receive(envelope: Envelope): void {
    if (this.status === "running" && this.#current === undefined) {
      if (depth < MAX_DEPTH) return this.#handle(envelope)
      this.#enqueue(envelope)
      queueMicrotask(() => this.#pump())
      return
    }
    if (this.status === "closed") return envelope.answer(callError(this, "Stopped", ""))
    if (this.#isCircle(envelope.from)) {
      return envelope.answer(callError(this, "Reentrant", "it waits for its own caller: fork the call, or use cast"))
    }
    this.#enqueue(envelope)
  }

  #enqueue(envelope: Envelope): void {
    const queue = this.#queue ??= []
    if (queue.length >= this.type.options.mailboxCapacity) {
      return envelope.answer(callError(this, "MailboxFull", `${queue.length} messages wait already`))
    }
    queue.push(envelope)
    if (envelope.from !== undefined) envelope.from.waitingFor = this
  }

  /** Does this process wait, directly or through others on this node, for the one that calls it? */
  #isCircle(from: LocalProcess | undefined): boolean {
    if (from === undefined) return false
    if (from === this) return true
    let at = this.waitingFor
    for (let hops = 0; at !== undefined && hops < 64; hops++) {
      if (at === from) return true
      at = at.waitingFor
    }
    return false
  }

  /** The sender no longer waits: a waiting message is dropped, the one at hand interrupted. */
  cancel(envelope: Envelope): void {
    if (this.#current === envelope) return this.#fiber?.interruptUnsafe()
    const at = this.#queue?.indexOf(envelope) ?? -1
    if (at < 0) return
    this.#queue!.splice(at, 1)
    if (envelope.from?.waitingFor === this) envelope.from.waitingFor = undefined
  }

  #handle(envelope: Envelope): void {
    const handler = this.type.implementation!.handlers[envelope.message.tag]
    if (handler === undefined || envelope.message.type !== this.type.name) {
      const detail = `it is a "${this.type.name}", which has no "${envelope.message.tag}" of "${envelope.message.type}"`
      return envelope.answer(callError(this, "UnknownMessage", detail))
    }
    this.#current = envelope
    depth++
    try {
      const effect = handler(envelope.payload, this)
      if (Exit.isExit(effect)) return this.#handled(envelope, effect)
      const fiber = Effect.runForkWith(this.#context!)(Effect.withFiber((own) => {
        this.#fiber = own
        return effect
      }))
      const exit = fiber.pollUnsafe()
      if (exit !== undefined) return this.#handled(envelope, exit)
      if (envelope.from !== undefined) envelope.from.waitingFor = this
      fiber.addObserver((late) => this.#handledLater(envelope, late))
    } catch (defect) {
      this.#handled(envelope, Exit.die(defect))
    } finally {
      depth--
    }
  }

  /** An answer runs its caller, whose end may be the answer to the next: that unwinds no deeper than calls wind up. */
  #handledLater(envelope: Envelope, exit: Exit.Exit<unknown, unknown>): void {
    if (depth >= MAX_DEPTH) return queueMicrotask(() => this.#handledLater(envelope, exit))
    depth++
    try {
      this.#handled(envelope, exit)
    } catch (error) {
      // thrown out of an observer it would end the program
      Effect.runFork(Effect.logError(`The answer of "${this.name}" could not be given`, error))
    } finally {
      depth--
    }
  }

  #handled(envelope: Envelope, exit: Exit.Exit<unknown, unknown>): void {
    this.#current = undefined
    this.#fiber = undefined
    if (envelope.from !== undefined) envelope.from.waitingFor = undefined
    if (exit._tag === "Failure" && Cause.hasDies(exit.cause)) {
      const detail = describe(exit)
      envelope.answer(callError(this, "Crashed", detail))
      if (this.status !== "closed") this.#crash(detail)
    } else if (exit._tag === "Failure" && !Cause.hasFails(exit.cause)) {
      envelope.answer(callError(this, this.status === "closed" ? "OutcomeUnknown" : "Timeout", "it was interrupted"))
    } else {
      envelope.answer(exit)
    }
    this.#whenIdle?.()
    this.#pump()
  }

  #pump(): void {
    while (this.status === "running" && this.#current === undefined) {
      if (this.#stopAfter) return this.#stopped()
      if (this.#queue === undefined || this.#queue.length === 0) return
      if (depth >= MAX_DEPTH) return queueMicrotask(() => this.#pump())
      this.#handle(this.#queue.shift()!)
    }
  }

  // ---- crash

  /** Its own code asked it to end: a `permanent` one starts again. */
  #stopped(): void {
    this.#stopAfter = false
    if (this.spec.restart !== "permanent") return this.#owner.ended(this, "Ended", "")
    this.status = "restarting"
    Effect.runForkWith(this.type.context)(this.#restart("Ended", "it ends again and again"))
  }

  #crash(detail: string): void {
    this.status = "restarting"
    this.#owner.crashed(this, detail)
    Effect.runForkWith(this.type.context)(this.#restart("Crashed", detail))
  }

  #restart(reason: "Ended" | "Crashed", detail: string): Effect.Effect<void> {
    return Effect.gen({ self: this }, function* () {
      const { options } = this.type
      yield* this.#closeResources(reason)
      if (this.spec.restart === "temporary") return this.#owner.ended(this, "Crashed", detail)
      const wait = options.backoff === undefined
        ? undefined
        : yield* Schedule.toStepWithSleep(options.backoff as Schedule.Schedule<unknown>)
      for (let why = detail;;) {
        this.#restarts ??= new RestartWindow()
        if (!this.#restarts.allow(this.#owner.nowMs(), options.restartLimit)) {
          return this.#owner.ended(this, "GivenUp", why)
        }
        if (wait !== undefined) yield* Effect.ignore(wait(undefined))
        const epoch = this.status === "restarting" ? this.#owner.renew(this) : undefined
        if (epoch === undefined) return
        this.epoch = epoch
        const exit = yield* Effect.exit(this.start(undefined))
        if (this.status !== "restarting") return yield* this.#closeResources("Superseded")
        if (exit._tag === "Success") return this.serve(epoch)
        why = describe(exit)
        this.#owner.crashed(this, why)
      }
    })
  }

  // ---- move and stop

  /** Takes no further message; done when the one at hand is answered. */
  freeze(): Effect.Effect<void> {
    return Effect.callback<void>((resume) => {
      if (this.status === "running") this.status = "frozen"
      if (this.#current === undefined) return resume(Effect.void)
      this.#whenIdle = () => {
        this.#whenIdle = undefined
        resume(Effect.void)
      }
      return Effect.sync(() => {
        this.#whenIdle = undefined
      })
    })
  }

  /** The messages that wait, taken out: whoever takes them sees that each is answered. */
  takeWaiting(): Array<Envelope> {
    const waiting = this.#queue ?? []
    this.#queue = undefined
    for (const { from } of waiting) if (from !== undefined) from.waitingFor = undefined
    return waiting
  }

  /** Stops for good: interrupts what runs, answers what waits, closes the scope. Safe to call again. */
  close(reason: StopReason): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.status === "closed") return Effect.void
      this.status = "closed"
      const fiber = this.#fiber
      fiber?.interruptUnsafe()
      for (const envelope of this.takeWaiting()) envelope.answer(callError(this, "Stopped", reason))
      // what the handler holds is released before what the process holds; one that can't be interrupted is not waited for
      const ended = fiber === undefined ? Effect.void : Effect.timeoutOrElse(Effect.asVoid(Fiber.await(fiber)), {
        duration: HANDLER_END_MS,
        orElse: () => Effect.void
      })
      return Effect.andThen(ended, this.#closeResources(reason))
    })
  }

  #closeResources(reason: StopReason): Effect.Effect<void> {
    return Effect.suspend(() => {
      const stop = this.#scope === undefined ? undefined : this.type.implementation?.stop
      const hook = stop === undefined
        ? Effect.void
        : Effect.ignoreCause(this.#provided(Effect.suspend(() => stop(reason, this))))
      const closed = Deferred.makeUnsafe<void>()
      const closing = Effect.andThen(hook, Effect.suspend(() => this.#closeScope(Exit.void)))
      // in a fiber of its own: finalizers that take too long, or for ever, go on by themselves and hold nobody up
      Effect.runForkWith(this.type.context)(Effect.ensuring(closing, Deferred.succeed(closed, undefined)))
      return Effect.timeoutOrElse(Deferred.await(closed), { duration: CLOSE_MS, orElse: () => Effect.void })
    })
  }

  #closeScope(exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> {
    return Effect.suspend(() => {
      const scope = this.#scope
      this.#scope = undefined
      return scope === undefined ? Effect.void : Effect.ignoreCause(Scope.close(scope, exit))
    })
  }
}
