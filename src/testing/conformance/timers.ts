/** Messages that processes set for themselves. */
import { Clock, Effect } from "effect"
import { check, equal, eventually, eventuallyEqual, failure } from "./check.ts"
import type { ConformanceCase } from "./Harness.ts"
import { ask, crash, foundOn, group, Probe, probe, probes, type ProbesClient, type Stage } from "./probes.ts"

const define = group("timers")

const Timed = probes("Timed", { restartLimit: { max: 10, within: "1 minute" } })
/** Stays where it is sent. */
const Sent = probes("TimedSent", { redistribution: "passive" })

/** Later than any case runs. */
const NEVER_MS = 3_600_000

/** What a process has heard, wherever it ran. */
const heard = (stage: Stage, name: string): ReadonlyArray<string> => stage.diary.details("heard", name)

const hears = (stage: Stage, name: string, what: string, times = 1): Effect.Effect<void, unknown> => {
  const all = (): ReadonlyArray<string> => heard(stage, name)
  return Effect.catch(
    eventually(Effect.sync(() => all().filter((one) => one === what).length >= times), `"${name}" hears "${what}"`),
    ({ message }) => failure(`${message} ${times} times; so far ${all().length}: ${all().slice(0, 10).join(", ")}`)
  )
}

const register = (client: ProbesClient, name: string, idleTimeout?: number) =>
  client.register(name, Probe, { start: 0 }, idleTimeout === undefined ? {} : { idleTimeout })

export const cases: ReadonlyArray<ConformanceCase> = [
  define(
    2,
    "after, at and every send typed messages, once or again and again; cancel ends them",
    ([a, b], stage) =>
      Effect.gen(function* () {
        const [onA, onB] = yield* stage.hostAll([a, b], Timed)
        yield* register(onA, "timed@b")
        const timed = onB.client(Probe, "timed@b")
        const now = yield* Clock.currentTimeMillis
        yield* timed.After({ id: "after", millis: 20, what: "after" })
        yield* timed.At({ id: "at", atMs: now + 30, what: "at" })
        yield* timed.At({ id: "past", atMs: now - 60_000, what: "past" })
        yield* timed.Every({ id: "every", millis: 15, what: "every" })
        yield* timed.After({ id: "never", millis: NEVER_MS, what: "never" })
        yield* hears(stage, "timed@b", "every", 4)
        for (const what of ["after", "at", "past"]) yield* hears(stage, "timed@b", what)
        yield* timed.Cancel({ id: "every" })
        yield* timed.Cancel({ id: "every" })
        yield* timed.Cancel({ id: "never" })
        const before = heard(stage, "timed@b").length
        // a timer set later fires after whatever was due still
        yield* timed.After({ id: "last", millis: 60, what: "last" })
        yield* hears(stage, "timed@b", "last")
        const all = heard(stage, "timed@b")
        yield* equal(all.slice(before), ["last"], "heard after they were cancelled")
        for (const once of ["after", "at", "past"]) {
          yield* equal(all.filter((what) => what === once).length, 1, `how often "${once}" was heard`)
        }
        yield* equal(yield* timed.Heard(), all, "what its state has")
      })
  ),

  define(
    1,
    "two timers with one id are one, the tag is the id where none is given",
    ([a], stage) =>
      Effect.gen(function* () {
        const [client] = yield* stage.hostAll([a], Timed)
        yield* register(client, "one")
        const one = client.client(Probe, "one")
        yield* one.After({ id: "same", millis: NEVER_MS, what: "never" })
        yield* one.After({ id: "same", millis: 10, what: "second" })
        yield* hears(stage, "one", "second")
        yield* one.Soon({ millis: NEVER_MS, what: "never" })
        yield* one.After({ id: "Hear", millis: 10, what: "by its tag" })
        yield* hears(stage, "one", "by its tag")
        yield* one.Every({ id: "turns", millis: 10, what: "every" })
        yield* hears(stage, "one", "every")
        yield* one.After({ id: "turns", millis: 10, what: "no longer" })
        yield* hears(stage, "one", "no longer")
        const count = heard(stage, "one").length
        yield* one.After({ id: "last", millis: 50, what: "last" })
        yield* hears(stage, "one", "last")
        yield* equal(heard(stage, "one").slice(count), ["last"], "what was heard since")
      })
  ),

  define(
    2,
    "a process has 64 timers at most; one more is a defect of what sets it",
    ([a, b], stage) =>
      Effect.gen(function* () {
        const [onA, onB] = yield* stage.hostAll([a, b], Timed)
        for (const [name, client] of [["full@a", onA], ["full@b", onB]] as const) {
          yield* register(onA, name)
          const full = client.client(Probe, name, { timeout: "20 seconds" })
          yield* full.Fill({ count: 64 })
          // the same ones again are no more
          yield* full.Fill({ count: 64 })
          const error = yield* Effect.flip(full.After({ id: "one more", millis: 10, what: "one more" }))
          yield* equal(error.reason, "Crashed", "one more")
          yield* check(error.detail.includes("64"), `why: ${error.detail}`)
          yield* stage.diary.until("serves", name, 2)
          // they outlive the crash: a cancelled one makes room
          yield* full.Cancel({ id: "7" })
          yield* full.After({ id: "instead", millis: 10, what: "instead" })
          yield* hears(stage, name, "instead")
          yield* equal(heard(stage, name), ["instead"], "heard")
        }
      })
  ),

  define(2, "timers stay through a crash, on any node", ([a, b], stage) =>
    Effect.gen(function* () {
      const clients = yield* stage.hostAll([a, b], Timed)
      for (const [i, name] of ["crashing@a", "crashing@b"].entries()) {
        yield* register(clients[0], name)
        const crashing = clients[i]!.client(Probe, name)
        yield* crashing.Every({ id: "every", millis: 15, what: "every" })
        yield* crashing.After({ id: "later", millis: 300, what: "later" })
        yield* hears(stage, name, "every")
        yield* crash(clients[i]!, name)
        yield* stage.diary.until("serves", name, 2)
        const before = heard(stage, name).length
        yield* hears(stage, name, "every", before + 2)
        yield* hears(stage, name, "later")
        yield* equal(heard(stage, name).filter((what) => what === "later").length, 1, "how often")
      }
    })),

  define(2, "timers go along with a move, and fire on the new node alone", ([a, b], stage) =>
    Effect.gen(function* () {
      const [onA] = yield* stage.hostAll([a, b], Sent)
      yield* register(onA, "moving@a")
      const moving = onA.client(Probe, "moving@a", { timeout: "20 seconds" })
      yield* moving.Every({ id: "every", millis: 15, what: "every" })
      yield* moving.After({ id: "later", millis: 200, what: "later" })
      yield* hears(stage, "moving@a", "every")
      yield* a.handoff.move("conformance/TimedSent", "moving@a", "b")
      const from = stage.diary.lines.length
      yield* hears(stage, "moving@a", "later")
      yield* hears(stage, "moving@a", "every", heard(stage, "moving@a").length + 3)
      const since = stage.diary.lines.slice(from).filter(({ what }) => what === "heard")
      yield* check(since.every(({ node }) => node === "b"), "what is heard since the move is heard on b")
      const all = yield* moving.Heard()
      yield* equal(all.filter((what) => what === "later").length, 1, "how often the one-time timer was heard")
    }), { needs: ["reliable"] }),

  define(3, "timers start again on another node, when theirs is killed", ([a, b, c], stage) =>
    Effect.gen(function* () {
      const [onA, onB, onC] = yield* stage.hostAll([a, b, c], Timed)
      yield* register(onA, "lost@c,b")
      const lost = onC.client(Probe, "lost@c,b")
      yield* lost.After({ id: "later", millis: 200, what: "later" })
      yield* lost.Every({ id: "every", millis: 15, what: "every" })
      yield* hears(stage, "lost@c,b", "every")
      // a change of a timer is told like any change of a name: who sees the later one has seen those before
      yield* onC.setMetadata("lost@c,b", "seen")
      for (const client of [onA, onB]) {
        yield* eventually(
          Effect.map(client.entry("lost@c,b"), (entry) => entry._tag === "Some" && entry.value.metadata === "seen"),
          "its claim is known"
        )
      }
      yield* c.kill
      yield* foundOn([onA, onB], "lost@c,b", "b")
      yield* eventually(
        Effect.sync(() => stage.diary.lines.some((line) => line.node === "b" && line.detail === "every")),
        "the repeated timer fires on b"
      )
      yield* hears(stage, "lost@c,b", "later")
    }), { needs: ["kill"] }),

  define(2, "a timer wakes a passive process", ([a, b], stage) =>
    Effect.gen(function* () {
      const clients = yield* stage.hostAll([a, b], Timed)
      for (const [i, name] of ["sleeping@a", "sleeping@b"].entries()) {
        yield* register(clients[0], name, 50)
        const sleeping = clients[i]!.client(Probe, name)
        yield* sleeping.Add({ by: 3 })
        yield* sleeping.After({ id: "wake", millis: 600, what: "wake" })
        yield* stage.diary.until("released", name, 1)
        yield* hears(stage, name, "wake")
        yield* check(stage.diary.count("acquired", name) >= 2, "it was started again")
        yield* equal(yield* ask(stage, probe(stage, clients[0], name).Get()), 3, "its state")
      }
    })),

  define(
    2,
    "timers end with the name: whoever has it next hears nothing of them",
    ([a, b], stage) =>
      Effect.gen(function* () {
        const [onA, onB] = yield* stage.hostAll([a, b], Timed)
        yield* register(onA, "ending@b")
        const ending = onB.client(Probe, "ending@b")
        yield* ending.Every({ id: "every", millis: 15, what: "every" })
        yield* hears(stage, "ending@b", "every")
        yield* onA.unregister("ending@b")
        yield* foundOn([onA, onB], "ending@b", undefined)
        yield* register(onA, "ending@b")
        yield* foundOn([onB], "ending@b", "b")
        yield* ending.After({ id: "last", millis: 100, what: "last" })
        yield* hears(stage, "ending@b", "last")
        yield* eventuallyEqual(ending.Heard(), ["last"], "what the new one has heard")
      })
  )
]
