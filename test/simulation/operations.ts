/** What clients ask for in a simulation: plain data, so that a script can be cut shorter and done again. */
import type { Simulation } from "@sworm/sworm/testing"

export type SwormId = "Cells" | "Roamers" | "Guarded"

export type Operation =
  | { readonly _tag: "Register"; readonly sworm: SwormId; readonly name: string }
  | { readonly _tag: "Unregister"; readonly sworm: SwormId; readonly name: string }
  /** Several calls, each after the answer of the one before. */
  | { readonly _tag: "Add"; readonly sworm: SwormId; readonly name: string; readonly messages: ReadonlyArray<number> }
  /** Several casts, each a moment after the one before has left. */
  | { readonly _tag: "Cast"; readonly sworm: SwormId; readonly name: string; readonly messages: ReadonlyArray<number> }
  | { readonly _tag: "Slow"; readonly sworm: SwormId; readonly name: string; readonly message: number }
  | { readonly _tag: "Crash"; readonly sworm: SwormId; readonly name: string }
  | { readonly _tag: "Move"; readonly sworm: SwormId; readonly name: string; readonly to: string }
  | { readonly _tag: "Join"; readonly sworm: SwormId; readonly name: string; readonly group: string }
  | { readonly _tag: "Leave"; readonly sworm: SwormId; readonly name: string; readonly group: string }
  | { readonly _tag: "Alias"; readonly sworm: SwormId; readonly name: string; readonly alias: string }
  /** What a node is told about moves. */
  | { readonly _tag: "Command"; readonly sworm: SwormId; readonly name: Command; readonly to: string }
  /** Ends a name behind the back of the oracle: to see that checkers can fail. In no script that is made by chance. */
  | { readonly _tag: "Forget"; readonly sworm: SwormId; readonly name: string }
  /** A value of the sworm as a whole. */
  | { readonly _tag: "Put"; readonly sworm: SwormId; readonly name: string; readonly value: number }

export type Command = "cordon" | "uncordon" | "pause" | "resume" | "drain"

const commands: ReadonlyArray<Command> = ["cordon", "cordon", "uncordon", "drain", "drain", "pause", "resume"]

export const swormIds: ReadonlyArray<SwormId> = ["Cells", "Roamers", "Guarded"]
export const names: ReadonlyArray<string> = ["ant", "bee", "cat", "dog", "elk"]
const groups: ReadonlyArray<string> = ["red", "blue"]

/** The numbers of casts stand above those of all calls. */
const CASTS = 1_000_000

/** A random operation; messages are numbered from `next`. */
export const operation = (dice: Simulation.Dice, nodes: ReadonlyArray<string>, next: number): Operation => {
  const sworm = dice.chance(0.55) ? "Cells" : dice.chance(0.5) ? "Roamers" : "Guarded"
  const name = dice.pick(names)
  const roll = dice.below(100)
  if (roll < 30) return { _tag: "Register", sworm, name }
  if (roll < 36) return { _tag: "Unregister", sworm, name }
  if (roll < 70) {
    const count = 1 + dice.below(3)
    if (roll < 62) return { _tag: "Add", sworm, name, messages: [next, next + 1, next + 2].slice(0, count) }
    const first = CASTS + next * 100
    return { _tag: "Cast", sworm, name, messages: Array.from({ length: count * 6 }, (_, index) => first + index) }
  }
  if (roll < 74) return { _tag: "Slow", sworm, name, message: next }
  if (roll < 78) return { _tag: "Crash", sworm, name }
  if (roll < 84) return { _tag: "Move", sworm, name, to: dice.pick(nodes) }
  if (roll < 89) return { _tag: "Join", sworm, name, group: dice.pick(groups) }
  if (roll < 92) return { _tag: "Leave", sworm, name, group: dice.pick(groups) }
  if (roll < 95) return { _tag: "Alias", sworm, name, alias: `${name}'s other name` }
  return { _tag: "Put", sworm, name, value: next }
}

/** A random command to a random node. */
export const command = (dice: Simulation.Dice, nodes: ReadonlyArray<string>): Operation => ({
  _tag: "Command",
  sworm: "Cells",
  name: dice.pick(commands),
  to: dice.pick(nodes)
})
