/** What holds of etcd's client, whatever is behind it: cases as data, run in memory and on a real server. */
import { assert } from "@effect/vitest"
import { Effect, Fiber, Ref, type Scope, Stream } from "effect"
import type { EtcdClient, EtcdLimits } from "../../adapters/etcd/client.ts"
import type { EtcdError, EtcdReason } from "../../adapters/etcd/EtcdError.ts"
import type { Compare, WatchBatch, WatchEvent } from "../../adapters/etcd/types.ts"

export interface Bed {
  readonly client: (options?: EtcdLimits) => Effect.Effect<EtcdClient, EtcdError, Scope.Scope>
  /** The server goes and comes back with what it had. */
  readonly restart: Effect.Effect<void, unknown, Scope.Scope>
  /** The server goes; `back` brings it back. */
  readonly away: <A, E, R>(meanwhile: Effect.Effect<A, E, R>) => Effect.Effect<A, unknown, R>
  /** Waits for a condition while time passes. */
  readonly until: <E>(what: string, condition: Effect.Effect<boolean, E>) => Effect.Effect<void, unknown>
}

export type Case = readonly [name: string, run: (bed: Bed, prefix: string) => Effect.Effect<void, unknown, Scope.Scope>]

const text = (bytes: Uint8Array | undefined): string | undefined =>
  bytes === undefined ? undefined : new TextDecoder().decode(bytes)

export const fails = <A>(
  effect: Effect.Effect<A, EtcdError>,
  reason: EtcdReason,
  isUnknown = false
): Effect.Effect<EtcdError, unknown> =>
  Effect.gen(function* () {
    const error = yield* Effect.flip(effect)
    assert.strictEqual(error.reason, reason, error.message)
    assert.strictEqual(error.isUnknown, isUnknown, error.message)
    return error
  })

/** A watch that is read in the background. */
export interface Watching {
  readonly batches: Array<WatchBatch>
  readonly events: () => ReadonlyArray<WatchEvent>
  readonly error: () => EtcdError | undefined
}

export const watching = (stream: Stream.Stream<WatchBatch, EtcdError>) =>
  Effect.gen(function* () {
    const batches: Array<WatchBatch> = []
    const error = yield* Ref.make<EtcdError | undefined>(undefined)
    yield* Stream.runForEach(stream, (batch) => Effect.sync(() => batches.push(batch))).pipe(
      Effect.catch((failure) => Ref.set(error, failure)),
      Effect.forkScoped
    )
    return {
      batches,
      events: () => batches.flatMap(({ events }) => events),
      error: () => Ref.getUnsafe(error)
    } satisfies Watching
  })

/** Like `put a 1`, `delete a`. */
export const brief = (events: ReadonlyArray<WatchEvent>, prefix: string): ReadonlyArray<string> =>
  events.map((event) =>
    event.type === "put"
      ? `put ${event.kv.key.slice(prefix.length)} ${text(event.kv.value)}`
      : `delete ${event.key.slice(prefix.length)}`
  )

const keysAndValues: ReadonlyArray<Case> = [
  ["a key is put, put again and read", (bed, prefix) =>
    Effect.gen(function* () {
      const client = yield* bed.client()
      const key = `${prefix}ключ \u{1f511}`
      assert.isUndefined(yield* client.get(key))
      const bytes = Uint8Array.from({ length: 256 }, (_, at) => at)
      const first = yield* client.put(key, bytes)
      assert.isUndefined(first.previous)
      const created = yield* client.get(key)
      const lease = "0"
      assert.deepStrictEqual(created, {
        key,
        value: bytes,
        createRevision: first.revision,
        modRevision: first.revision,
        version: 1,
        lease
      })
      const second = yield* client.put(key, "", { previous: true })
      assert.strictEqual(second.revision, first.revision + 1)
      assert.deepStrictEqual(second.previous, created)
      const after = yield* client.get(key)
      assert.deepStrictEqual([after?.value.length, after?.version, after?.createRevision], [0, 2, first.revision])
    })],
  ["ranges: a prefix, from and to, a limit, without values, all", (bed, prefix) =>
    Effect.gen(function* () {
      const client = yield* bed.client()
      for (const name of ["b", "a/2", "a/1", "a", "a\u{1f511}", "a\uffff"]) yield* client.put(prefix + name, name)
      const names = (keys: Parameters<EtcdClient["range"]>[0], options = {}) =>
        Effect.map(client.range(keys, options), ({ kvs }) => kvs.map(({ key }) => key.slice(prefix.length)))
      // by UTF-8 bytes, which differs from the order of JavaScript's strings
      assert.deepStrictEqual(yield* names({ prefix: `${prefix}a` }), ["a", "a/1", "a/2", "a\uffff", "a\u{1f511}"])
      assert.deepStrictEqual(yield* names({ prefix: `${prefix}a/` }), ["a/1", "a/2"])
      assert.deepStrictEqual(yield* names({ from: `${prefix}a`, to: `${prefix}a/2` }), ["a", "a/1"])
      assert.deepStrictEqual(yield* names({ prefix: `${prefix}c` }), [])
      assert.includeMembers([...yield* names({ prefix: "" })], ["a", "b"])
      const limited = yield* client.range({ prefix }, { limit: 2, keysOnly: true })
      assert.deepStrictEqual([limited.kvs.length, limited.count], [2, 6])
      assert.deepStrictEqual(limited.kvs.map(({ value }) => value.length), [0, 0])
    })],
  ["the past can be read, the future cannot", (bed, prefix) =>
    Effect.gen(function* () {
      const client = yield* bed.client()
      const { revision } = yield* client.put(`${prefix}a`, "old")
      yield* client.put(`${prefix}a`, "new")
      yield* client.deleteRange({ key: `${prefix}a` })
      assert.strictEqual(text((yield* client.get(`${prefix}a`, { revision }))?.value), "old")
      assert.strictEqual(text((yield* client.get(`${prefix}a`, { revision: revision + 1 }))?.value), "new")
      assert.isUndefined(yield* client.get(`${prefix}a`, { serializable: true }))
      yield* fails(client.get(`${prefix}a`, { revision: revision + 1_000_000 }), "FutureRevision")
    })],
  [
    "deletions say what they deleted, and make no revision when there is nothing",
    (bed, prefix) =>
      Effect.gen(function* () {
        const client = yield* bed.client()
        for (const name of ["a", "b", "c"]) yield* client.put(prefix + name, name)
        const done = yield* client.deleteRange({ from: `${prefix}a`, to: `${prefix}c` }, { previous: true })
        assert.deepStrictEqual([done.deleted, done.previous.map(({ value }) => text(value))], [2, ["a", "b"]])
        const nothing = yield* client.deleteRange({ key: `${prefix}a` })
        assert.deepStrictEqual(nothing, { revision: done.revision, deleted: 0, previous: [] })
        assert.strictEqual((yield* client.range({ prefix })).count, 1)
      })
  ],
  ["what makes no sense is refused, and nothing is done", (bed, prefix) =>
    Effect.gen(function* () {
      const client = yield* bed.client()
      yield* fails(client.put("", "x"), "Invalid")
      yield* fails(client.grant(0), "Invalid")
      yield* fails(client.grant(1.5), "Invalid")
      const twice = [{ put: `${prefix}a`, value: "1" }, { put: `${prefix}a`, value: "2" }] as const
      yield* fails(client.txn({ then: twice }), "Invalid")
      yield* fails(client.put(`${prefix}a`, "x", { lease: "4711" }), "LeaseNotFound")
      yield* fails(
        client.txn({
          then: [{ put: `${prefix}b`, value: "" }, { put: `${prefix}a`, value: "", options: { lease: "4711" } }]
        }),
        "LeaseNotFound"
      )
      yield* fails(client.put(`${prefix}a`, new Uint8Array(1_900_000)), "TooLarge")
      assert.strictEqual((yield* client.range({ prefix })).count, 0)
    })]
]

const transactions: ReadonlyArray<Case> = [
  ["each kind of condition holds or does not", (bed, prefix) =>
    Effect.gen(function* () {
      const client = yield* bed.client()
      const key = `${prefix}a`
      const { id: lease } = yield* client.grant(60)
      const { revision } = yield* client.put(key, "m", { lease })
      const holds = (...when: ReadonlyArray<Compare>) => Effect.map(client.txn({ when }), ({ succeeded }) => succeeded)
      assert.isTrue(yield* holds({ key, version: 1 }))
      assert.isFalse(yield* holds({ key, version: 1, is: "!=" }))
      assert.isTrue(yield* holds({ key, version: 0, is: ">" }, { key, version: 2, is: "<" }))
      assert.isTrue(yield* holds({ key, createRevision: revision }))
      assert.isTrue(yield* holds({ key, modRevision: revision - 1, is: ">" }))
      assert.isFalse(yield* holds({ key, modRevision: revision }, { key, modRevision: revision + 1 }))
      assert.isTrue(yield* holds({ key, value: "m" }, { key, value: "z", is: "<" }))
      assert.isTrue(yield* holds({ key, lease }))
      assert.isFalse(yield* holds({ key, lease: "0" }))
      const missing = `${prefix}missing`
      assert.isTrue(yield* holds({ key: missing, createRevision: 0 }, { key: missing, version: 0 }))
      assert.isFalse(yield* holds({ key: missing, value: "", is: "!=" }))
    })],
  ["its steps are done together, in order, and answered each", (bed, prefix) =>
    Effect.gen(function* () {
      const client = yield* bed.client()
      const [a, b] = [`${prefix}a`, `${prefix}b`]
      const { revision } = yield* client.put(b, "old")
      const claim = {
        when: [{ key: a, createRevision: 0 }],
        then: [{ put: a, value: "1" }, { deleteRange: { key: b }, previous: true }, { range: { prefix } }],
        otherwise: [{ range: { key: a } }]
      } as const
      const done = yield* client.txn(claim)
      if (!done.succeeded) return assert.fail("the key was not there")
      assert.deepStrictEqual(
        [done.revision, done.results[0].revision, done.results[1].deleted, text(done.results[1].previous[0]?.value)],
        [revision + 1, revision + 1, 1, "old"]
      )
      assert.deepStrictEqual(done.results[2].kvs.map(({ key, modRevision }) => [key, modRevision]), [[a, revision + 1]])
      const refused = yield* client.txn(claim)
      if (refused.succeeded) return assert.fail("the key was there")
      assert.strictEqual(text(refused.results[0].kvs[0]?.value), "1")
      assert.strictEqual(refused.revision, done.revision)
    })],
  ["of five clients that claim a name exactly one gets it", (bed, prefix) =>
    Effect.gen(function* () {
      const clients = yield* Effect.forEach([1, 2, 3, 4, 5], () => bed.client())
      for (let round = 0; round < 5; round++) {
        const key = `${prefix}${round}`
        const won = yield* Effect.forEach(clients, (client, at) =>
          Effect.map(
            client.txn({
              when: [{ key, createRevision: 0 }],
              then: [{ put: key, value: String(at) }],
              otherwise: [{ range: { key } }]
            }),
            (result) => result.succeeded ? `won ${at}` : `lost to ${text(result.results[0].kvs[0]?.value)}`
          ), { concurrency: "unbounded" })
        const winner = text((yield* clients[0]!.get(key))?.value)
        assert.deepStrictEqual(
          won,
          clients.map((_, at) => String(at) === winner ? `won ${at}` : `lost to ${winner}`)
        )
      }
    })]
]

const leases: ReadonlyArray<Case> = [
  ["a lease has its keys, and takes them with it", (bed, prefix) =>
    Effect.gen(function* () {
      const client = yield* bed.client()
      const { id: lease, ttlSeconds } = yield* client.grant(60)
      assert.strictEqual(ttlSeconds, 60)
      const other = yield* client.grant(60)
      yield* client.put(`${prefix}a`, "1", { lease })
      yield* client.put(`${prefix}b`, "1", { lease })
      yield* client.put(`${prefix}c`, "1", { lease: other.id })
      // it has left the lease
      yield* client.put(`${prefix}b`, "2")
      const state = yield* client.timeToLive(lease)
      assert.deepStrictEqual([state.keys, state.grantedTtlSeconds], [[`${prefix}a`], 60])
      assert.strictEqual((yield* client.get(`${prefix}a`))?.lease, lease)
      assert.strictEqual((yield* client.keepAlive(lease)).ttlSeconds, 60)
      yield* client.revoke(lease)
      assert.deepStrictEqual((yield* client.range({ prefix })).kvs.map(({ key }) => key), [`${prefix}b`, `${prefix}c`])
      yield* fails(client.revoke(lease), "LeaseNotFound")
      yield* fails(client.keepAlive(lease), "LeaseNotFound")
      yield* fails(client.timeToLive(lease), "LeaseNotFound")
    })],
  ["a lease ends when it is not kept alive, and does not when it is", (bed, prefix) =>
    Effect.gen(function* () {
      const client = yield* bed.client()
      const kept = yield* client.grant(1)
      const left = yield* client.grant(1)
      yield* client.put(`${prefix}kept`, "", { lease: kept.id })
      const { revision } = yield* client.put(`${prefix}left`, "", { lease: left.id })
      const seen = yield* watching(client.watch({ prefix }, { from: revision + 1 }))
      yield* bed.until(
        "the other one has ended",
        Effect.andThen(client.keepAlive(kept.id), Effect.sync(() => seen.events().length > 0))
      )
      assert.deepStrictEqual(brief(seen.events(), prefix), ["delete left"])
      assert.deepStrictEqual((yield* client.range({ prefix })).kvs.map(({ key }) => key), [`${prefix}kept`])
      yield* fails(client.keepAlive(left.id), "LeaseNotFound")
      yield* bed.until("it has ended too", Effect.map(client.range({ prefix }), ({ count }) => count === 0))
    })]
]

const watches: ReadonlyArray<Case> = [
  [
    "a watch from a revision gives what was and what comes, with what was before",
    (bed, prefix) =>
      Effect.gen(function* () {
        const client = yield* bed.client()
        yield* client.put(`${prefix}early`, "0")
        const { revision } = yield* client.put(`${prefix}a`, "1")
        yield* client.put(`${prefix}a`, "2")
        const seen = yield* watching(client.watch({ prefix }, { from: revision, previous: true }))
        yield* bed.until("the past is seen", Effect.sync(() => seen.events().length === 2))
        yield* client.put("elsewhere", "")
        yield* client.txn({ then: [{ put: `${prefix}b`, value: "3" }, { deleteRange: { key: `${prefix}a` } }] })
        yield* bed.until("the present is seen", Effect.sync(() => seen.events().length === 4))
        assert.deepStrictEqual(brief(seen.events(), prefix), ["put a 1", "put a 2", "put b 3", "delete a"])
        const together = seen.batches.at(-1)
        assert.deepStrictEqual([together?.events.length, together?.revision], [2, revision + 3])
        assert.deepStrictEqual(seen.events().map(({ previous }) => text(previous?.value)), [
          undefined,
          "1",
          undefined,
          "2"
        ])
      })
  ],
  ["a watch from now says from where on it is there", (bed, prefix) =>
    Effect.gen(function* () {
      const client = yield* bed.client()
      const { revision } = yield* client.put(`${prefix}a`, "before")
      const seen = yield* watching(client.watch({ key: `${prefix}a` }))
      yield* bed.until("it is there", Effect.sync(() => seen.batches.length === 1))
      assert.deepStrictEqual(seen.batches, [{ revision, events: [] }])
      yield* client.put(`${prefix}b`, "not this one")
      yield* client.put(`${prefix}a`, "after")
      yield* bed.until("it sees", Effect.sync(() => seen.events().length > 0))
      assert.deepStrictEqual(brief(seen.events(), prefix), ["put a after"])
    })],
  ["a watch outlives the server: nothing is lost, nothing comes twice", (bed, prefix) =>
    Effect.gen(function* () {
      const client = yield* bed.client()
      const seen = yield* watching(client.watch({ prefix }))
      yield* bed.until("it is there", Effect.sync(() => seen.batches.length === 1))
      for (const name of ["1", "2"]) yield* client.put(`${prefix}a`, name)
      yield* bed.until("it sees", Effect.sync(() => seen.events().length === 2))
      yield* bed.restart
      for (const name of ["3", "4"]) {
        yield* bed.until("etcd is back", Effect.map(Effect.result(client.status), ({ _tag }) => _tag === "Success"))
        yield* client.put(`${prefix}a`, name)
      }
      yield* bed.until("it sees again", Effect.sync(() => seen.events().length >= 4))
      assert.deepStrictEqual(brief(seen.events(), prefix), ["put a 1", "put a 2", "put a 3", "put a 4"])
      const revisions = seen.batches.map(({ revision }) => revision)
      assert.deepStrictEqual(revisions, [...new Set(revisions)].sort((a, b) => a - b))
    })],
  [
    "a watch that was away over a compaction says so; so does a read of the past",
    (bed, prefix) =>
      Effect.gen(function* () {
        const client = yield* bed.client()
        const { revision } = yield* client.put(`${prefix}a`, "1")
        yield* client.put(`${prefix}a`, "2")
        const last = yield* client.put(`${prefix}a`, "3")
        yield* client.compact(last.revision)
        const seen = yield* watching(client.watch({ prefix }, { from: revision }))
        yield* bed.until("it fails", Effect.sync(() => seen.error() !== undefined))
        assert.deepStrictEqual([seen.error()?.reason, seen.error()?.compactRevision], ["Compacted", last.revision])
        yield* fails(client.get(`${prefix}a`, { revision }), "Compacted")
        yield* fails(client.compact(revision), "Compacted")
        yield* fails(client.compact(last.revision + 1_000_000), "FutureRevision")
        // from there on everything is there
        const again = yield* watching(client.watch({ prefix }, { from: last.revision }))
        yield* bed.until("it sees", Effect.sync(() => again.events().length === 1))
        assert.strictEqual(text((yield* client.get(`${prefix}a`, { revision: last.revision }))?.value), "3")
      })
  ],
  ["a watch whose scope closes ends, and a slow reader loses nothing", (bed, prefix) =>
    Effect.gen(function* () {
      const client = yield* bed.client()
      const { revision } = yield* client.put(`${prefix}0`, "")
      const names = Array.from({ length: 100 }, (_, at) => String(at + 1))
      const reading = yield* client.watch({ prefix }, { from: revision + 1 }).pipe(
        Stream.flatMap(({ events }) => Stream.fromIterable(events)),
        Stream.mapEffect((event) => Effect.as(Effect.yieldNow, event)),
        Stream.take(names.length),
        Stream.runCollect,
        Effect.forkScoped
      )
      for (const name of names) yield* client.put(`${prefix}a`, name)
      const events = yield* Fiber.join(reading)
      assert.deepStrictEqual(brief(events, prefix), names.map((name) => `put a ${name}`))
    })]
]

const others: ReadonlyArray<Case> = [
  ["the status says what it is", (bed) =>
    Effect.gen(function* () {
      const client = yield* bed.client()
      const { revision } = yield* client.range({ key: "x" })
      const status = yield* client.status
      assert.match(status.version, /^3\.\d+\.\d+/)
      assert.strictEqual(status.revision, revision)
      assert.strictEqual(status.leader, status.member)
      assert.isAbove(status.databaseBytes, 0)
    })],
  ["while etcd is away nothing is done, and nothing waits for ever", (bed, prefix) =>
    Effect.gen(function* () {
      const client = yield* bed.client({ retryFor: 0 })
      const patient = yield* bed.client({ retryFor: "1 hour" })
      const seen = yield* watching(client.watch({ prefix }, { from: 1_000_000_000 }))
      yield* client.put(`${prefix}a`, "1")
      const waiting = yield* bed.away(Effect.gen(function* () {
        yield* fails(client.put(`${prefix}a`, "2"), "Unreachable")
        yield* fails(client.txn({ then: [{ put: `${prefix}a`, value: "2" }] }), "Unreachable")
        yield* fails(client.get(`${prefix}a`), "Unreachable")
        yield* fails(client.grant(5), "Unreachable")
        return yield* Effect.forkScoped(patient.get(`${prefix}a`), { startImmediately: true })
      }))
      yield* bed.until("it is answered", Effect.sync(() => waiting.pollUnsafe() !== undefined))
      assert.strictEqual(text((yield* Fiber.join(waiting))?.value), "1")
      assert.isUndefined(seen.error())
    })]
]

export const cases: ReadonlyArray<Case> = [...keysAndValues, ...transactions, ...leases, ...watches, ...others]
