/**
 * Streamed answers between nodes. The holder runs the stream and sends its elements in numbered chunks; the caller says
 * how many it has received, so that lost ones are sent again, and how many its reader has taken, so that a slow reader
 * holds the stream up instead of filling memory.
 */
import { Cause, Effect, Exit, Fiber, Latch, Stream } from "effect"
import { msgpack } from "../protocol/codec.ts"
import type { SectionId } from "../protocol/ids.ts"
import { weigh } from "../protocol/replica.ts"
import { CallError } from "../SwormError.ts"
import { CALL_ERROR, CANCEL, CHUNK, END, MORE } from "./callFrames.ts"
import { describe, type Message } from "./Hosted.ts"

/** Chunks under way or waiting for the reader, at most. */
const WINDOW = 16
const CHUNK_BYTES = 32 * 1024
const RESEND_MS = 500
const ASK_MS = 3000
/** Room for what a frame holds besides its elements. */
const FRAME_HEADER = 256

type Send = (to: SectionId, frame: ReadonlyArray<unknown>) => void

// ---- the holder's side

interface Outbound {
  readonly caller: SectionId
  readonly seq: number
  /** Frames that the caller has not said to have received, by number. */
  readonly unconfirmed: Map<number, ReadonlyArray<unknown>>
  next: number
  taken: number
  resendAtMs: number
  readonly room: Latch.Latch
  fiber: Fiber.Fiber<unknown, unknown> | undefined
  isCancelled: boolean
}

export class OutboundStreams {
  readonly #streams = new Map<string, Outbound>()
  readonly #send: Send
  readonly #nowMs: () => number
  readonly #maxBytes: number
  readonly #frameBytes: number

  constructor(send: Send, nowMs: () => number, maxFrameBytes: number) {
    this.#send = send
    this.#nowMs = nowMs
    this.#frameBytes = maxFrameBytes
    this.#maxBytes = Math.min(CHUNK_BYTES, maxFrameBytes >>> 2)
  }

  get size(): number {
    return this.#streams.size
  }

  /** Runs a stream and sends what it gives. `encodeEnd` makes the reply that ends it. */
  start(
    caller: SectionId,
    seq: number,
    message: Message,
    stream: Stream.Stream<unknown, unknown>,
    encodeEnd: (exit: Exit.Exit<unknown, unknown>) => readonly [kind: number, value: unknown]
  ): void {
    const out: Outbound = {
      caller,
      seq,
      unconfirmed: new Map(),
      next: 0,
      taken: 0,
      resendAtMs: Infinity,
      room: Latch.makeUnsafe(true),
      fiber: undefined,
      isCancelled: false
    }
    this.#streams.set(`${caller}:${seq}`, out)
    const run = Stream.runForEachArray(stream, (items) => this.#sendAll(out, message, items))
    out.fiber = Effect.runFork(run)
    out.fiber.addObserver((exit) => {
      if (out.isCancelled) return
      const interrupted = exit._tag === "Failure" && Cause.hasInterruptsOnly(exit.cause)
      const end = interrupted ? [CALL_ERROR, ["Stopped", "the stream was interrupted"]] : encodeEnd(exit)
      this.#transmit(out, (index) => [END, seq, index, ...end])
    })
  }

  #sendAll(out: Outbound, message: Message, items: ReadonlyArray<unknown>): Effect.Effect<void, CallError> {
    return Effect.gen({ self: this }, function* () {
      let chunk: Array<unknown> = []
      let bytes = 0
      for (const item of items) {
        const encoded = message.success.encode(item)
        const size = encoded._tag === "Success" ? weigh(encoded.value) : 0
        const wrong = encoded._tag === "Failure" ? describe(encoded) : this.#tooLarge(encoded.value, size)
        if (wrong !== undefined || encoded._tag === "Failure") {
          // what came before it is not lost
          if (chunk.length > 0) yield* this.#sendChunk(out, chunk)
          return yield* Effect.fail(new CallError({ name: "", reason: "Encoding", detail: wrong ?? "" }))
        }
        if (chunk.length > 0 && bytes + size > this.#maxBytes) {
          yield* this.#sendChunk(out, chunk)
          chunk = []
          bytes = 0
        }
        chunk.push(encoded.value)
        bytes += size
      }
      if (chunk.length > 0) yield* this.#sendChunk(out, chunk)
    })
  }

  /** One element must fit a frame. A third of the limit is below it whatever the text; above that it is measured. */
  #tooLarge(value: unknown, size: number): string | undefined {
    if (size * 3 < this.#frameBytes || msgpack.encode(value).byteLength + FRAME_HEADER < this.#frameBytes) {
      return undefined
    }
    return `an element is larger than a frame (${this.#frameBytes} bytes)`
  }

  #sendChunk(out: Outbound, items: ReadonlyArray<unknown>): Effect.Effect<void> {
    return Effect.map(out.room.await, () => {
      this.#transmit(out, (index) => [CHUNK, out.seq, index, items])
      if (out.next - out.taken >= WINDOW) out.room.closeUnsafe()
    })
  }

  #transmit(out: Outbound, frameOf: (index: number) => ReadonlyArray<unknown>): void {
    const index = out.next++
    const frame = frameOf(index)
    if (out.unconfirmed.size === 0) out.resendAtMs = this.#nowMs() + RESEND_MS
    out.unconfirmed.set(index, frame)
    this.#send(out.caller, frame)
  }

  /** The caller has received this many, and its reader has taken that many; `false` when there is no such stream. */
  more(caller: SectionId, seq: number, received: number, taken: number): boolean {
    const key = `${caller}:${seq}`
    const out = this.#streams.get(key)
    if (out === undefined) return false
    for (const index of out.unconfirmed.keys()) {
      if (index >= received) break
      out.unconfirmed.delete(index)
    }
    out.resendAtMs = this.#nowMs() + RESEND_MS
    out.taken = Math.max(out.taken, taken)
    if (out.next - out.taken < WINDOW) out.room.openUnsafe()
    if (out.unconfirmed.size === 0 && out.fiber?.pollUnsafe() !== undefined) this.#streams.delete(key)
    return true
  }

  cancel(caller: SectionId, seq: number): void {
    const key = `${caller}:${seq}`
    const out = this.#streams.get(key)
    this.#streams.delete(key)
    if (out === undefined) return
    out.isCancelled = true
    out.fiber?.interruptUnsafe()
  }

  /** A node is gone, and all that it was reading. */
  lose(isLost: (caller: SectionId) => boolean): void {
    for (const { caller, seq } of [...this.#streams.values()]) if (isLost(caller)) this.cancel(caller, seq)
  }

  resend(): void {
    const now = this.#nowMs()
    for (const out of this.#streams.values()) {
      if (out.unconfirmed.size === 0 || out.resendAtMs > now) continue
      out.resendAtMs = now + RESEND_MS
      for (const frame of out.unconfirmed.values()) this.#send(out.caller, frame)
    }
  }
}

// ---- the caller's side

interface Inbound {
  readonly name: string
  readonly message: Message
  /** Who sends it; known from the first frame on. */
  holder: string | undefined
  received: number
  taken: number
  readonly chunks: Array<ReadonlyArray<unknown>>
  end: Exit.Exit<unknown, unknown> | undefined
  resume: (() => void) | undefined
}

export class InboundStreams {
  readonly #streams = new Map<number, Inbound>()
  readonly #send: (to: string, frame: ReadonlyArray<unknown>) => void

  constructor(send: (to: string, frame: ReadonlyArray<unknown>) => void) {
    this.#send = send
  }

  get size(): number {
    return this.#streams.size
  }

  /** Noted before the call is sent. */
  open(seq: number, name: string, message: Message): void {
    this.#streams.set(seq, {
      name,
      message,
      holder: undefined,
      received: 0,
      taken: 0,
      chunks: [],
      end: undefined,
      resume: undefined
    })
  }

  /** It begins there, whenever its first element comes. */
  begun(seq: number, holder: string): void {
    const inbound = this.#streams.get(seq)
    if (inbound !== undefined) inbound.holder ??= holder
  }

  /** Nobody reads it any more; its holder is told, unless it has ended. `tell` sends a cancel. */
  close(seq: number, tell: (holder: string) => void): void {
    const inbound = this.#streams.get(seq)
    this.#streams.delete(seq)
    if (inbound?.holder !== undefined && inbound.end === undefined) tell(inbound.holder)
  }

  chunk(from: string, seq: number, index: number, items: ReadonlyArray<unknown>): void {
    this.#arrived(from, seq, index, (inbound) => inbound.chunks.push(items))
  }

  /** `read` makes the outcome of what was sent. */
  end(
    from: string,
    seq: number,
    index: number,
    read: (name: string, message: Message) => Exit.Exit<unknown, unknown>
  ): void {
    this.#arrived(from, seq, index, (inbound) => void (inbound.end = read(inbound.name, inbound.message)))
  }

  #arrived(from: string, seq: number, index: number, take: (inbound: Inbound) => void): void {
    const inbound = this.#streams.get(seq)
    // nobody reads it any more: said in a way that is not answered, or two that know nothing would answer for ever
    if (inbound === undefined) return this.#send(from, [CANCEL, seq])
    inbound.holder = from
    // what comes after its end is said by a holder that has forgotten it
    if (inbound.end !== undefined && index >= inbound.received) return
    if (index === inbound.received) {
      inbound.received++
      take(inbound)
      inbound.resume?.()
    }
    this.#send(from, [MORE, seq, inbound.received, inbound.taken])
  }

  /** The stream's holder is out of reach, or has no such stream: what is still to come will not. */
  fail(error: CallError, isAffected: (seq: number, holder: string | undefined) => boolean): void {
    for (const [seq, inbound] of this.#streams) {
      if (inbound.end !== undefined || !isAffected(seq, inbound.holder)) continue
      inbound.end = Exit.fail(error)
      inbound.resume?.()
    }
  }

  /** The elements, decoded. */
  read(seq: number): Stream.Stream<unknown, unknown> {
    const pull = Effect.suspend((): Effect.Effect<ReadonlyArray<unknown>, unknown> => {
      const inbound = this.#streams.get(seq)
      const items = inbound?.chunks.shift()
      if (inbound === undefined) return Cause.done()
      if (items === undefined) {
        if (inbound.end === undefined) {
          // said again now and then: a holder that has no such stream any more answers that it has ended
          const ask = Effect.sync(() => {
            if (inbound.holder !== undefined) {
              this.#send(inbound.holder, [MORE, seq, inbound.received, inbound.taken])
            }
            return []
          })
          return Effect.timeoutOrElse(waiting(inbound), { duration: ASK_MS, orElse: () => ask })
        }
        return inbound.end._tag === "Success" ? Cause.done() : Effect.failCause(inbound.end.cause)
      }
      inbound.taken++
      if (inbound.holder !== undefined && inbound.end === undefined) {
        this.#send(inbound.holder, [MORE, seq, inbound.received, inbound.taken])
      }
      const { message, name } = inbound
      const decoded: Array<unknown> = []
      for (const item of items) {
        const exit = message.success.decode(item)
        if (exit._tag === "Failure") {
          return Effect.fail(new CallError({ name, reason: "Encoding", detail: describe(exit) }))
        }
        decoded.push(exit.value)
      }
      return Effect.succeed(decoded)
    })
    return Stream.fromIterableEffectRepeat(pull)
  }
}

/** Until something has arrived: then there are no elements yet, and the reader asks again. */
const waiting = (inbound: Inbound): Effect.Effect<ReadonlyArray<unknown>> =>
  Effect.callback((resume) => {
    inbound.resume = () => {
      inbound.resume = undefined
      resume(Effect.succeed([]))
    }
    return Effect.sync(() => {
      inbound.resume = undefined
    })
  })
