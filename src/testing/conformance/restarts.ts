/** Crashes: what is started again, with what, and what is given up. */
import { Effect, Fiber, Ref, Stream } from "effect"
import type { SupervisorEvent } from "../../Supervisor.ts"
import { check, equal, eventually, eventuallyEqual, fails, show } from "./check.ts"
import { group, memberNames, seenBy, type TestNode, whereis } from "./cluster.ts"
import type { ConformanceCase } from "./Harness.ts"
import { Counter, Limited, Permanent, Temporary, type WorkersClient } from "./sworms.ts"

const define = group("restarts")

type AnyCounter = typeof Counter | typeof Permanent | typeof Temporary | typeof Limited

const crash = (workers: WorkersClient, type: AnyCounter, name: string) =>
  fails(
    workers.client(type as typeof Counter, name).Crash(),
    { _tag: "CallError", reason: "Crashed" },
    `the call that crashes "${name}"`
  )

/** Collects a node's supervisor events from now on. */
const collect = (node: TestNode) =>
  Effect.gen(function* () {
    const seen = yield* Ref.make<ReadonlyArray<SupervisorEvent>>([])
    yield* Effect.forkScoped(
      Stream.runForEach(node.supervisor.events, (event) => Ref.update(seen, (all) => [...all, event])),
      { startImmediately: true }
    )
    return Ref.get(seen)
  })

const isGone = (nodes: ReadonlyArray<TestNode>, name: string) => seenBy(nodes, name, undefined)

/** It runs again: at a higher epoch, with the state from its args. */
const isBack = (node: TestNode, name: string, type: AnyCounter, epoch: number, start: number) =>
  Effect.gen(function* () {
    const client = node.workers.client(type as typeof Counter, name)
    yield* eventually(Effect.map(client.Epoch(), (now) => now > epoch), `"${name}" runs above epoch ${epoch}`)
    yield* equal(yield* client.Get(), start, `the state of "${name}" after its restart`)
    yield* eventually(
      Effect.map(whereis(node, name), (ref) => (ref?.epoch ?? 0) > epoch),
      "its claim has the new epoch"
    )
  })

export const cases: ReadonlyArray<ConformanceCase> = [
  define(
    2,
    "[P91] [D9] a handler's defect is Crashed to its caller; the process is back with its name, groups and args",
    ([a, b]) =>
      Effect.gen(function* () {
        for (const home of ["a", "b"]) {
          const name = `crashing@${home}`
          const ref = yield* a.workers.register(name, Counter, { start: 5 }, { metadata: { team: home } })
          yield* a.workers.join("kept", name)
          yield* a.counter(name).Set({ to: 50 })
          for (const node of [a, b]) {
            const before = (yield* whereis(a, name))?.epoch ?? 0
            yield* crash(node.workers, Counter, name)
            yield* isBack(node, name, Counter, before, 5)
            yield* equal((yield* whereis(node, name))?.node, ref.node, "it stays on its node")
          }
        }
        for (const node of [a, b]) {
          yield* eventuallyEqual(memberNames(node, "kept"), ["crashing@a", "crashing@b"], `the group on ${node.id}`)
        }
      }),
    { needs: ["reliable"] }
  ),

  define(
    1,
    "messages that wait while a process crashes are answered by its next start",
    ([a]) =>
      Effect.gen(function* () {
        yield* a.workers.register("queue", Counter, { start: 1 })
        const client = a.workers.client(Counter, "queue")
        const slow = yield* Effect.forkChild(client.Slow({ millis: 30 }), { startImmediately: true })
        const crashing = yield* Effect.forkChild(Effect.exit(client.Crash()), { startImmediately: true })
        const waiting = yield* Effect.forkChild(
          Effect.forEach([1, 1, 1], (by) => client.Increment({ by }), { concurrency: "unbounded" }),
          { startImmediately: true }
        )
        yield* Fiber.join(slow)
        yield* fails(yield* Fiber.join(crashing), { _tag: "CallError", reason: "Crashed" }, "the one that crashes")
        yield* equal(yield* Fiber.join(waiting), [2, 3, 4], "those that waited")
      })
  ),

  define(
    2,
    "[P94] [P106] [P108] transient: restarted after a crash, ended for good by a normal stop",
    ([a, b]) =>
      Effect.gen(function* () {
        const { epoch } = yield* a.workers.register("transient@b", Counter, { start: 2 })
        yield* crash(a.workers, Counter, "transient@b")
        yield* isBack(a, "transient@b", Counter, epoch, 2)
        yield* a.workers.join("leaving", "transient@b")
        yield* a.counter("transient@b").StopNormally()
        yield* isGone([a, b], "transient@b")
        yield* eventuallyEqual(memberNames(a, "leaving"), [], "the group")
        yield* fails(a.counter("transient@b").Get(), { _tag: "CallError", reason: "NotRegistered" }, "a call after")
      }),
    { needs: ["reliable"] }
  ),

  define(2, "[P108] [D9] permanent: restarted after a crash and after a normal stop", ([a]) =>
    Effect.gen(function* () {
      const { epoch } = yield* a.workers.register("permanent@b", Permanent, { start: 2 })
      yield* crash(a.workers, Permanent, "permanent@b")
      yield* isBack(a, "permanent@b", Permanent, epoch, 2)
      const second = (yield* whereis(a, "permanent@b"))!.epoch
      yield* a.workers.client(Permanent, "permanent@b").Set({ to: 9 })
      yield* a.workers.client(Permanent, "permanent@b").StopNormally()
      yield* isBack(a, "permanent@b", Permanent, second, 2)
    }), { needs: ["reliable"] }),

  define(
    2,
    "[P94] [P106] [P108] temporary: ended for good by a crash and by a normal stop",
    ([a, b]) =>
      Effect.gen(function* () {
        for (const name of ["crashed@a", "crashed@b"]) {
          yield* a.workers.register(name, Temporary, { start: 2 })
          yield* crash(a.workers, Temporary, name)
          yield* isGone([a, b], name)
        }
        yield* a.workers.register("stopped@b", Temporary, { start: 2 })
        yield* a.workers.client(Temporary, "stopped@b").StopNormally()
        yield* isGone([a, b], "stopped@b")
      }),
    { needs: ["reliable"] }
  ),

  define(
    2,
    "[P104] the restart policy given to register wins over the process type's",
    ([a, b]) =>
      Effect.gen(function* () {
        yield* a.workers.register("brief@b", Counter, { start: 0 }, { restart: "temporary" })
        yield* crash(a.workers, Counter, "brief@b")
        yield* isGone([a, b], "brief@b")
        const { epoch } = yield* a.workers.register("lasting@b", Temporary, { start: 3 }, { restart: "permanent" })
        yield* crash(a.workers, Temporary, "lasting@b")
        yield* isBack(a, "lasting@b", Temporary, epoch, 3)
      }),
    { needs: ["reliable"] }
  ),

  define(
    2,
    "[P103] [P108] a process that crashes more often than its limit is given up: the name is free, an event says why",
    ([a, b]) =>
      Effect.gen(function* () {
        for (const home of [a, b]) {
          const name = `limited@${home.id}`
          const events = yield* collect(home)
          let { epoch } = yield* a.workers.register(name, Limited, { start: 0 })
          yield* a.workers.join("limited", name)
          for (let i = 0; i < 2; i++) {
            yield* crash(a.workers, Limited, name)
            yield* isBack(a, name, Limited, epoch, 0)
            epoch = (yield* whereis(a, name))!.epoch
          }
          yield* crash(a.workers, Limited, name)
          yield* isGone([a, b], name)
          yield* eventually(
            Effect.map(events, (all) => all.some((event) => event._tag === "GivenUp" && event.ref.name === name)),
            "a GivenUp event"
          )
          const all = (yield* events).filter((event) => event._tag === "GivenUp" || event._tag === "Crashed")
          yield* equal(all.map(({ _tag }) => _tag), ["Crashed", "Crashed", "Crashed", "GivenUp"], "the events")
          const last = all.at(-1)
          yield* check(last?._tag === "GivenUp" && last.detail.includes("crash on purpose"), `why: ${show(last)}`)
          yield* eventuallyEqual(memberNames(a, "limited"), [], "the group")
          const again = yield* a.workers.register(name, Limited, { start: 1 })
          yield* check(again.epoch > epoch, "the freed name starts above the epochs it had")
        }
      }),
    { needs: ["reliable"] }
  ),

  define(1, "[D10] one process's crashes count for no other, and touch no sibling", ([a]) =>
    Effect.gen(function* () {
      const sibling = yield* a.workers.register("sibling", Limited, { start: 1 })
      yield* a.workers.client(Limited, "sibling").Set({ to: 77 })
      for (let i = 0; i < 3; i++) {
        yield* a.workers.whereisOrRegister("wild", Limited, { start: 0 })
        yield* crash(a.workers, Limited, "wild")
        if (i < 2) yield* eventually(Effect.map(a.workers.client(Limited, "wild").Get(), () => true), "wild is back")
      }
      yield* isGone([a], "wild")
      yield* equal(yield* a.workers.client(Limited, "sibling").Get(), 77, "the sibling's state")
      yield* equal(yield* a.workers.client(Limited, "sibling").Epoch(), sibling.epoch, "the sibling's epoch")
      yield* crash(a.workers, Limited, "sibling")
      yield* isBack(a, "sibling", Limited, sibling.epoch, 1)
    })),

  define(1, "unregister while a process restarts ends it", ([a]) =>
    Effect.gen(function* () {
      for (let i = 0; i < 20; i++) {
        yield* a.workers.register("racing", Counter, { start: 0 })
        const crashing = yield* Effect.forkChild(
          Effect.exit(a.workers.client(Counter, "racing").Crash()),
          { startImmediately: true }
        )
        yield* a.workers.unregister("racing")
        yield* Fiber.join(crashing)
        yield* equal(yield* whereis(a, "racing"), undefined, "whereis")
        yield* equal((yield* a.supervisor.which("conformance/Workers", a.id)).length, 0, "processes")
      }
    }))
]
