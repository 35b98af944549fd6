// A node that can't renew its lease stops what it runs before others may take it.
import { assert, describe, it } from "@effect/vitest"
import { Effect, References } from "effect"
import { VirtualNetwork } from "@sworm/sworm/testing"
import { waitUntil } from "../cluster/wait.ts"
import { memoryBed } from "./beds.ts"
import { Record, seed, Writer, Writers, writersOf } from "./fenced.ts"
import { starter } from "./histories.ts"

const NAMES = Array.from({ length: 8 }, (_, at) => `name${at}`)

const write = (name: string) =>
  Effect.flatMap(Writers, (writers) => writers.call(Writer, name, "Write", undefined, { timeout: "1 second" }))

/** Nodes `a` and `b`, and a name that `a` runs. */
const cast = Effect.gen(function* () {
  const bed = yield* memoryBed
  const record = new Record()
  const witness = yield* bed.witness
  yield* seed(witness, "counter/", NAMES)
  const network = yield* VirtualNetwork.make()
  const start = yield* starter(bed, network, writersOf(record, witness, "counter/"), "sworm/")
  const [a, b] = [yield* start("a"), yield* start("b")]
  const name = yield* waitUntil(
    "a name is on a",
    Effect.gen(function* () {
      for (const one of NAMES) {
        const { node } = yield* a.run(Effect.flatMap(Writers, (all) => all.whereisOrRegister(one, Writer, {})))
        if (node === "a") return one
      }
      return undefined
    })
  )
  const first = yield* a.run(write(name))
  return { bed, record, a, b, name, first }
})

const quietly = <A, E>(effect: Effect.Effect<A, E>) => Effect.provideService(effect, References.MinimumLogLevel, "None")

describe("a node that has lost its lease", () => {
  for (const fault of ["silent", "unreachable"] as const) {
    it.live(
      `refuses messages, and its processes have ended before others begin: etcd is ${fault}`,
      () =>
        quietly(Effect.scoped(Effect.gen(function* () {
          const { a, b, bed, first, name, record } = yield* cast
          yield* bed.fault(fault, a.client)
          const isOver = (): boolean =>
            record.copies.some((copy) => copy.op === "stopped" && copy.name === name && copy.epoch === first)
          yield* waitUntil("its process has ended", isOver)
          const handled = record.handled.length
          const refused = yield* Effect.result(a.run(write(name)))
          const taken = record.handled.slice(handled).filter((one) => one.node === "a")
          assert.deepStrictEqual(taken, [], JSON.stringify(refused))
          const second = yield* waitUntil("b runs it", Effect.orElseSucceed(b.run(write(name)), () => undefined))
          assert.isAbove(second, first)
          yield* bed.fault(undefined, a.client)
          yield* waitUntil("a answers again", Effect.orElseSucceed(a.run(write(name)), () => undefined))
          assert.deepStrictEqual(record.findings(), [])
        }))),
      60_000
    )
  }

  it.live("stops also what it is about to register", () =>
    quietly(Effect.scoped(Effect.gen(function* () {
      const { a, b, bed, record } = yield* cast
      // the name is taken, and its claim has still to be written
      yield* bed.fault({ slow: "100 millis" }, a.client)
      const late = NAMES.map((name) => `late ${name}`)
      for (const name of late) {
        yield* Effect.forkScoped(
          Effect.ignore(b.run(Effect.flatMap(Writers, (all) => all.register(name, Writer, {}))))
        )
      }
      const isBegun = (): boolean =>
        record.copies.some(({ node, op, ...copy }) =>
          op === "started" && node === "a" && "name" in copy && late.includes(copy.name)
        )
      yield* waitUntil("one has started on a", isBegun)
      yield* bed.fault("silent", a.client)
      for (const name of late) {
        const registered = b.run(Effect.flatMap(Writers, (all) => all.whereisOrRegister(name, Writer, {})))
        yield* waitUntil(
          `${name} is on b`,
          Effect.map(Effect.orElseSucceed(registered, () => undefined), (ref) => ref?.node === "b")
        )
      }
      assert.deepStrictEqual(record.findings(), [])
    }))), 60_000)
})
