/**
 * Messages of etcd's JSON gateway, as protobuf's JSON mapping has them: 64-bit numbers are text, bytes are base64,
 * what is zero or empty is left out.
 */
import { Effect, Schema } from "effect"
import { encodeKeys, toBase64 } from "./keys.ts"
import type * as T from "./types.ts"

const int64 = Schema.NumberFromString.check(Schema.isInt()).pipe(Schema.withDecodingDefaultKey(Effect.succeed("0")))
const id = Schema.String.pipe(Schema.withDecodingDefaultKey(Effect.succeed("0")))
const bytes = Schema.Uint8ArrayFromBase64.pipe(Schema.withDecodingDefaultKey(Effect.succeed("")))
const text = Schema.StringFromBase64.pipe(Schema.withDecodingDefaultKey(Effect.succeed("")))
const flag = Schema.Boolean.pipe(Schema.withDecodingDefaultKey(Effect.succeed(false)))

const many = <S extends Schema.Constraint>(schema: S) =>
  Schema.Array(schema).pipe(Schema.withDecodingDefaultKey(Effect.succeed([])))

const Header = Schema.Struct({ revision: int64, member_id: id })

const KeyValue = Schema.Struct({
  key: text,
  value: bytes,
  create_revision: int64,
  mod_revision: int64,
  version: int64,
  lease: id
})

const Range = Schema.Struct({ header: Header, kvs: many(KeyValue), count: int64 })
const Put = Schema.Struct({ header: Header, prev_kv: Schema.optionalKey(KeyValue) })
const DeleteRange = Schema.Struct({ header: Header, deleted: int64, prev_kvs: many(KeyValue) })
const Txn = Schema.Struct({
  header: Header,
  succeeded: flag,
  responses: many(Schema.Struct({
    response_range: Schema.optionalKey(Range),
    response_put: Schema.optionalKey(Put),
    response_delete_range: Schema.optionalKey(DeleteRange)
  }))
})
const Event = Schema.Struct({
  type: Schema.Literals(["PUT", "DELETE"]).pipe(Schema.withDecodingDefaultKey(Effect.succeed("PUT"))),
  kv: KeyValue,
  prev_kv: Schema.optionalKey(KeyValue)
})
const Watch = Schema.Struct({
  header: Header,
  created: flag,
  canceled: flag,
  cancel_reason: Schema.String.pipe(Schema.withDecodingDefaultKey(Effect.succeed(""))),
  compact_revision: int64,
  events: many(Event)
})
const Granted = Schema.Struct({ ID: id, TTL: int64 })
const KeptAlive = Schema.Struct({ result: Schema.Struct({ ID: id, TTL: int64 }) })
const TimeToLive = Schema.Struct({ ID: id, TTL: int64, grantedTTL: int64, keys: many(Schema.StringFromBase64) })
const Authenticated = Schema.Struct({ token: Schema.String })
const Status = Schema.Struct({ header: Header, version: Schema.String, leader: id, dbSize: int64 })

type KeyValueMessage = typeof KeyValue.Type

const keyValue = (kv: KeyValueMessage): T.KeyValue => ({
  key: kv.key,
  value: kv.value,
  createRevision: kv.create_revision,
  modRevision: kv.mod_revision,
  version: kv.version,
  lease: kv.lease
})

const range = ({ count, header, kvs }: typeof Range.Type): T.RangeResult => ({
  revision: header.revision,
  kvs: kvs.map(keyValue),
  count
})

const put = ({ header, prev_kv }: typeof Put.Type): T.PutResult => ({
  revision: header.revision,
  ...(prev_kv === undefined ? {} : { previous: keyValue(prev_kv) })
})

const deleteRange = ({ deleted, header, prev_kvs }: typeof DeleteRange.Type): T.DeleteResult => ({
  revision: header.revision,
  deleted,
  previous: prev_kvs.map(keyValue)
})

const watchEvent = ({ kv, prev_kv, type }: typeof Event.Type): T.WatchEvent => {
  const previous = prev_kv === undefined ? {} : { previous: keyValue(prev_kv) }
  return type === "PUT"
    ? { type: "put", kv: keyValue(kv), ...previous }
    : { type: "delete", key: kv.key, revision: kv.mod_revision, ...previous }
}

/** An answer is not as it should be. */
export interface Misfit {
  readonly message: string
}

export const misfit = (message: string): Effect.Effect<never, Misfit> => Effect.fail({ message })

/** Reads an answer. */
export type Decode<A> = (answer: unknown) => Effect.Effect<A, Misfit>

const decoding = <A, B>(schema: Schema.Codec<A, unknown>, then: (answer: A) => B): Decode<B> => {
  const decode = Schema.decodeUnknownEffect(schema)
  return (answer) => Effect.map(decode(answer), then)
}

/** What one message of a watch says. */
export interface WatchMessage {
  readonly revision: number
  readonly isCreated: boolean
  readonly canceled: { readonly compactRevision: number; readonly detail: string } | undefined
  readonly events: ReadonlyArray<T.WatchEvent>
}

export const decodeRange: Decode<T.RangeResult> = decoding(Range, range)
export const decodePut: Decode<T.PutResult> = decoding(Put, put)
export const decodeDeleteRange: Decode<T.DeleteResult> = decoding(DeleteRange, deleteRange)
export const decodeGranted: Decode<T.Lease> = decoding(Granted, ({ ID, TTL }) => ({ id: ID, ttlSeconds: TTL }))
export const decodeKeptAlive: Decode<T.Lease> = decoding(
  KeptAlive,
  ({ result }) => ({ id: result.ID, ttlSeconds: result.TTL })
)
export const decodeTimeToLive: Decode<T.LeaseState> = decoding(TimeToLive, (answer) => ({
  id: answer.ID,
  ttlSeconds: answer.TTL,
  grantedTtlSeconds: answer.grantedTTL,
  keys: answer.keys
}))
export const decodeToken: Decode<string> = decoding(Authenticated, ({ token }) => token)
export const decodeNothing: Decode<void> = () => Effect.void
export const decodeStatus = (endpoint: () => string): Decode<T.Status> =>
  decoding(Status, ({ dbSize, header, leader, version }) => ({
    version,
    endpoint: endpoint(),
    member: header.member_id,
    leader: leader === "0" ? undefined : leader,
    revision: header.revision,
    databaseBytes: dbSize
  }))

export const decodeWatch: Decode<WatchMessage> = decoding(Watch, (message) => ({
  revision: message.header.revision,
  isCreated: message.created,
  canceled: message.canceled ? { compactRevision: message.compact_revision, detail: message.cancel_reason } : undefined,
  events: message.events.map(watchEvent)
}))

type Result = T.RangeResult | T.PutResult | T.DeleteResult

/** The answers of a transaction's steps. */
export interface TransactionAnswer {
  readonly succeeded: boolean
  readonly revision: number
  readonly results: ReadonlyArray<Result>
}

export const decodeTxn: Decode<TransactionAnswer> = decoding(Txn, ({ header, responses, succeeded }) => ({
  succeeded,
  revision: header.revision,
  results: responses.flatMap(({ response_delete_range, response_put, response_range }): Array<Result> => {
    if (response_range !== undefined) return [range(response_range)]
    if (response_put !== undefined) return [put(response_put)]
    return response_delete_range === undefined ? [] : [deleteRange(response_delete_range)]
  })
}))

// ---- requests

/** As JSON: what is `undefined` is left out. */
export type Message = Readonly<Record<string, unknown>>

const optional = (count: number | undefined): string | undefined => count === undefined ? undefined : String(count)

export const encodeRange = (keys: T.Keys, options: T.RangeOptions = {}): Message => ({
  ...encodeKeys(keys),
  revision: optional(options.revision),
  serializable: options.serializable,
  limit: optional(options.limit),
  keys_only: options.keysOnly
})

export const encodePut = (key: string, value: string | Uint8Array, options: T.PutOptions = {}): Message => ({
  key: toBase64(key),
  value: toBase64(value),
  lease: options.lease,
  prev_kv: options.previous
})

export const encodeDeleteRange = (keys: T.Keys, previous: boolean | undefined): Message => ({
  ...encodeKeys(keys),
  prev_kv: previous
})

const comparisons = { "=": "EQUAL", "!=": "NOT_EQUAL", "<": "LESS", ">": "GREATER" } as const

const encodeCompare = (compare: T.Compare): Message => {
  const base = { key: toBase64(compare.key), result: comparisons[compare.is ?? "="] }
  if ("version" in compare) return { ...base, target: "VERSION", version: String(compare.version) }
  if ("createRevision" in compare) {
    return { ...base, target: "CREATE", create_revision: String(compare.createRevision) }
  }
  if ("modRevision" in compare) return { ...base, target: "MOD", mod_revision: String(compare.modRevision) }
  if ("lease" in compare) return { ...base, target: "LEASE", lease: compare.lease }
  return { ...base, target: "VALUE", value: toBase64(compare.value) }
}

const encodeOperation = (operation: T.Operation): Message => {
  if ("range" in operation) return { request_range: encodeRange(operation.range, operation.options) }
  if ("put" in operation) return { request_put: encodePut(operation.put, operation.value, operation.options) }
  return { request_delete_range: encodeDeleteRange(operation.deleteRange, operation.previous) }
}

type AnyTransaction = T.Transaction<ReadonlyArray<T.Operation>, ReadonlyArray<T.Operation>>

export const encodeTxn = ({ otherwise = [], then = [], when = [] }: AnyTransaction): Message => ({
  compare: when.map(encodeCompare),
  success: then.map(encodeOperation),
  failure: otherwise.map(encodeOperation)
})

export const encodeWatch = (keys: T.Keys, from: number | undefined, previous: boolean | undefined): Message => ({
  create_request: {
    ...encodeKeys(keys),
    start_revision: optional(from),
    prev_kv: previous,
    progress_notify: true
  }
})
