// The contract on etcd in memory, in simulated time; and what only memory can be told to do: each kind of fault.
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Layer, type Scope } from "effect"
import { TestClock } from "effect/testing"
import { EtcdClient, type EtcdLimits } from "../../adapters/etcd/client.ts"
import * as Memory from "../../adapters/etcd/memory.ts"
import { type Bed, brief, cases, fails, watching } from "./contract.ts"

const STEPS_MAX = 5000

/** Lets time pass until it is so. */
const until = <E>(what: string, condition: Effect.Effect<boolean, E>): Effect.Effect<void, E> =>
  Effect.gen(function* () {
    for (let step = 0; step < STEPS_MAX; step++) {
      if (yield* condition) return
      yield* TestClock.adjust(20)
    }
    assert.fail(`Waited in vain until ${what}`)
  })

/** Time passes for as long as it takes. */
const passing = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E, Scope.Scope> =>
  Effect.gen(function* () {
    const fiber = yield* Effect.forkScoped(effect)
    yield* until("it ends", Effect.sync(() => fiber.pollUnsafe() !== undefined))
    return yield* Fiber.join(fiber)
  })

const took = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<number, E, Scope.Scope> =>
  Effect.gen(function* () {
    const { currentTimeMillis } = yield* TestClock.testClockWith(Effect.succeed)
    const before = yield* currentTimeMillis
    yield* passing(effect)
    return (yield* currentTimeMillis) - before
  })

const bedOf = (memory: Memory.EtcdMemory): Bed => ({
  client: (options) => memory.client(options),
  restart: memory.disconnect,
  away: (meanwhile) => Effect.ensuring(Effect.andThen(memory.fault("unreachable"), meanwhile), memory.fault(undefined)),
  until
})

describe("the contract in memory", () => {
  for (const [name, run] of cases) {
    it.effect(name, () => Effect.flatMap(Memory.make, (memory) => run(bedOf(memory), "test/")))
  }
})

const two: ReadonlyArray<string> = ["http://one", "http://two"]

const open = (options: Memory.MemoryClientOptions = {}) =>
  Effect.gen(function* () {
    const memory = yield* Memory.make
    return { memory, client: yield* memory.client({ retryFor: 0, ...options }) }
  })

describe("faults", () => {
  it.effect("a member that is silent: reads time out, and the outcome of writes is unknown", () =>
    Effect.gen(function* () {
      const { client, memory } = yield* open({ requestTimeout: "3 seconds" })
      yield* memory.fault("silent")
      assert.strictEqual(yield* took(fails(client.get("a"), "Timeout")), 3000)
      assert.strictEqual(yield* took(fails(client.put("a", "1"), "Timeout", true)), 3000)
      yield* passing(fails(client.txn({ then: [{ put: "a", value: "1" }] }), "Timeout", true))
      yield* passing(
        fails(client.txn({ when: [{ key: "a", version: 1 }], then: [{ range: { key: "a" } }] }), "Timeout")
      )
      yield* passing(fails(client.grant(5), "Timeout", true))
      yield* passing(fails(client.keepAlive("1"), "Timeout"))
      yield* memory.fault(undefined)
      assert.isUndefined(yield* client.get("a"))
    }))

  it.effect("an answer that is lost: the write was done, and the client does not say it was not", () =>
    Effect.gen(function* () {
      const { client, memory } = yield* open({ retryFor: "1 minute", endpoints: two })
      yield* memory.fault("answerLost")
      const error = yield* fails(client.put("a", "1"), "Unreachable", true)
      assert.match(error.message, /may have been done/)
      yield* memory.fault(undefined)
      assert.strictEqual((yield* client.get("a"))?.version, 1)
    }))

  it.effect("the next endpoint's turn: at once for what was not sent, and the one that works is kept", () =>
    Effect.gen(function* () {
      const { client, memory } = yield* open({ retryFor: "5 seconds", endpoints: two })
      yield* memory.fault("unreachable", { endpoint: "http://one" })
      yield* client.put("a", "1")
      assert.strictEqual((yield* client.status).endpoint, "http://two")
      yield* memory.fault(undefined, { endpoint: "http://one" })
      assert.strictEqual((yield* client.status).endpoint, "http://two")
      yield* memory.fault("noLeader", { endpoint: "http://two" })
      yield* client.put("a", "2")
      assert.strictEqual((yield* client.status).endpoint, "http://one")
      yield* memory.fault("silent", { endpoint: "http://one" })
      // a write that may have been done is not repeated, but the next one goes elsewhere
      yield* memory.fault(undefined, { endpoint: "http://two" })
      yield* passing(fails(client.put("a", "3"), "Timeout", true))
      yield* client.put("a", "4")
      assert.strictEqual((yield* client.get("a"))?.version, 3)
    }))

  it.effect("of many requests that fail at one endpoint, one moves on", () =>
    Effect.gen(function* () {
      const endpoints = [...two, "http://three"]
      const { client, memory } = yield* open({ retryFor: "5 seconds", endpoints })
      yield* memory.fault("silent", { endpoint: "http://one" })
      yield* passing(Effect.all([client.get("a"), client.get("b")], { concurrency: 2 }))
      assert.strictEqual((yield* client.status).endpoint, "http://two")
    }))

  it.effect("no leader: nothing but old reads and the status", () =>
    Effect.gen(function* () {
      const { client, memory } = yield* open()
      yield* client.put("a", "1")
      yield* memory.fault("noLeader")
      yield* fails(client.put("a", "2"), "NoLeader")
      yield* fails(client.get("a"), "NoLeader")
      assert.strictEqual((yield* client.get("a", { serializable: true }))?.version, 1)
      yield* client.status
    }))

  it.effect("a full database: reads and deletions only", () =>
    Effect.gen(function* () {
      const { client, memory } = yield* open({ retryFor: "1 minute" })
      yield* client.put("a", "1")
      yield* memory.fault("full")
      yield* fails(client.put("a", "2"), "NoSpace")
      yield* fails(client.txn({ then: [{ put: "a", value: "2" }] }), "NoSpace")
      yield* fails(client.grant(5), "NoSpace")
      assert.strictEqual((yield* client.deleteRange({ key: "a" })).deleted, 1)
    }))

  it.effect("retries: until the limit, with waits in between; or until it works", () =>
    Effect.gen(function* () {
      const { client, memory } = yield* open({ retryFor: "5 seconds", endpoints: two })
      yield* memory.fault("unreachable")
      const ms = yield* took(fails(client.put("a", "1"), "Unreachable"))
      assert.isAbove(ms, 2000)
      assert.isAtMost(ms, 5000)
      const waiting = yield* Effect.forkScoped(client.put("a", "1"))
      yield* TestClock.adjust("1 second")
      assert.isUndefined(waiting.pollUnsafe())
      yield* memory.fault(undefined)
      yield* passing(Fiber.join(waiting))
      assert.strictEqual((yield* client.get("a"))?.version, 1)
    }))

  it.effect("a slow member answers late", () =>
    Effect.gen(function* () {
      const { client, memory } = yield* open()
      yield* memory.fault({ slow: "1 second" }, { client: "client" })
      assert.strictEqual(yield* took(client.put("a", "1")), 1000)
      yield* memory.fault({ slow: "3 seconds" }, { client: "client" })
      yield* passing(fails(client.put("a", "1"), "Timeout", true))
      const other = yield* memory.client({ name: "other" })
      assert.isDefined(yield* other.get("a"))
    }))
})

describe("watches and faults", () => {
  const watched = (options: EtcdLimits & { readonly endpoints?: ReadonlyArray<string> } = {}) =>
    Effect.gen(function* () {
      const { client, memory } = yield* open({ name: "watcher", ...options })
      const other = yield* memory.client()
      const seen = yield* watching(client.watch({ prefix: "a" }))
      yield* until("it is there", Effect.sync(() => seen.batches.length === 1))
      return { memory, other, seen }
    })

  it.effect("a connection that has gone silent is noticed within the limit", () =>
    Effect.gen(function* () {
      const { memory, other, seen } = yield* watched({ watchIdle: "10 seconds", endpoints: two })
      yield* memory.fault("silent", { endpoint: "http://one" })
      yield* other.put("a", "1")
      yield* TestClock.adjust(9000)
      assert.deepStrictEqual(seen.events(), [])
      // the limit, the time that an endpoint has to answer, and a little wait
      yield* TestClock.adjust(1000 + 2000 + 50)
      assert.deepStrictEqual(brief(seen.events(), ""), ["put a 1"])
    }))

  it.effect("idle watches are renewed, again and again, without loss", () =>
    Effect.gen(function* () {
      const { other, seen } = yield* watched({ watchIdle: "10 seconds" })
      for (const value of ["1", "2", "3"]) {
        yield* TestClock.adjust("35 seconds")
        yield* other.put("a", value)
        yield* until("it sees", Effect.sync(() => seen.events().length === Number(value)))
      }
      assert.deepStrictEqual(brief(seen.events(), ""), ["put a 1", "put a 2", "put a 3"])
    }))

  it.effect("a watch that can't be had again fails after its limit", () =>
    Effect.gen(function* () {
      const { memory, seen } = yield* watched({ watchRetryFor: "30 seconds" })
      yield* memory.fault("unreachable", { client: "watcher" })
      yield* TestClock.adjust("25 seconds")
      assert.isUndefined(seen.error())
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(seen.error()?.reason, "Unreachable")
    }))

  it.effect("a compaction while it is away", () =>
    Effect.gen(function* () {
      const { memory, other, seen } = yield* watched()
      yield* memory.fault("unreachable", { client: "watcher" })
      yield* other.put("a", "1")
      const { revision } = yield* other.put("a", "2")
      yield* other.compact(revision)
      yield* memory.fault(undefined, { client: "watcher" })
      yield* until("it fails", Effect.sync(() => seen.error() !== undefined))
      assert.deepStrictEqual([seen.error()?.reason, seen.error()?.compactRevision], ["Compacted", revision])
    }))

  it.effect("progress is told, once for each revision", () =>
    Effect.gen(function* () {
      const { memory, other, seen } = yield* watched()
      const { revision } = yield* other.put("b", "not watched")
      for (let times = 0; times < 2; times++) {
        yield* memory.progress
        yield* until("it is told", Effect.sync(() => seen.batches.length === 2))
      }
      assert.deepStrictEqual(seen.batches[1], { revision, events: [] })
    }))

  it.effect("a member that has lost its leader is left", () =>
    Effect.gen(function* () {
      const { memory, other, seen } = yield* watched({ endpoints: two })
      yield* memory.fault("noLeader", { endpoint: "http://one" })
      yield* other.put("a", "1")
      yield* until("it sees", Effect.sync(() => seen.events().length === 1))
    }))
})

describe("the layers", () => {
  it.effect("clients by layer share the memory that is provided", () =>
    Effect.gen(function* () {
      const memory = yield* Memory.EtcdMemory
      const client = yield* EtcdClient
      yield* client.put("a", "1")
      const other = yield* memory.client()
      assert.strictEqual((yield* other.get("a"))?.version, 1)
    }).pipe(Effect.provide(Layer.provideMerge(Memory.layerClient(), Memory.layer))))

  it.effect("a lease lasts its time to the millisecond", () =>
    Effect.gen(function* () {
      const { client } = yield* open()
      const { id: lease } = yield* client.grant(5)
      yield* client.put("a", "1", { lease })
      yield* TestClock.adjust(Duration.millis(4999))
      assert.strictEqual((yield* client.keepAlive(lease)).ttlSeconds, 5)
      yield* TestClock.adjust(4999)
      assert.isDefined(yield* client.get("a"))
      yield* TestClock.adjust(1)
      assert.isUndefined(yield* client.get("a"))
    }))
})
