/**
 * The strict backend: etcd has the last word about who runs a name. A node that can't reach it stops what it runs before
 * anybody else may start that. Calls and states go from node to node, over the same transport as with gossip.
 *
 * @module etcd
 */
import { Effect, Layer } from "effect"
import { Node } from "../../src/Node.ts"
import { InvalidInput } from "../../src/SwormError.ts"
import { Transport } from "../../src/Transport.ts"
import { makeBackend } from "../gossip/backend.ts"
import { makeServices, type Services } from "../gossip/services.ts"
import * as Client from "./client.ts"
import type { EtcdError } from "./EtcdError.ts"
import { ownChannels } from "./ground/channels.ts"
import { makeGround } from "./ground/ground.ts"
import { type BackendOptions, type EtcdBackendOptions, LEAST_TTL_SECONDS, resolveBackend } from "./Options.ts"

export { EtcdClient, type EtcdLimits, type EtcdOptions } from "./client.ts"
export { EtcdError, type EtcdReason } from "./EtcdError.ts"
export * as EtcdMemory from "./memory.ts"
export type { BackendOptions, EtcdBackendOptions } from "./Options.ts"
export type { TlsOptions } from "./tls.ts"
export type * from "./types.ts"
export type { Services } from "../gossip/services.ts"

/** The four services on one node, on a client of etcd that is there. */
export const layerClient = (
  options: BackendOptions = {}
): Layer.Layer<Services, InvalidInput, Node | Transport | Client.EtcdClient> =>
  Layer.effectContext(Effect.gen(function* () {
    const node = yield* Node
    const transport = yield* Transport
    const backend = resolveBackend(options, node.cluster)
    if (!backend.prefix.endsWith("/")) {
      return yield* Effect.fail(
        new InvalidInput({ what: "prefix", detail: `"${backend.prefix}" does not end with "/"` })
      )
    }
    if (!(backend.ttlSeconds >= LEAST_TTL_SECONDS)) {
      const detail = `${backend.ttlSeconds} seconds; ${LEAST_TTL_SECONDS} is the least`
      return yield* Effect.fail(new InvalidInput({ what: "leaseTtl", detail }))
    }
    const made = makeBackend(options, makeGround(backend))
    return makeServices(yield* Effect.provideService(made, Transport, ownChannels(transport)))
  }))

/** The four services on one node. Closing the scope leaves the cluster: every process is handed over first. */
export const layer = (
  options: EtcdBackendOptions
): Layer.Layer<Services, InvalidInput | EtcdError, Node | Transport> =>
  layerClient(options).pipe(Layer.provide(Client.layer(options)))
