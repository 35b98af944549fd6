/** Answers that are streams: whole, in order, as fast as their reader, and over when either side is. */
import { Deferred, Effect, Fiber, Option, Stream } from "effect"
import { check, equal, eventually, eventuallyEqual, fails } from "./check.ts"
import type { TestNode } from "./cluster.ts"
import type { ConformanceCase } from "./Harness.ts"
import { groupHosting } from "./hosting.ts"
import { Source, Sources, sourcesLayer } from "./sources.ts"

const { define, on } = groupHosting("streaming", () => sourcesLayer)

const patient = { timeout: "15 seconds" } as const

const sourceOn = (node: TestNode, name: string) => on(node, Sources).client(Source, name, patient)

/** Each source is read by both nodes: by its own, and by the other one. */
const each = (
  [a, b]: ReadonlyArray<TestNode>,
  body: (reader: TestNode, name: string) => Effect.Effect<void, unknown>
): Effect.Effect<void, unknown> =>
  Effect.gen(function* () {
    for (const home of [a!, b!]) {
      const name = `source@${home.id}`
      yield* on(a!, Sources).register(name, Source, {})
      for (const reader of [a!, b!]) yield* body(reader, name)
    }
  })

/** Reads, and keeps what it has read where the case sees it. */
const reading = <A, E>(stream: Stream.Stream<A, E>) =>
  Effect.gen(function* () {
    const read: Array<A> = []
    const fiber = yield* Effect.forkChild(
      Effect.exit(Stream.runForEach(stream, (one) => Effect.sync(() => void read.push(one)))),
      { startImmediately: true }
    )
    return { read, fiber }
  })

export const cases: ReadonlyArray<ConformanceCase> = [
  define(
    2,
    "a streamed answer arrives whole and in order, from a process here and elsewhere",
    (nodes) =>
      each(nodes, (reader, name) =>
        Effect.gen(function* () {
          for (const to of [1, 10, 20_000]) {
            const read = yield* Stream.runCollect(sourceOn(reader, name).Count({ to }))
            yield* equal(read.length, to, `elements of "${name}" on ${reader.id}`)
            yield* check(read.every((one, i) => one === i + 1), "their order")
          }
          const many = Array.from(
            { length: 10 },
            (_, i) => Stream.runCollect(sourceOn(reader, name).Count({ to: i * 100 }))
          )
          const read = yield* Effect.all(many.slice(1), { concurrency: "unbounded" })
          yield* equal(read.map(({ length }) => length), Array.from({ length: 9 }, (_, i) => (i + 1) * 100), "at once")
        }))
  ),

  define(
    2,
    "a reader that is slow holds its stream up, and then gets all of it",
    (nodes) =>
      each(nodes, (reader, name) =>
        Effect.gen(function* () {
          const count = 1500
          const goOn = yield* Deferred.make<void>()
          const source = sourceOn(reader, name)
          const before = (yield* source.Tally()).produced
          const read: Array<string> = []
          const slow = Stream.runForEach(source.Pages({ count, size: 8192 }), (page) => {
            read.push(page)
            return read.length === 1 ? Deferred.await(goOn) : Effect.void
          })
          const fiber = yield* Effect.forkChild(slow, { startImmediately: true })
          yield* eventually(Effect.sync(() => read.length === 1), "the first page")
          // time for more, were it not held up: each of these calls goes there and back
          for (let i = 0; i < 200; i++) yield* source.Tally()
          const produced = (yield* source.Tally()).produced - before
          yield* check(produced < count / 3, `${produced} of ${count} pages were made for a reader that has taken one`)
          yield* Deferred.succeed(goOn, undefined)
          yield* Fiber.join(fiber)
          yield* equal(read.length, count, "pages at last")
          yield* check(read.every((page, i) => page.startsWith(`${i}.`)), "their order")
        })),
    { needs: ["reliable"] }
  ),

  define(
    2,
    "a reader that stops early, or is interrupted, ends the stream at its process",
    (nodes) =>
      each(nodes, (reader, name) =>
        Effect.gen(function* () {
          const source = sourceOn(reader, name)
          const { ended } = yield* source.Tally()
          const some = yield* Stream.runCollect(Stream.take(source.Pages({ count: 1_000_000, size: 100 }), 3))
          yield* equal(some.length, 3, "pages that were taken")
          yield* eventuallyEqual(
            Effect.map(source.Tally(), (tally) => tally.ended),
            ended + 1,
            "ended by a reader's stop"
          )
          const { fiber, read } = yield* reading(source.Hang())
          yield* eventually(Effect.sync(() => read.length === 1), "the only element")
          yield* Fiber.interrupt(fiber)
          yield* eventuallyEqual(
            Effect.map(source.Tally(), (tally) => tally.ended),
            ended + 2,
            "ended by an interruption"
          )
          yield* equal((yield* Stream.runCollect(source.Count({ to: 5 }))).length, 5, "it goes on")
        })),
    { needs: ["reliable"] }
  ),

  define(
    2,
    "a stream fails with the error that its message declares, after all that came before",
    (nodes) =>
      each(nodes, (reader, name) =>
        Effect.gen(function* () {
          const { fiber, read } = yield* reading(sourceOn(reader, name).Refuse({ after: 300 }))
          const exit = yield* Fiber.join(fiber)
          yield* fails(exit, { _tag: "Refused", code: 300 }, `"${name}" on ${reader.id}`)
          yield* equal(read.length, 300, "elements before it")
        }))
  ),

  define(
    2,
    "a stream that dies is Crashed to its reader; its process, which it runs beside, goes on",
    (nodes) =>
      each(nodes, (reader, name) =>
        Effect.gen(function* () {
          const source = sourceOn(reader, name)
          const { produced } = yield* source.Tally()
          const { fiber, read } = yield* reading(source.Break({ after: 20 }))
          yield* fails(yield* Fiber.join(fiber), { _tag: "CallError", reason: "Crashed" }, `"${name}" on ${reader.id}`)
          yield* equal(read.length, 20, "elements before it")
          yield* equal((yield* source.Tally()).produced, produced + 20, "the state of the process, kept")
        })),
    { needs: ["reliable"] }
  ),

  define(
    2,
    "the reader of a process that is unregistered, stops or crashes gets a typed error",
    ([a, b]) =>
      Effect.gen(function* () {
        for (const home of ["a", "b"]) {
          const name = `ending@${home}`
          for (const reader of [a, b]) {
            for (const end of ["unregister", "Stop", "Crash"] as const) {
              const { unregister, whereisOrRegister } = on(reader, Sources)
              yield* whereisOrRegister(name, Source, {})
              const source = sourceOn(reader, name)
              const { fiber, read } = yield* reading(source.Hang())
              yield* eventually(Effect.sync(() => read.length === 1), "the first element")
              const ending: Effect.Effect<void, unknown> = end === "unregister" ? unregister(name) : source[end]()
              yield* Effect.exit(ending)
              const exit = yield* Fiber.join(fiber)
              yield* fails(exit, { _tag: "CallError", reason: "Stopped" }, `${end} of "${name}", read on ${reader.id}`)
              yield* Effect.ignore(unregister(name))
              // what another node finds in its copy may be old
              for (const node of [a, b]) {
                yield* eventuallyEqual(on(node, Sources).whereis(name), Option.none(), `"${name}" on ${node.id}`)
              }
            }
          }
        }
      }),
    { needs: ["reliable"] }
  ),

  define(
    2,
    "a stream of nobody, or asked for with what does not fit, fails as a call does",
    (nodes) =>
      each(nodes, (reader, name) =>
        Effect.gen(function* () {
          const nobody = Stream.runDrain(sourceOn(reader, "nobody").Count({ to: 1 }))
          yield* fails(nobody, { _tag: "CallError", reason: "NotRegistered", name: "nobody" }, "of nobody")
          const unfit = Stream.runDrain(sourceOn(reader, name).Count({ to: 0.5 }))
          yield* fails(unfit, { _tag: "CallError", reason: "Encoding" }, "what does not fit")
          const ensured = on(reader, Sources).ensure(Source, `ensured-${reader.id}-${name}`, {}, patient)
          yield* equal((yield* Stream.runCollect(ensured.Count({ to: 3 }))).length, 3, "of one that it starts")
        }))
  ),

  define(
    3,
    "[D4] the reader of a node that dies gets a typed error, and the reader's death ends the stream",
    ([a, b, c]) =>
      Effect.gen(function* () {
        yield* on(a, Sources).register("lost@c", Source, {})
        yield* on(a, Sources).register("kept@a", Source, {})
        const lost = yield* reading(sourceOn(b, "lost@c").Hang())
        const kept = yield* reading(sourceOn(c, "kept@a").Hang())
        yield* eventually(Effect.sync(() => lost.read.length + kept.read.length === 2), "both are read")
        yield* c.kill
        yield* eventually(Effect.sync(() => lost.fiber.pollUnsafe() !== undefined), "the reader is told")
        yield* fails(
          yield* Fiber.join(lost.fiber),
          { _tag: "CallError", reason: "OutcomeUnknown" },
          "the stream of a lost node"
        )
        const ended = Effect.map(sourceOn(a, "kept@a").Tally(), (tally) => tally.ended)
        yield* eventuallyEqual(ended, 1, "the stream that nobody reads any more")
        yield* Fiber.interrupt(kept.fiber)
      }),
    { needs: ["kill", "reliable"] }
  )
]
