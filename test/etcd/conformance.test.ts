// The conformance suite on a real etcd: one server for all cases, each below a prefix of its own.
import { afterAll, beforeAll, describe } from "@effect/vitest"
import { Effect, Exit, Scope } from "effect"
import { make } from "../../adapters/etcd/client.ts"
import { conformance } from "../conformance/suite.ts"
import { harnessOn } from "./nodes.ts"
import { hasEtcd, HOW_TO_GET_ETCD, type Servers, startServers } from "./servers.ts"

if (!hasEtcd) console.warn(`The conformance suite on a real etcd is left out: ${HOW_TO_GET_ETCD}`)

describe.runIf(hasEtcd)("on a real etcd", () => {
  const scope = Scope.makeUnsafe()
  let servers: Servers
  let cases = 0
  beforeAll(async () => {
    servers = await Effect.runPromise(Scope.provide(startServers(), scope))
  })
  afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))
  const harness = Effect.suspend(() =>
    harnessOn(() => make({ endpoints: servers.endpoints }), { prefix: `case ${++cases}/`, leaseTtl: "5 seconds" })
  )
  conformance("etcd", harness)
})
