/**
 * Keeps snapshots where a restart of the whole cluster doesn't reach them. Provided to a backend, it is written besides
 * the replicas; a name that is registered again goes on from what is stored.
 *
 * @example
 * ```ts
 * import { Layer } from "effect"
 * import { KeyValueStore } from "effect/persistence"
 * import { Memory, SnapshotStore } from "@sworm/sworm"
 *
 * // any KeyValueStore: a table of a database, or one of your own; here one in memory
 * const Stored = SnapshotStore.layerKeyValueStore().pipe(Layer.provide(KeyValueStore.layerMemory))
 *
 * export const Backend = Memory.layer.pipe(Layer.provide(Stored))
 * ```
 */
import { Context, Effect, Layer } from "effect"
import { KeyValueStore } from "effect/persistence"
import { storageKey } from "./runtime/storageKey.ts"
import { SnapshotStoreError } from "./SwormError.ts"

export interface SnapshotStore {
  /** Done when it is stored for good; replaces what was there. */
  readonly put: (sworm: string, name: string, snapshot: Uint8Array) => Effect.Effect<void, SnapshotStoreError>
  readonly get: (sworm: string, name: string) => Effect.Effect<Uint8Array | undefined, SnapshotStoreError>
  /** Nothing happens when there is none. */
  readonly remove: (sworm: string, name: string) => Effect.Effect<void, SnapshotStoreError>
}

export const SnapshotStore: Context.Service<SnapshotStore, SnapshotStore> = Context.Service<SnapshotStore>(
  "sworm/SnapshotStore"
)

/** In this program's memory: for tests, and for clusters whose nodes are in one program. */
export const layerMemory: Layer.Layer<SnapshotStore> = Layer.sync(SnapshotStore)(() => {
  const stored = new Map<string, Uint8Array>()
  return {
    put: (sworm, name, snapshot) => Effect.sync(() => void stored.set(storageKey(sworm, name), snapshot.slice())),
    get: (sworm, name) => Effect.sync(() => stored.get(storageKey(sworm, name))),
    remove: (sworm, name) => Effect.sync(() => void stored.delete(storageKey(sworm, name)))
  }
})

/**
 * In a `KeyValueStore`, under keys that begin with `prefix`. Default `"sworm/"`. They may be several times as long as names:
 * each byte outside ASCII takes three.
 */
export const layerKeyValueStore = (
  options: { readonly prefix?: string | undefined } = {}
): Layer.Layer<SnapshotStore, never, KeyValueStore.KeyValueStore> =>
  Layer.effect(SnapshotStore)(Effect.map(KeyValueStore.KeyValueStore, (store) => {
    const { prefix = "sworm/" } = options
    const key = (sworm: string, name: string): string => prefix + storageKey(sworm, name)
    const failing = <A>(
      effect: Effect.Effect<A, KeyValueStore.KeyValueStoreError>
    ): Effect.Effect<A, SnapshotStoreError> =>
      Effect.mapError(effect, (error) => new SnapshotStoreError({ detail: error.message }))
    return {
      put: (sworm, name, snapshot) => failing(store.set(key(sworm, name), snapshot)),
      get: (sworm, name) => failing(store.getUint8Array(key(sworm, name))),
      remove: (sworm, name) => failing(store.remove(key(sworm, name)))
    }
  }))
