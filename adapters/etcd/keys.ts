/** Keys as people write them, and as etcd wants them: a first key and the end of a range, in base64. */
import { Base64 } from "effect/encoding"
import type { Keys } from "./types.ts"

const ZERO = new Uint8Array(1)

const utf8 = new TextEncoder()

export const toBytes = (text: string | Uint8Array): Uint8Array => typeof text === "string" ? utf8.encode(text) : text

export const toBase64 = (text: string | Uint8Array): string => Base64.encode(toBytes(text))

export const fromBase64 = (base64: string): Uint8Array | undefined => {
  const decoded = Base64.decode(base64)
  return decoded._tag === "Success" ? decoded.success : undefined
}

/** The first key that is after all keys with this prefix. No byte of UTF-8 is 255, so the last one can be raised. */
const prefixEnd = (prefix: Uint8Array): Uint8Array => {
  const end = prefix.slice()
  end[end.length - 1] = (end.at(-1) ?? 0) + 1
  return end
}

export interface EncodedKeys {
  readonly key: string
  readonly range_end?: string
}

export const encodeKeys = (keys: Keys): EncodedKeys => {
  if ("key" in keys) return { key: toBase64(keys.key) }
  if ("from" in keys) return { key: toBase64(keys.from), range_end: toBase64(keys.to) }
  // from the first key there can be, without an end
  if (keys.prefix === "") return { key: toBase64(ZERO), range_end: toBase64(ZERO) }
  const prefix = toBytes(keys.prefix)
  return { key: toBase64(prefix), range_end: toBase64(prefixEnd(prefix)) }
}

/** For messages to people. */
export const describeKeys = (keys: Keys): string => {
  if ("key" in keys) return JSON.stringify(keys.key)
  if ("from" in keys) return `${JSON.stringify(keys.from)} to ${JSON.stringify(keys.to)}`
  return `${JSON.stringify(keys.prefix)}…`
}
