/** What is done to a world, and when: plain data, made from a seed, that can be cut shorter and done again. */
import { FAIR, type World } from "./World.ts"
import type { Weather } from "../VirtualNetwork.ts"

/** What can go wrong, and what puts it right again. */
export type Fault =
  /** SIGKILL; `start` begins a new run under the same id. */
  | { readonly _tag: "Crash"; readonly node: string }
  | { readonly _tag: "Start"; readonly node: string }
  /** SIGTERM. */
  | { readonly _tag: "Leave"; readonly node: string }
  /** SIGSTOP and SIGCONT. */
  | { readonly _tag: "Hold"; readonly node: string }
  | { readonly _tag: "Release"; readonly node: string }
  /** One way. */
  | { readonly _tag: "Cut"; readonly from: string; readonly to: string }
  | { readonly _tag: "Mend"; readonly from: string; readonly to: string }
  /** Every link between two of these sides. */
  | { readonly _tag: "Part"; readonly sides: ReadonlyArray<ReadonlyArray<string>> }
  | { readonly _tag: "Heal" }
  | { readonly _tag: "Weather"; readonly weather: Weather }
  /** The wall clock is set. */
  | { readonly _tag: "Jump"; readonly node: string; readonly byMs: number }
  /** The clocks pass this much faster. */
  | { readonly _tag: "Drift"; readonly node: string; readonly rate: number }

export type FaultKind = "crash" | "leave" | "hold" | "cut" | "part" | "weather" | "jump" | "drift"

export const faultKinds: ReadonlyArray<FaultKind> = [
  "crash",
  "leave",
  "hold",
  "cut",
  "part",
  "weather",
  "jump",
  "drift"
]

/** A fault, or something that a node is asked for. */
export type Step<Operation> =
  | { readonly atMs: number; readonly fault: Fault }
  | { readonly atMs: number; readonly node: string; readonly operation: Operation }

export type Script<Operation> = ReadonlyArray<Step<Operation>>

/** Chance, as scripts are made from it. */
export class Dice {
  readonly #random: () => number

  constructor(random: () => number) {
    this.#random = random
  }

  /** From `min` up to below `max`. */
  between(min: number, max: number): number {
    return min + this.#random() * (max - min)
  }

  /** A whole number from 0 up to below `count`. */
  below(count: number): number {
    return Math.floor(this.#random() * count)
  }

  chance(share: number): boolean {
    return this.#random() < share
  }

  pick<A>(items: ReadonlyArray<A>): A {
    return items[this.below(items.length)]!
  }

  shuffled<A>(items: ReadonlyArray<A>): Array<A> {
    const rest = [...items]
    const result: Array<A> = []
    while (rest.length > 0) result.push(...rest.splice(this.below(rest.length), 1))
    return result
  }
}

export interface StormOptions {
  readonly nodes: ReadonlyArray<string>
  /** Faults begin and mostly end within this time. */
  readonly forMs: number
  /** Default: a choice of all, another for each seed, so that each meets each other alone too. */
  readonly kinds?: ReadonlyArray<FaultKind> | undefined
  /** Default: 2 to 8. */
  readonly incidents?: number | undefined
}

/** Faults of several kinds, each with what ends it. */
export const storm = <Operation>(dice: Dice, options: StormOptions): Array<Step<Operation>> => {
  const { forMs, nodes } = options
  const kinds = options.kinds ?? dice.shuffled(faultKinds).slice(0, 1 + dice.below(4))
  const count = kinds.length === 0 ? 0 : options.incidents ?? 2 + dice.below(7)
  const steps: Array<Step<Operation>> = []
  for (let i = 0; i < count; i++) {
    const atMs = Math.round(dice.between(0, forMs))
    const endMs = Math.round(atMs + dice.between(100, forMs))
    const [begin, end] = incident(dice, dice.pick(kinds), nodes)
    steps.push({ atMs, fault: begin })
    if (end !== undefined) steps.push({ atMs: endMs, fault: end })
  }
  return steps
}

const incident = (
  dice: Dice,
  kind: FaultKind,
  nodes: ReadonlyArray<string>
): readonly [begin: Fault, end: Fault | undefined] => {
  const node = dice.pick(nodes)
  switch (kind) {
    case "crash":
      return [{ _tag: "Crash", node }, dice.chance(0.7) ? { _tag: "Start", node } : undefined]
    case "leave":
      return [{ _tag: "Leave", node }, dice.chance(0.7) ? { _tag: "Start", node } : undefined]
    case "hold":
      return [{ _tag: "Hold", node }, { _tag: "Release", node }]
    case "cut": {
      const [from, to] = dice.shuffled(nodes) as [string, string]
      return [{ _tag: "Cut", from, to }, { _tag: "Mend", from, to }]
    }
    case "part": {
      const sides: Array<Array<string>> = dice.chance(0.7) ? [[], []] : [[], [], []]
      for (const one of nodes) dice.pick(sides).push(one)
      return [{ _tag: "Part", sides }, { _tag: "Heal" }]
    }
    case "weather":
      return [{ _tag: "Weather", weather: badWeather(dice) }, { _tag: "Weather", weather: FAIR }]
    case "jump":
      return [{ _tag: "Jump", node, byMs: Math.round(dice.between(-600_000, 600_000)) }, undefined]
    case "drift":
      return [{ _tag: "Drift", node, rate: dice.between(0.9, 1.1) }, { _tag: "Drift", node, rate: 1 }]
  }
}

const badWeather = (dice: Dice): Weather => ({
  delay: { minMs: 0.2, maxMs: dice.pick([2, 20, 100, 250]) },
  loss: dice.chance(0.6) ? dice.between(0, 0.2) : 0,
  duplication: dice.chance(0.4) ? dice.between(0, 0.1) : 0,
  reordering: dice.chance(0.4) ? dice.between(0, 0.1) : 0
})

/** In order of time; steps of one time as they were. */
export const inOrder = <Operation>(steps: Script<Operation>): Array<Step<Operation>> =>
  steps.map((step, index) => ({ step, index }))
    .sort((a, b) => a.step.atMs - b.step.atMs || a.index - b.index)
    .map(({ step }) => step)

/** Does one fault to a world. */
export const inflict = <A, E>(
  world: World<A, E>,
  fault: Fault,
  seeds: (node: string) => ReadonlyArray<string>
): void => {
  switch (fault._tag) {
    case "Crash":
      return world.crash(fault.node)
    case "Start": {
      const node = world.nodes.get(fault.node)
      if (node === undefined || node.machine.isDead || node.leaving?.exit !== undefined) {
        world.start(fault.node, seeds(fault.node))
      }
      return
    }
    case "Leave":
      return void world.leave(fault.node)
    case "Hold":
      return world.hold(fault.node, true)
    case "Release":
      return world.hold(fault.node, false)
    case "Cut":
      return world.network.cut(fault.from, fault.to)
    case "Mend":
      return world.network.heal(fault.from, fault.to)
    case "Part":
      for (const [index, side] of fault.sides.entries()) {
        world.network.partition(side, fault.sides.slice(index + 1).flat())
      }
      return
    case "Heal":
      return world.network.heal()
    case "Weather":
      return world.network.change(fault.weather)
    case "Jump":
      return world.nodes.get(fault.node)?.machine.jump(fault.byMs)
    case "Drift":
      return world.nodes.get(fault.node)?.machine.drift(fault.rate)
  }
}

/** Puts everything right that can be: links, weather, held nodes. Nodes that are gone stay away. */
export const calm = <A, E>(world: World<A, E>): void => {
  world.network.heal()
  world.network.change(FAIR)
  for (const { id, machine } of world.nodes.values()) {
    if (machine.isHeld) world.hold(id, false)
    machine.drift(1)
  }
}

/**
 * The shortest script found that still fails: parts are left out, large ones first, as long as what is left fails
 * (delta debugging: Zeller, Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", 2002).
 */
export const shrink = async <Operation>(
  script: Script<Operation>,
  fails: (shorter: Script<Operation>) => Promise<boolean>,
  maxRuns = 200
): Promise<Script<Operation>> => {
  let best = script
  let runs = 0
  for (
    let size = Math.ceil(best.length / 2);
    size >= 1 && runs < maxRuns;
    size = size === 1 ? 0 : Math.ceil(size / 2)
  ) {
    for (let from = 0; from < best.length && runs < maxRuns;) {
      const shorter = [...best.slice(0, from), ...best.slice(from + size)]
      runs++
      if (await fails(shorter)) best = shorter
      else from += size
    }
  }
  return best
}
