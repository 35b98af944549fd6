// Nodes whose log can't be written: the disk is full, or nobody reads the pipe any more. They go on serving.
import { afterAll, assert, describe, it } from "@effect/vitest"
import { Effect, type Scope, Semaphore } from "effect"
import { closeSync, existsSync, openSync } from "node:fs"
import { settle } from "./checkers.ts"
import { launch, seeEachOther, type Spawning, start, survivors, type TestNode, three, waitUntil } from "./harness.ts"
import { History } from "./history.ts"
import { named, populate } from "./load.ts"
import { freeAddress, listens } from "./proxy.ts"

const timeout_ms = 90_000
const names = named("name", 30)
const LINES = 500
const MUTE = "mute"

const fullDevice = "/dev/full"
const hasFullDevice = existsSync(fullDevice)
const why = hasFullDevice ? "" : ` (skipped: no ${fullDevice})`

const openFull: Effect.Effect<number, never, Scope.Scope> = Effect.acquireRelease(
  Effect.sync(() => openSync(fullDevice, "w")),
  (file) => Effect.sync(() => closeSync(file))
)

/**
 * A node of this runtime that can't be asked, and that warns from the start: of a seed where nobody listens. Then somebody
 * does, and has it log and serve, and sees what becomes of it.
 */
const serves = Effect.fnUntraced(function* (
  index: 0 | 1 | 2,
  spawning: Spawning,
  spoil: (node: TestNode) => Effect.Effect<void>
) {
  const history = new History()
  const [seed, listen] = [yield* freeAddress, yield* freeAddress]
  const mute = yield* launch(three[index], { id: MUTE, logs: "console", listen, join: [seed], redialMs: 300 }, spawning)
  yield* spoil(mute)
  yield* waitUntil(`${three[index].name} with such a log listens`, listens(listen), "40 seconds")
  const host = yield* start(three[(index + 1) % 3]!, { id: "host", listen: seed })
  const isIn = Effect.map(
    host.ask("membership", {}),
    (members) => members.some(({ id, status, synced }) => id === MUTE && status === "alive" && synced)
  )
  yield* waitUntil(`${three[index].name} with such a log has joined`, isIn, "40 seconds")
  yield* populate(host, history, names)
  const refs = yield* settle([host], history, { mute: [MUTE] })
  const there = refs.filter(({ node }) => node === MUTE).map(({ name }) => name)
  assert.isAbove(there.length, 0)
  for (let round = 0; round < 3; round++) {
    const answers = yield* host.ask("chat", { names: there.slice(0, 5), lines: LINES })
    assert.deepStrictEqual(new Set(answers), new Set([MUTE]))
  }
  yield* populate(host, history, named("after", 10))
  const after = yield* settle([host], history, { mute: [MUTE] })
  assert.deepStrictEqual(after.filter(({ name }) => names.includes(name)), refs)
  assert.deepStrictEqual(yield* mute.terminate, { code: 0, signal: null })
  yield* seeEachOther([host])
  const left = yield* settle([host], history)
  assert.lengthOf(left, refs.length + 10)
})

/** They wait most of the time: two at once. */
const room = Semaphore.makeUnsafe(2)

describe.concurrent("a node goes on serving, and leaves in order, when its log", () => {
  for (const index of [0, 1, 2] as const) {
    const { name } = three[index]
    {
      it.live.skipIf(!hasFullDevice)(
        `is on a full device: ${name}${why}`,
        () =>
          Effect.flatMap(openFull, (output) => serves(index, { output }, () => Effect.void)).pipe(room.withPermits(1)),
        timeout_ms
      )
    }

    it.live(
      `is a pipe that nobody reads any more: ${name}`,
      () => serves(index, {}, (mute) => mute.closePipes).pipe(room.withPermits(1)),
      timeout_ms
    )
  }
})

afterAll(() => assert.deepStrictEqual(survivors(), [], "processes left behind"))
