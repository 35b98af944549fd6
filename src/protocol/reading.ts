/** Reading what a peer sent: each reader returns what it says, or throws `BadFrame`. */
import { bootOf } from "./ids.ts"

/** A peer sent something that is not a message of this protocol. */
export class BadFrame extends Error {
  override readonly name = "BadFrame"
}

export const fail = (what: string): never => {
  throw new BadFrame(`Expected ${what}`)
}

export const asArray = (u: unknown, length?: number): ReadonlyArray<unknown> =>
  Array.isArray(u) && (length === undefined || u.length === length)
    ? u
    : fail(length === undefined ? "an array" : `an array of ${length}`)

export const asText = (u: unknown): string => typeof u === "string" ? u : fail("a string")

export const asCount = (u: unknown): number =>
  Number.isSafeInteger(u) && (u as number) >= 0 ? u as number : fail("a count")

export const asBytes = (u: unknown): Uint8Array => u instanceof Uint8Array ? u : fail("bytes")

export const asTexts = (u: unknown): ReadonlyArray<string> => asArray(u).map(asText)

export const asFlag = (u: unknown): boolean => u === true || u === false ? u : fail("a boolean")

export const asIndexOf = <A>(all: ReadonlyArray<A>, u: unknown): A => all[asCount(u)] ?? fail("a known tag")

export const asSection = (u: unknown): string => {
  const text = asText(u)
  return /^[1-9]\d{0,15}\/./s.test(text) && Number.isSafeInteger(bootOf(text)) ? text : fail("a section id")
}

/** A time in ms; `Infinity` for one without end. */
export const asMillis = (u: unknown): number =>
  typeof u === "number" && u >= 0 ? u : fail("a time in milliseconds, or Infinity")

/** A count; `Infinity` for no limit. */
export const asLimit = (u: unknown): number => u === Infinity ? Infinity : asCount(u)

/** What may be missing is `null` on the wire. */
export const optional = <A>(u: unknown, read: (u: unknown) => A): A | undefined =>
  u === null || u === undefined ? undefined : read(u)
