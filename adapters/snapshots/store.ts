/** The store over a directory: what goes wrong is told, and what to do about it. */
import { Clock, Effect } from "effect"
import type { SnapshotStore } from "../../src/SnapshotStore.ts"
import { SnapshotStoreError } from "../../src/SwormError.ts"
import { type Files, isMissing, SnapshotDirectory } from "./SnapshotDirectory.ts"

export const makeFileSystem = (directory: string, files: Files): Effect.Effect<SnapshotStore, SnapshotStoreError> =>
  Effect.gen(function* () {
    const stored = new SnapshotDirectory(directory, files)
    const trying = <A>(what: string, work: () => Promise<A>): Effect.Effect<A, SnapshotStoreError> =>
      Effect.tryPromise({
        try: work,
        catch: (error) => new SnapshotStoreError({ detail: `cannot ${what} in ${directory}: ${explain(error)}` })
      })
    const now = yield* Clock.currentTimeMillis
    yield* trying("keep snapshots", () => stored.open(now))
    return {
      put: (sworm, name, snapshot) => trying(`write "${name}"`, () => stored.put(sworm, name, snapshot)),
      get: (sworm, name) => trying(`read "${name}"`, () => stored.get(sworm, name)),
      remove: (sworm, name) => trying(`remove "${name}"`, () => stored.remove(sworm, name))
    }
  })

const advice: Readonly<Record<string, string>> = {
  ENOSPC: "the disk is full, make room on it",
  EDQUOT: "the quota is used up, make room or raise it",
  EACCES: "this program may not write there, give its user the rights",
  EPERM: "this program may not write there, give its user the rights",
  EROFS: "the file system is read-only"
}

const explain = (error: unknown): string => {
  const text = error instanceof Error ? error.message : String(error)
  const { code } = error as { readonly code?: unknown }
  if (isMissing(error)) return `${text}: was the directory removed?`
  const advised = typeof code === "string" ? advice[code] : undefined
  return advised === undefined ? text : `${advised} (${text})`
}
