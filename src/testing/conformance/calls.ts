/** Messages: who is reached, what comes back, in which order, and what happens when nothing can. */
import { Clock, Effect, Fiber } from "effect"
import { check, equal, eventually, eventuallyEqual, fails, show } from "./check.ts"
import { group, seenBy, whereis } from "./cluster.ts"
import type { ConformanceCase } from "./Harness.ts"
import { Counter, Echo, Journal, Narrow, type WorkersClient } from "./sworms.ts"

const define = group("calls")

/** A message to the process would have to wait now. */
const waitsBehind = (workers: WorkersClient, name: string): Effect.Effect<boolean> =>
  workers.client(Counter, name, { timeout: "50 millis" }).Get().pipe(
    Effect.as(false),
    Effect.catch(({ reason }) => Effect.succeed(reason === "Timeout"))
  )

export const cases: ReadonlyArray<ConformanceCase> = [
  define(3, "[P11] [P20] [P24] [P121] every node calls a process on any node", (nodes) =>
    Effect.gen(function* () {
      for (const home of nodes) {
        const name = `called@${home.id}`
        yield* nodes[0].workers.register(name, Counter, { start: 10 })
        for (const [i, node] of nodes.entries()) {
          yield* equal(yield* node.counter(name).Where(), home.id, `"${name}" called from ${node.id}`)
          yield* equal(yield* node.counter(name).Set({ to: i }), i, "the answer to Set")
          yield* equal(yield* node.counter(name).Get(), i, "the answer to Get")
        }
      }
    })),

  define(
    3,
    "[P14] [P27] a call works on every node as soon as register has answered on one",
    (nodes) =>
      Effect.gen(function* () {
        for (let i = 0; i < 30; i++) {
          const name = `fresh-${i}@${nodes[i % 3]!.id}`
          yield* nodes[(i + 1) % 3]!.workers.register(name, Counter, { start: i })
          for (const node of nodes) yield* equal(yield* node.counter(name).Get(), i, `"${name}" from ${node.id}`)
        }
      })
  ),

  define(2, "a process without args or state answers", ([a, b]) =>
    Effect.gen(function* () {
      for (const home of ["a", "b"]) {
        yield* b.workers.register(`echo@${home}`, Echo, {})
        const text = "größe 🙂 \u0000 end"
        yield* equal(yield* a.workers.client(Echo, `echo@${home}`, { timeout: "15 seconds" }).Say({ text }), text, home)
      }
    }), { needs: ["reliable"] }),

  define(
    2,
    "[P124] an error that the protocol declares comes back as itself, from both sides",
    ([a, b]) =>
      Effect.gen(function* () {
        yield* a.workers.register("refusing@b", Counter, { start: 0 })
        for (const node of [a, b]) {
          yield* fails(node.counter("refusing@b").Refuse({ code: 42 }), { _tag: "Refused", code: 42 }, node.id)
        }
        yield* equal(yield* a.counter("refusing@b").Epoch(), (yield* whereis(b, "refusing@b"))!.epoch, "it goes on")
      })
  ),

  define(
    3,
    "[P28] a call to an unknown name fails with NotRegistered, and a cast answers false",
    (nodes) =>
      Effect.gen(function* () {
        for (const node of nodes) {
          yield* fails(
            node.counter("nobody").Get(),
            { _tag: "CallError", reason: "NotRegistered", name: "nobody" },
            node.id
          )
          yield* equal(yield* node.workers.cast(Counter, "nobody", "Increment", { by: 1 }), false, `cast on ${node.id}`)
        }
      })
  ),

  define(
    2,
    "[P126] a payload that does not fit its schema is an Encoding error, and the process goes on",
    ([a, b]) =>
      Effect.gen(function* () {
        yield* a.workers.register("strict@b", Counter, { start: 4 })
        for (const node of [a, b]) {
          const counter = node.workers.client(Counter, "strict@b")
          yield* fails(
            counter.Increment({ by: 0.5 }),
            { _tag: "CallError", reason: "Encoding" },
            `a call from ${node.id}`
          )
          yield* fails(
            node.workers.cast(Counter, "strict@b", "Increment", { by: Number.NaN }),
            { _tag: "CallError", reason: "Encoding" },
            `a cast from ${node.id}`
          )
          yield* equal(yield* node.counter("strict@b").Get(), 4, "the state")
        }
      })
  ),

  define(
    2,
    "[P126] a message that the process type does not have is an UnknownMessage",
    ([a, b]) =>
      Effect.gen(function* () {
        yield* a.workers.register("counter@b", Counter, { start: 0 })
        const call = a.workers.call as unknown as (
          type: typeof Counter,
          name: string,
          tag: string,
          payload: unknown
        ) => Effect.Effect<unknown, unknown>
        yield* fails(
          call(Counter, "counter@b", "Nothing", {}),
          { _tag: "CallError", reason: "UnknownMessage" },
          "a call"
        )
        for (const node of [a, b]) {
          const echo = node.workers.client(Echo, "counter@b")
          yield* fails(
            echo.Say({ text: "are you an Echo?" }),
            { _tag: "CallError", reason: "UnknownMessage" },
            `a message of another process type, from ${node.id}`
          )
          yield* equal(yield* node.counter("counter@b").Get(), 0, "it goes on")
        }
      }),
    { needs: ["reliable"] }
  ),

  define(
    2,
    "[P124] [D4] a call past its deadline is a Timeout, and its handler is interrupted",
    ([a, b]) =>
      Effect.gen(function* () {
        for (const home of ["a", "b"]) {
          const name = `slow@${home}`
          yield* a.workers.register(name, Counter, { start: 0 })
          for (const [i, node] of [a, b].entries()) {
            const impatient = node.workers.client(Counter, name, { timeout: "100 millis" })
            const before = yield* Clock.currentTimeMillis
            yield* fails(
              impatient.Slow({ millis: 30_000 }),
              { _tag: "CallError", reason: "Timeout" },
              `${name}, ${node.id}`
            )
            yield* check((yield* Clock.currentTimeMillis) - before < 5000, "the deadline is kept")
            yield* equal(yield* node.counter(name).Interrupted(), i + 1, `interrupted handlers of ${name}`)
          }
        }
      }),
    { needs: ["reliable"] }
  ),

  define(
    2,
    "[P122] [P127] an interrupted caller interrupts the handler, and a waiting message is dropped",
    ([a, b]) =>
      Effect.gen(function* () {
        for (const home of ["a", "b"]) {
          const name = `interrupted@${home}`
          yield* a.workers.register(name, Counter, { start: 0 })
          for (const [i, node] of [a, b].entries()) {
            const client = node.workers.client(Counter, name, { timeout: "30 seconds" })
            const running = yield* Effect.forkChild(client.Slow({ millis: 30_000 }), { startImmediately: true })
            const waiting = yield* Effect.forkChild(client.Increment({ by: 100 }), { startImmediately: true })
            yield* eventually(waitsBehind(node.workers, name), `"${name}" is busy`)
            yield* Fiber.interrupt(waiting)
            yield* Fiber.interrupt(running)
            yield* equal(yield* client.Interrupted(), i + 1, `interrupted handlers of ${name}, called from ${node.id}`)
            yield* equal(yield* client.Get(), 0, "what was no longer waited for")
          }
        }
      }),
    { needs: ["reliable"] }
  ),

  define(
    2,
    "[P125] messages beyond the mailbox's capacity fail with MailboxFull, the others are answered",
    ([a, b]) =>
      Effect.gen(function* () {
        for (const home of ["a", "b"]) {
          const name = `narrow@${home}`
          yield* a.workers.register(name, Narrow, { start: 0 })
          for (const node of [a, b]) {
            const client = node.workers.client(Narrow, name, { timeout: "20 seconds" })
            const busy = yield* Effect.forkChild(client.Slow({ millis: 300 }), { startImmediately: true })
            const before = yield* client.Get().pipe(Effect.timeoutOption("20 millis"))
            yield* check(before._tag === "None", "the process is busy")
            const exits = yield* Effect.forEach(
              Array.from({ length: 10 }, () => client.Increment({ by: 1 })),
              Effect.exit,
              { concurrency: "unbounded" }
            )
            const answered = exits.filter((exit) => exit._tag === "Success").length
            yield* equal(
              answered,
              2,
              `answered of 10 with room for 2 (${home} from ${node.id}): ${show(exits.map(show))}`
            )
            for (const exit of exits) {
              if (exit._tag === "Failure") {
                yield* fails(exit, { _tag: "CallError", reason: "MailboxFull" }, "the others")
              }
            }
            yield* Fiber.join(busy)
          }
          yield* equal(yield* a.workers.client(Narrow, name).Get(), 4, "what was counted")
        }
      }),
    { needs: ["reliable"] }
  ),

  define(2, "[D5] a process that calls itself gets Reentrant", ([a]) =>
    Effect.gen(function* () {
      for (const home of ["a", "b"]) {
        const name = `self@${home}`
        yield* a.workers.register(name, Counter, { start: 0 })
        const client = a.workers.client(Counter, name, { timeout: "20 seconds" })
        yield* equal(yield* client.Visit({ path: [name] }), "Reentrant", `a call of "${name}" to itself`)
        yield* equal(yield* client.Get(), 0, "it goes on")
      }
    }), { needs: ["reliable"] }),

  define(
    2,
    "[D4] [D5] a circle of calls ends in a typed error, on one node and across nodes",
    ([a]) =>
      Effect.gen(function* () {
        for (const [one, two] of [["x@a", "y@a"], ["u@a", "v@b"], ["p@b", "q@b"]] as const) {
          for (const name of [one, two]) yield* a.workers.register(name, Counter, { start: 0 })
          const first = a.workers.client(Counter, one, { timeout: "20 seconds" })
          const answer = yield* first.Visit({ path: [two, one] })
          yield* check(answer === "Reentrant" || answer === "Timeout", `the circle ${one}, ${two} answered "${answer}"`)
          for (const name of [one, two]) yield* equal(yield* a.counter(name).Get(), 0, `"${name}" goes on`)
        }
      }),
    { needs: ["reliable"] }
  ),

  define(2, "a path of calls over several processes and nodes answers", ([a]) =>
    Effect.gen(function* () {
      const path = ["p1@a", "p2@b", "p3@a", "p4@b"]
      for (const name of path) yield* a.workers.register(name, Counter, { start: 0 })
      const first = a.workers.client(Counter, "p1@a", { timeout: "20 seconds" })
      yield* equal(yield* first.Visit({ path: path.slice(1) }), "end", "the path")
    }), { needs: ["reliable"] }),

  define(1, "a chain of 2,000 processes, each calling the next, does not overflow", ([a]) =>
    Effect.gen(function* () {
      yield* Effect.forEach(
        Array.from({ length: 2000 }, (_, i) => i),
        (i) => a.workers.register(`chain-${i}`, Counter, { start: 0 }),
        { concurrency: 100, discard: true }
      )
      const last = a.workers.client(Counter, "chain-1999", { timeout: "30 seconds" })
      yield* equal(yield* last.Chain({ prefix: "chain-", left: 1999 }), 2000, "called")
    })),

  define(
    2,
    "[P24] casts of one sender to one process arrive in order, each once",
    ([a, b], cluster) =>
      Effect.gen(function* () {
        for (const home of ["a", "b"]) {
          const name = `journal@${home}`
          yield* a.workers.register(name, Journal, {})
          yield* seenBy([b], name, yield* whereis(a, name))
          yield* a.workers.cast(Journal, name, "Pause", { millis: 30 })
          const lines = (node: string) => Array.from({ length: 300 }, (_, i) => `${node}${i}`)
          yield* Effect.forEach([a, b], (node) =>
            Effect.forEach(lines(node.id), (line) =>
              node.workers.cast(Journal, name, "Write", { line }), {
              discard: true
            }), { concurrency: "unbounded", discard: true })
          for (const node of [a, b]) {
            const sent = lines(node.id)
            const mine = Effect.map(
              cluster.repeat(node.workers.client(Journal, name, { timeout: "2 seconds" }).Read()),
              (all) =>
                all.filter((line) =>
                  line.startsWith(node.id)
                )
            )
            if (cluster.reliable) {
              yield* eventuallyEqual(mine, sent, `what ${name} has of ${node.id}`)
            } else {
              const seen = yield* mine
              yield* equal(
                seen,
                sent.filter((line) => seen.includes(line)),
                `what ${name} has of ${node.id}, in order`
              )
            }
          }
        }
      })
  ),

  define(2, "handlers of one process run one at a time", ([a, b]) =>
    Effect.gen(function* () {
      yield* a.workers.register("one@b", Counter, { start: 0 })
      const before = yield* Clock.currentTimeMillis
      yield* Effect.forEach([a, b, a, b, a], (node) => node.counter("one@b").Slow({ millis: 40 }), {
        concurrency: "unbounded",
        discard: true
      })
      const took = (yield* Clock.currentTimeMillis) - before
      yield* check(took >= 190, `5 messages of 40 ms each took ${took} ms`)
    }), { needs: ["reliable"] }),

  define(2, "[P2] [D5] a handler may join a group and register", ([a, b]) =>
    Effect.gen(function* () {
      for (const home of ["a", "b"]) {
        const name = `active@${home}`
        yield* a.workers.register(name, Counter, { start: 0 })
        const client = b.workers.client(Counter, name, { timeout: "20 seconds" })
        yield* client.JoinFromHandler({ group: home })
        yield* eventually(Effect.map(b.workers.members(home), (refs) => refs.length === 1), "the group has it")
        const epoch = yield* client.RegisterFromHandler({ name: `child-${home}@a` })
        yield* equal((yield* whereis(a, `child-${home}@a`))?.epoch, epoch, "what it registered")
      }
    }), { needs: ["reliable"] }),

  define(
    2,
    "a process is told its epoch and its fencing token, and they are those of its ref",
    ([a]) =>
      Effect.gen(function* () {
        for (const home of ["a", "b"]) {
          const ref = yield* a.workers.register(`token@${home}`, Counter, { start: 0 })
          const token = yield* a.counter(ref.name).Token()
          const members = yield* a.membership.members
          const boot = members.find(({ id }) => id === home)!.boot
          yield* equal(token, { epoch: ref.epoch, node: home, boot }, "the token")
          yield* equal(yield* a.counter(ref.name).Epoch(), ref.epoch, "the epoch")
        }
      })
  ),

  define(
    2,
    "[P124] a message larger than a frame is a typed error, and both nodes go on",
    ([a, b]) =>
      Effect.gen(function* () {
        yield* a.workers.register("big@b", Echo, {})
        yield* seenBy([b], "big@b", yield* whereis(a, "big@b"))
        const text = "x".repeat(3 * 1024 * 1024)
        const client = a.workers.client(Echo, "big@b", { timeout: "2 seconds" })
        yield* fails(client.Say({ text }), { _tag: "CallError" }, "3 MiB")
        yield* equal(yield* client.Say({ text: "small" }), "small", "a small one after")
        yield* equal(yield* b.workers.client(Echo, "big@b").Say({ text }), text, "3 MiB on the node itself")
      }),
    { needs: ["reliable"] }
  ),

  define(
    2,
    "[P125] 2,000 calls at once from another node are all answered, each once",
    ([a, b]) =>
      Effect.gen(function* () {
        const { client, register } = a.workers
        const counters = yield* Effect.forEach(
          ["many-0@b", "many-1@b", "many-2@b", "many-3@b"],
          (name) => Effect.as(register(name, Counter, { start: 0 }), client(Counter, name, { timeout: "20 seconds" }))
        )
        yield* Effect.forEach(
          Array.from({ length: 2000 }, (_, i) => counters[i % 4]!),
          (counter) => counter.Increment({ by: 1 }),
          { concurrency: 500, discard: true }
        )
        for (let i = 0; i < 4; i++) yield* equal(yield* b.counter(`many-${i}@b`).Get(), 500, `counter ${i}`)
      }),
    { needs: ["reliable"] }
  )
]
