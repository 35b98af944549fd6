// What clients were told fits one order, and no two copies of a process act at once, whatever befalls nodes and etcd.
import { assert, describe, it } from "@effect/vitest"
import { Effect, References } from "effect"
import { memoryBed } from "./beds.ts"
import { play } from "./histories.ts"

/** `npm run soak -- etcd` does many more. */
const SEEDS = [1, 2, 3, 4, 5]
const LIMIT = 60_000

describe.concurrent("histories, in memory", () => {
  for (const seed of SEEDS) {
    it.live(
      `of seed ${seed} are linearizable, and fenced`,
      () =>
        Effect.scoped(Effect.gen(function* () {
          const { findings, operations, writes } = yield* play(seed, yield* memoryBed)
          assert.deepStrictEqual(findings, [])
          assert.isAbove(Math.min(operations, writes), 0)
        })).pipe(Effect.provideService(References.MinimumLogLevel, "None")),
      LIMIT
    )
  }
})
