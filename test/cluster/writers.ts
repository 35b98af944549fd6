/** Writers on every node all the while, each of which numbers what it writes; and what the journals must hold then. */
import { Effect, Fiber, type Scope } from "effect"
import type { CommandFailed, NeverCame, NodeGone, TestNode } from "./harness.ts"
import type { CommandError, Outcome } from "./protocol.ts"
import { waitUntil } from "./wait.ts"

const BATCH = 8
const PACE = "10 millis"
/** How a call of a registered name may end while nodes come and go; with the first three it may have been executed. */
const unknownReasons = ["Timeout", "OutcomeUnknown", "Crashed"]
const callReasons = [...unknownReasons, "MailboxFull", "Stopped"]

export class Written {
  readonly names: ReadonlyArray<string>
  readonly #acknowledged: ReadonlyMap<string, Set<string>>
  readonly #unknown: ReadonlyMap<string, Set<string>>
  readonly #wrong: Array<string> = []
  /** Calls that were answered by their handler. */
  count = 0

  constructor(names: ReadonlyArray<string>) {
    this.names = names
    this.#acknowledged = new Map(names.map((name) => [name, new Set()]))
    this.#unknown = new Map(names.map((name) => [name, new Set()]))
  }

  wrote(line: string, outcomes: ReadonlyArray<Outcome<number>>): void {
    for (const outcome of outcomes) {
      if ("ok" in outcome) {
        this.count++
        this.#acknowledged.get(outcome.name)!.add(line)
      } else this.#failed(outcome.name, line, outcome.error)
    }
  }

  #failed(name: string, line: string, { message, reason, tag }: CommandError): void {
    if (tag !== "CallError" || !callReasons.includes(String(reason))) this.#wrong.push(`${name} "${line}": ${message}`)
    else if (unknownReasons.includes(String(reason))) this.#unknown.get(name)!.add(line)
  }

  /** The node that was asked is gone, and its answer with it. */
  neverAnswered(names: ReadonlyArray<string>, line: string): void {
    for (const name of names) this.#unknown.get(name)!.add(line)
  }

  /** What is wrong with what the journals hold; `name` answers its lines, or why it doesn't answer. */
  wrongWith(journals: ReadonlyArray<ReadonlyArray<string> | string>): ReadonlyArray<string> {
    return [
      ...this.#wrong,
      ...this.names.flatMap((name, index) => {
        const lines = journals[index]
        return typeof lines === "object" ? this.#check(name, lines) : [`"${name}" does not answer: ${lines}`]
      })
    ]
  }

  #check(name: string, lines: ReadonlyArray<string>): ReadonlyArray<string> {
    const held = new Set(lines)
    const acknowledged = this.#acknowledged.get(name)!
    const unknown = this.#unknown.get(name)!
    const last = new Map<string, number>()
    const wrong = [...acknowledged].filter((line) => !held.has(line)).map((line) => `"${name}" has lost "${line}"`)
    for (const line of lines) {
      const [writer, number] = line.split(" ") as [string, string]
      // a line that is there twice is one of these
      if (Number(number) <= (last.get(writer) ?? -1)) wrong.push(`"${name}" has "${line}" after ${last.get(writer)}`)
      if (!acknowledged.has(line) && !unknown.has(line)) wrong.push(`"${name}" has "${line}", which had failed`)
      last.set(writer, Number(number))
    }
    return wrong
  }
}

export interface Writers {
  /** Ends them when the calls under way have ended. */
  readonly stop: Effect.Effect<void, CommandFailed>
}

/** A writer for each node, those that come included: it goes from call to call until its node is gone. */
export const keepWriting = (
  written: Written,
  nodes: () => ReadonlyArray<TestNode>
): Effect.Effect<Writers, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { names } = written
    const known = new Set<TestNode>()
    const fibers: Array<Fiber.Fiber<void, CommandFailed>> = []
    let isOn = true

    const write = (node: TestNode): Effect.Effect<void, CommandFailed> =>
      Effect.gen(function* () {
        const writer = `${node.id}/${node.pid}`
        for (let number = 0; isOn && nodes().includes(node); number++) {
          const some = Array.from({ length: BATCH }, (_, i) => names[(number * BATCH + i) % names.length]!)
          const line = `${writer} ${number}`
          const isGone = yield* node.ask("write", { names: some, line }).pipe(
            Effect.map((outcomes) => written.wrote(line, outcomes)),
            Effect.as(false),
            Effect.catchTag("NodeGone", () => Effect.as(Effect.sync(() => written.neverAnswered(some, line)), true))
          )
          if (isGone) return
          yield* Effect.sleep(PACE)
        }
      })
    const look = Effect.gen(function* () {
      while (isOn) {
        for (const node of nodes()) {
          if (known.has(node)) continue
          known.add(node)
          fibers.push(yield* Effect.forkScoped(write(node)))
        }
        yield* Effect.sleep(PACE)
      }
    })
    const looking = yield* Effect.forkScoped(look)
    const stop = Effect.suspend(() => {
      isOn = false
      return Effect.andThen(Fiber.join(looking), Effect.suspend(() => Fiber.joinAll(fibers)))
    })
    return { stop: Effect.asVoid(stop) }
  })

/** Waits until so many more lines were acknowledged. */
export const moreLines = (written: Written, lines: number): Effect.Effect<true, NeverCame> => {
  const before = written.count
  return waitUntil("more lines are acknowledged", () => written.count >= before + lines)
}

/** Good looks one after the other: what settles for good stays so. */
const GOOD_LOOKS = 5

/**
 * Waits until exactly one copy of each journal runs, and all nodes know where; nothing may be writing meanwhile.
 * Answers what is wrong with what they hold.
 */
export const settleJournals = (
  nodes: ReadonlyArray<TestNode>,
  written: Written
): Effect.Effect<ReadonlyArray<string>, NeverCame | CommandFailed | NodeGone> => {
  const expected = [...written.names].sort().join()
  let good = 0
  const look = Effect.gen(function* () {
    const own = yield* Effect.all(nodes.map((node) => node.ask("journals", {})), { concurrency: "unbounded" })
    const listed = yield* Effect.all(nodes.map((node) => node.ask("listed", {})), { concurrency: "unbounded" })
    const running = own.flatMap((some, at) =>
      some.filter(({ status }) => status === "running").map(({ name }) => `${name} at ${nodes[at]!.id}`)
    ).sort()
    const isOnce = own.flat().map(({ name }) => name).sort().join() === expected && running.length === own.flat().length
    const isKnown = listed.every((refs) =>
      refs.map(({ name, node }) => `${name} at ${node}`).sort().join() === running.join()
    )
    good = isOnce && isKnown ? good + 1 : 0
    return good >= GOOD_LOOKS
  })
  return Effect.flatMap(
    waitUntil("one copy of each journal runs", look, "45 seconds"),
    () => Effect.map(nodes[0]!.ask("read", { names: written.names }), (journals) => written.wrongWith(journals))
  )
}
