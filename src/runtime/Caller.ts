/**
 * The caller's side: to the process at once when it is here, by numbered frames when it is elsewhere. A call keeps its
 * number through every attempt, so that whoever has the process executes it at most once (PROTOCOL H21).
 */
import { Effect, Exit, Stream } from "effect"
import { msgpack } from "../protocol/codec.ts"
import { nodeOf, type SectionId } from "../protocol/ids.ts"
import { weigh } from "../protocol/replica.ts"
import { Channel } from "../protocol/wire.ts"
import { CallError, type CallFailure } from "../SwormError.ts"
import type { Transport } from "../Transport.ts"
import { CALL, CALL_ERROR, CANCEL, type Forwarded, type Reply, STREAM, SUCCESS } from "./callFrames.ts"
import type { Directory, Location } from "./Directory.ts"
import { describe, type Message } from "./Hosted.ts"
import type { LocalProcess } from "./LocalProcess.ts"
import type { LocalProcesses } from "./LocalProcesses.ts"
import { PendingCalls } from "./PendingCalls.ts"
import { type Envelope, isOpen, NO_CHAIN } from "./Mailbox.ts"
import type { Receiver } from "./Receiver.ts"
import { InboundStreams } from "./streams.ts"

/** What a caller knows may be out of date: it looks again after this long, news or no news. */
const RETRY_MS = 50
const BY_HAND = "it was registered by hand: there is no process to take messages"
/** Room for what a frame holds besides its payload. */
const HEADER = 4096

export interface CallerParts {
  readonly node: { readonly id: string; readonly section: SectionId }
  readonly transport: Transport
  readonly processes: LocalProcesses
  readonly directory: Directory
  readonly nowMs: () => number
}

/** One call, as its caller makes it. */
export interface Outgoing {
  readonly sworm: string
  readonly name: string
  readonly message: Message
  readonly payload: unknown
  /** The process whose handler makes it, and those that wait for that. */
  readonly from: LocalProcess | undefined
  readonly chain: ReadonlyArray<string>
  readonly timeoutMs: number
}

const callError = (name: string, reason: CallFailure, detail = ""): CallError => new CallError({ name, reason, detail })

/** Is this the end of a message that waited at a copy which had to end for another? */
const isSuperseded = (exit: Exit.Exit<unknown, unknown>): boolean => {
  const reason = exit._tag === "Failure" ? exit.cause.reasons[0] : undefined
  const error = reason?._tag === "Fail" ? reason.error : undefined
  return error instanceof CallError && error.reason === "Stopped" && error.detail === "Superseded"
}

const timedOut = (name: string, millis: number): Effect.Effect<never, CallError> =>
  Effect.fail(callError(name, "Timeout", `no answer within ${millis} ms`))

const encodingFailed = (name: string, detail: string): Exit.Failure<never, CallError> =>
  Exit.fail(callError(name, "Encoding", detail)) as Exit.Failure<never, CallError>

export class Caller {
  readonly #parts: CallerParts
  /** Streams that are read here, from other nodes. */
  readonly streams: InboundStreams
  readonly #pending: PendingCalls
  /** Where this node's own calls go when their process has come here meanwhile. */
  readonly #here: () => Receiver

  constructor(parts: CallerParts, here: () => Receiver) {
    this.#parts = parts
    this.#here = here
    this.#pending = new PendingCalls(parts.nowMs)
    this.streams = new InboundStreams((to, frame) => this.#transmit(to, frame))
  }

  onReply(from: string, seq: number, reply: Reply): void {
    if (reply._tag === "Answer" && reply.kind === STREAM) this.streams.begun(seq, from)
    this.#pending.reply(from, seq, reply)
  }

  /** A node is out of reach: what was sent to it may or may not have been executed. */
  lose(node: string, reply: Reply): void {
    this.#pending.lose(node, reply)
    const error = callError("", "OutcomeUnknown", `the stream's node "${node}" was lost`)
    this.streams.fail(error, (_, holder) => holder === node)
  }

  /** Sends again what has been without an answer for long; called now and then. */
  resend(): void {
    this.#pending.resend()
  }

  call(call: Outgoing): Effect.Effect<unknown, unknown> {
    const process = this.#parts.processes.get(call.sworm, call.name)
    return process !== undefined && isOpen(process) ? this.#local(process, call, call.timeoutMs) : this.#remote(call)
  }

  // ---- here

  #local(process: LocalProcess, call: Outgoing, timeoutMs: number): Effect.Effect<unknown, unknown> {
    const { chain, from, message, payload } = call
    let exit: Exit.Exit<unknown, unknown> | undefined
    let resume: ((exit: Effect.Effect<unknown, unknown>) => void) | undefined
    let forwardedAs: number | undefined
    /** Read where it is not answered at once: only then can it be sent on. */
    let deadlineMs = 0
    const envelope: Envelope = {
      message,
      payload,
      from,
      chain,
      answer: (answer) => {
        exit = answer
        // it was not taken up by this copy, and another goes on
        const timeoutMs = deadlineMs - this.#parts.nowMs()
        resume?.(isSuperseded(answer) ? this.#remote({ ...call, timeoutMs: Math.max(0, timeoutMs) }) : answer)
      },
      forward: () => {
        forwardedAs = this.#pending.next()
        return this.#forward(forwardedAs, process, envelope, Math.max(1, deadlineMs - this.#parts.nowMs()))
      }
    }
    process.receive(envelope)
    if (exit !== undefined) return exit
    deadlineMs = this.#parts.nowMs() + timeoutMs
    return Effect.callback<unknown, unknown>((done) => {
      if (exit !== undefined) return done(exit)
      resume = done
      return Effect.sync(() => {
        if (forwardedAs === undefined) return process.cancel(envelope)
        // it waits, or runs, where its process has gone
        this.#pending.delete(forwardedAs)
        const at = this.#parts.directory.find(call.sworm, process.name)
        if (at !== undefined) this.#transmit(nodeOf(at.section), [CANCEL, forwardedAs])
        if (message.isStream) this.#closeStream(forwardedAs)
      })
    }).pipe(Effect.timeoutOrElse({ duration: timeoutMs, orElse: () => timedOut(process.name, timeoutMs) }))
  }

  /** Its process moves away while the message waits: it becomes a call to the node that takes the process over. */
  #forward(seq: number, process: LocalProcess, { answer, message, payload }: Envelope, timeoutMs: number): Forwarded {
    const { node, nowMs } = this.#parts
    const { name, sworm } = process
    if (message.isStream) this.streams.open(seq, name, message)
    const encoded = message.payload.encode(payload)
    const forwarded: Forwarded = {
      caller: node.section,
      seq,
      type: message.type,
      tag: message.tag,
      payload: encoded._tag === "Success" ? encoded.value : undefined,
      deadlineMs: nowMs() + timeoutMs
    }
    const end = (exit: Exit.Exit<unknown, unknown>): void => {
      this.#pending.delete(seq)
      answer(exit)
    }
    const lost = (): void => end(Exit.fail(callError(name, "OutcomeUnknown", "the node that it moved to was lost")))
    this.#pending.set(seq, {
      node: "",
      resume: (reply) => {
        if (reply._tag === "Answer") end(this.#readAnswer(seq, name, message, reply))
        else if (reply._tag === "Lost") lost()
      },
      resend: this.#follow(sworm, name, forwarded, lost)
    })
    return forwarded
  }

  /** Its process may move on before it has the message, and the node that has it may leave: it is sent after it. */
  #follow(sworm: string, name: string, forwarded: Forwarded, lost: () => void): () => void {
    const { directory, node, nowMs, processes } = this.#parts
    const { deadlineMs, payload, seq, tag, type } = forwarded
    let continuity = directory.find(sworm, name)?.continuity
    return () => {
      const at = directory.find(sworm, name)
      const remaining = Math.ceil(deadlineMs - nowMs())
      if (at === undefined || remaining <= 0) return
      continuity ??= at.continuity
      // it may have been executed in a life that is over, and nobody remembers for that
      if (at.continuity !== continuity) return lost()
      if (at.section !== node.section) {
        const frame = [
          CALL,
          seq,
          this.#pending.floor(),
          sworm,
          name,
          type,
          tag,
          payload,
          remaining,
          NO_CHAIN,
          continuity
        ]
        return void this.#send(nodeOf(at.section), frame)
      }
      const process = processes.get(sworm, name)
      if (process !== undefined && isOpen(process)) this.#here().deliver(process, forwarded)
    }
  }

  // ---- elsewhere

  #remote(call: Outgoing): Effect.Effect<unknown, unknown> {
    return Effect.suspend(() => {
      const { message, name, payload, timeoutMs } = call
      const encoded = this.encode(name, message, payload)
      if (encoded._tag === "Failure") return encoded
      const seq = this.#pending.next()
      // noted before it is sent, so that no other call tells a holder that nothing below it is waited for
      this.#pending.reserve(seq)
      const deadline = this.#parts.nowMs() + timeoutMs
      const answered = this.#attempts(seq, call, encoded.value, deadline).pipe(
        Effect.timeoutOrElse({ duration: timeoutMs, orElse: () => timedOut(name, timeoutMs) }),
        Effect.ensuring(Effect.sync(() => this.#pending.delete(seq)))
      )
      if (!message.isStream) return answered
      this.streams.open(seq, name, message)
      return Effect.onError(answered, () => Effect.sync(() => this.#closeStream(seq)))
    })
  }

  #closeStream(seq: number): void {
    this.streams.close(seq, (holder) => this.#transmit(holder, [CANCEL, seq]))
  }

  /** The payload as plain data that fits a frame. */
  encode(name: string, message: Message, payload: unknown): Exit.Success<unknown> | Exit.Failure<never, CallError> {
    const { maxFrameBytes } = this.#parts.transport
    const encoded = message.payload.encode(payload)
    if (encoded._tag === "Failure") return encodingFailed(name, describe(encoded))
    // a third of the limit is below it whatever the text; above that it is measured
    if (weigh(encoded.value) * 3 < maxFrameBytes || msgpack.encode(encoded.value).byteLength + HEADER < maxFrameBytes) {
      return encoded as Exit.Success<unknown>
    }
    return encodingFailed(name, `the payload is larger than a frame (${maxFrameBytes} bytes)`)
  }

  /** Looks, sends, and looks again, until there is an answer or it can't be known whether there was one. */
  readonly #attempts = Effect.fnUntraced({ self: this }, function* (
    this: Caller,
    seq: number,
    call: Outgoing,
    encoded: unknown,
    deadline: number
  ): Effect.fn.Return<unknown, unknown> {
    const { chain, message, name: asked, sworm } = call
    const { directory, node, nowMs, processes } = this.#parts
    /** Where it may have been executed already. */
    let sentTo: Location | undefined
    /** Where it was tried last, in vain. */
    let missed: string | undefined
    let tried = false
    while (true) {
      const at = directory.find(sworm, asked) ?? (yield* directory.locate(sworm, asked))
      const name = at === "moving" || at === undefined ? asked : at.name
      const attempt = at === "moving" || at === undefined ? undefined : `${at.section}@${at.epoch}`
      const process = processes.get(sworm, name)
      const here = process !== undefined && isOpen(process) ? process : undefined
      // once it has been sent, only its number tells whether it came here along with its process
      if (here !== undefined && !tried) {
        return yield* this.#local(here, call, deadline - nowMs())
      }
      if (at !== "moving" && sentTo !== undefined && at?.continuity !== sentTo.continuity) {
        // the process that may have executed the call is gone, and nobody remembers for it
        return yield* Effect.fail(callError(name, "OutcomeUnknown", "its process was lost with the call under way"))
      }
      if (at === undefined) return yield* Effect.fail(callError(name, "NotRegistered"))
      if (at !== "moving" && at.isAdopted) return yield* Effect.fail(callError(name, "NotRegistered", BY_HAND))
      const isHere = at !== "moving" && at.section === node.section
      if (at === "moving" || attempt === missed || (isHere && here === undefined)) {
        // what this node knows is not what is
        yield* this.news(sworm, name)
        missed = undefined
        continue
      }
      tried = true
      const remaining = Math.max(0, Math.ceil(deadline - nowMs()))
      const reply = isHere
        ? yield* this.#awaitReply(seq, node.id, deadline, () => {
          const { tag, type } = message
          const forwarded = { caller: node.section, seq, type, tag, payload: encoded, deadlineMs: deadline }
          this.#here().deliver(here!, forwarded)
          return true
        })
        : yield* this.#awaitReply(seq, nodeOf(at.section), deadline, () =>
          this.#send(nodeOf(at.section), [
            CALL,
            seq,
            this.#pending.floor(),
            sworm,
            name,
            message.type,
            message.tag,
            encoded,
            remaining,
            chain,
            at.continuity
          ]))
      if (reply._tag === "Answer") return yield* this.#readAnswer(seq, name, message, reply)
      // after a loss it may have been executed there; so it may when "not here" was said of one copy and not of another
      if (reply._tag === "Lost" || this.#pending.isUncertain(seq)) sentTo ??= at
      missed = attempt
    }
  })

  #awaitReply(seq: number, to: string, deadlineMs: number, transmit: () => boolean): Effect.Effect<Reply> {
    const { node, nowMs } = this.#parts
    return Effect.callback<Reply>((done) => {
      this.#pending.set(seq, {
        node: to,
        resume: (reply) => done(Effect.succeed(reply)),
        // this node may have been held up: nobody waits any more, and the holder may have forgotten that it answered
        resend: () => nowMs() < deadlineMs && transmit()
      })
      if (!transmit()) done(Effect.succeed({ _tag: "NotHere" }))
      return Effect.sync(() => {
        if (to === node.id) this.#here().cancel(node.section, seq)
        else this.#send(to, [CANCEL, seq])
      })
    })
  }

  /** Done when what is known of the name has changed, or after a while. */
  news(sworm: string, name: string): Effect.Effect<void> {
    return Effect.raceFirst(this.#parts.directory.changed(sworm, name), Effect.sleep(RETRY_MS))
  }

  #send(to: string, body: ReadonlyArray<unknown>): boolean {
    return this.#parts.transport.send(to, Channel.call, msgpack.encode(body), "user")
  }

  /** To another node, or to this one's own holder side: a process may have come here with its stream. */
  #transmit(to: string, frame: ReadonlyArray<unknown>): void {
    if (to === this.#parts.node.id) this.#here().frame(this.#parts.node.section, frame)
    else this.#send(to, frame)
  }

  #readAnswer(
    seq: number,
    name: string,
    message: Message,
    answer: { readonly kind: number; readonly value: unknown }
  ): Exit.Exit<unknown, unknown> {
    if (answer.kind !== STREAM) return readAnswer(name, message, answer)
    const close = Effect.sync(() => this.#closeStream(seq))
    return Exit.succeed(Stream.ensuring(this.streams.read(seq), close))
  }

  /** The end of a stream that is read here. */
  endStream(from: string, seq: number, index: number, kind: number, value: unknown): void {
    this.streams.end(
      from,
      seq,
      index,
      (name, message) => kind === SUCCESS ? Exit.void : readAnswer(name, message, { kind, value })
    )
  }
}

const readAnswer = (
  name: string,
  message: Message,
  answer: { readonly kind: number; readonly value: unknown }
): Exit.Exit<unknown, unknown> => {
  if (answer.kind === CALL_ERROR) {
    const [reason, detail] = answer.value as [CallFailure, string]
    return Exit.fail(callError(name, reason, detail))
  }
  const decoded = (answer.kind === SUCCESS ? message.success : message.error).decode(answer.value)
  if (decoded._tag === "Failure") return Exit.fail(callError(name, "Encoding", describe(decoded)))
  return answer.kind === SUCCESS ? decoded : Exit.fail(decoded.value)
}
