// What a node writes into etcd, in memory and simulated time: in its order, each once, and none without its lease.
import { assert, describe, it } from "@effect/vitest"
import { Effect, type Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import type { EtcdClient } from "../../adapters/etcd/client.ts"
import type { EtcdError } from "../../adapters/etcd/EtcdError.ts"
import { type Change, Commits, type Standing } from "../../adapters/etcd/ground/Commits.ts"
import {
  decodeName,
  decodeVersion,
  encodeMember,
  encodeName,
  encodeVersion,
  Layout,
  type NameRecord
} from "../../adapters/etcd/ground/layout.ts"
import { Mirror } from "../../adapters/etcd/ground/mirror.ts"
import { EPOCHS_PER_REVISION, type Wish } from "../../adapters/etcd/ground/rules.ts"
import * as Memory from "../../adapters/etcd/memory.ts"
import type { Operation } from "../../adapters/etcd/types.ts"
import { hash32 } from "../../src/protocol/hash.ts"
import { sectionId } from "../../src/protocol/ids.ts"
import { Replica } from "../../src/protocol/replica.ts"

const SELF = sectionId("a", 1)
const OTHER = sectionId("b", 1)
const STEPS_MAX = 5000

const layout = new Layout("p/")
const keyOf = (name: string): string => `nThings\n${name}`

const until = <E>(what: string, condition: Effect.Effect<boolean, E>): Effect.Effect<void, E> =>
  Effect.gen(function* () {
    for (let step = 0; step < STEPS_MAX; step++) {
      if (yield* condition) return
      yield* TestClock.adjust(20)
    }
    assert.fail(`Waited in vain until ${what}`)
  })

const member = (id: string): Uint8Array =>
  encodeMember({
    id,
    boot: 1,
    incarnation: 0,
    status: "alive",
    address: "",
    synced: true,
    labels: {},
    cordoned: false,
    hash: hash32(id)
  })

interface Told {
  readonly done: Array<string>
  readonly refused: Array<readonly [change: string, name: string, by: NameRecord]>
  readonly epochs: Map<string, number>
}

interface Bed {
  readonly memory: Memory.EtcdMemory
  /** Nothing goes wrong with this one. */
  readonly other: EtcdClient
  readonly commits: Commits
  readonly mirror: Mirror
  readonly told: Told
  readonly troubles: Array<EtcdError>
  readonly counts: { transactions: number; lost: number }
  readonly standing: { now: Standing | undefined }
  /** Happens before each transaction. */
  readonly meanwhile: { now: () => void }
  readonly add: (id: string, change: Partial<Change>) => void
  readonly settled: (count: number) => Effect.Effect<void>
  readonly recordOf: (name: string) => Effect.Effect<NameRecord | undefined, EtcdError>
}

/** A node that stands, with a watch; `drives`: what is added is written. */
const open = ({ drives = true, watches = true } = {}): Effect.Effect<Bed, EtcdError, Scope.Scope> =>
  Effect.gen(function* () {
    const memory = yield* Memory.make
    const other = yield* memory.client({ name: "other" })
    const own = yield* memory.client({ name: "own", retryFor: 0, requestTimeout: "1 second" })
    const counts = { transactions: 0, lost: 0 }
    const nothing = () => {}
    const meanwhile = { now: nothing }
    const client: EtcdClient = {
      ...own,
      txn: (transaction) =>
        Effect.suspend(() => {
          counts.transactions++
          meanwhile.now()
          return own.txn(transaction)
        })
    }
    const mirror = new Mirror(layout, new Replica(SELF, nothing), {
      onMember: nothing,
      onName: nothing,
      onArrived: nothing
    })
    yield* other.put(layout.member(OTHER), member("b"))
    const { revision } = yield* other.put(layout.member(SELF), member("a"))
    mirror.reset(yield* other.range(layout.watched))
    const standing: Bed["standing"] = { now: { revision } }
    const troubles: Array<EtcdError> = []
    const commits = new Commits({
      client,
      layout,
      mirror,
      self: SELF,
      standing: () => standing.now,
      onLost: () => {
        counts.lost++
        standing.now = undefined
      },
      onTrouble: (error) => void troubles.push(error)
    })
    if (drives) yield* Effect.forkScoped(commits.drive)
    if (watches) {
      const news = other.watch(layout.watched, { from: mirror.listed + 1 })
      yield* Effect.forkScoped(Stream.runForEach(news, (batch) => Effect.sync(() => mirror.apply(batch))))
    }
    const told: Told = { done: [], refused: [], epochs: new Map() }
    return {
      memory,
      other,
      commits,
      mirror,
      told,
      troubles,
      counts,
      standing,
      meanwhile,
      add: (id, change) =>
        commits.add({
          wishes: [],
          writes: [],
          onDone: () => void told.done.push(id),
          onRefused: (name, by) => void told.refused.push([id, name, by]),
          ...change
        }),
      settled: (count) =>
        until(`${count} changes are settled`, Effect.sync(() => told.done.length + told.refused.length >= count)),
      recordOf: (name) =>
        Effect.map(other.get(layout.name(keyOf(name))), (kv) => kv === undefined ? undefined : decodeName(kv.value))
    }
  })

const hold = (name: string, isNew = true): readonly [string, Wish] => [keyOf(name), { _tag: "Hold", epoch: 1, isNew }]

/** As a section writes: an entry, and the version that it makes. */
const writesOf = (key: string, version: number): ReadonlyArray<Operation> => [
  { put: layout.entry(SELF, keyOf(key)), value: String(version) },
  { put: layout.version(SELF), value: encodeVersion(version) }
]

const held = (holder: string, epoch: number): NameRecord => ({ _tag: "Held", holder, epoch, isNew: false })

describe("commits", () => {
  it.effect("are done in their order, and a section's version only goes up", () =>
    Effect.gen(function* () {
      const bed = yield* open({ drives: false })
      const versions: Array<number | undefined> = []
      const news = bed.other.watch({ key: layout.version(SELF) }, { from: bed.mirror.listed + 1 })
      yield* Effect.forkScoped(Stream.runForEach(news, ({ events }) =>
        Effect.sync(() => {
          for (const event of events) {
            versions.push(event.type === "put" ? decodeVersion(event.kv.value) : undefined)
          }
        })))
      const ids = Array.from({ length: 60 }, (_, at) => String(at + 1))
      // every third writes what the one before has written, so that they can't go together
      for (const id of ids) {
        const key = Number(id) % 3 === 0 ? String(Number(id) - 1) : id
        bed.add(id, { wishes: [hold(key)], writes: writesOf(key, Number(id)) })
      }
      yield* Effect.forkScoped(bed.commits.drive)
      yield* bed.settled(ids.length)
      assert.deepStrictEqual(bed.told, { done: ids, refused: [], epochs: new Map() })
      yield* until("the last version is told of", Effect.sync(() => versions.at(-1) === 60))
      assert.deepStrictEqual(versions, [...new Set(versions)].sort((a, b) => Number(a) - Number(b)))
      for (const id of ids) {
        const [key, last] = Number(id) % 3 === 2 ? [id, String(Number(id) + 1)] : [id, id]
        if (Number(id) % 3 === 0) continue
        const entry = yield* bed.other.get(layout.entry(SELF, keyOf(key)))
        assert.strictEqual(new TextDecoder().decode(entry?.value), last)
      }
    }))

  it.effect("many that are waiting share a few transactions, also those that erase", () =>
    Effect.gen(function* () {
      const bed = yield* open({ drives: false })
      const ids = Array.from({ length: 60 }, (_, at) => String(at + 1))
      for (const id of ids) bed.add(id, { wishes: [hold(id)], writes: writesOf(id, Number(id)) })
      yield* Effect.forkScoped(bed.commits.drive)
      yield* bed.settled(60)
      assert.isAtMost(bed.counts.transactions, 12)
      for (const id of ids) {
        bed.add(`end ${id}`, {
          wishes: [[keyOf(id), { _tag: "Free" }]],
          writes: [
            { deleteRange: { key: layout.entry(SELF, keyOf(id)) } },
            { put: layout.version(SELF), value: encodeVersion(60 + Number(id)) }
          ]
        })
      }
      yield* bed.settled(120)
      assert.isAtMost(bed.counts.transactions, 24)
      assert.strictEqual((yield* bed.other.range({ prefix: layout.entries(SELF) })).count, 0)
      assert.strictEqual((yield* bed.other.range({ prefix: layout.name("") })).count, 0)
    }))

  it.effect("one that is refused does not hold up the others, and what goes with it is not done", () =>
    Effect.gen(function* () {
      const bed = yield* open({ drives: false })
      yield* bed.other.put(layout.name(keyOf("taken")), encodeName(held(OTHER, 7)))
      for (const [at, name] of ["x", "taken", "y"].entries()) {
        bed.add(name, { wishes: [hold(name)], writes: writesOf(name, at + 1) })
      }
      // all its names, or none
      bed.add("both", { wishes: [hold("z"), hold("taken")], writes: writesOf("z", 4) })
      yield* Effect.forkScoped(bed.commits.drive)
      yield* bed.settled(4)
      assert.deepStrictEqual(bed.told.done, ["x", "y"])
      const by = held(OTHER, 7)
      assert.deepStrictEqual(bed.told.refused, [["taken", keyOf("taken"), by], ["both", keyOf("taken"), by]])
      for (const name of ["taken", "z"]) {
        assert.isUndefined(yield* bed.other.get(layout.entry(SELF, keyOf(name))), name)
      }
      assert.isUndefined(yield* bed.recordOf("z"))
      assert.deepStrictEqual(bed.troubles, [])
    }))

  it.effect("one that was refused in the mirror alone is done: the store has the last word", () =>
    Effect.gen(function* () {
      const bed = yield* open({ watches: false })
      // the node that has it, as far as is known here, has just given it up
      bed.mirror.learn(keyOf("x"), held(OTHER, 7), 1)
      yield* bed.other.put(layout.name(keyOf("x")), encodeName(held("", 8)))
      bed.add("x", { wishes: [hold("x")] })
      yield* bed.settled(1)
      assert.deepStrictEqual(bed.told.done, ["x"])
      assert.deepStrictEqual(yield* bed.recordOf("x"), held(SELF, 8 + 1024))
    }))

  it.effect("a name whose holder is gone there, and not yet here, is had once that is known", () =>
    Effect.gen(function* () {
      const bed = yield* open()
      yield* bed.other.put(layout.name(keyOf("x")), encodeName(held(OTHER, 7)))
      yield* bed.other.deleteRange({ key: layout.member(OTHER) })
      bed.add("x", { wishes: [hold("x")] })
      yield* bed.settled(1)
      assert.deepStrictEqual(bed.told.done, ["x"])
      assert.deepStrictEqual(yield* bed.recordOf("x"), held(SELF, 7 + 1024))
    }))

  it.effect("one whose answer is lost is done once, whatever it was", () =>
    Effect.gen(function* () {
      const bed = yield* open()
      const lose = Effect.fnUntraced(function* (id: string, wish: Wish) {
        const { settled, troubles } = { settled: bed.told.done.length, troubles: bed.troubles.length }
        yield* bed.memory.fault("answerLost", { client: "own" })
        bed.add(id, { wishes: [[keyOf("x"), wish]] })
        yield* until("the answer is lost", Effect.sync(() => bed.troubles.length > troubles))
        yield* bed.memory.fault(undefined, { client: "own" })
        yield* bed.settled(settled + 1)
        return yield* bed.other.get(layout.name(keyOf("x")))
      })
      const taken = yield* lose("hold", { _tag: "Hold", epoch: 1, isNew: true })
      assert.strictEqual(taken?.version, 1)
      const record = yield* bed.recordOf("x")
      assert.isAtLeast(record?._tag === "Held" ? record.epoch : 0, EPOCHS_PER_REVISION)
      const given = yield* lose("pass", { _tag: "Pass", to: OTHER, epoch: 1 })
      assert.strictEqual(given?.version, 2)
      // it is the other's now, and ended by that
      const { revision } = yield* bed.other.put(layout.name(keyOf("x")), encodeName(held(SELF, 9)))
      yield* until("it is told of that", Effect.sync(() => bed.mirror.applied >= revision))
      assert.isUndefined(yield* lose("free", { _tag: "Free" }))
      assert.deepStrictEqual(bed.told.done, ["hold", "pass", "free"])
      // writes that may have been done, and a look at what is there
      assert.isAtLeast(bed.troubles.filter((error) => error.isUnknown).length, 3)
      assert.strictEqual(bed.counts.lost, 0)
    }))

  it.effect("what a name is compared with, and the watch tells of meanwhile, stands as it was", () =>
    Effect.gen(function* () {
      const bed = yield* open({ watches: false })
      bed.add("take", { wishes: [hold("x")] })
      yield* bed.settled(1)
      const kv = yield* bed.other.get(layout.name(keyOf("x")))
      assert.isDefined(kv)
      bed.meanwhile.now = () => bed.mirror.learn(keyOf("x"), decodeName(kv!.value), kv!.modRevision)
      bed.add("say so", { wishes: [hold("x")], writes: writesOf("x", 1) })
      yield* bed.settled(2)
      assert.strictEqual(bed.mirror.names.get(keyOf("x"))?.revision, kv!.modRevision)
      bed.add("end", { wishes: [[keyOf("x"), { _tag: "Free" }]] })
      yield* bed.settled(3)
      assert.deepStrictEqual(bed.told.done, ["take", "say so", "end"])
      assert.isUndefined(yield* bed.recordOf("x"))
    }))

  it.effect("what fails is tried for as long as the node stands", () =>
    Effect.gen(function* () {
      const bed = yield* open()
      for (const fault of ["unreachable", "full", "silent", "noLeader"] as const) {
        const before = bed.troubles.length
        yield* bed.memory.fault(fault, { client: "own" })
        bed.add(fault, { wishes: [hold(fault)] })
        yield* until(`${fault} is told`, Effect.sync(() => bed.troubles.length > before + 3))
        assert.notInclude(bed.told.done, fault)
        yield* bed.memory.fault(undefined, { client: "own" })
        yield* until(`${fault} is over`, Effect.sync(() => bed.told.done.includes(fault)))
      }
      assert.sameMembers([...new Set(bed.troubles.map(({ reason }) => reason))], [
        "Unreachable",
        "NoSpace",
        "Timeout",
        "NoLeader"
      ])
      assert.deepStrictEqual(bed.told.refused, [])
    }))

  it.effect("a lease that is not there ends the stay, and nothing more is written", () =>
    Effect.gen(function* () {
      const bed = yield* open()
      bed.add("news", { writes: [{ put: layout.member(SELF), value: member("a"), options: { lease: "12345" } }] })
      bed.add("after", { wishes: [hold("x")] })
      yield* until("the stay is over", Effect.sync(() => bed.counts.lost === 1))
      assert.deepStrictEqual(bed.troubles.map(({ reason }) => reason), ["LeaseNotFound"])
      yield* TestClock.adjust(60_000)
      assert.deepStrictEqual(bed.told.done, [])
      assert.isUndefined(yield* bed.recordOf("x"))
      assert.strictEqual(bed.counts.lost, 1)
    }))

  it.effect("without its member's key, or with one of another stay, nothing is written", () =>
    Effect.gen(function* () {
      for (const returns of [false, true]) {
        const bed = yield* open()
        yield* bed.other.deleteRange({ key: layout.member(SELF) })
        if (returns) yield* bed.other.put(layout.member(SELF), member("a"))
        bed.add("x", { wishes: [hold("x")], writes: writesOf("x", 1) })
        yield* until("the stay is over", Effect.sync(() => bed.counts.lost === 1))
        assert.isUndefined(yield* bed.recordOf("x"))
        assert.isUndefined(yield* bed.other.get(layout.version(SELF)))
        assert.deepStrictEqual([...bed.told.done, ...bed.told.refused], [])
      }
    }))

  it.effect("what nobody wants any more is not sent", () =>
    Effect.gen(function* () {
      const bed = yield* open({ drives: false })
      let isWanted = true
      bed.add("x", { wishes: [hold("x")], isWanted: () => isWanted })
      bed.add("y", { wishes: [hold("y")] })
      isWanted = false
      yield* Effect.forkScoped(bed.commits.drive)
      yield* bed.settled(1)
      assert.deepStrictEqual(bed.told.done, ["y"])
      assert.isUndefined(yield* bed.recordOf("x"))
    }))

  it.effect("what else has to be true is not waited for", () =>
    Effect.gen(function* () {
      const bed = yield* open()
      bed.add("bury", {
        writes: [{ deleteRange: { prefix: layout.entries(OTHER) } }],
        when: [{ key: layout.member(OTHER), createRevision: 0 }]
      })
      yield* bed.settled(1)
      assert.strictEqual(bed.told.refused[0]?.[0], "bury")
      assert.isAtMost(bed.counts.transactions, 2)
    }))
})
