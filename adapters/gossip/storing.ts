/** Snapshots in a store that outlives the cluster, where the program provides one. */
import { Effect, Semaphore } from "effect"
import { msgpack } from "../../src/protocol/codec.ts"
import { extrasOf } from "../../src/protocol/extras.ts"
import { decodeSnapshot, encodeSnapshot, isNewer, type Snapshot } from "../../src/protocol/snapshots.ts"
import type { SnapshotStore } from "../../src/SnapshotStore.ts"
import type { Core } from "./core.ts"

const TIMEOUT_MS = 2000
/** Names that end together are forgotten so many at a time. */
const REMOVALS = 16

/** The store did not do it: what is stored is not known. */
export interface Unstored {
  readonly detail: string
}

export class Stored {
  readonly #core: Core
  readonly #store: SnapshotStore | undefined
  readonly #removals = Semaphore.makeUnsafe(REMOVALS)

  constructor(core: Core, store: SnapshotStore | undefined) {
    this.#core = core
    this.#store = store
  }

  get isThere(): boolean {
    return this.#store !== undefined
  }

  /** Within its time; else a warning. */
  #trying<A, E>(what: string, ask: () => Effect.Effect<A, E>): Effect.Effect<A, Unstored> {
    return Effect.suspend(ask).pipe(
      Effect.timeoutOrElse({ duration: TIMEOUT_MS, orElse: () => Effect.fail(`no answer within ${TIMEOUT_MS} ms`) }),
      Effect.catchCause((cause) => {
        const detail = `the snapshot store failed to ${what}: ${String(cause)}`
        this.#core.warn(detail)
        return Effect.fail({ detail })
      })
    )
  }

  /** What can't be read as a snapshot is none: the next one takes its place. */
  get(sworm: string, name: string): Effect.Effect<Snapshot | undefined, Unstored> {
    const store = this.#store
    if (store === undefined) return Effect.succeed(undefined)
    return Effect.map(this.#trying(`read "${name}"`, () => store.get(sworm, name)), (bytes) => {
      try {
        return bytes === undefined ? undefined : decodeSnapshot(msgpack.decode(bytes))
      } catch (error) {
        this.#core.warn(`what the snapshot store has of "${name}" is no snapshot: ${String(error)}`)
        return undefined
      }
    })
  }

  /**
   * A newer one stays: it is of the copy that has the name. So does that of another copy of the same epoch, after a split:
   * what that one has acknowledged is nowhere else when all nodes are lost.
   */
  put(sworm: string, name: string, snapshot: Snapshot): Effect.Effect<boolean> {
    const store = this.#store
    if (store === undefined) return Effect.succeed(true)
    return this.get(sworm, name).pipe(
      Effect.flatMap((stored) => {
        if (stored !== undefined && !isAfter(snapshot, stored)) return Effect.succeed(false)
        const bytes = new Uint8Array(msgpack.encode(encodeSnapshot(snapshot)))
        return Effect.as(this.#trying(`write "${name}"`, () => store.put(sworm, name, bytes)), true)
      }),
      Effect.tap(() => {
        // it was under way when the name ended
        const { endedEpoch } = this.#core.parts.directory.view(sworm, name)
        return endedEpoch >= snapshot.epoch ? this.#forget(sworm, name, endedEpoch) : Effect.void
      }),
      Effect.orElseSucceed(() => false)
    )
  }

  /** The name has ended for good, up to this epoch; one without a state that is kept has nothing there. */
  remove(sworm: string, name: string, epoch: number): void {
    if (this.#store === undefined) return
    const { directory, processes } = this.#core.parts
    const { claims } = directory.view(sworm, name)
    const types = processes.hosted(sworm)?.types
    const isKept = claims.some(({ claim }) =>
      extrasOf(claim).replicas !== undefined || types?.get(claim.spec?.type ?? "")?.options.snapshot !== undefined
    )
    if (isKept) this.#core.parts.fork(this.#removals.withPermits(1)(this.#forget(sworm, name, epoch)))
  }

  /** Not what a later registration has stored meanwhile. */
  #forget(sworm: string, name: string, epoch: number): Effect.Effect<void> {
    const store = this.#store
    if (store === undefined) return Effect.void
    return this.get(sworm, name).pipe(
      Effect.flatMap((stored) =>
        stored !== undefined && stored.epoch > epoch
          ? Effect.void
          : this.#trying(`forget "${name}"`, () => store.remove(sworm, name))
      ),
      Effect.ignore
    )
  }
}

const isAfter = (snapshot: Snapshot, stored: Snapshot): boolean =>
  snapshot.epoch === stored.epoch && snapshot.holder !== stored.holder ? false : !isNewer(stored, snapshot)
