// A move on the etcd backend: what etcd keeps of it, for the case that neither of its nodes outlives it.
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Ref, Schema } from "effect"
import { Rpc } from "effect/rpc"
import { Handoff, Process, Sworm } from "@sworm/sworm"
import * as Etcd from "@sworm/sworm/etcd"
import type { Conformance } from "@sworm/sworm/testing"
import { waitUntil } from "../cluster/wait.ts"
import { harnessOn } from "./nodes.ts"

const Note = Process.make("Note", {
  args: {},
  state: Schema.String,
  protocol: [
    Rpc.make("Write", { payload: { text: Schema.String } }),
    Rpc.make("Read", { success: Schema.String })
  ]
})
class Notes extends Sworm.Service<Notes>()("Notes", { processes: [Note], redistribution: "passive" }) {}
const NoteLayer = Notes.toLayer(Note, {
  init: () => Effect.succeed(""),
  handlers: {
    Write: ({ text }, { state }) => Ref.set(state, text),
    Read: (_, { state }) => Ref.get(state)
  }
})

const TIMEOUT_MS = 30_000

const hosting = Effect.fnUntraced(function* (harness: Conformance.Harness, id: string) {
  const node = yield* harness.start({ id, seeds: [] })
  const app = Notes.layer.pipe(Layer.provide(NoteLayer), Layer.provide(Layer.succeedContext(node.services)))
  return { ...node, notes: Context.get(yield* Layer.build(Layer.fresh(app)), Notes) }
})

/** A name that placement gives to a node. */
const registeredOn = Effect.fnUntraced(function* (notes: typeof Notes.Service, node: string) {
  for (let i = 0; i < 100; i++) {
    const ref = yield* notes.register(`note ${i}`, Note, {})
    if (ref.node === node) return ref.name
  }
  return yield* Effect.die(new Error(`none of a hundred names is given to ${node}`))
})

const isStateOf = (operation: Etcd.Operation): boolean => "put" in operation && operation.put.includes("/x/")

describe("a move on etcd", () => {
  it.live(
    "of which neither node is left: the third goes on from the state that etcd keeps",
    () =>
      Effect.gen(function* () {
        const etcd = yield* Etcd.EtcdMemory.make
        let isKept = false
        const harness = yield* harnessOn((name) =>
          Effect.map(etcd.client({ name }), (client): Etcd.EtcdClient =>
            name !== "a" ? client : {
              ...client,
              // what follows upon the state is never heard of: node a is lost just then
              txn: (transaction) =>
                isKept ? Effect.never : Effect.tap(client.txn(transaction), () => {
                  isKept ||= transaction.then?.some(isStateOf) === true
                  return Effect.void
                })
            })
        )
        const [a, b, c] = yield* Effect.all([hosting(harness, "a"), hosting(harness, "b"), hosting(harness, "c")])
        const name = yield* registeredOn(c.notes, "a")
        yield* c.notes.client(Note, name).Write({ text: "what a knew" })
        const handoff = Context.get(a.services, Handoff.Handoff)
        yield* Effect.forkScoped(Effect.exit(handoff.move("Notes", name, "b")))
        yield* waitUntil("etcd keeps its state", Effect.sync(() => isKept))
        yield* Effect.all([a.kill!, b.kill!])
        const read = c.notes.client(Note, name, { timeout: "1 second" }).Read()
        yield* waitUntil("c goes on", Effect.map(Effect.exit(read), ({ _tag }) => _tag === "Success"))
        assert.strictEqual(yield* read, "what a knew")
      }),
    TIMEOUT_MS
  )

  it.live("of a state that etcd would not take fails, and the process goes on", () =>
    Effect.gen(function* () {
      const etcd = yield* Etcd.EtcdMemory.make
      const harness = yield* harnessOn((name) => etcd.client({ name }), { maxKeptBytes: 1000 })
      const [a, b] = yield* Effect.all([hosting(harness, "a"), hosting(harness, "b")])
      const name = yield* registeredOn(b.notes, "a")
      yield* a.notes.client(Note, name).Write({ text: "x".repeat(2000) })
      const error = yield* Effect.flip(Context.get(a.services, Handoff.Handoff).move("Notes", name, "b"))
      assert.strictEqual(error._tag === "HandoffError" ? error.reason : error._tag, "StateTooLarge")
      assert.strictEqual((yield* b.notes.client(Note, name).Read()).length, 2000)
    }), TIMEOUT_MS)

  it.live("that went well leaves no state behind in etcd", () =>
    Effect.gen(function* () {
      const etcd = yield* Etcd.EtcdMemory.make
      const harness = yield* harnessOn((name) => etcd.client({ name }))
      const [a, b] = yield* Effect.all([hosting(harness, "a"), hosting(harness, "b")])
      const client = yield* etcd.client()
      const name = yield* registeredOn(b.notes, "a")
      yield* a.notes.client(Note, name).Write({ text: "moved" })
      yield* Context.get(a.services, Handoff.Handoff).move("Notes", name, "b")
      assert.strictEqual(yield* a.notes.client(Note, name).Read(), "moved")
      const left = Effect.map(client.range({ prefix: "" }), ({ kvs }) => kvs.filter(({ key }) => key.includes("/x/")))
      yield* waitUntil(
        "nothing is left",
        Effect.map(left, (keys) => keys.length === 0)
      )
    }), TIMEOUT_MS)
})
