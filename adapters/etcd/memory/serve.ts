/** Etcd's answers to the requests of its gateway, in the same JSON and with the same words when it refuses. */
import { Effect, Schema } from "effect"
import { fromBase64, toBase64 } from "../keys.ts"
import type { GatewayFailure } from "../gateway.ts"
import type { Change, Entry, Span, Store, Writer } from "./Store.ts"

const count = Schema.NumberFromString.check(Schema.isInt()).pipe(Schema.withDecodingDefaultKey(Effect.succeed("0")))
const text = Schema.String.pipe(Schema.withDecodingDefaultKey(Effect.succeed("")))
const lease = Schema.String.pipe(Schema.withDecodingDefaultKey(Effect.succeed("0")))
const flag = Schema.Boolean.pipe(Schema.withDecodingDefaultKey(Effect.succeed(false)))
const some = <S extends Schema.Constraint>(schema: S) =>
  Schema.Array(schema).pipe(Schema.withDecodingDefaultKey(Effect.succeed([])))

const span = { key: text, range_end: Schema.optionalKey(Schema.String) }

const Range = Schema.Struct({ ...span, revision: count, limit: count, keys_only: flag, serializable: flag })
const Put = Schema.Struct({ key: text, value: text, lease, prev_kv: flag })
const Delete = Schema.Struct({ ...span, prev_kv: flag })
const Compare = Schema.Struct({
  key: text,
  target: Schema.Literals(["VERSION", "CREATE", "MOD", "VALUE", "LEASE"]),
  result: Schema.Literals(["EQUAL", "NOT_EQUAL", "LESS", "GREATER"]),
  version: count,
  create_revision: count,
  mod_revision: count,
  value: text,
  lease
})
const Step = Schema.Struct({
  request_range: Schema.optionalKey(Range),
  request_put: Schema.optionalKey(Put),
  request_delete_range: Schema.optionalKey(Delete)
})
const Txn = Schema.Struct({ compare: some(Compare), success: some(Step), failure: some(Step) })
const Watch = Schema.Struct({
  create_request: Schema.Struct({ ...span, start_revision: count, prev_kv: flag })
})
const Grant = Schema.Struct({ TTL: count })
const LeaseId = Schema.Struct({ ID: lease })
const Compact = Schema.Struct({ revision: count })

/** A refusal, with gRPC's code. */
export class Refusal extends Error {
  readonly failure: GatewayFailure

  constructor(code: number, detail: string) {
    super(detail)
    this.failure = { _tag: "Refused", status: 400, code, detail }
  }
}

const compacted = () => new Refusal(11, "etcdserver: mvcc: required revision has been compacted")
const future = () => new Refusal(11, "etcdserver: mvcc: required revision is a future revision")
const noLease = () => new Refusal(5, "etcdserver: requested lease not found")
export const noSpace = (): Refusal => new Refusal(8, "etcdserver: mvcc: database space exceeded")
export const noLeader = (): Refusal => new Refusal(14, "etcdserver: no leader")

const reading = <A>(schema: Schema.Codec<A, unknown>) => {
  const decode = Schema.decodeUnknownExit(schema)
  return (body: unknown): A => {
    const exit = decode(body)
    if (exit._tag === "Success") return exit.value
    throw new Refusal(3, "the body is not the request's")
  }
}

const readRange = reading(Range)
const readPut = reading(Put)
const readDelete = reading(Delete)
const readTxn = reading(Txn)
const readGrant = reading(Grant)
const readLease = reading(LeaseId)
const readCompact = reading(Compact)
const readWatch = reading(Watch)

// ---- keys and values on the wire

const toKey = (base64: string): string => {
  const bytes = fromBase64(base64)
  if (bytes === undefined) throw new Refusal(3, "illegal base64 data")
  return Array.from(bytes, (byte) => String.fromCharCode(byte)).join("")
}

const fromKey = (key: string): string => toBase64(Uint8Array.from(key, (character) => character.charCodeAt(0)))

const toSpan = (from: { readonly key: string; readonly range_end?: string }): Span => {
  if (from.key === "") throw new Refusal(3, "etcdserver: key is not provided")
  return { from: toKey(from.key), to: from.range_end === undefined ? undefined : toKey(from.range_end) }
}

const entryOut = (entry: Entry, isKeyOnly = false) => ({
  key: fromKey(entry.key),
  create_revision: String(entry.create),
  mod_revision: String(entry.mod),
  version: String(entry.version),
  ...(isKeyOnly ? {} : { value: entry.value }),
  ...(entry.lease === "0" ? {} : { lease: entry.lease })
})

export const headerOf = (store: Store) => ({
  cluster_id: "14841639068965178418",
  member_id: "10276657743932975437",
  revision: String(store.revision),
  raft_term: "2"
})

export const eventOut = ({ before, entry, key, revision }: Change, previous: boolean) => ({
  ...(entry === undefined
    ? { type: "DELETE", kv: { key: fromKey(key), mod_revision: String(revision) } }
    : { kv: entryOut(entry) }),
  ...(previous && before !== undefined ? { prev_kv: entryOut(before) } : {})
})

// ---- requests

const checkRevision = (store: Store, revision: number): void => {
  if (revision > store.revision) throw future()
  if (revision !== 0 && revision < store.compacted) throw compacted()
}

const range = (store: Store, asked: typeof Range.Type) => {
  checkRevision(store, asked.revision)
  const found = store.range(toSpan(asked), asked.revision === 0 ? store.revision : asked.revision)
  const kvs = asked.limit === 0 ? found : found.slice(0, asked.limit)
  return {
    header: headerOf(store),
    kvs: kvs.map((entry) => entryOut(entry, asked.keys_only)),
    more: kvs.length < found.length,
    count: String(found.length)
  }
}

const checkPut = (store: Store, asked: typeof Put.Type): void => {
  toSpan(asked)
  if (asked.lease !== "0" && !store.leases.has(asked.lease)) throw noLease()
}

const put = (store: Store, writer: Writer, asked: typeof Put.Type) => {
  checkPut(store, asked)
  const before = writer.put(toKey(asked.key), asked.value, asked.lease)
  return {
    header: headerOf(store),
    ...(asked.prev_kv && before !== undefined ? { prev_kv: entryOut(before) } : {})
  }
}

const remove = (store: Store, writer: Writer, asked: typeof Delete.Type) => {
  const found = store.range(toSpan(asked))
  for (const { key } of found) writer.remove(key)
  return {
    header: headerOf(store),
    deleted: String(found.length),
    ...(asked.prev_kv ? { prev_kvs: found.map((entry) => entryOut(entry)) } : {})
  }
}

const isTrue = (store: Store, asked: typeof Compare.Type): boolean => {
  const entry = store.get(toKey(asked.key))
  const order = compare(entry, asked)
  if (order === undefined) return false
  if (asked.result === "EQUAL") return order === 0
  if (asked.result === "NOT_EQUAL") return order !== 0
  return asked.result === "LESS" ? order < 0 : order > 0
}

const compare = (entry: Entry | undefined, asked: typeof Compare.Type): number | undefined => {
  const by = <A extends number | bigint | string>(a: A, b: A): number => a < b ? -1 : a > b ? 1 : 0
  if (asked.target === "VERSION") return by(entry?.version ?? 0, asked.version)
  if (asked.target === "CREATE") return by(entry?.create ?? 0, asked.create_revision)
  if (asked.target === "MOD") return by(entry?.mod ?? 0, asked.mod_revision)
  if (asked.target === "LEASE") return by(BigInt(entry?.lease ?? "0"), BigInt(asked.lease))
  return entry === undefined ? undefined : by(toKey(entry.value), toKey(asked.value))
}

const txn = (store: Store, asked: typeof Txn.Type) => {
  const succeeded = asked.compare.every((one) => isTrue(store, one))
  const steps = succeeded ? asked.success : asked.failure
  for (const branch of [asked.success, asked.failure]) {
    const keys = branch.flatMap(({ request_put }) => request_put === undefined ? [] : [request_put.key])
    if (new Set(keys).size < keys.length) throw new Refusal(3, "etcdserver: duplicate key given in txn request")
  }
  // all or nothing: what would be refused is refused before the first step
  for (const step of steps) {
    if (step.request_put !== undefined) checkPut(store, step.request_put)
    if (step.request_range !== undefined) checkRevision(store, step.request_range.revision)
    if (step.request_delete_range !== undefined) toSpan(step.request_delete_range)
  }
  const responses = store.write((writer) =>
    steps.map((step) => ({
      ...(step.request_range === undefined ? {} : { response_range: range(store, step.request_range) }),
      ...(step.request_put === undefined ? {} : { response_put: put(store, writer, step.request_put) }),
      ...(step.request_delete_range === undefined
        ? {}
        : { response_delete_range: remove(store, writer, step.request_delete_range) })
    }))
  )
  return { header: headerOf(store), succeeded, responses }
}

const timeToLive = (store: Store, id: string, nowMs: number) => {
  const found = store.leases.get(id)
  if (found === undefined) return { header: headerOf(store), ID: id, TTL: "-1" }
  return {
    header: headerOf(store),
    ID: id,
    TTL: String(Math.floor((found.endsAtMs - nowMs) / 1000)),
    grantedTTL: String(found.ttlSeconds),
    keys: [...found.keys].sort().map(fromKey)
  }
}

const keepAlive = (store: Store, id: string, nowMs: number) => {
  const found = store.leases.get(id)
  if (found === undefined) return { result: { header: headerOf(store), ID: id } }
  found.endsAtMs = nowMs + found.ttlSeconds * 1000
  return { result: { header: headerOf(store), ID: id, TTL: String(found.ttlSeconds) } }
}

const revoke = (store: Store, id: string) => {
  const found = store.leases.get(id)
  if (found === undefined) throw noLease()
  store.revoke(found)
  return { header: headerOf(store) }
}

const compact = (store: Store, revision: number) => {
  if (revision > store.revision) throw future()
  if (revision <= store.compacted) throw compacted()
  store.compact(revision)
  return { header: headerOf(store) }
}

/** Etcd's least with its own defaults. */
const TTL_MIN = 2

/** The longest request that etcd takes by default; one in JSON is a third longer. */
const REQUEST_BYTES_MAX = 1.5 * 1024 * 1024

/** Answers one request, or throws a `Refusal`. */
export const serve = (store: Store, path: string, body: unknown, nowMs: number): unknown => {
  if (JSON.stringify(body).length * 3 / 4 > REQUEST_BYTES_MAX) throw new Refusal(3, "etcdserver: request is too large")
  switch (path) {
    case "/v3/kv/range":
      return range(store, readRange(body))
    case "/v3/kv/put":
      return store.write((writer) => put(store, writer, readPut(body)))
    case "/v3/kv/deleterange":
      return store.write((writer) => remove(store, writer, readDelete(body)))
    case "/v3/kv/txn":
      return txn(store, readTxn(body))
    case "/v3/kv/compaction":
      return compact(store, readCompact(body).revision)
    case "/v3/lease/grant": {
      const granted = store.grant(Math.max(readGrant(body).TTL, TTL_MIN), nowMs)
      return { header: headerOf(store), ID: granted.id, TTL: String(granted.ttlSeconds) }
    }
    case "/v3/lease/keepalive":
      return keepAlive(store, readLease(body).ID, nowMs)
    case "/v3/lease/revoke":
      return revoke(store, readLease(body).ID)
    case "/v3/lease/timetolive":
      return timeToLive(store, readLease(body).ID, nowMs)
    case "/v3/maintenance/status":
      return { header: headerOf(store), version: "3.5.0", leader: headerOf(store).member_id, dbSize: "20480" }
    default:
      throw new Refusal(12, `unknown method ${path}`)
  }
}

/** A full database refuses it. */
export const needsSpace = (path: string, body: unknown): boolean =>
  path === "/v3/kv/put" || path === "/v3/lease/grant" ||
  (path === "/v3/kv/txn" && [...readTxn(body).success, ...readTxn(body).failure].some((step) => "request_put" in step))

/** A member without a leader can't do it. */
export const needsLeader = (path: string, body: unknown): boolean =>
  path !== "/v3/maintenance/status" && !(path === "/v3/kv/range" && readRange(body).serializable)

export interface Watched {
  readonly span: Span
  readonly from: number
  readonly previous: boolean
}

export const toWatched = (store: Store, body: unknown): Watched => {
  const { create_request: asked } = readWatch(body)
  const from = asked.start_revision === 0 ? store.revision + 1 : asked.start_revision
  return { span: toSpan(asked), from, previous: asked.prev_kv }
}
