/** The holder's side of calls from other nodes: each is executed at most once, and answered to whoever called. */
import { Exit, type Stream } from "effect"
import { CallTable, type MovedCall } from "../protocol/calls.ts"
import { msgpack } from "../protocol/codec.ts"
import { nodeOf, type SectionId } from "../protocol/ids.ts"
import { asArray, asCount, asText, asTexts, Channel } from "../protocol/wire.ts"
import { CallError, type CallFailure } from "../SwormError.ts"
import type { Peer, Transport } from "../Transport.ts"
import {
  CALL,
  CALL_ERROR,
  CANCEL,
  CAST,
  CHUNK,
  END,
  FAILURE,
  type Forwarded,
  isNumbered,
  MORE,
  NOT_HERE,
  readReply,
  REPLY,
  STREAM,
  SUCCESS
} from "./callFrames.ts"
import type { Directory } from "./Directory.ts"
import { describe, type Message } from "./Hosted.ts"
import type { Caller } from "./Caller.ts"
import { CastReceiver } from "./CastReceiver.ts"
import type { LocalProcess } from "./LocalProcess.ts"
import type { LocalProcesses } from "./LocalProcesses.ts"
import { type Envelope, isOpen, NO_CHAIN } from "./Mailbox.ts"
import { OutboundStreams } from "./streams.ts"

export interface ReceiverParts {
  readonly node: { readonly id: string; readonly section: SectionId }
  readonly transport: Transport
  readonly processes: LocalProcesses
  readonly directory: Directory
  readonly nowMs: () => number
  /** Runs something later, as long as the node lives. */
  readonly after: (millis: number, run: () => void) => void
  /** Takes what answers this node's own calls. */
  readonly caller: Pick<Caller, "onReply" | "streams" | "endStream">
}

interface Running {
  readonly process: LocalProcess
  readonly envelope: Envelope
}

export class Receiver {
  /** What was answered to whom: a repeated call is answered again, not executed again. */
  readonly calls = new CallTable()
  readonly streams: OutboundStreams
  readonly casts: CastReceiver
  readonly #parts: ReceiverParts
  /** Calls that are under way here, by caller and number. */
  readonly #running = new Map<SectionId, Map<number, Running>>()

  constructor(parts: ReceiverParts) {
    this.#parts = parts
    const { nowMs, transport } = parts
    this.casts = new CastReceiver({ ...parts, hand: (process, cast) => this.#hand(process, cast, NO_CHAIN) })
    this.streams = new OutboundStreams((to, frame) => this.#transmit(to, frame), nowMs, transport.maxFrameBytes)
  }

  readonly take = (from: Peer, body: Uint8Array): void => {
    this.frame(`${from.boot}/${from.id}`, asArray(msgpack.decode(body)))
  }

  /** A frame of another node, or of this one. */
  frame(caller: SectionId, frame: ReadonlyArray<unknown>): void {
    const mine = this.#parts.caller
    switch (frame[0]) {
      case CALL:
        return this.#called(caller, frame)
      case REPLY:
        return mine.onReply(nodeOf(caller), asCount(frame[1]), readReply(asCount(frame[2]), frame[3]))
      case CANCEL:
        return this.cancel(caller, asCount(frame[1]))
      case CAST:
        return this.casts.take(caller, frame)
      case CHUNK:
        return mine.streams.chunk(nodeOf(caller), asCount(frame[1]), asCount(frame[2]), asArray(frame[3]))
      case END:
        return mine.endStream(nodeOf(caller), asCount(frame[1]), asCount(frame[2]), asCount(frame[3]), frame[4])
      case MORE:
        return this.#more(caller, asCount(frame[1]), asCount(frame[2]), asCount(frame[3]))
    }
  }

  cancel(caller: SectionId, seq: number): void {
    const running = this.#running.get(caller)?.get(seq)
    if (running !== undefined) running.process.cancel(running.envelope)
    this.streams.cancel(caller, seq)
  }

  /** Its process handles nothing just now: what is under way of these waits for its turn. */
  readonly absorb = (process: string, answered: ReadonlyArray<MovedCall>): void => {
    this.calls.absorb(process, answered)
    for (const { caller, reply, seq } of answered) {
      const running = this.#running.get(caller)?.get(seq)
      if (running === undefined) continue
      this.#ran(caller, seq)
      running.process.cancel(running.envelope)
      const [kind, value] = reply as [number, unknown]
      this.#reply(caller, seq, kind, value)
    }
  }

  /** The caller has received so much of a stream; one that is not there has ended here, and nothing is under way. */
  #more(caller: SectionId, seq: number, received: number, taken: number): void {
    if (this.streams.more(caller, seq, received, taken)) return
    this.#transmit(caller, [END, seq, received, CALL_ERROR, ["Stopped", "there is no such stream any more"]])
  }

  #transmit(to: SectionId, frame: ReadonlyArray<unknown>): void {
    const { node, transport } = this.#parts
    if (to === node.section) this.frame(to, frame)
    else transport.send(nodeOf(to), Channel.call, msgpack.encode(frame), "user")
  }

  #called(caller: SectionId, frame: ReadonlyArray<unknown>): void {
    const { nowMs, processes } = this.#parts
    const seq = asCount(frame[1])
    this.calls.settleBelow(caller, asCount(frame[2]))
    const process = processes.get(asText(frame[3]), asText(frame[4]))
    const deadlineMs = nowMs() + asCount(frame[8])
    if (process === undefined || !isOpen(process) || !this.#isOf(process, asCount(frame[10]))) {
      return this.#reply(caller, seq, NOT_HERE, null)
    }
    const forwarded = { caller, seq, type: asText(frame[5]), tag: asText(frame[6]), payload: frame[7], deadlineMs }
    this.deliver(process, forwarded, asTexts(frame[9]))
  }

  /**
   * Is it the life that the caller means? What was sent to one that is over may have been executed in it, on whatever
   * node: nobody remembers here.
   */
  #isOf({ name, sworm }: LocalProcess, continuity: number): boolean {
    const { directory, node } = this.#parts
    const own = directory.find(sworm, name)
    return own?.section !== node.section || own.continuity === continuity
  }

  /**
   * Messages that a move brought, in their order: they come before what arrived here by itself meanwhile. But casts with
   * numbers stay among each other as they were handed over: by their numbers.
   */
  adopt(process: LocalProcess, moved: ReadonlyArray<Forwarded>): void {
    const waiting = process.takeWaiting()
    const isLater = ({ cast, isMoved }: Envelope): boolean => cast === undefined && isMoved !== true
    for (const envelope of waiting) if (!isLater(envelope)) process.receive(envelope)
    for (const message of moved) {
      if (isNumbered(message)) this.casts.adopt(process, message)
      else this.deliver(process, message, NO_CHAIN, true)
    }
    for (const envelope of waiting) if (isLater(envelope)) process.receive(envelope)
  }

  /** Hands a call that came over the wire to its process, unless it was handed over before. */
  deliver(process: LocalProcess, forwarded: Forwarded, chain: ReadonlyArray<string> = NO_CHAIN, isMoved = false): void {
    const { caller, deadlineMs, seq } = forwarded
    if (seq !== undefined) {
      const known = this.calls.receive(caller, seq, `${process.sworm}\n${process.name}`, deadlineMs)
      if (known?._tag === "Answered") {
        const [kind, value] = known.reply as [number, unknown]
        return this.#reply(caller, seq, kind, value)
      }
      if (known !== undefined) return
    }
    this.#hand(process, forwarded, chain, isMoved)
  }

  #hand(process: LocalProcess, forwarded: Forwarded, chain: ReadonlyArray<string>, isMoved = false): void {
    const { caller, payload, seq, tag, type } = forwarded
    const message = process.type.name === type ? process.type.messages.get(tag) : undefined
    if (message === undefined) {
      const detail = `it is a "${process.type.name}", which has no "${tag}" of "${type}"`
      return this.#refuse(caller, seq, "UnknownMessage", detail)
    }
    const decoded = message.payload.decode(payload)
    if (decoded._tag === "Failure") return this.#refuse(caller, seq, "Encoding", describe(decoded))
    const envelope: Envelope = {
      message,
      payload: decoded.value,
      from: undefined,
      chain,
      answer: (exit) => {
        if (seq !== undefined) this.#answered(process, message, caller, seq, exit)
        else this.casts.answered(process, exit, () => forwarded)
      },
      forward: () => {
        if (seq !== undefined) {
          this.#ran(caller, seq)
          this.calls.forget(caller, seq)
        }
        return forwarded
      },
      record: seq === undefined || process.snapshots === undefined ? undefined : (exit) => {
        const isStream = message.isStream && Exit.isSuccess(exit)
        const reply = isStream ? [STREAM, null] : encodeExit(process.name, message, exit)
        return { caller, seq, deadlineMs: forwarded.deadlineMs, reply }
      },
      cast: isNumbered(forwarded) ? forwarded : undefined,
      isMoved
    }
    if (seq !== undefined) this.#runs(caller, seq, { process, envelope })
    process.receive(envelope)
  }

  #runs(caller: SectionId, seq: number, call: Running): void {
    const calls = this.#running.get(caller)
    if (calls === undefined) this.#running.set(caller, new Map([[seq, call]]))
    else calls.set(seq, call)
  }

  #ran(caller: SectionId, seq: number): void {
    this.#running.get(caller)?.delete(seq)
  }

  /** Forgets callers that have nothing under way here; called now and then. */
  expire(nowMs: number): void {
    this.calls.expire(nowMs)
    this.casts.expire(nowMs)
    for (const [caller, calls] of this.#running) if (calls.size === 0) this.#running.delete(caller)
  }

  #refuse(caller: SectionId, seq: number | undefined, reason: CallFailure, detail: string): void {
    if (seq === undefined) return
    this.calls.forget(caller, seq)
    this.#reply(caller, seq, CALL_ERROR, [reason, detail])
  }

  #answered(
    process: LocalProcess,
    message: Message,
    caller: SectionId,
    seq: number,
    exit: Exit.Exit<unknown, unknown>
  ): void {
    this.#ran(caller, seq)
    if (message.isStream && exit._tag === "Success") {
      this.calls.answer(caller, seq, [STREAM, null])
      this.#reply(caller, seq, STREAM, null)
      const encodeEnd = (end: Exit.Exit<unknown, unknown>) => encodeExit(process.name, message, end)
      return this.streams.start(caller, seq, message, exit.value as Stream.Stream<unknown, unknown>, encodeEnd)
    }
    const [kind, value] = encodeExit(process.name, message, exit)
    if (kind === CALL_ERROR && (value as readonly [CallFailure])[0] === "Stopped") {
      // it was not taken up: its caller may look for the process elsewhere
      this.calls.forget(caller, seq)
      return this.#reply(caller, seq, NOT_HERE, null)
    }
    this.calls.answer(caller, seq, [kind, value])
    this.#reply(caller, seq, kind, value)
  }

  #reply(caller: SectionId, seq: number, kind: number, value: unknown): void {
    const { caller: own, node, transport } = this.#parts
    if (caller === node.section) return own.onReply(node.id, seq, readReply(kind, value))
    const to = nodeOf(caller)
    if (!transport.send(to, Channel.call, encodeReply(seq, kind, value), "user")) {
      // a reply that can't leave (too large, say) is no reason to keep the caller waiting
      const instead = [REPLY, seq, CALL_ERROR, ["Encoding", "the reply could not be sent: is it larger than a frame?"]]
      transport.send(to, Channel.call, msgpack.encode(instead), "user")
    }
  }
}

/** What a schema lets through may still be nothing that a wire can carry: a cycle, a symbol. */
const encodeReply = (seq: number, kind: number, value: unknown): Uint8Array => {
  try {
    return msgpack.encode([REPLY, seq, kind, value])
  } catch (error) {
    return msgpack.encode([REPLY, seq, CALL_ERROR, ["Encoding", String(error)]])
  }
}

const encodeExit = (
  name: string,
  message: Message,
  exit: Exit.Exit<unknown, unknown>
): readonly [kind: number, value: unknown] => {
  if (Exit.isSuccess(exit)) {
    if (message.isStream) return [SUCCESS, null]
    const encoded = message.success.encode(exit.value)
    return encoded._tag === "Success" ? [SUCCESS, encoded.value] : [CALL_ERROR, ["Encoding", describe(encoded)]]
  }
  const reason = exit.cause.reasons[0]
  const error = reason?._tag === "Fail" ? reason.error : undefined
  if (error instanceof CallError && (error.name === name || error.name === "")) {
    return [CALL_ERROR, [error.reason, error.detail]]
  }
  const encoded = message.error.encode(error)
  return encoded._tag === "Success" ? [FAILURE, encoded.value] : [CALL_ERROR, ["Encoding", describe(encoded)]]
}
