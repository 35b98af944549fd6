/** Snapshots in a store that outlives the cluster, where the program provides one. */
import { Effect } from "effect"
import { msgpack } from "../../src/protocol/codec.ts"
import { extrasOf } from "../../src/protocol/extras.ts"
import { decodeSnapshot, encodeSnapshot, isNewer, type Snapshot } from "../../src/protocol/snapshots.ts"
import type { SnapshotStore } from "../../src/SnapshotStore.ts"
import type { Core } from "./core.ts"

const TIMEOUT_MS = 2000

export class Stored {
  readonly #core: Core
  readonly #store: SnapshotStore | undefined

  constructor(core: Core, store: SnapshotStore | undefined) {
    this.#core = core
    this.#store = store
  }

  get isThere(): boolean {
    return this.#store !== undefined
  }

  /** Within its time; else the fallback, and a warning. */
  #trying<A, E>(what: string, effect: Effect.Effect<A, E>, fallback: A): Effect.Effect<A> {
    return effect.pipe(
      Effect.timeoutOrElse({ duration: TIMEOUT_MS, orElse: () => Effect.fail(`no answer within ${TIMEOUT_MS} ms`) }),
      Effect.catchCause((cause) => {
        this.#core.warn(`the snapshot store failed to ${what}: ${String(cause)}`)
        return Effect.succeed(fallback)
      })
    )
  }

  get(sworm: string, name: string): Effect.Effect<Snapshot | undefined> {
    if (this.#store === undefined) return Effect.succeed(undefined)
    const read = Effect.map(
      this.#store.get(sworm, name),
      (bytes) => bytes === undefined ? undefined : decodeSnapshot(msgpack.decode(bytes))
    )
    return this.#trying(`read "${name}"`, read, undefined)
  }

  /** A newer one stays: it is of the copy that has the name. */
  put(sworm: string, name: string, snapshot: Snapshot): Effect.Effect<boolean> {
    const store = this.#store
    if (store === undefined) return Effect.succeed(true)
    return Effect.flatMap(this.get(sworm, name), (stored) => {
      if (stored !== undefined && isNewer(stored, snapshot)) return Effect.succeed(false)
      const bytes = new Uint8Array(msgpack.encode(encodeSnapshot(snapshot)))
      return this.#trying(`write "${name}"`, Effect.as(store.put(sworm, name, bytes), true), false)
    })
  }

  /** The name has ended for good; one without a state that is kept has nothing there. */
  remove(sworm: string, name: string): void {
    const store = this.#store
    if (store === undefined) return
    const { claims } = this.#core.parts.directory.view(sworm, name)
    if (!claims.some(({ claim }) => extrasOf(claim).replicas !== undefined)) return
    this.#core.parts.fork(this.#trying(`forget "${name}"`, store.remove(sworm, name), undefined))
  }
}
