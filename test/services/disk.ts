/** Real files in simulated time: none passes while they are read and written. */
import { Effect, Exit } from "effect"
import { type SnapshotStore, SwormError } from "@sworm/sworm"
import { Simulation } from "@sworm/sworm/testing"

/** Has work to do as long as anything is under way; nothing else runs on it. */
class Disk extends Simulation.Machine {
  busy = 0

  override get isRunnable(): boolean {
    return this.busy > 0
  }
}

/** A store whose work takes real time, for nodes in simulated time. */
export const inSimulatedTime = (
  store: SnapshotStore.SnapshotStore,
  timeline: Simulation.Timeline
): SnapshotStore.SnapshotStore => {
  const disk = new Disk("disk", timeline, 1)
  timeline.machines.push(disk)
  const waiting = <A>(work: Effect.Effect<A, SwormError.SnapshotStoreError>) =>
    Effect.flatMap(
      Effect.promise(() => {
        disk.busy++
        // a node that is lost meanwhile doesn't see its end
        return Effect.runPromiseExit(work).finally(() => disk.busy--)
      }),
      (exit): Effect.Effect<A, SwormError.SnapshotStoreError> =>
        Exit.isSuccess(exit) ? Effect.succeed(exit.value) : Effect.failCause(exit.cause)
    )
  return {
    put: (sworm, name, snapshot) => waiting(store.put(sworm, name, snapshot)),
    get: (sworm, name) => waiting(store.get(sworm, name)),
    remove: (sworm, name) => waiting(store.remove(sworm, name))
  }
}
