/** One seed, one history: a storm of faults and requests, then calm; then everything must be as promised. */
import { seededRandom } from "../../src/protocol/random.ts"
import { Simulation } from "@sworm/sworm/testing"
import { checkers } from "./checkers/all.ts"
import { excuseLost } from "./checkers/registrations.ts"
import { ask } from "./client.ts"
import { nodesOf, type Services } from "./nodes.ts"
import { type Operation, operation } from "./operations.ts"
import { Oracle } from "./oracle.ts"

export type Script = Simulation.Script<Operation>
export type World = Simulation.World<Services, unknown>

export interface Plan {
  readonly seed: number
  readonly nodes: ReadonlyArray<string>
  readonly script: Script
}

export interface Result {
  readonly violations: ReadonlyArray<string>
  readonly hash: string
  readonly trace: ReadonlyArray<string>
  /** How long after the calm everything was as promised, in ms of the simulated time. */
  readonly settledMs: number
}

export interface Shape {
  /** Default 5. */
  readonly nodes?: number | undefined
  /** Requests of clients. Default 60. */
  readonly steps?: number | undefined
}

const BOOT_MS = 1500
const STORM_MS = 12_000
/** Everything is as promised this long after the last fault at the latest. */
export const QUIET_MS = 30_000
/** It must stay so. */
const STABLE_MS = 3000

/** The script of a seed. */
export const planOf = (seed: number, { nodes: count = 5, steps = 60 }: Shape = {}): Plan => {
  const dice = new Simulation.Dice(seededRandom(seed))
  const nodes = Array.from({ length: count }, (_, index) => `n${index + 1}`)
  const script: Array<Simulation.Step<Operation>> = []
  // all at once, one after the other, or in two halves that find each other later
  const spreadMs = dice.pick([0, 0, 500, BOOT_MS])
  if (dice.chance(0.2)) {
    const half = 1 + dice.below(count - 1)
    script.push({ atMs: 0, fault: { _tag: "Part", sides: [nodes.slice(0, half), nodes.slice(half)] } })
    script.push({ atMs: BOOT_MS + dice.below(STORM_MS / 2), fault: { _tag: "Heal" } })
  }
  for (const node of nodes) script.push({ atMs: Math.round(dice.between(0, spreadMs)), fault: { _tag: "Start", node } })
  let next = 1
  for (let i = 0; i < steps; i++) {
    const asked = operation(dice, nodes, next)
    next += 3
    const atMs = Math.round(BOOT_MS / 2 + dice.between(0, STORM_MS + BOOT_MS / 2))
    script.push({ atMs, node: dice.pick(nodes), operation: asked })
  }
  for (const step of Simulation.storm<Operation>(dice, { nodes, forMs: STORM_MS })) {
    script.push({ ...step, atMs: step.atMs + BOOT_MS })
  }
  return { seed, nodes, script: Simulation.inOrder(script) }
}

/** Runs a script to its end. */
export const simulate = async ({ nodes, script, seed }: Plan, verbose = false): Promise<Result> => {
  const oracle = new Oracle()
  const world: World = new Simulation.World<Services, unknown>({ seed, node: nodesOf(oracle) })
  world.trace.isVerbose = verbose
  oracle.note = (text) => world.trace.note(world.timeline.nowMs, text)
  const seeds = (node: string): ReadonlyArray<string> => nodes.filter((other) => other !== node)
  const fail = (violations: ReadonlyArray<string>, settledMs: number): Result => ({
    violations: [...oracle.violations, ...violations],
    hash: world.trace.hash,
    trace: world.trace.lines,
    settledMs
  })

  for (const step of script) {
    await world.timeline.pass(step.atMs)
    if ("fault" in step) {
      world.trace.note(world.timeline.nowMs, JSON.stringify(step.fault))
      Simulation.inflict(world, step.fault, seeds)
      if (step.fault._tag === "Crash") excuseLost(world, oracle)
    } else {
      ask(world, oracle, step.node, step.operation)
    }
    for (const { during } of checkers) during?.(world, oracle)
  }
  Simulation.calm(world)
  world.trace.note(world.timeline.nowMs, "calm")
  const calmMs = world.timeline.nowMs
  let left: ReadonlyArray<string> = ["never looked"]
  let since = calmMs
  while (world.timeline.nowMs < calmMs + QUIET_MS) {
    await world.timeline.pass(world.timeline.nowMs + 250)
    for (const { during } of checkers) during?.(world, oracle)
    left = checkers.flatMap(({ quiet }) => quiet?.(world, oracle) ?? [])
    if (left.length > 0) since = world.timeline.nowMs
    else if (world.timeline.nowMs - since >= STABLE_MS) break
  }
  if (left.length > 0 || world.timeline.nowMs - since < STABLE_MS) return fail(left, since - calmMs)
  const settledMs = since - calmMs
  const atEnd = checkers.flatMap(({ end }) => end?.(world, oracle) ?? [])
  if (atEnd.length > 0) return fail(atEnd, settledMs)
  const leaving = world.running.map((node) => world.leave(node.id))
  await world.timeline.pass(world.timeline.nowMs + 30_000, () => leaving.every((one) => one?.exit !== undefined))
  await world.timeline.pass(world.timeline.nowMs + 1)
  return fail(checkers.flatMap(({ closed }) => closed?.(world, oracle) ?? []), settledMs)
}
