// What a cluster of three operating-system processes does when one of them is killed, told to leave, or frozen. The one it
// happens to is another in the run on each runtime.
import { afterAll, assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { currentRuntimeName, runtimeNames } from "../../scripts/runtimes.ts"
import { seeEachOther, startThree, survivors, type TestNode, waitUntil } from "./harness.ts"
import type { Ref } from "./protocol.ts"

const timeout_ms = 90_000
const START = 100
const TOTAL = 107
const names = Array.from({ length: 60 }, (_, i) => `device-${i}`)

/** A cluster with 60 counters that have counted to 107; one of its nodes is the victim. */
const prepare = Effect.fnUntraced(function* (prefix: string) {
  const nodes = yield* startThree(prefix)
  const [first] = nodes
  const refs = yield* first.ask("register", { names, start: START })
  yield* first.ask("increment", { names, by: TOTAL - START })
  const victim = nodes[runtimeNames.indexOf(currentRuntimeName)]!
  const others = nodes.filter((node) => node !== victim)
  const lost = refs.filter(({ node }) => node === victim.id)
  assert.isAbove(lost.length, 0, "the victim runs some of the processes")
  return { nodes, victim, others, refs, lost }
})

const refsOf = (node: TestNode, of: ReadonlyArray<string>) =>
  Effect.map(node.ask("whereis", { names: of }), (refs) => refs.filter((ref) => ref !== null))

const same = (a: ReadonlyArray<Ref>, b: ReadonlyArray<Ref>): boolean => JSON.stringify(a) === JSON.stringify(b)

/** Waits until these nodes, and no other, have every name, agree on each ref, and each answers where it is said to be. */
const settled = (nodes: ReadonlyArray<TestNode>) =>
  waitUntil(
    `${nodes.map(({ id }) => id).join(" and ")} agree on all names and they answer`,
    Effect.gen(function* () {
      const views = yield* Effect.all(nodes.map((node) => refsOf(node, names)))
      const refs = views[0]!
      if (refs.length < names.length || !views.every((view) => same(view, refs))) return undefined
      if (!refs.every((ref) => nodes.some(({ id }) => id === ref.node))) return undefined
      const answers = yield* Effect.all(nodes.map((node) => node.ask("totals", { names })))
      const asSaid = answers.every((answer) =>
        answer.every((total, index) => typeof total !== "string" && total.node === refs[index]!.node)
      )
      if (!asSaid) return undefined
      return {
        refs,
        totals: answers.map((answer) => answer.map((total) => typeof total === "string" ? NaN : total.total))
      }
    }),
    "40 seconds"
  )

describe("a node of three", () => {
  it.live("killed: its processes run again on the survivors, the others never noticed", () =>
    Effect.gen(function* () {
      const { lost, others, refs, victim } = yield* prepare("kill")
      assert.strictEqual((yield* victim.kill).signal, "SIGKILL")
      const after = yield* settled(others)
      for (const [index, ref] of refs.entries()) {
        const now = after.refs[index]!
        if (lost.includes(ref)) assert.isAbove(now.epoch, ref.epoch, ref.name)
        else assert.deepStrictEqual(now, ref)
        for (const totals of after.totals) {
          assert.strictEqual(totals[index], lost.includes(ref) ? START : TOTAL, ref.name)
        }
      }
      yield* seeEachOther(others)
    }), timeout_ms)

  it.live(
    "told to leave: hands every process over with its state, then ends with code 0",
    () =>
      Effect.gen(function* () {
        const { lost, others, refs, victim } = yield* prepare("leave")
        assert.deepStrictEqual(yield* victim.terminate, { code: 0, signal: null })
        assert.strictEqual(victim.stderr(), "")
        const after = yield* settled(others)
        for (const totals of after.totals) assert.deepStrictEqual(totals, names.map(() => TOTAL))
        for (const [index, ref] of refs.entries()) {
          if (lost.includes(ref)) assert.isAbove(after.refs[index]!.epoch, ref.epoch, ref.name)
          else assert.deepStrictEqual(after.refs[index], ref)
        }
        yield* seeEachOther(others)
      }),
    timeout_ms
  )

  it.live(
    "frozen until it is suspected, then thawed: nothing is lost, nothing moves, calls are answered",
    () =>
      Effect.gen(function* () {
        const { lost, nodes, others, refs, victim } = yield* prepare("pause")
        yield* victim.freeze
        const calls = yield* Effect.forkChild(
          others[0]!.ask("increment", { names: lost.map(({ name }) => name), by: 1 }),
          { startImmediately: true }
        )
        yield* waitUntil(
          "someone suspects it",
          Effect.map(
            Effect.all(others.map((node) => node.ask("membership", {}))),
            (views) =>
              views.some((members) => members.some(({ id, status }) => id === victim.id && status === "suspect"))
          )
        )
        yield* victim.thaw
        const totals = yield* Fiber.join(calls)
        assert.deepStrictEqual(totals, lost.map(() => TOTAL + 1))
        yield* seeEachOther(nodes)
        const after = yield* settled(nodes)
        assert.deepStrictEqual(after.refs, refs)
        for (const totals of after.totals) {
          assert.deepStrictEqual(totals, refs.map((ref) => lost.includes(ref) ? TOTAL + 1 : TOTAL))
        }
      }),
    timeout_ms
  )

  it.live(
    "frozen until it is given up, then thawed: one copy of each process, with the state it had",
    () =>
      Effect.gen(function* () {
        const { nodes, others, victim } = yield* prepare("freeze")
        yield* victim.freeze
        yield* settled(others)
        yield* victim.thaw
        yield* seeEachOther(nodes)
        // the copy that stays answers before it has the other's state
        yield* waitUntil(
          "each copy has the state that was there before",
          Effect.map(
            settled(nodes),
            ({ totals }) => totals.every((all) => all.every((total) => total === TOTAL)) ? true : undefined
          ),
          "40 seconds"
        )
      }),
    timeout_ms
  )
})

afterAll(() => assert.deepStrictEqual(survivors(), [], "processes left behind"))
