/** One seed, one history: a storm of faults and requests, then calm; then everything must be as promised. */
import { mix32 } from "../../src/protocol/hash.ts"
import { seededRandom } from "../../src/protocol/random.ts"
import { Simulation } from "@sworm/sworm/testing"
import { checkers } from "./checkers/all.ts"
import { excuseLost } from "./checkers/registrations.ts"
import { ask } from "./client.ts"
import { nodesOf, type Services } from "./nodes.ts"
import { command, type Operation, operation } from "./operations.ts"
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

/** In every so many seeds nodes are cordoned, drained and paused too. */
const COMMANDS_EVERY = 4

const BOOT_MS = 1500
const STORM_MS = 12_000
/** Everything is as promised this long after the last fault at the latest. */
export const QUIET_MS = 30_000
/** It must stay so. */
const STABLE_MS = 3000

/** A node that leaves answers until it ends; what it could hand to nobody by then is lost. */
const LEAVING_MS = 6000
const endings: ReadonlySet<string> = new Set(["Crash", "Leave"])

/** Every so many seeds there are no faults, and whoever registers has a rival. */
const CALM_EVERY = 8

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
  if (seed % COMMANDS_EVERY === 0) script.push(...commanding(seed, nodes))
  if (seed % CALM_EVERY === 0) return { seed, nodes, script: Simulation.inOrder(rivalled(dice, nodes, script)) }
  for (const step of Simulation.storm<Operation>(dice, { nodes, forMs: STORM_MS })) {
    script.push({ ...step, atMs: step.atMs + BOOT_MS })
  }
  return { seed, nodes, script: Simulation.inOrder(script) }
}

/** By dice of its own: the other requests of a seed are the same with it and without. */
const commanding = (seed: number, nodes: ReadonlyArray<string>): ReadonlyArray<Simulation.Step<Operation>> => {
  const dice = new Simulation.Dice(seededRandom(mix32(seed ^ 0xc0d0)))
  return Array.from({ length: 2 + dice.below(8) }, () => {
    const atMs = Math.round(BOOT_MS + dice.between(0, STORM_MS))
    return { atMs, node: dice.pick(nodes), operation: command(dice, nodes) }
  })
}
/** Without its faults; each registration is asked for at another node, too, at about the same time. */
const rivalled = (dice: Simulation.Dice, nodes: ReadonlyArray<string>, script: Script): Script =>
  script.flatMap((step): Script => {
    if ("fault" in step) return step.fault._tag === "Start" ? [step] : []
    if (step.operation._tag !== "Register") return [step]
    return [step, { ...step, atMs: step.atMs + dice.below(5), node: dice.pick(nodes) }]
  })

/** Every so many seeds the states of Cells are kept on other nodes with each call. */
const KEEPING_EVERY = 3
/** What may keep a replica out of reach. */
const partings: ReadonlySet<string> = new Set(["Part", "Cut", "Hold", "Weather"])

/** Every so many seeds the simulation goes on for minutes, to see that what was needed for the faults is dropped. */
const REST_EVERY = 10
const REST_MS = 300_000

type When = "quiet" | "rest" | "end" | "closed"

/** Runs a script to its end. */
export const simulate = async ({ nodes, script, seed }: Plan, verbose = false): Promise<Result> => {
  const oracle = new Oracle(nodes.length, seed % KEEPING_EVERY === 1)
  const world: World = new Simulation.World<Services, unknown>({ seed, node: nodesOf(oracle, nodes.length) })
  world.trace.isVerbose = verbose
  oracle.note = (text) => world.trace.note(world.timeline.nowMs, text)
  const { timeline } = world
  const look = (when: When): ReadonlyArray<string> =>
    checkers.flatMap((checker) => checker[when]?.(world, oracle) ?? [])
  const watch = (): void => {
    for (const { during } of checkers) during?.(world, oracle)
  }

  for (const step of script) {
    await timeline.pass(step.atMs)
    watch()
    if ("fault" in step) {
      world.trace.note(timeline.nowMs, JSON.stringify(step.fault))
      oracle.faults.add(step.fault._tag)
      if (partings.has(step.fault._tag)) oracle.partedMs = Math.min(oracle.partedMs, timeline.nowMs)
      if ("node" in step.fault && endings.has(step.fault._tag)) {
        oracle.loses(step.fault.node, timeline.nowMs + (step.fault._tag === "Leave" ? LEAVING_MS : 0))
      }
      Simulation.inflict(world, step.fault, (node) => nodes.filter((other) => other !== node))
      if (step.fault._tag === "Crash") excuseLost(world, oracle)
    } else {
      ask(world, oracle, step.node, step.operation)
    }
  }
  Simulation.calm(world)
  world.trace.note(timeline.nowMs, "calm")
  const calmMs = timeline.nowMs

  /** Until it looks right, and stays so; what is wrong at the end, if anything. */
  const becomes = async (when: When, stepMs: number, forMs: number, limitMs: number) => {
    const untilMs = timeline.nowMs + limitMs
    let wrong = look(when)
    let sinceMs = timeline.nowMs
    while (wrong.length > 0 || timeline.nowMs - sinceMs < forMs) {
      if (timeline.nowMs >= untilMs) return wrong.length > 0 ? wrong : [`${when}: it does not stay as it should be`]
      await timeline.pass(timeline.nowMs + stepMs)
      watch()
      wrong = look(when)
      if (wrong.length > 0) sinceMs = timeline.nowMs
    }
    settledMs = sinceMs - calmMs
    return []
  }
  const closes = async (): Promise<ReadonlyArray<string>> => {
    const leaving = world.running.map((node) => world.leave(node.id))
    await timeline.pass(timeline.nowMs + 30_000, () => leaving.every((one) => one?.exit !== undefined))
    await timeline.pass(timeline.nowMs + 1)
    return look("closed")
  }
  let settledMs = QUIET_MS
  let wrong = await becomes("quiet", 250, STABLE_MS, QUIET_MS)
  const quietMs = settledMs
  if (wrong.length === 0) wrong = look("end")
  if (wrong.length === 0 && seed % REST_EVERY === 0) wrong = await becomes("rest", 5000, 0, REST_MS)
  if (wrong.length === 0 && seed % REST_EVERY === 0) wrong = look("quiet")
  if (wrong.length === 0) wrong = await closes()
  const { hash, lines } = world.trace
  return { violations: [...oracle.violations, ...wrong], hash, trace: lines, settledMs: quietMs }
}
