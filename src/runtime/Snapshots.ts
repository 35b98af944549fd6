/**
 * When a process's state is kept elsewhere, for the loss of its node: with each call, before it is answered, or now and
 * then. Where it is kept, and how it comes back, is the backend's.
 */
import { Cause, Clock, Effect, Exit, type Fiber, Latch, Ref, type Scope, Semaphore } from "effect"
import type { MovedCall } from "../protocol/calls.ts"
import { msgpack } from "../protocol/codec.ts"
import type { Claim } from "../protocol/claims.ts"
import type { ClaimId, SectionId } from "../protocol/ids.ts"
import { afterAll, type SnapshotId } from "../protocol/snapshots.ts"
import { describe, type SnapshotPlan } from "./Hosted.ts"
import type { LocalProcess } from "./LocalProcess.ts"
import { type BeforeAnswer, callError } from "./Mailbox.ts"
import { steadyMs } from "./clocks.ts"

/** One that could not be kept is tried again after this long. */
const RETRY_MS = 100
/** What `run` does to a state that is kept with each call is looked for this often. */
const RUN_LOOK_MS = 1000

/** A state as it was taken, for the backend to keep. */
export interface Taken {
  readonly seq: number
  /** In ms since 1970. */
  readonly takenMs: number
  /** As plain data, packed. */
  readonly state: Uint8Array
  /** Calls that are answered as far as the process is concerned; whoever called is told when it is kept. */
  readonly answered: ReadonlyArray<MovedCall>
}

/** `superseded`: those who were asked know of a copy that has the name now. */
export type Outcome = "kept" | "not kept" | "superseded"

/** What a keeping came to. */
export type Keeping = Outcome | { readonly unfit: string }

/** The snapshots of one process. */
export class ProcessSnapshots {
  readonly plan: SnapshotPlan
  readonly #process: LocalProcess
  #seq = 0
  /** The newest that is kept, for a restart, and when it was taken. */
  #last: Uint8Array | undefined
  #lastMs = 0
  #lastId: SnapshotId | undefined
  /** `#last` is kept by those who should have it, under the process's present epoch. */
  #isCurrent = false
  /** Counts how often that was put an end to: also for what is on its way just then. */
  #expired = 0
  /** Nodes whose calls it has handled, lately. */
  readonly callers: Set<SectionId> = new Set()
  /** It starts anew, and others have what it was. */
  #isAnew = false
  /** Counts the states that were taken: a later one is never replaced by an earlier one. */
  #taken = 0
  #lastTaken = 0
  /** Answers that wait for the state to be kept. */
  readonly #keeping = new Set<Fiber.Fiber<unknown, unknown>>()
  /** Calls handled whose answers wait for the state to be kept. */
  readonly #answered = new Set<MovedCall>()
  /** One at a time: a later one must not overtake an earlier one. */
  readonly #turn = Semaphore.makeUnsafe(1)
  /** Claims whose states have gone into this one. */
  after: ReadonlyArray<ClaimId> = []
  /** Its time had come while a message was at hand. */
  isDue = false

  constructor(plan: SnapshotPlan, process: LocalProcess) {
    this.plan = plan
    this.#process = process
  }

  get isEachCall(): boolean {
    return this.plan.everyMs === 0
  }

  /** It has another epoch, or others should keep it: what is kept must be kept anew. */
  expire(): void {
    this.#isCurrent = false
    this.#expired++
  }

  /** Those that are not known any more are forgotten. */
  callersAmong(isKnown: (caller: SectionId) => boolean): ReadonlyArray<SectionId> {
    for (const caller of this.callers) if (!isKnown(caller)) this.callers.delete(caller)
    return [...this.callers]
  }

  /** It goes on from a state that has come from elsewhere: a crash brings that back, until there is a newer one. */
  begin(ageMs = 0): void {
    const encoded = this.#encode()
    if (encoded instanceof Uint8Array) this.#last = encoded
    this.#lastId = undefined
    // what is still on its way was taken before
    this.#lastTaken = ++this.#taken
    this.#lastMs = this.#process.wallMs() - ageMs
    this.#isCurrent = false
  }

  /** It starts anew from its args: what was kept is its state no more. Others have that until they have the new one. */
  forget(): void {
    this.#isAnew = this.#last !== undefined
    this.#last = undefined
    this.#lastTaken = ++this.#taken
    this.#isCurrent = false
  }

  /** It has started anew. */
  beginAnew(): void {
    if (this.#isAnew) this.begin()
    this.#isAnew = false
  }

  /** The state of another copy, as of its claim, has gone into this one. */
  follow(holder: SectionId, { epoch, extras, merged }: Pick<Claim, "epoch" | "extras" | "merged">): void {
    const before = [...this.after, ...extras?.replicas?.after ?? [], ...merged]
    this.after = afterAll(before, [{ holder, epoch, seq: Infinity }])
  }

  /** What it would go on from after a crash. */
  get last(): { readonly state: unknown; readonly ageMs: number } | undefined {
    if (this.#last === undefined) return undefined
    const decoded = this.#process.type.state.decode(unpack(this.#last))
    const ageMs = Math.max(0, this.#process.wallMs() - this.#lastMs)
    return decoded._tag === "Success" ? { state: decoded.value, ageMs } : undefined
  }

  /** Which snapshot the state is, as it is now; `undefined` where it has changed since. */
  get current(): SnapshotId | undefined {
    const state = this.#encode()
    if (this.#last === undefined || !(state instanceof Uint8Array)) return undefined
    return equal(state, this.#last) ? this.#lastId : undefined
  }

  get packed(): Uint8Array | undefined {
    return this.#last
  }

  #encode(): Uint8Array | string {
    const { state, type } = this.#process
    const encoded = type.state.encode(Ref.getUnsafe(state))
    if (encoded._tag === "Failure") return `its state does not encode: ${describe(encoded)}`
    try {
      return pack(encoded.value)
    } catch (error) {
      return `its state does not encode: ${String(error)}`
    }
  }

  /** Keeps the state as it is now; nothing is done where that is kept already. */
  readonly keep: Effect.Effect<Keeping> = Effect.suspend(() => {
    this.isDue = false
    const state = this.#encode()
    if (typeof state === "string") return Effect.succeed<Keeping>({ unfit: state })
    const taken = ++this.#taken
    const takenMs = this.#process.wallMs()
    const answered = [...this.#answered]
    return this.#turn.withPermits(1)(Effect.suspend(() => this.#keep(state, taken, takenMs, answered)))
  })

  /** Keeps the last one anew, while a message is at hand: the state is not to be read then. */
  readonly keepLast: Effect.Effect<Keeping> = Effect.suspend(() =>
    this.#turn.withPermits(1)(
      Effect.suspend(() =>
        this.#last === undefined || this.#isCurrent
          ? Effect.succeed<Keeping>("kept")
          : this.#keep(this.#last, this.#lastTaken, this.#lastMs, [])
      )
    )
  )

  #keep(
    state: Uint8Array,
    number: number,
    takenMs: number,
    answered: ReadonlyArray<MovedCall>
  ): Effect.Effect<Outcome> {
    if (number < this.#lastTaken) return Effect.succeed("kept")
    if (this.#isCurrent && this.#last !== undefined && equal(state, this.#last)) {
      this.#lastTaken = number
      return Effect.succeed("kept")
    }
    const { epoch } = this.#process
    const expired = this.#expired
    const taken: Taken = { seq: ++this.#seq, takenMs, state, answered }
    return Effect.map(this.#process.keepElsewhere(taken), (outcome) => {
      if (outcome !== "kept" || number < this.#lastTaken) return outcome
      this.#last = state
      this.#lastTaken = number
      this.#lastMs = takenMs
      this.#lastId = { epoch, seq: taken.seq }
      this.#isCurrent = this.#process.epoch === epoch && this.#expired === expired
      return outcome
    })
  }

  /**
   * Keeps the state that a call has left, for as long as it takes, before it is answered. What becomes of the answer:
   * given, or not known any more since the process has ended meanwhile, or a crash, since the state can't be kept.
   */
  keepFor(exit: Exit.Exit<unknown, unknown>, answered: MovedCall | undefined): Effect.Effect<Kept> {
    if (answered !== undefined) {
      this.#answered.add(answered)
      this.callers.add(answered.caller)
    }
    const attempt: Effect.Effect<Kept> = Effect.flatMap(this.keep, (keeping): Effect.Effect<Kept> => {
      if (keeping === "kept") return Effect.succeed({ _tag: "Answer", exit })
      if (typeof keeping === "object") return Effect.succeed({ _tag: "Answer", exit: Exit.die(keeping.unfit) })
      const { status } = this.#process
      // a copy that is to be settled is not frozen before its answers are given: what they tell of goes to the other
      const isLost = keeping === "superseded" && status === "frozen"
      if (isLost || (status !== "running" && status !== "frozen")) return Effect.succeed({ _tag: "Unknown" })
      return Effect.andThen(Effect.sleep(RETRY_MS), attempt)
    })
    return Effect.ensuring(attempt, Effect.sync(() => void (answered !== undefined && this.#answered.delete(answered))))
  }

  // ---- when

  /** Between a message and its answer: with each call the answer waits until the state is kept. */
  readonly beforeAnswer: BeforeAnswer = (envelope, exit, goOn) => {
    // a crash leaves the state that was kept last
    if (Exit.isFailure(exit) && Cause.hasDies(exit.cause)) return false
    const process = this.#process
    if (!this.isEachCall) {
      // now or never: the next message may be waiting
      if (this.isDue) Effect.runForkWith(process.type.context)(this.#keepNow(this.keep))
      else process.keepLater(this.plan.everyMs)
      return false
    }
    const unknown = callError(process, "OutcomeUnknown", "its process ended before what it had done was kept")
    // what it has done is not in the state that its process starts from again
    if (process.status !== "running" && process.status !== "frozen") {
      goOn(unknown)
      return true
    }
    const fiber = Effect.runForkWith(process.type.context)(this.keepFor(exit, envelope.record?.(exit)))
    this.#keeping.add(fiber)
    fiber.addObserver((done) => {
      this.#keeping.delete(fiber)
      goOn(done._tag === "Success" && done.value._tag === "Answer" ? done.value.exit : unknown)
    })
    return true
  }

  /** It goes on from the state that was kept last, or not here: nobody is told of what came after that. */
  giveUpAnswers(): void {
    if (this.#keeping.size === 0) return
    this.expire()
    for (const fiber of this.#keeping) fiber.interruptUnsafe()
  }

  /** What has come from elsewhere is kept anew from here; what `run` does to the state nobody sees. */
  serves(): void {
    if (this.packed !== undefined) this.#process.keepLater(0)
    else if (this.#process.type.implementation?.run !== undefined) this.#process.keepLater(this.#lookMs)
  }

  get #lookMs(): number {
    return this.isEachCall ? RUN_LOOK_MS : this.plan.everyMs
  }

  /** Its time has come: between two messages. */
  readonly due: Effect.Effect<void> = Effect.suspend(() => {
    const { isFree, status } = this.#process
    if (status !== "running" && status !== "passive") return Effect.void
    if (isFree) return this.#keepNow(this.keep)
    this.isDue = true
    return this.#keepNow(this.keepLast)
  })

  #keepNow(keep: Effect.Effect<Keeping>): Effect.Effect<void> {
    return Effect.map(keep, (keeping) => {
      if (keeping === "not kept" || keeping === "superseded") this.#process.keepLater(RETRY_MS)
      else if (this.#process.hasRun) this.#process.keepLater(this.#lookMs)
    })
  }
}

export type Kept =
  | { readonly _tag: "Answer"; readonly exit: Exit.Exit<unknown, unknown> }
  | { readonly _tag: "Unknown" }

/** A copy of its own: what the codec answers is a part of its buffer. */
export const pack = (plain: unknown): Uint8Array => new Uint8Array(msgpack.encode([plain]))

export const unpack = (state: Uint8Array): unknown => (msgpack.decode(state) as [unknown])[0]

const equal = (a: Uint8Array, b: Uint8Array): boolean => {
  if (a.byteLength !== b.byteLength) return false
  for (let at = 0; at < a.byteLength; at++) if (a[at] !== b[at]) return false
  return true
}

/** Snapshots under way at a time, of those that nobody waits for. */
const CONCURRENCY = 1024

/** The processes of this node whose snapshots are due some time. */
export class SnapshotQueue {
  readonly #nowMs: () => number
  readonly #changed: Latch.Latch
  /** By waiting time; in each the first is due first. */
  readonly #queues = new Map<number, Map<LocalProcess, number>>()

  constructor(nowMs: () => number, changed: Latch.Latch) {
    this.#nowMs = nowMs
    this.#changed = changed
  }

  /** One that waits already is not put off. */
  add(process: LocalProcess, inMs: number): void {
    let queue = this.#queues.get(inMs)
    if (queue === undefined) this.#queues.set(inMs, queue = new Map())
    if (queue.has(process)) return
    queue.set(process, this.#nowMs() + inMs)
    if (queue.size === 1) this.#changed.openUnsafe()
  }

  forget(process: LocalProcess): void {
    for (const queue of this.#queues.values()) queue.delete(process)
  }

  get nextMs(): number {
    let next = Infinity
    for (const queue of this.#queues.values()) {
      for (const dueMs of queue.values()) {
        next = Math.min(next, dueMs)
        break
      }
    }
    return next
  }

  takeDue(): Array<LocalProcess> {
    const now = this.#nowMs()
    const due: Array<LocalProcess> = []
    for (const [inMs, queue] of this.#queues) {
      for (const [process, dueMs] of queue) {
        if (dueMs > now) break
        queue.delete(process)
        due.push(process)
      }
      if (queue.size === 0) this.#queues.delete(inMs)
    }
    return due
  }
}

export const makeQueue: Effect.Effect<SnapshotQueue, never, Scope.Scope> = Effect.gen(function* () {
  const clock = yield* Clock.Clock
  const nowMs = steadyMs(clock)
  const changed = Latch.makeUnsafe(false)
  const queue = new SnapshotQueue(nowMs, changed)
  const next = Effect.suspend(() => {
    const wait = queue.nextMs - nowMs()
    return wait === Infinity ? changed.await : Effect.raceFirst(Effect.sleep(Math.max(0, wait)), changed.await)
  })
  const turns = Semaphore.makeUnsafe(CONCURRENCY)
  // each by itself: those whose nodes don't answer hold up nobody else
  const keepDue = Effect.suspend(() =>
    Effect.forEach(
      queue.takeDue(),
      (process) => Effect.forkScoped(turns.withPermits(1)(process.snapshots?.due ?? Effect.void)),
      { discard: true }
    )
  )
  yield* Effect.forkScoped(Effect.forever(Effect.andThen(Effect.andThen(next, changed.close), keepDue)))
  return queue
})
