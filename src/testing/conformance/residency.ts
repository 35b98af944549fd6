/** Processes that let go of what they hold while nobody needs them. */
import { Deferred, Effect, Fiber } from "effect"
import { check, equal, eventually, eventuallyEqual } from "./check.ts"
import type { ConformanceCase } from "./Harness.ts"
import { ask, crash, foundOn, group, Probe, probe, probes, type ProbesClient } from "./probes.ts"

const define = group("residency")

const Idle = probes("Idle", { idleTimeout: "60 millis" })
const Lasting = probes("Lasting")
const Few = probes("Few", { maxResident: 3 })

const statusOn = (client: ProbesClient, node: string, name: string) =>
  Effect.map(client.which(node), (all) => all.find(({ ref }) => ref.name === name)?.status)

const becomesPassive = (client: ProbesClient, node: string, name: string) =>
  eventually(Effect.map(statusOn(client, node, name), (status) => status === "passive"), `"${name}" is passive`)

export const cases: ReadonlyArray<ConformanceCase> = [
  define(
    2,
    "an idle process releases what it holds, and keeps name and state; a call wakes it, and init is told",
    ([a, b], stage) =>
      Effect.gen(function* () {
        const clients = yield* stage.hostAll([a, b], Idle)
        for (const [i, name] of ["idle@a", "idle@b"].entries()) {
          const home = clients[i]!
          const ref = yield* clients[0].register(name, Probe, { start: 1 })
          yield* home.join("sleepers", name)
          yield* home.client(Probe, name).Add({ by: 10 })
          for (let round = 1; round <= 3; round++) {
            yield* becomesPassive(home, ref.node, name)
            yield* stage.diary.until("released", name, round)
            for (const client of clients) yield* foundOn([client], name, ref.node)
            // woken from its own node and from the other
            const other = clients[(i + round) % 2]!
            yield* equal(yield* ask(stage, probe(stage, other, name).Get()), 11, "its state")
            yield* check(stage.diary.count("acquired", name) > round, "it was started again")
          }
          // it may have been passive before it was called for the first time
          const [first, ...later] = stage.diary.details("acquired", name)
          yield* equal(first, "", "what init was told at first")
          yield* check(later.every((told) => told.startsWith("handoff")) && later.includes("handoff 11"), "and later")
          yield* check(stage.diary.details("stopping", name).every((reason) => reason === "Idle"), "why it stopped")
          yield* equal((yield* home.whereis(name))._tag, "Some", "its name")
          yield* equal(yield* home.client(Probe, name).Epoch(), ref.epoch, "its epoch")
        }
        yield* eventuallyEqual(Effect.map(clients[1].members("sleepers"), (refs) => refs.length), 2, "the group")
      })
  ),

  define(1, "[P108] the idle timeout given to register wins over the sworm's", ([a], stage) =>
    Effect.gen(function* () {
      const [lasting] = yield* stage.hostAll([a], Lasting)
      const [idle] = yield* stage.hostAll([a], Idle)
      yield* lasting.register("brief", Probe, { start: 0 }, { idleTimeout: "50 millis" })
      yield* idle.register("long", Probe, { start: 0 }, { idleTimeout: "1 hour" })
      yield* idle.register("short", Probe, { start: 0 })
      yield* becomesPassive(lasting, "a", "brief")
      yield* becomesPassive(idle, "a", "short")
      yield* equal(yield* statusOn(idle, "a", "long"), "running", "the one with an hour")
    })),

  define(1, "a process at work is not idle, however long it takes", ([a], stage) =>
    Effect.gen(function* () {
      const gate = yield* Deferred.make<void>()
      const [client] = yield* stage.hostAll([a], Idle, { gate })
      yield* client.register("working", Probe, { start: 2 })
      yield* client.register("idle", Probe, { start: 2 })
      const working = yield* Effect.forkChild(client.client(Probe, "working", { timeout: "30 seconds" }).Wait(), {
        startImmediately: true
      })
      // another one that was idle since the same time is passive by now, and once more
      yield* becomesPassive(client, "a", "idle")
      yield* client.client(Probe, "idle").Add({ by: 1 })
      yield* becomesPassive(client, "a", "idle")
      yield* equal(yield* statusOn(client, "a", "working"), "running", "the one at work")
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(working)
      yield* becomesPassive(client, "a", "working")
    })),

  define(1, "what it held is released before init asks for it again", ([a], stage) =>
    Effect.gen(function* () {
      const opened = yield* Deferred.make<void>()
      const release = () => Deferred.await(opened)
      const [client] = yield* stage.hostAll([a], Idle, { release })
      yield* client.register("slow", Probe, { start: 4 }, { shutdownTimeout: "infinite" })
      yield* stage.diary.until("stopped", "slow", 1)
      const call = yield* Effect.forkChild(client.client(Probe, "slow", { timeout: "30 seconds" }).Get(), {
        startImmediately: true
      })
      yield* equal(stage.diary.count("acquired", "slow"), 1, "starts before the release")
      yield* Deferred.succeed(opened, undefined)
      yield* equal(yield* Fiber.join(call), 4, "its state")
      const [, ...rest] = stage.diary.of("slow").filter((line) => !line.startsWith("stop"))
      yield* equal(rest.slice(0, 3), ["serves@a", "released@a", "acquired@a"], "the order")
    })),

  define(
    3,
    "a passive process moves with its state, and is passive there",
    ([a, b, c], stage) =>
      Effect.gen(function* () {
        const [onA, onB, onC] = yield* stage.hostAll([a, b, c], Idle)
        yield* onA.register("moved@c,b", Probe, { start: 1 })
        yield* onC.client(Probe, "moved@c,b").Add({ by: 20 })
        yield* becomesPassive(onC, "c", "moved@c,b")
        yield* c.stop
        yield* foundOn([onA, onB], "moved@c,b", "b")
        yield* equal(yield* ask(stage, probe(stage, onA, "moved@c,b").Get()), 21, "its state")
        yield* equal(yield* ask(stage, probe(stage, onA, "moved@c,b").Where()), "b", "where it is")
        yield* becomesPassive(onB, "b", "moved@c,b")
      }),
    { needs: ["reliable"] }
  ),

  define(
    3,
    "a passive process whose node is killed runs again elsewhere, from its args",
    ([a, b, c], stage) =>
      Effect.gen(function* () {
        const [onA, onB, onC] = yield* stage.hostAll([a, b, c], Idle)
        yield* onA.register("lost@c,b", Probe, { start: 1 })
        yield* onC.client(Probe, "lost@c,b").Add({ by: 20 })
        yield* becomesPassive(onC, "c", "lost@c,b")
        yield* foundOn([onA, onB], "lost@c,b", "c")
        yield* c.kill
        yield* foundOn([onA, onB], "lost@c,b", "b")
        yield* equal(yield* ask(stage, probe(stage, onA, "lost@c,b").Get()), 1, "its state")
      }),
    { needs: ["kill"] }
  ),

  define(
    1,
    "a process whose init fails when it is woken is started again, with its state",
    ([a], stage) =>
      Effect.gen(function* () {
        let failures = 0
        const init = () => Effect.suspend(() => failures-- > 0 ? Effect.die("not now") : Effect.void)
        const [client] = yield* stage.hostAll([a], Idle, { init })
        yield* client.register("waking", Probe, { start: 3 })
        yield* client.client(Probe, "waking").Add({ by: 1 })
        yield* becomesPassive(client, "a", "waking")
        const before = stage.diary.count("acquired", "waking")
        failures = 2
        yield* equal(yield* client.client(Probe, "waking").Get(), 4, "its state")
        yield* equal(stage.diary.count("acquired", "waking"), before + 3, "starts")
        // a crash is another matter: it starts from its args
        yield* crash(client, "waking")
        yield* eventually(Effect.map(client.client(Probe, "waking").Get(), (n) => n === 3), "it is back")
      })
  ),

  define(
    2,
    "with more processes than maxResident the least recently used ones become passive, and come back when called",
    ([a, b], stage) =>
      Effect.gen(function* () {
        const [onA, onB] = yield* stage.hostAll([a, b], Few)
        const names = Array.from({ length: 6 }, (_, i) => `p${i}@b`)
        for (const name of names) {
          yield* onA.register(name, Probe, { start: 0 })
          yield* onB.client(Probe, name).Add({ by: 7 })
        }
        const passive = Effect.map(onB.which("b"), (all) =>
          all.filter(({ status }) => status === "passive").map(({ ref }) => ref.name))
        yield* eventuallyEqual(passive, names.slice(0, 3), "those used first are passive")
        yield* equal(yield* onB.client(Probe, "p0@b").Get(), 7, "the state of one that is woken")
        yield* eventuallyEqual(passive, ["p1@b", "p2@b", "p3@b"], "another makes room for it")
        for (const name of names) {
          yield* foundOn([onA, onB], name, "b")
        }
        yield* equal((yield* onA.registered).length, 6, "names")
      })
  )
]
