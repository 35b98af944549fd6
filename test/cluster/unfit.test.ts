// Metadata that no wire can carry, given to one of two nodes: it is refused with a typed error, and both go on.
import { afterAll, assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit } from "effect"
import { CommandFailed, type NodeGone, seeEachOther, start, survivors, three, waitUntil } from "./harness.ts"

const timeout_ms = 60_000
const kinds = ["symbol", "cyclic", "deep", "huge"] as const

/** Enough names that some live on one node, some on the other, whichever is asked for them. */
const namesOf = (prefix: string): Array<string> => Array.from({ length: 16 }, (_, i) => `${prefix}-${i}`)

/** Which error a command ended with. */
const tagOf = (exit: Exit.Exit<unknown, CommandFailed | NodeGone>): string => {
  if (Exit.isSuccess(exit)) return "success"
  const failure = Cause.squash(exit.cause)
  return failure instanceof CommandFailed ? failure.error.tag : String(failure)
}

describe("metadata that no wire can carry", () => {
  for (const [index, kind] of kinds.entries()) {
    it.live(`${kind}: a typed error, and both nodes go on`, () =>
      Effect.gen(function* () {
        const a = yield* start(three[index % 3]!, { id: "a" })
        const b = yield* start(three[(index + 1) % 3]!, { id: "b", join: [a.address()] })
        yield* seeEachOther([a, b])
        const outcomes = yield* Effect.forEach(
          namesOf("bad"),
          (name) => Effect.exit(a.ask("registerWithMetadata", { kind, name })),
          { concurrency: "unbounded" }
        )
        const names = namesOf("good")
        const made = yield* a.ask("register", { names, start: 1 })
        yield* waitUntil(
          "the other node knows them all",
          Effect.map(b.ask("whereis", { names }), (refs) => !refs.includes(null))
        )
        assert.deepStrictEqual(yield* b.ask("totals", { names }), made.map(({ node }) => ({ total: 1, node })))
        yield* seeEachOther([a, b])
        assert.deepStrictEqual(outcomes.map(tagOf), outcomes.map(() => "InvalidInput"))
      }), timeout_ms)
  }
})

afterAll(() => assert.deepStrictEqual(survivors(), [], "processes left behind"))
