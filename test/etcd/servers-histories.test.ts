// The histories of test/etcd/histories.test.ts on three real servers, which are killed and held up, the leader too.
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Effect, Exit, References, Scope } from "effect"
import { serverBed } from "./beds.ts"
import { play } from "./histories.ts"
import { hasEtcd, HOW_TO_GET_ETCD, type Servers, startServers } from "./servers.ts"

const SEEDS = [1, 2, 3, 4, 5]
const LIMIT = 90_000

if (!hasEtcd) console.warn(`The histories on real servers are left out: ${HOW_TO_GET_ETCD}`)

describe.runIf(hasEtcd)("histories, on three servers", () => {
  const scope = Scope.makeUnsafe()
  let servers: Servers
  beforeAll(async () => {
    servers = await Effect.runPromise(Scope.provide(startServers({ members: 3 }), scope))
  })
  afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))

  for (const seed of SEEDS) {
    it.live(
      `of seed ${seed} are linearizable, and fenced`,
      () =>
        Effect.scoped(Effect.gen(function* () {
          const { findings, handled, operations, writes } = yield* play(seed, yield* serverBed(servers))
          assert.deepStrictEqual(findings, [])
          assert.isAbove(Math.min(operations, writes, handled), 0)
        })).pipe(Effect.provideService(References.MinimumLogLevel, "None")),
      LIMIT
    )
  }
})
