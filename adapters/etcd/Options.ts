/** How an etcd backend behaves. */
import { Duration } from "effect"
import type { GossipOptions } from "../gossip/mod.ts"
import type { EtcdOptions } from "./client.ts"

/** What moves, snapshots and settling go by is as in the gossip backend; what gossip itself goes by is not there. */
export interface BackendOptions extends
  Omit<
    GossipOptions,
    "preset" | "redialInterval" | "formDelay" | "forgetAfter" | "onReturn" | "stopWithin" | "settleTimeout"
  > {
  /**
   * All keys begin with it. Sworms with different prefixes know nothing of each other. Must be equal on all nodes.
   * Ends with "/". Default: `sworm/<cluster>/`.
   */
  readonly prefix?: string | undefined
  /**
   * How long a node that can't reach etcd keeps its place, in whole seconds, from 2 on. A fifth before it is over the
   * node stops what it runs; when it is over others take that. Raising it rides out longer troubles of etcd; lowering it
   * lets others go on sooner after the loss of a node. May differ between nodes. Default 5 seconds.
   */
  readonly leaseTtl?: Duration.Input | undefined
  /**
   * The largest state, encoded, that etcd is given to keep while a process moves, in bytes. A larger one fails its move
   * with `HandoffError`, and the process goes on where it is. Etcd takes requests of 1.5 MiB, unless it is told otherwise
   * (`--max-request-bytes`). Default 1 MiB.
   */
  readonly maxKeptBytes?: number | undefined
}

export interface EtcdBackendOptions extends BackendOptions, EtcdOptions {}

export interface ResolvedBackend {
  readonly prefix: string
  readonly ttlSeconds: number
  readonly maxKeptBytes: number
}

export const LEAST_TTL_SECONDS = 2

export const resolveBackend = (
  { leaseTtl, maxKeptBytes, prefix }: BackendOptions,
  cluster: string
): ResolvedBackend => ({
  prefix: prefix ?? `sworm/${cluster}/`,
  ttlSeconds: Math.ceil(Duration.toSeconds(Duration.fromInputUnsafe(leaseTtl ?? "5 seconds"))),
  maxKeptBytes: maxKeptBytes ?? 1024 * 1024
})
