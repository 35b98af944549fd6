/**
 * A client of etcd (3.4 and later) by its HTTP/JSON gateway, on Node, Deno and Bun.
 *
 * Every wait has a limit, every failure is an `EtcdError`. Reads are asked again at the next endpoint; a write is asked
 * again only where it is certain that it was not done, else it fails with `isUnknown`.
 */
import { Clock, Context, Duration, Effect, Layer, Redacted, type Scope, type Stream } from "effect"
import { FetchHttpClient, HttpClient } from "effect/http"
import { Endpoints } from "./endpoints.ts"
import { EtcdError } from "./EtcdError.ts"
import type { Gateway } from "./gateway.ts"
import * as Http from "./http.ts"
import { makeService } from "./service.ts"
import { Session } from "./session.ts"
import { makeFetch, type TlsOptions } from "./tls.ts"
import type * as T from "./types.ts"

export interface EtcdClient {
  readonly range: (keys: T.Keys, options?: T.RangeOptions) => Effect.Effect<T.RangeResult, EtcdError>
  /** One key; `undefined` if it is not there. */
  readonly get: (key: string, options?: T.RangeOptions) => Effect.Effect<T.KeyValue | undefined, EtcdError>
  readonly put: (
    key: string,
    value: string | Uint8Array,
    options?: T.PutOptions
  ) => Effect.Effect<T.PutResult, EtcdError>
  readonly deleteRange: (
    keys: T.Keys,
    options?: { readonly previous?: boolean }
  ) => Effect.Effect<T.DeleteResult, EtcdError>
  /**
   * All steps in one, by what is true at that moment. One that only reads is repeated like a read; of any other that
   * had no answer the outcome is unknown.
   */
  readonly txn: <
    const Success extends ReadonlyArray<T.Operation> = readonly [],
    const Failure extends ReadonlyArray<T.Operation> = readonly []
  >(transaction: T.Transaction<Success, Failure>) => Effect.Effect<T.TransactionResult<Success, Failure>, EtcdError>
  /** A lease of so many seconds, a whole number from 1 on; etcd's least is a little more than twice its heartbeat. */
  readonly grant: (ttlSeconds: number) => Effect.Effect<T.Lease, EtcdError>
  /** Starts its time anew, once; fails with `LeaseNotFound` when it has ended. */
  readonly keepAlive: (lease: string) => Effect.Effect<T.Lease, EtcdError>
  /** Ends it, and the keys that were put with it. */
  readonly revoke: (lease: string) => Effect.Effect<void, EtcdError>
  readonly timeToLive: (lease: string) => Effect.Effect<T.LeaseState, EtcdError>
  /**
   * What happens to these keys, in order, nothing left out and nothing twice. It outlives its connections; it fails
   * with `Compacted` when what it has yet to give is gone, and with what was wrong last after `watchRetryFor` without
   * etcd.
   */
  readonly watch: (keys: T.Keys, options?: T.WatchOptions) => Stream.Stream<T.WatchBatch, EtcdError>
  /** Forgets what was before this revision. */
  readonly compact: (revision: number) => Effect.Effect<void, EtcdError>
  /** Of the endpoint that is in use. */
  readonly status: Effect.Effect<T.Status, EtcdError>
}

export const EtcdClient: Context.Service<EtcdClient, EtcdClient> = Context.Service<EtcdClient>("sworm/EtcdClient")

export interface EtcdLimits {
  /**
   * How long one endpoint may take to answer one request. Lower: the next endpoint's turn comes sooner; but a write
   * that would have been answered late has an unknown outcome. Default 2 seconds.
   */
  readonly requestTimeout?: Duration.Input | undefined
  /**
   * For how long what can be repeated is asked again, at endpoint after endpoint; waits in between grow from 50 ms to
   * 2 seconds, in part by chance. The last attempt may take `requestTimeout` longer. `0`: it is asked once. Default 5
   * seconds.
   */
  readonly retryFor?: Duration.Input | undefined
  /**
   * A watch on which nothing comes for so long gets a new connection; so long may a dead one go unnoticed. Lower:
   * noticed sooner, at one request per watch and time. Default 20 seconds.
   */
  readonly watchIdle?: Duration.Input | undefined
  /** A watch that can't be had again for so long fails. Default 1 minute. */
  readonly watchRetryFor?: Duration.Input | undefined
}

export interface EtcdOptions extends EtcdLimits {
  /** Where etcd's members serve clients, like `http://10.0.0.9:2379`; one that fails is followed by the next. */
  readonly endpoints: ReadonlyArray<string>
  /** Where etcd has authentication on. A token is fetched by it, and another when it has expired. Default: none. */
  readonly auth?: { readonly user: string; readonly password: string | Redacted.Redacted } | undefined
  /** For `https` endpoints; the same on Node, Deno and Bun. Default: the runtime's own trust, no client certificate. */
  readonly tls?: TlsOptions | undefined
  /** The longest answer, and the longest message of a watch, that is read. Default 64 MiB. */
  readonly maxAnswerBytes?: number | undefined
}

/** A client of these endpoints; nothing is sent before something is asked. Fails with `Invalid` for bad options. */
export const make = (options: EtcdOptions): Effect.Effect<EtcdClient, EtcdError, Scope.Scope> =>
  Effect.gen(function* () {
    yield* checkEndpoints(options.endpoints)
    const fetch = options.tls === undefined ? globalThis.fetch : yield* makeFetch(options.tls)
    const http = Context.get(
      yield* Layer.build(FetchHttpClient.layer.pipe(
        Layer.provide(Layer.succeed(FetchHttpClient.Fetch)(fetch)),
        Layer.provide(Layer.succeed(HttpClient.TracerDisabledWhen)(() => true)),
        Layer.provide(Layer.succeed(FetchHttpClient.RequestInit)({ redirect: "error" }))
      )),
      HttpClient.HttpClient
    )
    return yield* makeWith(Http.make(http, options.maxAnswerBytes ?? 64 * 1024 * 1024), options)
  })

export const layer = (options: EtcdOptions): Layer.Layer<EtcdClient, EtcdError> =>
  Layer.effect(EtcdClient)(make(options))

/** The client on a gateway of one's own. */
export const makeWith = (
  gateway: Gateway,
  options: Omit<EtcdOptions, "tls" | "maxAnswerBytes">
): Effect.Effect<EtcdClient, EtcdError> =>
  Effect.gen(function* () {
    const endpoints = yield* checkEndpoints(options.endpoints)
    const session = new Session(gateway, new Endpoints(endpoints), {
      requestTimeoutMs: millis(options.requestTimeout, "2 seconds"),
      retryForMs: millis(options.retryFor, "5 seconds"),
      user: options.auth?.user ?? "",
      password: redacted(options.auth?.password)
    }, yield* Clock.Clock)
    return makeService(session, {
      watchIdleMs: millis(options.watchIdle, "20 seconds"),
      watchRetryForMs: millis(options.watchRetryFor, "1 minute")
    })
  })

const millis = (duration: Duration.Input | undefined, otherwise: Duration.Input): number =>
  Duration.toMillis(Duration.fromInputUnsafe(duration ?? otherwise))

const redacted = (secret: string | Redacted.Redacted | undefined): Redacted.Redacted | undefined =>
  typeof secret === "string" ? Redacted.make(secret) : secret

type Some = readonly [string, ...ReadonlyArray<string>]

const checkEndpoints = (endpoints: ReadonlyArray<string>): Effect.Effect<Some, EtcdError> => {
  const invalid = (endpoint: string, detail: string) =>
    Effect.fail(
      new EtcdError({ reason: "Invalid", operation: "make a client", endpoint, detail, isUnknown: false })
    )
  const [first, ...rest] = endpoints
  if (first === undefined) return invalid("(none)", "there are no endpoints")
  const bad = endpoints.find((endpoint) => !/^https?:\/\/[^/\s]+\/?$/.test(endpoint))
  return bad === undefined
    ? Effect.succeed([first, ...rest])
    : invalid(bad, 'an endpoint is written like "http://10.0.0.9:2379"')
}
