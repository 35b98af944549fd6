/**
 * How messages reach a process: one at a time, in order, bounded. A message that finds the process idle starts its
 * handler at once, and needs no fiber when the handler answers at once.
 */
import { Cause, type Context, Effect, Exit, type Fiber } from "effect"
import type { MovedCall } from "../protocol/calls.ts"
import { CallError } from "../SwormError.ts"
import type { Forwarded, Numbered } from "./callFrames.ts"
import { describe, type Message, type ResolvedOptions } from "./Hosted.ts"

export type Status =
  /** `init` runs for the first time; not registered yet. */
  | "starting"
  /** Holds a state that a move brought; serves once the move is committed. */
  | "prepared"
  | "running"
  /** Keeps its state and its messages, handles none. */
  | "frozen"
  | "restarting"
  /** Keeps its state and nothing else; the next message wakes it. */
  | "passive"
  | "waking"
  | "closed"

/** Takes messages, now or once it serves. */
export const isOpen = ({ status }: { readonly status: Status }): boolean => status !== "closed" && status !== "starting"

/** One message on its way through a process. */
export interface Envelope {
  readonly message: Message
  readonly payload: unknown
  /** The process that sent it, when it is on this node. */
  readonly from: Mailbox | undefined
  /** The processes that wait for the answer, on whatever nodes, the nearest last; cut at the front when it gets long. */
  readonly chain: ReadonlyArray<string>
  /** Answers the sender; called once. */
  readonly answer: (exit: Exit.Exit<unknown, unknown>) => void
  /** What another node needs to take the message over. */
  readonly forward: () => Forwarded
  /** How a call of another node will be remembered once it is answered so. */
  readonly record?: ((exit: Exit.Exit<unknown, unknown>) => MovedCall) | undefined
  /** As it came, where it is a cast with a number. */
  readonly cast?: Numbered | undefined
  /** A move has brought it: it waited where its process comes from. */
  readonly isMoved?: boolean | undefined
}

// Replies run their caller, which may call again: beyond this depth they continue in a microtask, so that no chain of
// calls, however long, overflows the stack.
const MAX_DEPTH = 32
const MAX_CHAIN = 32
/** Of a message that no process waits for. */
export const NO_CHAIN: ReadonlyArray<string> = []
let depth = 0
let lastRun = 0

export const callError = (
  process: { readonly name: string },
  reason: CallError["reason"],
  detail: string
): Exit.Exit<never, CallError> => Exit.fail(new CallError({ name: process.name, reason, detail }))

/** `false`: nothing is to be done; else the last argument is called once, later. */
export type BeforeAnswer = (
  envelope: Envelope,
  exit: Exit.Exit<unknown, unknown>,
  goOn: (exit: Exit.Exit<unknown, unknown>) => void
) => boolean

interface Nested {
  readonly run: number
  readonly fiber: Fiber.Fiber<unknown, unknown>
}

export abstract class Mailbox {
  status: Status = "starting"
  waitingFor: Mailbox | undefined
  abstract readonly name: string
  abstract readonly options: ResolvedOptions
  /** Asked before each message; absent where there is nothing to ask. */
  protected guard: (() => boolean) | undefined
  /** The services of its code, while it holds what `init` acquired. */
  protected context: Context.Context<never> | undefined
  /** Its own code has asked it to end. */
  protected stopsAfter = false
  #current: Envelope | undefined
  /** Numbers the messages that it has handled: the chain of a call names the one that made it. */
  #run = 0
  /** Calls that its handlers wait for. */
  #outgoing = 0
  /** The handler's, from its first step on. */
  #fiber: Fiber.Fiber<unknown, unknown> | undefined
  /** Messages that run while their own chain waits here. */
  #nested: Map<Envelope, Nested> | undefined
  #queue: Array<Envelope> | undefined
  #crashAfter: string | undefined
  #whenIdle: (() => void) | undefined

  /** The same on every node. */
  abstract get key(): string
  /** Calls the handler: what it answers at once, or the effect that will. */
  protected abstract invoke(envelope: Envelope): Effect.Effect<unknown, unknown>
  protected abstract touch(): void
  protected abstract wake(): void
  protected abstract stopped(): void
  protected abstract crash(detail: string): void
  /** Is anything to be done before the answer is given? Then that goes on with the answer as it is to be, later. */
  protected abstract beforeAnswer: BeforeAnswer | undefined

  /**
   * The chain of a call made on this fiber; `undefined` when it is not a handler's own fiber: what a handler forks may
   * call its own process, for nobody waits in a circle.
   */
  chainOn(fiber: Fiber.Fiber<unknown, unknown>): ReadonlyArray<string> | undefined {
    if (this.#fiber === fiber && this.#current !== undefined) return this.#chain(this.#current, this.#run)
    if (this.#nested === undefined) return undefined
    for (const [envelope, nested] of this.#nested) {
      if (nested.fiber === fiber) return this.#chain(envelope, nested.run)
    }
    return undefined
  }

  #chain({ chain }: Envelope, run: number): ReadonlyArray<string> {
    return [...chain.slice(1 - MAX_CHAIN), `${this.key}\n${run}`]
  }

  /** A call that one of its handlers waits for: while there is one, a call that comes back from it is a circle. */
  calling<A, E>(call: Effect.Effect<A, E>): Effect.Effect<A, E> {
    return Effect.suspend(() => {
      this.#outgoing++
      return Effect.ensuring(call, Effect.sync(() => void this.#outgoing--))
    })
  }

  get waiting(): number {
    return this.#queue?.length ?? 0
  }

  /** Handles nothing just now. */
  get isFree(): boolean {
    return this.#current === undefined && (this.#nested === undefined || this.#nested.size === 0)
  }

  /** Nothing that was asked or went wrong before counts for the life that begins. */
  protected forgetEnds(): void {
    this.stopsAfter = false
    this.#crashAfter = undefined
  }

  /** Ends the process normally once the message at hand is answered. */
  protected stopSoon(): void {
    this.stopsAfter = true
    if (this.isFree) this.pump()
  }

  /** Hands a message to the process: handled at once when it is idle, else kept in order, else refused. */
  receive(envelope: Envelope): void {
    if (this.guard !== undefined && !this.guard()) return envelope.answer(callError(this, "Stopped", ""))
    if (this.status === "running" && this.isFree) {
      if (depth < MAX_DEPTH) return this.#handle(envelope)
      this.#enqueue(envelope)
      queueMicrotask(() => this.pump())
      return
    }
    if (this.status === "closed") return envelope.answer(callError(this, "Stopped", ""))
    if (this.#isCircle(envelope)) {
      if (this.options.reentrant && this.context !== undefined) return this.#handleNested(envelope)
      const how = "fork the call, use cast, or declare its type `reentrant`"
      return envelope.answer(callError(this, "Reentrant", `it waits for its own caller: ${how}`))
    }
    this.#enqueue(envelope)
    if (this.status === "passive" && this.waiting > 0) this.wake()
  }

  #enqueue(envelope: Envelope): void {
    const queue = this.#queue ??= []
    if (queue.length >= this.options.mailboxCapacity) {
      return envelope.answer(callError(this, "MailboxFull", `${queue.length} messages wait already`))
    }
    queue.push(envelope)
    if (envelope.from !== undefined) envelope.from.waitingFor = this
  }

  /** Does this process wait, directly or through others, for the one that calls it? */
  #isCircle({ chain, from }: Envelope): boolean {
    if (chain.length > 0 && this.#outgoing > 0 && this.#isIn(chain)) return true
    if (from === undefined) return false
    // two that began independently may come to wait for each other: seen where both are on this node
    let at = this.waitingFor
    for (let hops = 0; at !== undefined && hops < 64; hops++) {
      if (at === from) return true
      at = at.waitingFor
    }
    return false
  }

  /** Is one of the messages at hand what the chain came from? One that was handled before waits for nothing. */
  #isIn(chain: ReadonlyArray<string>): boolean {
    const { key } = this
    if (this.#current !== undefined && chain.includes(`${key}\n${this.#run}`)) return true
    for (const { run } of this.#nested?.values() ?? []) if (chain.includes(`${key}\n${run}`)) return true
    return false
  }

  /** The sender no longer waits: a waiting message is dropped, the one at hand interrupted. */
  cancel(envelope: Envelope): void {
    if (this.#current === envelope) return this.#fiber?.interruptUnsafe()
    const nested = this.#nested?.get(envelope)
    if (nested !== undefined) return nested.fiber.interruptUnsafe()
    const at = this.#queue?.indexOf(envelope) ?? -1
    if (at < 0) return
    this.#queue!.splice(at, 1)
    if (envelope.from?.waitingFor === this) envelope.from.waitingFor = undefined
  }

  #handle(envelope: Envelope): void {
    this.#current = envelope
    this.#run = ++lastRun
    this.touch()
    depth++
    try {
      const effect = this.invoke(envelope)
      if (Exit.isExit(effect)) return this.#handled(envelope, effect)
      const fiber = Effect.runForkWith(this.context!)(Effect.withFiber((own) => {
        this.#fiber = own
        return effect
      }))
      const exit = fiber.pollUnsafe()
      if (exit !== undefined) return this.#handled(envelope, exit)
      if (envelope.from !== undefined) envelope.from.waitingFor = this
      fiber.addObserver((late) => this.#answerLater(() => this.#handled(envelope, late)))
    } catch (defect) {
      this.#handled(envelope, Exit.die(defect))
    } finally {
      depth--
    }
  }

  /** Its caller waits for this process, which waits for it: it runs between two steps of the handler that waits. */
  #handleNested(envelope: Envelope): void {
    const nested = this.#nested ??= new Map()
    if (nested.size >= this.options.mailboxCapacity) {
      return envelope.answer(callError(this, "MailboxFull", `${nested.size} calls of its own are under way`))
    }
    if (depth >= MAX_DEPTH) {
      return queueMicrotask(() =>
        this.context === undefined ? envelope.answer(callError(this, "Stopped", "")) : this.#handleNested(envelope)
      )
    }
    depth++
    try {
      const effect = Effect.suspend(() => this.invoke(envelope))
      const fiber = Effect.runForkWith(this.context!)(Effect.withFiber((own) => {
        nested.set(envelope, { run: ++lastRun, fiber: own })
        return effect
      }))
      const exit = fiber.pollUnsafe()
      if (exit !== undefined) return this.#handledNested(envelope, exit)
      fiber.addObserver((late) => this.#answerLater(() => this.#handledNested(envelope, late)))
    } finally {
      depth--
    }
  }

  #handledNested(envelope: Envelope, exit: Exit.Exit<unknown, unknown>): void {
    if (this.beforeAnswer?.(envelope, exit, (late) => this.#finishNested(envelope, late)) === true) return
    this.#finishNested(envelope, exit)
  }

  #finishNested(envelope: Envelope, exit: Exit.Exit<unknown, unknown>): void {
    this.#nested?.delete(envelope)
    const crash = this.#answer(envelope, exit)
    if (crash !== undefined && this.status !== "closed" && this.status !== "restarting") {
      // a crash of the process, whichever of its handlers died: the one that waits ends first
      if (this.#current === undefined) this.crash(crash)
      else {
        this.#crashAfter = crash
        this.#fiber?.interruptUnsafe()
      }
    }
    if (this.isFree) this.#whenIdle?.()
    this.pump()
  }

  /** An answer runs its caller, whose end may be the answer to the next: that unwinds no deeper than calls wind up. */
  #answerLater(answer: () => void): void {
    if (depth >= MAX_DEPTH) return queueMicrotask(() => this.#answerLater(answer))
    depth++
    try {
      answer()
    } catch (error) {
      // thrown out of an observer it would end the program
      Effect.runFork(Effect.logError(`The answer of "${this.name}" could not be given`, error))
    } finally {
      depth--
    }
  }

  /** Tells the sender; answers why the process has crashed, if it has. */
  #answer(envelope: Envelope, exit: Exit.Exit<unknown, unknown>): string | undefined {
    if (envelope.from !== undefined) envelope.from.waitingFor = undefined
    if (exit._tag === "Failure" && Cause.hasDies(exit.cause)) {
      const detail = describe(exit)
      envelope.answer(callError(this, "Crashed", detail))
      return detail
    }
    if (exit._tag === "Failure" && !Cause.hasFails(exit.cause)) {
      const isRunning = this.status === "running" || this.status === "frozen"
      envelope.answer(callError(this, isRunning ? "Timeout" : "OutcomeUnknown", "it was interrupted"))
    } else {
      envelope.answer(exit)
    }
    return undefined
  }

  #handled(envelope: Envelope, exit: Exit.Exit<unknown, unknown>): void {
    this.#fiber = undefined
    if (this.beforeAnswer !== undefined && this.#waits(this.beforeAnswer, envelope, exit)) return
    this.#finish(envelope, exit)
  }

  /** By itself: what it makes for later would else be made with every message of every process. */
  #waits(beforeAnswer: BeforeAnswer, envelope: Envelope, exit: Exit.Exit<unknown, unknown>): boolean {
    return beforeAnswer(envelope, exit, (late) => this.#finish(envelope, late))
  }

  #finish(envelope: Envelope, exit: Exit.Exit<unknown, unknown>): void {
    this.#current = undefined
    const crash = this.#answer(envelope, exit) ?? this.#crashAfter
    this.#crashAfter = undefined
    if (crash !== undefined && this.status !== "closed" && this.status !== "restarting") this.crash(crash)
    if (this.isFree) this.#whenIdle?.()
    this.pump()
  }

  protected pump(): void {
    while (this.status === "running" && this.isFree) {
      if (this.stopsAfter) return this.stopped()
      if (this.#queue === undefined || this.#queue.length === 0) return
      if (depth >= MAX_DEPTH) return queueMicrotask(() => this.pump())
      const envelope = this.#queue.shift()!
      if (this.guard === undefined || this.guard()) this.#handle(envelope)
      else envelope.answer(callError(this, "Stopped", ""))
    }
  }

  /** The messages that wait, in order. */
  get queued(): ReadonlyArray<Envelope> {
    return this.#queue ?? []
  }

  /** The messages that wait, taken out: whoever takes them sees that each is answered. */
  takeWaiting(): Array<Envelope> {
    const waiting = this.#queue ?? []
    this.#queue = undefined
    for (const { from } of waiting) if (from !== undefined) from.waitingFor = undefined
    return waiting
  }

  /** Done when the message at hand is answered. */
  protected idle(): Effect.Effect<void> {
    return Effect.callback<void>((resume) => {
      if (this.isFree) return resume(Effect.void)
      this.#whenIdle = () => {
        this.#whenIdle = undefined
        resume(Effect.void)
      }
      return Effect.sync(() => {
        this.#whenIdle = undefined
      })
    })
  }

  /** The fibers of handlers under way. */
  protected handlers(): Array<Fiber.Fiber<unknown, unknown>> {
    const fibers = Array.from(this.#nested?.values() ?? [], ({ fiber }) => fiber)
    if (this.#fiber !== undefined) fibers.push(this.#fiber)
    return fibers
  }
}
