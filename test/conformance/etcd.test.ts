// The etcd backend on etcd's stand-in in memory, with frames over a network that neither delays nor loses anything.
import { Effect, Layer } from "effect"
import { Node } from "@sworm/sworm"
import * as Etcd from "@sworm/sworm/etcd"
import { VirtualNetwork } from "@sworm/sworm/testing"
import { conformance } from "./suite.ts"

const harness = Effect.gen(function* () {
  const network = yield* VirtualNetwork.make()
  const etcd = yield* Etcd.EtcdMemory.make
  let runs = 0
  return {
    start: ({ id }: { readonly id: string }) => {
      const name = `${id} ${++runs}`
      return Layer.build(
        Etcd.layerClient({ leaseTtl: "2 seconds", shutdownTimeout: "5 seconds" }).pipe(
          Layer.provide([
            VirtualNetwork.layerTransport,
            Layer.effect(Etcd.EtcdClient)(etcd.client({ name }))
          ]),
          Layer.provideMerge(Node.layer({ id })),
          Layer.provide(Layer.succeed(VirtualNetwork.VirtualNetwork)(network)),
          Layer.fresh
        )
      ).pipe(Effect.map((services) => ({
        id,
        services,
        kill: Effect.andThen(Effect.sync(() => network.kill(id)), etcd.fault("unreachable", { client: name }))
      })))
    }
  }
})

conformance("etcd", harness, { concurrent: true })
