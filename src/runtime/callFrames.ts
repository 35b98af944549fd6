/** Frames of calls and casts between nodes, as positional arrays; one tag each. */
import type { CastNumber } from "../protocol/casts.ts"
import { type SectionId } from "../protocol/ids.ts"

export const CALL = 0
export const REPLY = 1
export const CANCEL = 2
export const CAST = 3
/** Streamed answers: elements, the end, and what the caller has received and its reader taken. */
export const CHUNK = 4
export const END = 5
export const MORE = 6

/** What a reply carries. */
export const SUCCESS = 0
export const FAILURE = 1
export const CALL_ERROR = 2
export const NOT_HERE = 3
/** The answer is a stream, which begins. */
export const STREAM = 4

/** How often a cast is sent on by nodes that no longer have its process. */
export const MAX_HOPS = 3

/** What became of one attempt of a call. */
export type Reply =
  | { readonly _tag: "Answer"; readonly kind: number; readonly value: unknown }
  /** It is not there (any more), or the call never left: look again. */
  | { readonly _tag: "NotHere" }
  /** The connection ended after the call was sent: it may have been executed. */
  | { readonly _tag: "Lost" }

export const readReply = (kind: number, value: unknown): Reply =>
  kind === NOT_HERE ? { _tag: "NotHere" } : { _tag: "Answer", kind, value }

/** A waiting message, as plain data for the node that takes its process over. */
export interface Forwarded {
  readonly caller: SectionId
  /** `undefined` for a cast, which nobody waits for. */
  readonly seq: number | undefined
  /** The process type that it is meant for, and its message. */
  readonly type: string
  readonly tag: string
  readonly payload: unknown
  readonly deadlineMs: number
  /** Of a cast, among those of its caller. */
  readonly cast?: CastNumber | undefined
  /** The process has been given it where it comes from: nothing before it is waited for any more. */
  readonly isHanded?: boolean | undefined
}

/** A cast with its number. */
export type Numbered = Forwarded & { readonly cast: CastNumber }

export const isNumbered = (message: Forwarded): message is Numbered => message.cast !== undefined
