/** What goes along with a process from node to node, besides its state: waiting messages, and answers given. */
import type { MovedCall } from "../../src/protocol/calls.ts"
import { weigh } from "../../src/protocol/replica.ts"
import { asArray, asCount, asText } from "../../src/protocol/wire.ts"
import { CALL_ERROR, type Forwarded, STREAM } from "../../src/runtime/callFrames.ts"
import type { LocalProcess } from "../../src/runtime/LocalProcess.ts"
import { type Core, keyOf } from "./core.ts"

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
  Math.max(0, Math.ceil(message.deadlineMs - nowMs))
]

export const decodeForwarded = (u: unknown, nowMs: number): Forwarded => {
  const [caller, seq, type, tag, payload, remainingMs] = asArray(u, 6)
  return {
    caller: asText(caller),
    seq: seq === null ? undefined : asCount(seq),
    type: asText(type),
    tag: asText(tag),
    payload,
    deadlineMs: nowMs + asCount(remainingMs)
  }
}

/** What was answered over there is answered again here. */
export const absorb = ({ parts: { dispatch, nowMs } }: Core, sworm: string, name: string, calls: unknown): void =>
  dispatch.absorb(keyOf(sworm, name), asArray(calls).map((call) => decodeMovedCall(call, nowMs())))

/** Asked anew: what was known before a wait is not known after it. */
export const isFrozen = (process: LocalProcess): boolean => process.status === "frozen"
