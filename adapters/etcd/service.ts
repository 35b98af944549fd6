/** Etcd's requests, as the client offers them. */
import { Effect } from "effect"
import type { EtcdClient } from "./client.ts"
import { EtcdError } from "./EtcdError.ts"
import { describeKeys } from "./keys.ts"
import * as M from "./messages.ts"
import type { Session } from "./session.ts"
import type * as T from "./types.ts"
import { watch, type WatchLimits } from "./watching.ts"

type Client = EtcdClient

export const makeService = (session: Session, limits: WatchLimits): Client => {
  const read = { isRepeatable: true } as const
  const write = { isRepeatable: false } as const
  const invalid = (operation: string, detail: string): Effect.Effect<never, EtcdError> =>
    Effect.fail(
      new EtcdError({ reason: "Invalid", operation, endpoint: session.endpoint, detail, isUnknown: false })
    )
  const ended = (operation: string): Effect.Effect<never, EtcdError> =>
    Effect.fail(
      new EtcdError({
        reason: "LeaseNotFound",
        operation,
        endpoint: session.endpoint,
        detail: "it has ended",
        isUnknown: false
      })
    )
  const range: Client["range"] = (keys, options) =>
    session.ask({
      ...read,
      operation: `read ${describeKeys(keys)}`,
      path: "/v3/kv/range",
      body: M.encodeRange(keys, options),
      decode: M.decodeRange,
      needsLeader: options?.serializable !== true
    })
  return {
    range,
    get: (key, options) => Effect.map(range({ key }, options), ({ kvs }) => kvs[0]),
    put: (key, value, options) =>
      session.ask({
        ...write,
        operation: `put ${JSON.stringify(key)}`,
        path: "/v3/kv/put",
        body: M.encodePut(key, value, options),
        decode: M.decodePut
      }),
    deleteRange: (keys, options) =>
      session.ask({
        ...write,
        operation: `delete ${describeKeys(keys)}`,
        path: "/v3/kv/deleterange",
        body: M.encodeDeleteRange(keys, options?.previous),
        decode: M.decodeDeleteRange
      }),
    txn: (transaction) => txn(session, transaction),
    grant: (ttlSeconds) =>
      Number.isSafeInteger(ttlSeconds) && ttlSeconds >= 1
        ? session.ask({
          ...write,
          operation: "grant a lease",
          path: "/v3/lease/grant",
          body: { TTL: String(ttlSeconds) },
          decode: M.decodeGranted
        })
        : invalid("grant a lease", `its time must be a whole number of seconds from 1 on, not ${ttlSeconds}`),
    keepAlive: (lease) => {
      const operation = `keep lease ${lease} alive`
      const asked = session.ask({
        ...read,
        operation,
        path: "/v3/lease/keepalive",
        body: { ID: lease },
        decode: M.decodeKeptAlive
      })
      return Effect.flatMap(asked, (kept) => kept.ttlSeconds > 0 ? Effect.succeed(kept) : ended(operation))
    },
    revoke: (lease) =>
      session.ask({
        ...write,
        operation: `revoke lease ${lease}`,
        path: "/v3/lease/revoke",
        body: { ID: lease },
        decode: M.decodeNothing
      }),
    timeToLive: (lease) => {
      const operation = `look at lease ${lease}`
      const asked = session.ask({
        ...read,
        operation,
        path: "/v3/lease/timetolive",
        body: { ID: lease, keys: true },
        decode: M.decodeTimeToLive
      })
      // one that has just run out, and is about to be ended, has 0
      return Effect.flatMap(asked, (state) => state.ttlSeconds >= 0 ? Effect.succeed(state) : ended(operation))
    },
    watch: (keys, options) => watch(session, limits, keys, options),
    compact: (revision) =>
      session.ask({
        ...write,
        operation: `compact up to revision ${revision}`,
        path: "/v3/kv/compaction",
        body: { revision: String(revision) },
        decode: M.decodeNothing
      }),
    status: Effect.suspend(() =>
      session.ask({
        ...read,
        operation: "ask for the status",
        path: "/v3/maintenance/status",
        body: {},
        decode: M.decodeStatus(() => session.endpoint),
        needsLeader: false
      })
    )
  }
}

const kindOf = (operation: T.Operation): string =>
  "range" in operation ? "range" : "put" in operation ? "put" : "delete"

const kindOfResult = (result: M.TransactionAnswer["results"][number]): string =>
  "kvs" in result ? "range" : "deleted" in result ? "delete" : "put"

const txn = <Success extends ReadonlyArray<T.Operation>, Failure extends ReadonlyArray<T.Operation>>(
  session: Session,
  transaction: T.Transaction<Success, Failure>
): Effect.Effect<T.TransactionResult<Success, Failure>, EtcdError> => {
  const steps: ReadonlyArray<T.Operation> = [...transaction.then ?? [], ...transaction.otherwise ?? []]
  const first = transaction.when?.[0]?.key ?? steps.map(describeStep)[0] ?? "nothing"
  const decode: M.Decode<T.TransactionResult<Success, Failure>> = (answer) =>
    Effect.flatMap(M.decodeTxn(answer), (decoded) => {
      const asked: ReadonlyArray<T.Operation> = (decoded.succeeded ? transaction.then : transaction.otherwise) ?? []
      const fits = asked.length === decoded.results.length &&
        decoded.results.every((result, at) => {
          const step = asked[at]
          return step !== undefined && kindOf(step) === kindOfResult(result)
        })
      // each answer is of its step's kind, which is what the type says
      return fits
        ? Effect.succeed(decoded as T.TransactionResult<Success, Failure>)
        : M.misfit("the answers of a transaction are not those of its steps")
    })
  return session.ask({
    operation: `do a transaction on ${first}`,
    path: "/v3/kv/txn",
    body: M.encodeTxn(transaction),
    decode,
    isRepeatable: steps.every((step) => "range" in step)
  })
}

const describeStep = (step: T.Operation): string =>
  "range" in step ? describeKeys(step.range) : "put" in step ? JSON.stringify(step.put) : describeKeys(step.deleteRange)
