/** What goes along with a process from node to node, besides its state: waiting messages, answers given, casts handled. */
import type { MovedCall } from "../../src/protocol/calls.ts"
import { msgpack } from "../../src/protocol/codec.ts"
import type { CastNumber, CastProgress } from "../../src/protocol/casts.ts"
import { weigh } from "../../src/protocol/replica.ts"
import { asArray, asCount, asFlag, asText, optional } from "../../src/protocol/wire.ts"
import { CALL_ERROR, type Forwarded, STREAM } from "../../src/runtime/callFrames.ts"
import type { LocalProcess } from "../../src/runtime/LocalProcess.ts"
import type { Envelope } from "../../src/runtime/Mailbox.ts"
import type { Core } from "./core.ts"
import { keyOf } from "./keyOf.ts"

/** How many bytes a value takes, if those are more than `max`. */
export const bytesAbove = (encoded: unknown, max: number): number | undefined => {
  // text may take three times its length: only what may be too large is measured
  if (4 * weigh(encoded) <= max) return undefined
  const { byteLength } = msgpack.encode(encoded)
  return byteLength > max ? byteLength : undefined
}

/** Waiting messages in parts that fit a frame each; at least one part, so that there is a commit. */
export const inParts = (
  messages: ReadonlyArray<Forwarded>,
  maxBytes: number
): Array<{ readonly messages: ReadonlyArray<Forwarded>; readonly isLast: boolean }> => {
  const parts: Array<Array<Forwarded>> = [[]]
  let bytes = 0
  for (const message of messages) {
    const size = weigh(message.payload) + 128
    if (bytes > 0 && bytes + size > maxBytes) {
      parts.push([])
      bytes = 0
    }
    parts[parts.length - 1]!.push(message)
    bytes += size
  }
  return parts.map((part, at) => ({ messages: part, isLast: at === parts.length - 1 }))
}

/** What was answered; but no streams: those end with the old copy, and a repeated call begins a new one. */
export const movedCalls = (calls: ReadonlyArray<MovedCall>, nowMs: number): ReadonlyArray<unknown> =>
  calls.filter((call) => !isStream(call)).map((call) => encodeMovedCall(call, nowMs))

const LOST_STREAM = [CALL_ERROR, ["OutcomeUnknown", "the stream's node was lost"]]

/** What will be answered by whoever goes on without the node that has answered: a stream ends with that. */
export const keptCalls = (calls: ReadonlyArray<MovedCall>, nowMs: number): ReadonlyArray<unknown> =>
  calls.map((call) => encodeMovedCall(isStream(call) ? { ...call, reply: LOST_STREAM } : call, nowMs))

const isStream = ({ reply }: MovedCall): boolean => (reply as readonly [number])[0] === STREAM

const encodeMovedCall = (call: MovedCall, nowMs: number): ReadonlyArray<unknown> => [
  call.caller,
  call.seq,
  Math.max(0, Math.ceil(call.deadlineMs - nowMs)),
  call.reply
]

const decodeMovedCall = (u: unknown, nowMs: number): MovedCall => {
  const [caller, seq, remainingMs, reply] = asArray(u, 4)
  return { caller: asText(caller), seq: asCount(seq), deadlineMs: nowMs + asCount(remainingMs), reply }
}

export const encodeForwarded = (message: Forwarded, nowMs: number): ReadonlyArray<unknown> => [
  message.caller,
  message.seq ?? null,
  message.type,
  message.tag,
  message.payload,
  Math.max(0, Math.ceil(message.deadlineMs - nowMs)),
  message.cast === undefined ? null : encodeNumber(message.cast, message.isHanded === true)
]

const encodeNumber = ({ first, number, series }: CastNumber, isHanded: boolean): ReadonlyArray<unknown> => [
  series,
  number,
  first,
  isHanded
]

const decodeNumber = (u: unknown): { readonly cast: CastNumber; readonly isHanded: boolean } => {
  const [series, number, first, isHanded] = asArray(u, 4)
  return {
    cast: { series: asCount(series), number: asCount(number), first: asCount(first) },
    isHanded: asFlag(isHanded)
  }
}

export const decodeForwarded = (u: unknown, nowMs: number): Forwarded => {
  const [caller, seq, type, tag, payload, remainingMs, number] = asArray(u, 7)
  return {
    caller: asText(caller),
    seq: seq === null ? undefined : asCount(seq),
    type: asText(type),
    tag: asText(tag),
    payload,
    deadlineMs: nowMs + asCount(remainingMs),
    ...optional(number, decodeNumber)
  }
}

/** Messages that wait at a process, for the node that takes it over: those in its mailbox, then casts that came too early. */
export const forwardedOf = (waiting: ReadonlyArray<Envelope>, early: ReadonlyArray<Forwarded>): Array<Forwarded> => [
  ...waiting.map((envelope) => ({ ...envelope.forward(), isHanded: true })),
  ...early
]

/** How far a process has come with what was cast to it. */
export const movedCasts = (progress: ReadonlyArray<CastProgress>): ReadonlyArray<unknown> =>
  progress.map(({ last, sender, series }) => [sender, series, last])

export const decodeCasts = (u: unknown): ReadonlyArray<CastProgress> =>
  asArray(u).map((item) => {
    const [sender, series, last] = asArray(item, 3)
    return { sender: asText(sender), series: asCount(series), last: asCount(last) }
  })

/** What was answered over there is answered again here. */
export const absorb = ({ parts: { dispatch, nowMs } }: Core, sworm: string, name: string, calls: unknown): void =>
  dispatch.absorb(keyOf(sworm, name), asArray(calls).map((call) => decodeMovedCall(call, nowMs())))

/** Asked anew: what was known before a wait is not known after it. */
export const isFrozen = (process: LocalProcess): boolean => process.status === "frozen"
