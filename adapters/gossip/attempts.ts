/** What a change in the cluster takes: trying until views agree, and knowing that it is kept. */
import { Effect, Random } from "effect"
import { notPlain } from "../../src/protocol/plain.ts"
import { weigh } from "../../src/protocol/replica.ts"
import type { SectionId } from "../../src/protocol/ids.ts"
import { InvalidInput, Unavailable } from "../../src/SwormError.ts"
import type { Core } from "./core.ts"

/** Try again: views differ for the moment, or a node could not be reached. */
export const AGAIN = "again" as const

export const again: Effect.Effect<typeof AGAIN> = Effect.succeed(AGAIN)

/** How long one question to another node may take, where the answer needs nobody's code. */
export const ASK_TIMEOUT_MS = 3000

/** How long a change is tried. */
export const CHANGE_TIMEOUT_MS = 10_000

const JITTER_MS = 40

/** Until it succeeds or fails for good; waits a little, each time differently, between attempts. */
export const retrying = <A, E>(
  { parts: { members } }: Core,
  operation: string,
  timeoutMs: number,
  attempt: () => Effect.Effect<A | typeof AGAIN, E>
): Effect.Effect<A, E | Unavailable> => {
  const loop = Effect.gen(function* () {
    for (let wait = 10;; wait = Math.min(wait * 2, 500)) {
      const result = yield* attempt()
      if (result !== AGAIN) return result
      // nobody will ever agree with it again
      if (members.self().status === "left") {
        return yield* Effect.fail(new Unavailable({ operation, detail: "this node has left the cluster" }))
      }
      yield* Effect.sleep(wait + (yield* Random.nextIntBetween(0, JITTER_MS)))
    }
  })
  return loop.pipe(Effect.timeoutOrElse({
    duration: timeoutMs,
    orElse: () =>
      Effect.fail(new Unavailable({ operation, detail: `the cluster did not agree on it within ${timeoutMs} ms` }))
  }))
}

/** A change counts when two nodes have it: the one that wrote it, and this one or another. */
export const kept = (
  { parts: { node, replication } }: Core,
  { section, version }: { readonly section: SectionId; readonly version: number },
  operation: string
): Effect.Effect<void, Unavailable> =>
  section === node.section ? replication.stored(version, operation) : replication.have(section, version, operation)

/** Metadata is told to every node: it must be plain, and small. */
export const checkMetadata = (name: string, metadata: unknown, maxBytes: number): InvalidInput | undefined => {
  const reason = notPlain(metadata)
  const detail = reason ?? (weigh(metadata) <= maxBytes ? undefined : `it takes more than ${maxBytes} bytes`)
  return detail === undefined ? undefined : new InvalidInput({ what: `metadata of "${name}"`, detail })
}

const encoder = new TextEncoder()

/** Names and groups are 1 to 512 bytes of UTF-8. */
export const checkName = (what: string, name: string): InvalidInput | undefined => {
  if (typeof name !== "string") return new InvalidInput({ what, detail: "it is not a string" })
  if (/\p{Surrogate}/u.test(name)) return new InvalidInput({ what, detail: "it is not well-formed Unicode" })
  const bytes = name.length > 512 ? name.length : encoder.encode(name).length
  return bytes >= 1 && bytes <= 512
    ? undefined
    : new InvalidInput({ what, detail: `${bytes} bytes of UTF-8; 1 to 512 are allowed` })
}
