/** Keys under which stores file what belongs to a process. */

const loneSurrogate = /\p{Surrogate}/u

/** Parts of any text, joined by `/`: another key for any other parts, and without `/`, `\` or spaces within a part. */
export const storageKey = (...parts: ReadonlyArray<string>): string => parts.map(encode).join("/")

/** What is no well-formed Unicode has no percent-encoding: those code units are written as `%uD800`. */
const encode = (part: string): string =>
  loneSurrogate.test(part)
    ? Array.from(
      part,
      (char) => loneSurrogate.test(char) ? `%u${char.charCodeAt(0).toString(16)}` : encodeURIComponent(char)
    ).join("")
    : encodeURIComponent(part)
