/**
 * Storage of a process's own that refuses copies which have lost their name: a write carries the fencing token, and one
 * that doesn't come after what was written before is refused (Kleppmann, "How to do distributed locking", 2016).
 *
 * @example
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { Rpc } from "effect/rpc"
 * import { Fenced, Process, Sworm } from "@sworm/sworm"
 *
 * const error = Schema.Union([Fenced.StaleToken, Fenced.FencedStoreError])
 *
 * const Account = Process.make("Account", {
 *   protocol: [Rpc.make("Deposit", { payload: { cents: Schema.Int }, success: Schema.Int, error })]
 * })
 *
 * class Accounts extends Sworm.Service<Accounts>()("Accounts", { processes: [Account] }) {}
 *
 * export const AccountLayer = Accounts.toLayer(Account, {
 *   init: () => Effect.void,
 *   handlers: {
 *     Deposit: ({ cents }, self) =>
 *       Effect.gen(function* () {
 *         const balance = yield* Fenced.make(self, Schema.Int)
 *         return yield* balance.update((before = 0) => before + cents)
 *       })
 *   }
 * })
 * ```
 */
import { Context, Effect, Layer, Schema, Semaphore } from "effect"
import { KeyValueStore } from "effect/persistence"
import type { FencingToken } from "./Process.ts"
import { storageKey } from "./runtime/storageKey.ts"
import { FencedStoreError, StaleToken } from "./SwormError.ts"

export { FencedStoreError, StaleToken } from "./SwormError.ts"

/** What stands in a store, and under which token. */
export interface Written {
  readonly token: FencingToken
  /** Plain data; `undefined` as long as nothing was written. */
  readonly value?: unknown
}

/** A store with one conditional write; a database does it in one statement. */
export interface FencedStore {
  readonly read: (key: string) => Effect.Effect<Written | undefined, FencedStoreError>
  /**
   * In one step, where `mayReplace` says so: the token stands from now on, and with it the value; without a value the one
   * that is there stays. Otherwise nothing is changed. Answers what stands there afterwards.
   */
  readonly write: (key: string, written: Written) => Effect.Effect<Written, FencedStoreError>
}

export const FencedStore: Context.Service<FencedStore, FencedStore> = Context.Service<FencedStore>("sworm/FencedStore")

export const isSame = (a: FencingToken, b: FencingToken): boolean =>
  a.epoch === b.epoch && a.node === b.node && a.boot === b.boot

/** A later epoch, or the very same holder. Of two holders with one epoch the first that writes keeps the other out. */
export const mayReplace = (token: FencingToken, before: FencingToken | undefined): boolean =>
  before === undefined || token.epoch > before.epoch || isSame(token, before)

/** What stands in a store after a write that was allowed. */
export const replaced = (written: Written, before: Written | undefined): Written =>
  written.value === undefined && before !== undefined ? { token: written.token, value: before.value } : written

/** One value of one process. */
export interface Fenced<A> {
  /** What was written last, by whatever copy; another may be writing. */
  readonly read: Effect.Effect<A | undefined, FencedStoreError>
  /**
   * Fails with `StaleToken` when a later copy has written or updated: this one has lost its name. Answer that error to
   * whoever called; the copy is ended as soon as the nodes see each other. It should neither crash, which would start it
   * again above the other, nor `stop`, which ends the name.
   */
  readonly write: (value: A) => Effect.Effect<void, StaleToken | FencedStoreError>
  /**
   * Reads and writes. Earlier copies are shut out before it reads, and handlers run one at a time: so nothing comes in
   * between, and no write that was done is lost. Answers what it wrote.
   */
  readonly update: (change: (before: A | undefined) => A) => Effect.Effect<A, StaleToken | FencedStoreError>
}

/** A value of a process, under its sworm and name, and `key` where it has several. */
export const make = <A>(
  self: { readonly sworm: string; readonly name: string; readonly token: FencingToken },
  schema: Schema.Codec<A, unknown>,
  key = ""
): Effect.Effect<Fenced<A>, never, FencedStore> =>
  Effect.map(FencedStore, (store) => {
    // the token is read with each write, for it grows
    const { name, sworm } = self
    const at = storageKey(sworm, name, key)
    const json = Schema.toCodecJson(schema)
    const failing = <B, E>(effect: Effect.Effect<B, E>): Effect.Effect<B, FencedStoreError> =>
      Effect.mapError(effect, (error) => new FencedStoreError({ detail: String(error) }))
    const decode = (written: Written | undefined): Effect.Effect<A | undefined, FencedStoreError> =>
      written?.value === undefined
        ? Effect.succeed(undefined)
        : failing(Schema.decodeUnknownEffect(json)(written.value))
    const put = (written: Written): Effect.Effect<Written, StaleToken | FencedStoreError> =>
      Effect.flatMap(store.write(at, written), (after) =>
        isSame(after.token, written.token)
          ? Effect.succeed(after)
          : Effect.fail(new StaleToken({ name, token: written.token, newer: after.token })))
    const write = (token: FencingToken, value: A): Effect.Effect<void, StaleToken | FencedStoreError> =>
      Effect.flatMap(failing(Schema.encodeUnknownEffect(json)(value)), (plain) => put({ token, value: plain }))
    return {
      read: Effect.flatMap(store.read(at), decode),
      write: (value) => Effect.suspend(() => write(self.token, value)),
      update: (change) =>
        Effect.gen(function* () {
          // the same one for both: what rises in between has not shut out the earlier ones
          const { token } = self
          const found = yield* store.read(at)
          const isOurs = found !== undefined && isSame(found.token, token)
          const after = change(yield* decode(isOurs ? found : yield* put({ token })))
          yield* write(token, after)
          return after
        })
    }
  })

/** In this program's memory: for tests. */
export const layerMemory: Layer.Layer<FencedStore> = Layer.sync(FencedStore)(() => {
  const stored = new Map<string, Written>()
  return {
    read: (key) => Effect.sync(() => stored.get(key)),
    write: (key, written) =>
      Effect.sync(() => {
        const before = stored.get(key)
        if (before !== undefined && !mayReplace(written.token, before.token)) return before
        const after = replaced(written, before)
        stored.set(key, after)
        return after
      })
  }
})

const WrittenJson = Schema.fromJsonString(Schema.Struct({
  token: Schema.Struct({ epoch: Schema.Number, node: Schema.String, boot: Schema.Number }),
  value: Schema.optionalKey(Schema.Unknown)
}))

/**
 * In a `KeyValueStore`, which has no conditional write: looking and writing are one step for the nodes of this program
 * only. For nodes in several programs take a database, and write with its own condition.
 */
export const layerKeyValueStore: Layer.Layer<FencedStore, never, KeyValueStore.KeyValueStore> = Layer.effect(
  FencedStore
)(
  Effect.gen(function* () {
    const store = yield* KeyValueStore.KeyValueStore
    const turn = yield* Semaphore.make(1)
    const failing = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, FencedStoreError> =>
      Effect.mapError(effect, (error) => new FencedStoreError({ detail: String(error) }))
    const read = (key: string): Effect.Effect<Written | undefined, FencedStoreError> =>
      failing(
        Effect.flatMap(store.get(key), (text) =>
          text === undefined ? Effect.succeed(undefined) : Schema.decodeUnknownEffect(WrittenJson)(text))
      )
    return {
      read,
      write: (key, written) =>
        turn.withPermits(1)(Effect.gen(function* () {
          const before = yield* read(key)
          if (before !== undefined && !mayReplace(written.token, before.token)) return before
          const after = replaced(written, before)
          yield* failing(Effect.flatMap(Schema.encodeUnknownEffect(WrittenJson)(after), (text) => store.set(key, text)))
          return after
        }))
    }
  })
)
