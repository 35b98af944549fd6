// The demo as a user starts it: what it prints, how it ends, and that nothing of it stays behind. It starts processes on all
// three runtimes itself, so that one run of it is enough.
import { afterAll, assert, describe, it } from "@effect/vitest"
import { Effect, type Scope } from "effect"
import { spawn } from "node:child_process"
import process from "node:process"
import { fileURLToPath } from "node:url"
import { currentRuntimeName, findRuntime } from "../../scripts/runtimes.ts"
import { childrenOf, type Ended, hasProc, isAlive, note, survivors, waitUntil } from "./harness.ts"

const timeout_ms = 120_000
/** With snapshots on a busy machine. */
const killTimeout_ms = 240_000
const elsewhere = currentRuntimeName !== "node"
const where = "(in the Node run only: it starts all three runtimes itself)"
const script = fileURLToPath(new URL("../../examples/flights/demo.ts", import.meta.url))

interface Demo {
  readonly pid: number
  readonly stdout: () => string
  readonly stderr: () => string
  readonly over: () => Ended | undefined
}

/** Starts the demo in a process group of its own, as a shell does. */
const startDemo = (...args: ReadonlyArray<string>): Effect.Effect<Demo, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync((): Demo => {
      const runtime = findRuntime(currentRuntimeName)!
      const child = spawn(runtime.command, runtime.argsFor(script, args), {
        stdio: ["ignore", "pipe", "pipe"],
        detached: true
      })
      let stdout = ""
      let stderr = ""
      let over: Ended | undefined
      child.stdout.setEncoding("utf8").on("data", (text: string) => void (stdout += text))
      child.stderr.setEncoding("utf8").on("data", (text: string) => void (stderr += text))
      child.once("close", (code, signal) => void (over = { code, signal }))
      note(child.pid!)
      return { pid: child.pid!, stdout: () => stdout, stderr: () => stderr, over: () => over }
    }),
    ({ over, pid }) =>
      Effect.sync(() => {
        if (over() !== undefined) return
        // each of them may end by itself between being looked up and being killed
        for (const child of hasProc ? [...childrenOf(pid), pid] : [pid]) {
          try {
            process.kill(child, "SIGKILL")
          } catch (error) {
            if ((error as { readonly code?: string }).code !== "ESRCH") throw error
          }
        }
      }).pipe(Effect.andThen(Effect.ignore(waitUntil("the demo is gone", () => over() !== undefined))))
  )

const endOf = (demo: Demo, within: `${number} seconds` = "90 seconds") =>
  waitUntil("the demo has ended", demo.over, within)

/** The one line of JSON on stdout. */
const resultOf = (demo: Demo): Record<string, unknown> => {
  const lines = demo.stdout().split("\n")
  assert.lengthOf(lines, 2, "one line")
  assert.strictEqual(lines[1], "", "one line, ended")
  return JSON.parse(lines[0]!)
}

/** The three nodes of the demo. */
const nodesOf = (demo: Demo) =>
  waitUntil("the demo has started its three nodes", () => {
    const children = childrenOf(demo.pid)
    return children.length >= 3 && children
  }).pipe(Effect.tap((children) => Effect.sync(() => children.forEach(note))))

describe(`the demo ${where}`, () => {
  it.live.skipIf(elsewhere)(
    "with --json prints one line: every record counted, nothing lost",
    () =>
      Effect.gen(function* () {
        const demo = yield* startDemo("--json")
        const { code } = yield* endOf(demo)
        const { moved, seconds, ...rest } = resultOf(demo)
        assert.strictEqual(code, 0, demo.stderr())
        assert.deepStrictEqual(Object.keys(resultOf(demo)), [
          "records",
          "processes",
          "nodes",
          "joined",
          "left",
          "moved",
          "failedCalls",
          "wrongTotals",
          "seconds"
        ])
        assert.deepStrictEqual(rest, {
          records: 20_000,
          processes: 3201,
          nodes: 3,
          joined: 1,
          left: 1,
          failedCalls: 0,
          wrongTotals: 0
        })
        assert.isAbove(Number(moved), 0)
        assert.isAbove(Number(seconds), 0)
      }),
    timeout_ms
  )

  it.live.skipIf(elsewhere)(
    "with --kill: a node is killed, and nothing that was answered is lost",
    () =>
      Effect.gen(function* () {
        const records = 8000
        const demo = yield* startDemo("--kill", "--json", "--records", String(records))
        const { code } = yield* endOf(demo, "210 seconds")
        const { moved, perSecond, processes, repeatedCalls, seconds, snapshotBytes, snapshots, ...rest } = resultOf(
          demo
        )
        assert.strictEqual(code, 0, demo.stderr())
        assert.deepStrictEqual(rest, {
          records,
          nodes: 3,
          joined: 1,
          left: 0,
          killed: 1,
          failedCalls: 0,
          wrongTotals: 0,
          lostState: 0,
          notAlive: 0
        })
        for (const number of [moved, perSecond, processes, seconds, snapshotBytes]) assert.isAbove(Number(number), 0)
        assert.isAtLeast(Number(repeatedCalls), 0)
        // each of the three calls of a record has changed a total
        assert.isAbove(Number(snapshots), 3 * records * 0.9)
      }),
    killTimeout_ms
  )

  const looked = elsewhere || !hasProc
  const how = hasProc ? "" : " (skipped: no /proc to look for its children)"

  it.live.skipIf(looked)(`interrupted: no child stays${how}`, () =>
    Effect.gen(function* () {
      const demo = yield* startDemo("--json")
      const children = yield* nodesOf(demo)
      process.kill(demo.pid, "SIGINT")
      assert.deepStrictEqual(yield* endOf(demo), { code: 130, signal: null })
      assert.deepStrictEqual(children.filter(isAlive), [])
      assert.strictEqual(demo.stdout(), "")
    }), timeout_ms)

  it.live.skipIf(looked)(
    `interrupted together with its nodes, as Ctrl-C does: no child stays${how}`,
    () =>
      Effect.gen(function* () {
        const demo = yield* startDemo("--json")
        const children = yield* nodesOf(demo)
        yield* waitUntil("it replays", () => /replaying|joins/.test(demo.stderr()))
        process.kill(-demo.pid, "SIGINT")
        assert.deepStrictEqual(yield* endOf(demo), { code: 130, signal: null })
        assert.deepStrictEqual(children.filter(isAlive), [])
      }),
    timeout_ms
  )

  it.live.skipIf(looked)(`killed: its nodes notice, and leave${how}`, () =>
    Effect.gen(function* () {
      const demo = yield* startDemo("--json")
      const children = yield* nodesOf(demo)
      process.kill(demo.pid, "SIGKILL")
      yield* waitUntil("no child is left", () => !children.some(isAlive), "40 seconds")
    }), timeout_ms)
})

afterAll(() => assert.deepStrictEqual(survivors(), [], "processes left behind"))
