/** Snapshots in a directory, each in a file of its own: whole, or as it was before, whatever is lost in between. */
import { randomUUID } from "node:crypto"
import type { FileHandle } from "node:fs/promises"
import { join } from "node:path"
import process from "node:process"
import { decodeFile, encodeFile, keyOf } from "./format.ts"
import { Turns } from "./turns.ts"

/** What is asked of `node:fs/promises`. */
export interface Files {
  readonly mkdir: (path: string, options: { readonly recursive: true; readonly mode: number }) => Promise<unknown>
  readonly open: (
    path: string,
    flags: "r" | "wx",
    mode?: number
  ) => Promise<Pick<FileHandle, "close" | "sync" | "writeFile">>
  readonly readFile: (path: string) => Promise<Uint8Array>
  readonly readdir: (path: string) => Promise<Array<string>>
  readonly rename: (from: string, to: string) => Promise<void>
  readonly stat: (path: string) => Promise<{ readonly mtimeMs: number }>
  readonly unlink: (path: string) => Promise<void>
}

const SNAPSHOT = ".snapshot"
const TEMPORARY = ".tmp"
const DAMAGED = ".damaged"
/** Another program may be writing a younger one; no write takes nearly as long. */
const LEFTOVER_MS = 10 * 60_000

/** States are the business of nobody else on the machine. */
const FILE_MODE = 0o600
const DIRECTORY_MODE = 0o700

export const isMissing = (error: unknown): boolean =>
  (error as { readonly code?: unknown } | undefined)?.code === "ENOENT"

/** A file was not what had been written. */
export class DamagedFile extends Error {}

export class SnapshotDirectory {
  readonly #root: string
  readonly #files: Files
  readonly #turns = new Turns()
  /** Directories below the root that are there for good. */
  readonly #made = new Set<string>()

  constructor(root: string, files: Files) {
    this.#root = root
    this.#files = files
  }

  /** Makes the directory, sees whether it can be written to, and clears away what an earlier run left half written. */
  async open(nowMs: number): Promise<void> {
    await this.#files.mkdir(this.#root, { recursive: true, mode: DIRECTORY_MODE })
    const probe = join(this.#root, this.#temporary("probe"))
    await this.#write(probe, new Uint8Array(1))
    await this.#files.unlink(probe)
    await this.#clean(this.#root, nowMs)
    for (const entry of await this.#files.readdir(this.#root)) {
      if (/^[0-9a-f]{2}$/.test(entry)) await this.#clean(join(this.#root, entry), nowMs)
    }
  }

  async #clean(directory: string, nowMs: number): Promise<void> {
    for (const entry of await this.#files.readdir(directory)) {
      if (!entry.endsWith(TEMPORARY)) continue
      const path = join(directory, entry)
      try {
        const { mtimeMs } = await this.#files.stat(path)
        if (nowMs - mtimeMs > LEFTOVER_MS) await this.#files.unlink(path)
      } catch (error) {
        // another program was faster
        if (!isMissing(error)) throw error
      }
    }
  }

  put(sworm: string, name: string, snapshot: Uint8Array): Promise<void> {
    const { directory, key, path } = this.#place(sworm, name)
    // encoded now: what was handed over may be changed while it waits
    const file = encodeFile(sworm, name, snapshot)
    return this.#turns.run(key, async () => {
      await this.#make(directory)
      const temporary = join(directory, this.#temporary(key))
      try {
        await this.#write(temporary, file)
        await this.#files.rename(temporary, path)
      } catch (error) {
        await this.#files.unlink(temporary).catch(() => {})
        // it was there: somebody has removed it meanwhile
        if (isMissing(error)) this.#made.delete(directory)
        throw error
      }
      await this.#sync(directory)
    })
  }

  async get(sworm: string, name: string): Promise<Uint8Array | undefined> {
    const { key, path } = this.#place(sworm, name)
    const file = await this.#read(path)
    if (file === undefined) return undefined
    const snapshot = decodeFile(sworm, name, file)
    if (snapshot !== undefined) return snapshot
    const aside = path + DAMAGED
    await this.#turns.run(key, async () => {
      // a whole one may have come meanwhile
      const again = await this.#read(path)
      if (again === undefined || decodeFile(sworm, name, again) !== undefined) return
      await this.#files.rename(path, aside)
    })
    throw new DamagedFile(`the snapshot of "${name}" is damaged; it was put aside as ${aside}`)
  }

  async #read(path: string): Promise<Uint8Array | undefined> {
    try {
      return await this.#files.readFile(path)
    } catch (error) {
      if (isMissing(error)) return undefined
      throw error
    }
  }

  remove(sworm: string, name: string): Promise<void> {
    const { directory, key, path } = this.#place(sworm, name)
    return this.#turns.run(key, async () => {
      try {
        await this.#files.unlink(path)
      } catch (error) {
        if (isMissing(error)) return
        throw error
      }
      await this.#sync(directory)
    })
  }

  // ---- files

  /** 256 directories, so that none of them has too many files. */
  #place(sworm: string, name: string) {
    const key = keyOf(sworm, name)
    const directory = join(this.#root, key.slice(0, 2))
    return { key, directory, path: join(directory, key + SNAPSHOT) }
  }

  #temporary(like: string): string {
    return `${like}.${randomUUID()}${TEMPORARY}`
  }

  async #make(directory: string): Promise<void> {
    if (this.#made.has(directory)) return
    await this.#files.mkdir(directory, { recursive: true, mode: DIRECTORY_MODE })
    await this.#sync(this.#root)
    this.#made.add(directory)
  }

  async #write(path: string, data: Uint8Array): Promise<void> {
    const file = await this.#files.open(path, "wx", FILE_MODE)
    try {
      await file.writeFile(data)
      await file.sync()
    } finally {
      await file.close()
    }
  }

  /** A name in a directory is on the disk when the directory is. Windows has no such thing, and needs none. */
  async #sync(directory: string): Promise<void> {
    if (process.platform === "win32") return
    const handle = await this.#files.open(directory, "r")
    try {
      await handle.sync()
    } finally {
      await handle.close()
    }
  }
}
