/** Calls and registrations all the while, from whichever nodes can be asked at the moment; a history keeps the outcomes. */
import { Effect, Fiber, type Scope } from "effect"
import type { CommandFailed, NodeGone, TestNode } from "./harness.ts"
import type { History } from "./history.ts"

export interface LoadOptions {
  /** The nodes that are asked, as things stand: not those that are frozen. */
  readonly nodes: () => ReadonlyArray<TestNode>
  readonly names: ReadonlyArray<string>
  /** Registers new names as well, `<prefix>-<n>`. */
  readonly registers?: string
}

export interface Load {
  /** Ends it when the calls under way have ended. */
  readonly stop: Effect.Effect<void, CommandFailed>
}

const BATCH = 8
const PACE = "10 millis"
const REGISTER_EVERY = 10
export const START = 100

/** Callers go round the names; whoever they ask may go at any time. */
export const load = (
  history: History,
  { names, nodes, registers }: LoadOptions
): Effect.Effect<Load, never, Scope.Scope> =>
  Effect.gen(function* () {
    let isOn = true
    let turn = 0
    let made = 0

    const call = (node: TestNode, some: ReadonlyArray<string>) =>
      node.ask("attempt", { names: some, by: 1 }).pipe(
        Effect.map((outcomes) => history.called(node.id, outcomes, 1)),
        Effect.catchTag("NodeGone", () => Effect.sync(() => history.neverAnswered(some, 1)))
      )
    const register = (node: TestNode, some: ReadonlyArray<string>) =>
      node.ask("tryRegister", { names: some, start: START }).pipe(
        Effect.map((outcomes) => history.triedToRegister(node.id, outcomes, START)),
        Effect.catchTag("NodeGone", () => Effect.void)
      )
    const observe = (node: TestNode) =>
      node.ask("registered", {}).pipe(
        Effect.map((refs) => history.saw(node.id, refs)),
        Effect.catchTag("NodeGone", () => Effect.void)
      )

    // each keeps to its node, so that one whose calls time out does not hold up the others
    const caller = (at: number): Effect.Effect<void, CommandFailed> =>
      Effect.gen(function* () {
        for (let round = 0; isOn; round++) {
          const all = nodes()
          const node = all[at % all.length]
          if (node !== undefined) {
            const now = turn++
            yield* call(node, Array.from({ length: BATCH }, (_, i) => names[(now * BATCH + i) % names.length]!))
            if (round % REGISTER_EVERY === 0) {
              yield* observe(node)
              if (registers !== undefined) yield* register(node, [`${registers}-${made++}`])
            }
          }
          yield* Effect.sleep(PACE)
        }
      })
    const fibers = yield* Effect.forEach([0, 1, 2], (at) => Effect.forkScoped(caller(at)))
    return {
      stop: Effect.suspend(() => {
        isOn = false
        return Effect.asVoid(Fiber.joinAll(fibers))
      })
    }
  })

/** Waits until so many more calls were acknowledged. */
export const moreCalls = (history: History, calls: number): () => boolean => {
  const before = history.acknowledged
  return () => history.acknowledged >= before + calls
}

/** Registers names, and has some of them count. */
export const populate = (
  node: TestNode,
  history: History,
  names: ReadonlyArray<string>,
  by = 7
): Effect.Effect<void, CommandFailed | NodeGone> =>
  Effect.gen(function* () {
    yield* node.ask("register", { names, start: START })
    for (const name of names) history.registered(name, START)
    history.called(node.id, yield* node.ask("attempt", { names, by }), by)
  })

/** `<prefix>-0`, `<prefix>-1`, … */
export const named = (prefix: string, count: number): ReadonlyArray<string> =>
  Array.from({ length: count }, (_, i) => `${prefix}-${i}`)
