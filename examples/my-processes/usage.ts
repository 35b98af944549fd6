/** What a program does with the sworm, on a node that hosts it or on one that only uses it. */
import { Effect } from "effect"
import { MyProcesses, Notebook, Scratchpad } from "./my-processes.ts"

type Kind = typeof Notebook | typeof Scratchpad

export const NAMES = ["1", "2", "3", "4", "5", "6"]

/** Starts six processes of a kind, and writes a line into each. */
export const startAll = Effect.fn("startAll")(function* (kind: Kind) {
  const processes = yield* MyProcesses
  for (const name of NAMES) {
    yield* processes.register(`${kind.name}-${name}`, kind, {})
    yield* processes.client(kind, `${kind.name}-${name}`).Write({ line: `the line of ${name}` })
  }
})

/** How many of a kind still have their line. */
export const countKept = Effect.fn("countKept")(function* (kind: Kind) {
  const processes = yield* MyProcesses
  const lines = yield* Effect.forEach(NAMES, (name) => processes.client(kind, `${kind.name}-${name}`).Read())
  return lines.filter((some, at) => some.length === 1 && some[0] === `the line of ${NAMES[at]}`).length
})

/** How many of a kind a node has. */
export const countOn = Effect.fn("countOn")(function* (node: string, kind: Kind) {
  return (yield* (yield* MyProcesses).select({ node, type: kind.name })).length
})
