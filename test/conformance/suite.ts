// Runs the conformance cases of `@sworm/sworm/testing` under vitest, on whatever backend a harness starts.
import { describe, it } from "@effect/vitest"
import { Effect, Layer, type Scope } from "effect"
import { Memory } from "@sworm/sworm"
import { Conformance, VirtualNetwork } from "@sworm/sworm/testing"

const caseTimeout_ms = 60_000

/** Slow cases run when SWORM_SLOW is set. */
const runsSlow = (globalThis as { process?: { env: Record<string, string | undefined> } }).process?.env.SWORM_SLOW !==
  undefined

export const conformance = (
  backend: string,
  harness: Effect.Effect<Conformance.Harness, unknown, Scope.Scope>,
  { concurrent = false, missing = {} }: { readonly concurrent?: boolean; readonly missing?: Conformance.Missing } = {}
): void => {
  const groups = new Set(Conformance.cases.map(({ group }) => group))
  describe(backend, { concurrent }, () => {
    for (const group of groups) {
      describe(group, () => {
        for (const one of Conformance.cases.filter((one) => one.group === group)) {
          const reason = Conformance.skipReason(one, missing) ??
            (one.slow && !runsSlow ? "slow: set SWORM_SLOW" : undefined)
          const name = reason === undefined ? one.name : `${one.name} (${reason})`
          it.live.skipIf(reason !== undefined)(
            name,
            () => Effect.scoped(Effect.flatMap(harness, (started) => one.effect(started))),
            caseTimeout_ms
          )
        }
      })
    }
  })
}

/** Nodes on a virtual network that is made for each case. */
export const memoryHarness = (
  options: Memory.MemoryOptions = {},
  network: VirtualNetwork.NetworkOptions = {},
  missing: Conformance.Missing = {}
): Effect.Effect<Conformance.Harness, never, Scope.Scope> =>
  Effect.map(VirtualNetwork.make(network), (virtual) => ({
    missing,
    start: ({ id, seeds }) =>
      Layer.build(
        Memory.layerNode({
          formDelay: seeds.length === 0 ? 0 : "200 millis",
          ...options,
          id,
          seeds: seeds.map((seed) => seed.id)
        })
          .pipe(Layer.provide(Layer.succeed(VirtualNetwork.VirtualNetwork)(virtual)), Layer.fresh)
      ).pipe(Effect.map((services) => ({ id, services, kill: Effect.sync(() => virtual.kill(id)) })))
  }))
