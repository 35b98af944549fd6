// One contract for every store of snapshots; and what a store in files does when the disk fails it.
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Layer, type Scope } from "effect"
import { KeyValueStore } from "effect/persistence"
import * as files from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { SnapshotStore, SwormError } from "@sworm/sworm"
import * as Snapshots from "@sworm/sworm/snapshots"
import type { Files } from "../../adapters/snapshots/SnapshotDirectory.ts"
import { makeFileSystem } from "../../adapters/snapshots/store.ts"
import { Turns } from "../../adapters/snapshots/turns.ts"

type Store = SnapshotStore.SnapshotStore

/** A directory for one test. */
const temporary: Effect.Effect<string, never, Scope.Scope> = Effect.acquireRelease(
  Effect.promise(() => files.mkdtemp(join(tmpdir(), "sworm-snapshots-"))),
  (directory) => Effect.promise(() => files.rm(directory, { recursive: true, force: true }))
)

const storeOf = <E>(layer: Layer.Layer<Store, E>): Effect.Effect<Store, E, Scope.Scope> =>
  Effect.map(Layer.build(Layer.fresh(layer)), (context) => Context.get(context, SnapshotStore.SnapshotStore))

const inFiles = (directory: string): Effect.Effect<Store, SwormError.SnapshotStoreError, Scope.Scope> =>
  storeOf(Snapshots.layerFileSystem({ directory }))

const stores: Readonly<Record<string, Effect.Effect<Store, SwormError.SnapshotStoreError, Scope.Scope>>> = {
  "in memory": storeOf(SnapshotStore.layerMemory),
  "in a KeyValueStore": storeOf(
    SnapshotStore.layerKeyValueStore().pipe(Layer.provide(KeyValueStore.layerMemory))
  ),
  "in files": Effect.flatMap(temporary, inFiles)
}

/** Each is another name; many are the same to a careless file system. */
const names: ReadonlyArray<string> = [
  "a",
  "A",
  "a/b",
  "a/../b",
  "a\\b",
  ".",
  "..",
  "../..",
  "/",
  "a.",
  "a ",
  " a",
  "a\nb",
  "a\0b",
  "CON",
  "nul.txt",
  "a%2Fb",
  'a:b*c?"<>|',
  "ünï/😀",
  "é",
  "e\u0301",
  "\ud800",
  "\udbff",
  "-rf",
  "x".repeat(511),
  "x".repeat(512),
  "漢".repeat(170),
  "😀".repeat(128),
  "/".repeat(512)
]

const bytes = (length: number, seed = 0): Uint8Array => Uint8Array.from({ length }, (_, n) => (n * 31 + seed) % 256)

const filesIn = (directory: string): Effect.Effect<Array<string>> =>
  Effect.promise(async () => {
    const all = await files.readdir(directory, { recursive: true, withFileTypes: true })
    return all.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
  })

for (const [where, make] of Object.entries(stores)) {
  describe(`a store of snapshots, ${where}`, () => {
    const given = (text: string, run: (store: Store) => Effect.Effect<void, SwormError.SnapshotStoreError>) =>
      it.live(text, () => Effect.scoped(Effect.flatMap(make, run)))

    given("has nothing at first, and removing that does nothing", (store) =>
      Effect.gen(function* () {
        assert.isUndefined(yield* store.get("s", "a"))
        yield* store.remove("s", "a")
        assert.isUndefined(yield* store.get("s", "a"))
      }))

    given("gives back what was put last, byte by byte, until it is removed", (store) =>
      Effect.gen(function* () {
        for (const snapshot of [bytes(300), bytes(0), bytes(10, 7), bytes(2_000_000, 3), Uint8Array.of(10, 10, 123)]) {
          yield* store.put("s", "a", snapshot)
          assert.deepStrictEqual(Array.from((yield* store.get("s", "a"))!), Array.from(snapshot))
        }
        yield* store.remove("s", "a")
        assert.isUndefined(yield* store.get("s", "a"))
        yield* store.put("s", "a", bytes(1))
        assert.deepStrictEqual(yield* store.get("s", "a"), bytes(1))
      }))

    given("keeps names apart, whatever they are, and sworms", (store) =>
      Effect.gen(function* () {
        const keys = names.flatMap((name) => [["s", name], [name, "s"]] as const)
        for (const [at, [sworm, name]] of keys.entries()) yield* store.put(sworm, name, bytes(20, at))
        yield* store.put("a/b", "c", bytes(1, 1))
        yield* store.put("a", "b/c", bytes(1, 2))
        yield* store.put("a\nb", "c", bytes(1, 3))
        yield* store.put("a", "b\nc", bytes(1, 4))
        for (const [at, [sworm, name]] of keys.entries()) {
          assert.deepStrictEqual(yield* store.get(sworm, name), bytes(20, at), JSON.stringify(name))
        }
        assert.deepStrictEqual(yield* store.get("a/b", "c"), bytes(1, 1))
        assert.deepStrictEqual(yield* store.get("a", "b/c"), bytes(1, 2))
        assert.deepStrictEqual(yield* store.get("a\nb", "c"), bytes(1, 3))
        assert.deepStrictEqual(yield* store.get("a", "b\nc"), bytes(1, 4))
        for (const [sworm, name] of keys) yield* store.remove(sworm, name)
        for (const [sworm, name] of keys) assert.isUndefined(yield* store.get(sworm, name), JSON.stringify(name))
        assert.deepStrictEqual(yield* store.get("a", "b/c"), bytes(1, 2))
      }))

    given(
      "of concurrent puts of a name the last stays, and nobody reads half of one",
      (store) =>
        Effect.gen(function* () {
          const puts = Array.from({ length: 50 }, (_, n) => store.put("s", "a", bytes(10_000 + n, n)))
          const whole = Effect.map(store.get("s", "a"), (found) => {
            if (found === undefined) return
            assert.deepStrictEqual(found, bytes(found.length, found.length - 10_000))
          })
          yield* Effect.all([...puts, ...Array.from({ length: 50 }, () => whole)], { concurrency: "unbounded" })
          assert.deepStrictEqual(yield* store.get("s", "a"), bytes(10_049, 49))
          yield* Effect.all([store.put("s", "a", bytes(1)), store.remove("s", "a")], { concurrency: "unbounded" })
          assert.isUndefined(yield* store.get("s", "a"))
        })
    )
  })
}

describe("a store of snapshots in files", () => {
  it.live("another program finds what one has put, and removed", () =>
    Effect.scoped(Effect.gen(function* () {
      const directory = join(yield* temporary, "new", "deep")
      const [one, other] = [yield* inFiles(directory), yield* inFiles(directory)]
      yield* one.put("s", "a", bytes(100))
      assert.deepStrictEqual(yield* other.get("s", "a"), bytes(100))
      yield* other.remove("s", "a")
      assert.isUndefined(yield* one.get("s", "a"))
      assert.lengthOf(yield* filesIn(directory), 0)
    })))

  it.live("a file says whose it is", () =>
    Effect.scoped(Effect.gen(function* () {
      const directory = yield* temporary
      yield* (yield* inFiles(directory)).put("shop", "cart/7", bytes(5))
      const [path] = yield* filesIn(directory)
      const text = yield* Effect.promise(() => files.readFile(path!, "latin1"))
      const { bytes: length, name, sworm } = JSON.parse(text.split("\n")[0]!) as Record<string, unknown>
      assert.deepStrictEqual([sworm, name, length], ["shop", "cart/7", 5])
    })))

  it.live("clears away what was left half written, but not what another program may be writing", () =>
    Effect.scoped(Effect.gen(function* () {
      const directory = yield* temporary
      yield* (yield* inFiles(directory)).put("s", "a", bytes(5))
      const [path] = yield* filesIn(directory)
      const [old, young] = [`${path}.1.tmp`, `${path}.2.tmp`]
      const top = join(directory, "probe.1.tmp")
      const strange = join(directory, "notes.txt")
      for (const leftover of [old, young, top, strange]) {
        yield* Effect.promise(() => files.writeFile(leftover, "x"))
      }
      const anHourAgo = new Date(Date.now() - 3_600_000)
      for (const leftover of [old, top, strange]) {
        yield* Effect.promise(() => files.utimes(leftover, anHourAgo, anHourAgo))
      }
      const again = yield* inFiles(directory)
      assert.deepStrictEqual((yield* filesIn(directory)).sort(), [path!, strange, young].sort())
      assert.deepStrictEqual(yield* again.get("s", "a"), bytes(5))
    })))

  for (
    const [how, damage] of Object.entries({
      "cut off": (file: Uint8Array) => file.subarray(0, file.length - 1),
      "empty": () => new Uint8Array(0),
      "of zeros": (file: Uint8Array) => new Uint8Array(file.length),
      "with one bit turned": (file: Uint8Array) =>
        Uint8Array.from(file, (byte, at) => at === file.length - 1 ? byte ^ 1 : byte),
      "another name's": (file: Uint8Array) =>
        new TextEncoder().encode(new TextDecoder("latin1").decode(file).replace('"a"', '"b"'))
    })
  ) {
    it.live(`a damaged file, ${how}, is told once, put aside, and in nobody's way`, () =>
      Effect.scoped(Effect.gen(function* () {
        const directory = yield* temporary
        const store = yield* inFiles(directory)
        yield* store.put("s", "a", bytes(50))
        const [path] = yield* filesIn(directory)
        yield* Effect.promise(async () => files.writeFile(path!, damage(await files.readFile(path!))))
        const error = yield* Effect.flip(store.get("s", "a"))
        assert.include(error.message, "damaged")
        assert.deepStrictEqual(yield* filesIn(directory), [`${path}.damaged`])
        assert.isUndefined(yield* store.get("s", "a"))
        yield* store.put("s", "a", bytes(51))
        assert.deepStrictEqual(yield* store.get("s", "a"), bytes(51))
      })))
  }

  it.live("a directory that can't be there is an error at start, one that vanishes an error then", () =>
    Effect.scoped(Effect.gen(function* () {
      const root = yield* temporary
      const file = join(root, "file")
      yield* Effect.promise(() => files.writeFile(file, ""))
      const error = yield* Effect.flip(inFiles(join(file, "below")))
      assert.strictEqual(error._tag, "SnapshotStoreError")
      assert.include(error.message, file)

      const directory = join(root, "there")
      const store = yield* inFiles(directory)
      yield* store.put("s", "a", bytes(1))
      yield* Effect.promise(() => files.rm(directory, { recursive: true }))
      assert.include((yield* Effect.flip(store.put("s", "a", bytes(2)))).message, "removed")
      yield* store.put("s", "a", bytes(3))
      assert.deepStrictEqual(yield* store.get("s", "a"), bytes(3))
    })))
})

/** A disk on which some operation fails: half of what is written gets there. */
class Disk implements Files {
  failing: { readonly at: string; readonly code: string } | undefined
  readonly done: Array<string> = []

  #do(what: string): void {
    if (this.failing?.at === what) throw Object.assign(new Error(`${this.failing.code}: ${what}`), this.failing)
    this.done.push(what)
  }

  readonly mkdir: Files["mkdir"] = (path, options) => files.mkdir(path, options)
  readonly readFile: Files["readFile"] = (path) => files.readFile(path)
  readonly readdir: Files["readdir"] = (path) => files.readdir(path)
  readonly stat: Files["stat"] = (path) => files.stat(path)

  readonly open: Files["open"] = async (path, flags, mode) => {
    this.#do(`open ${flags}`)
    const handle = await files.open(path, flags, mode)
    return {
      close: () => handle.close(),
      sync: async () => {
        this.#do(`sync ${flags}`)
        await handle.sync()
      },
      writeFile: async (data) => {
        if (this.failing?.at === "write") await handle.writeFile((data as Uint8Array).subarray(0, 10))
        this.#do("write")
        await handle.writeFile(data)
      }
    }
  }

  readonly rename: Files["rename"] = async (from, to) => {
    this.#do("rename")
    await files.rename(from, to)
  }

  readonly unlink: Files["unlink"] = async (path) => {
    this.#do("unlink")
    await files.unlink(path)
  }
}

describe("a store of snapshots on a disk that fails", () => {
  const given = (run: (store: Store, disk: Disk, directory: string) => Effect.Effect<void, unknown>) =>
    Effect.scoped(Effect.gen(function* () {
      const directory = yield* temporary
      const disk = new Disk()
      const store = yield* makeFileSystem(directory, disk)
      disk.done.length = 0
      yield* run(store, disk, directory)
    }))

  const steps = [
    ["open wx", "EACCES", "rights"],
    ["write", "ENOSPC", "the disk is full"],
    ["sync wx", "EIO", "EIO"],
    ["rename", "EPERM", "rights"]
  ] as const

  for (const [at, code, said] of steps) {
    it.live(`${at} fails with ${code}: that is told, what was there stays, and nothing is left behind`, () =>
      given((store, disk, directory) =>
        Effect.gen(function* () {
          yield* store.put("s", "a", bytes(100))
          disk.failing = { at, code }
          const error = yield* Effect.flip(store.put("s", "a", bytes(200)))
          assert.strictEqual(error._tag, "SnapshotStoreError")
          assert.include(error.message, said)
          assert.deepStrictEqual(yield* store.get("s", "a"), bytes(100))
          assert.lengthOf(yield* filesIn(directory), 1)
          disk.failing = undefined
          yield* store.put("s", "a", bytes(200))
          assert.deepStrictEqual(yield* store.get("s", "a"), bytes(200))
        })
      ))
  }

  it.live("flushes the bytes before the name, and the name before it is done", () =>
    given((store, disk) =>
      Effect.gen(function* () {
        yield* store.put("s", "a", bytes(1))
        const all = ["open wx", "write", "sync wx", "rename", "open r", "sync r"]
        assert.deepStrictEqual(disk.done.slice(-6), all)
        assert.deepStrictEqual(disk.done.slice(0, -6), ["open r", "sync r"], "the directory that was made")
        disk.done.length = 0
        yield* store.put("s", "a", bytes(2))
        assert.deepStrictEqual(disk.done, all)
        disk.done.length = 0
        yield* store.remove("s", "a")
        assert.deepStrictEqual(disk.done, ["unlink", "open r", "sync r"])
      })
    ))

  it.live("a name that is not flushed is not done; nor is a removal", () =>
    given((store, disk) =>
      Effect.gen(function* () {
        yield* store.put("s", "a", bytes(1))
        disk.failing = { at: "sync r", code: "EIO" }
        assert.isTrue(Exit.isFailure(yield* Effect.exit(store.put("s", "a", bytes(2)))))
        assert.isTrue(Exit.isFailure(yield* Effect.exit(store.remove("s", "a"))))
      })
    ))
})

describe("what is done to one name", () => {
  /** Works that wait until they are told to end. */
  const works = () => {
    const begun: Array<string> = []
    const ends = new Map<string, { readonly resolve: () => void; readonly reject: (error: Error) => void }>()
    const work = (id: string) => () =>
      new Promise<void>((resolve, reject) => {
        begun.push(id)
        ends.set(id, { resolve, reject })
      })
    return { begun, ends, work }
  }
  const settled = () => new Promise((resolve) => setImmediate(resolve))

  it("goes one after the other, of several that wait the last; other names don't wait", async () => {
    const turns = new Turns()
    const { begun, ends, work } = works()
    const first = turns.run("a", work("1"))
    await settled()
    const waiting = ["2", "3", "4"].map((id) => turns.run("a", work(id)))
    const other = turns.run("b", work("b"))
    await settled()
    assert.deepStrictEqual(begun, ["1", "b"])
    ends.get("1")!.reject(new Error("disk"))
    let told = ""
    await first.catch((error: Error) => void (told = error.message))
    assert.strictEqual(told, "disk")
    await settled()
    assert.deepStrictEqual(begun, ["1", "b", "4"])
    ends.get("4")!.resolve()
    ends.get("b")!.resolve()
    await Promise.all([...waiting, other])
    await settled()
    assert.strictEqual(turns.size, 0)
  })

  it("those that were replaced fail with the one that stands for them", async () => {
    const turns = new Turns()
    const { ends, work } = works()
    const first = turns.run("a", work("1"))
    await settled()
    const waiting = ["2", "3"].map((id) => turns.run("a", work(id)))
    ends.get("1")!.resolve()
    await first
    await settled()
    ends.get("3")!.reject(new Error("full"))
    const outcomes = await Promise.allSettled(waiting)
    assert.deepStrictEqual(outcomes.map(({ status }) => status), ["rejected", "rejected"])
  })
})
