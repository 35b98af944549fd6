/**
 * A `SnapshotStore` in files. Nodes on several machines need a directory that all of them see.
 *
 * @example
 * ```ts no-run
 * import { Layer } from "effect"
 * import { Memory } from "@sworm/sworm"
 * import * as Snapshots from "@sworm/sworm/snapshots"
 *
 * export const Backend = Memory.layer.pipe(
 *   Layer.provide(Snapshots.layerFileSystem({ directory: "/var/lib/shop/snapshots" }))
 * )
 * ```
 *
 * @module snapshots
 */
import { Layer } from "effect"
import * as files from "node:fs/promises"
import { SnapshotStore } from "../../src/SnapshotStore.ts"
import type { SnapshotStoreError } from "../../src/SwormError.ts"
import { makeFileSystem } from "./store.ts"

export interface FileSystemOptions {
  /**
   * Where the snapshots are; made when it is missing, readable by this user only. Several nodes may share it; a process
   * finds its state only where its node sees the files of the node that it ran on before.
   */
  readonly directory: string
}

/**
 * One file for each snapshot, in 256 directories. It is written beside the one before, flushed to the disk, and put in its
 * place in one step: a crash leaves the one or the other. That costs three flushes for each snapshot of a name, a few ms on
 * most disks. Fails to start where the directory can't be written.
 */
export const layerFileSystem = ({ directory }: FileSystemOptions): Layer.Layer<SnapshotStore, SnapshotStoreError> =>
  Layer.effect(SnapshotStore)(makeFileSystem(directory, files))
