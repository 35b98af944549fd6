/**
 * The way to one endpoint: what the client needs of etcd's HTTP/JSON gateway, small enough to be played by something
 * else in tests. Bodies and answers are plain JSON.
 */
import type { Effect, Stream } from "effect"
import type { EtcdReason } from "./EtcdError.ts"

export interface Call {
  /** Like `/v3/kv/range`. */
  readonly path: string
  readonly body: unknown
  readonly headers: Readonly<Record<string, string>>
}

/** It did not work at this endpoint. */
export type GatewayFailure =
  /** No answer came, or it could not be read. `isSent` is `false` where etcd can't have seen the request. */
  | { readonly _tag: "Broken"; readonly reason: EtcdReason; readonly detail: string; readonly isSent: boolean }
  /** Etcd's own refusal. The code is gRPC's. */
  | { readonly _tag: "Refused"; readonly status: number; readonly code: number; readonly detail: string }

export interface Gateway {
  /** One request, one answer. Without a time limit: the client sets it, by interruption. */
  readonly post: (endpoint: string, call: Call) => Effect.Effect<unknown, GatewayFailure>
  /** One request, messages as they come, until the server ends it. */
  readonly stream: (endpoint: string, call: Call) => Stream.Stream<unknown, GatewayFailure>
}
