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
 * const Account = Process.make("Account", {
 *   state: Schema.Int,
 *   protocol: [Rpc.make("Deposit", { payload: { cents: Schema.Int }, success: Schema.Int, error: Fenced.StaleToken })]
 * })
 *
 * class Accounts extends Sworm.Service<Accounts>()("Accounts", { processes: [Account] }) {}
 *
 * export const AccountLayer = Accounts.toLayer(Account, {
 *   init: () => Effect.succeed(0),
 *   handlers: {
 *     Deposit: ({ cents }, self) =>
 *       Effect.gen(function* () {
 *         const balance = yield* Fenced.make(self, Schema.Int)
 *         return yield* balance.update((before) => (before ?? 0) + cents)
 *       }).pipe(Effect.catchTag("FencedStoreError", Effect.die))
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

/** What stands in a store, and under which token it was written. */
export interface Written {
  readonly token: FencingToken
  /** Plain data. */
  readonly value: unknown
}

/** A store with one conditional write; a database does it in one statement. */
export interface FencedStore {
  readonly read: (key: string) => Effect.Effect<Written | undefined, FencedStoreError>
  /** In one step: writes where `mayReplace` says so. Answers what stands there afterwards. */
  readonly write: (key: string, written: Written) => Effect.Effect<Written, FencedStoreError>
}

export const FencedStore: Context.Service<FencedStore, FencedStore> = Context.Service<FencedStore>("sworm/FencedStore")

export const isSame = (a: FencingToken, b: FencingToken): boolean =>
  a.epoch === b.epoch && a.node === b.node && a.boot === b.boot

/** A later epoch, or the very same holder. Of two holders with one epoch the first that writes keeps the other out. */
export const mayReplace = (token: FencingToken, before: FencingToken | undefined): boolean =>
  before === undefined || token.epoch > before.epoch || isSame(token, before)

/** One value of one process. */
export interface Fenced<A> {
  /** What was written last, by whatever copy. */
  readonly read: Effect.Effect<A | undefined, FencedStoreError>
  /** Fails with `StaleToken` when a later copy has written: this one has lost its name, and should end. */
  readonly write: (value: A) => Effect.Effect<void, StaleToken | FencedStoreError>
  /** Reads and writes; handlers run one at a time, so nothing of this copy comes in between. Answers what it wrote. */
  readonly update: (change: (before: A | undefined) => A) => Effect.Effect<A, StaleToken | FencedStoreError>
}

/** A value of a process, under its sworm and name, and `key` where it has several. */
export const make = <A>(
  self: { readonly sworm: string; readonly name: string; readonly token: FencingToken },
  schema: Schema.Codec<A, unknown>,
  key = ""
): Effect.Effect<Fenced<A>, never, FencedStore> =>
  Effect.map(FencedStore, (store) => {
    const { name, sworm } = self
    const at = storageKey(sworm, name, key)
    const json = Schema.toCodecJson(schema)
    const failing = <B, E>(effect: Effect.Effect<B, E>): Effect.Effect<B, FencedStoreError> =>
      Effect.mapError(effect, (error) => new FencedStoreError({ detail: String(error) }))
    const read = Effect.flatMap(store.read(at), (written) =>
      written === undefined ? Effect.succeed(undefined) : failing(Schema.decodeUnknownEffect(json)(written.value)))
    const write = (value: A): Effect.Effect<void, StaleToken | FencedStoreError> =>
      Effect.gen(function* () {
        const token = self.token
        const plain = yield* failing(Schema.encodeUnknownEffect(json)(value))
        const after = yield* store.write(at, { token, value: plain })
        if (!isSame(after.token, token)) {
          return yield* Effect.fail(new StaleToken({ name, token, newer: after.token }))
        }
      })
    return {
      read,
      write,
      update: (change) =>
        Effect.flatMap(read, (before) => {
          const after = change(before)
          return Effect.as(write(after), after)
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
        stored.set(key, written)
        return written
      })
  }
})

const WrittenJson = Schema.fromJsonString(Schema.Struct({
  token: Schema.Struct({ epoch: Schema.Number, node: Schema.String, boot: Schema.Number }),
  value: Schema.Unknown
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
          yield* failing(
            Effect.flatMap(Schema.encodeUnknownEffect(WrittenJson)(written), (text) => store.set(key, text))
          )
          return written
        }))
    }
  })
)
