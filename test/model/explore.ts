/** Ways through the states: breadth first, or at random; and the shortest history that goes wrong. */
import { actionsOf, apply, isArrival, isChatter } from "./environment.ts"
import { type Known, quiesce } from "./quiescence.ts"
import type { Step } from "./rules.ts"
import { initial, keyOf, type State, way, type World } from "./state.ts"

export interface Violation {
  readonly what: string
  readonly history: ReadonlyArray<string>
}

export interface Found {
  readonly states: number
  readonly checks: number
  readonly violation: Violation | undefined
}

/** In a history: the network heals, everything comes to rest, and goes on from there. */
const REST = "(rest)"

/** What is wrong with a state, or with what it comes to. */
export const check = (s: State, known?: Known): string | undefined => {
  if (s.violation !== undefined) return s.violation
  const inParts = s.cut === 0 || isPingPong(s) ? undefined : quiesce(s, false, known).violation
  return inParts ?? quiesce(s, true, known).violation
}

/** With two one-way ways there may be no second observer for either: nothing can be said of it then. */
const isPingPong = (s: State): boolean =>
  PAIRS.filter(([a, b]) => ((s.cut & way(a, b)) === 0) !== ((s.cut & way(b, a)) === 0)).length > 1

const PAIRS = [[0, 1], [0, 2], [1, 2]] as const

const rest = (s: State): State => {
  const { s: quiet } = quiesce(s, true)
  return { ...quiet, budget: s.budget }
}

// ---- breadth first

interface Path {
  readonly label: string
  readonly before: Path | undefined
}

const historyOf = (path: Path | undefined): Array<string> => {
  const labels: Array<string> = []
  for (let at = path; at !== undefined; at = at.before) labels.unshift(at.label)
  return labels
}

export interface BreadthFound extends Found {
  /** All histories of this length were looked at. */
  readonly depth: number
}

export const breadthFirst = (world: World, depth: number, isOver: () => boolean = () => false): BreadthFound => {
  const first = initial(world)
  const seen = new Set([keyOf(first, true)])
  const known: Known = new Set()
  let checks = 0
  let front: Array<readonly [State, Path | undefined]> = [[first, undefined]]
  for (let at = 0; at <= depth; at++) {
    const next: typeof front = []
    for (const [s, path] of front) {
      checks++
      const what = check(s, known)
      if (what !== undefined) {
        return { states: seen.size, checks, violation: { what, history: historyOf(path) }, depth: at }
      }
      if (isOver()) return { states: seen.size, checks, violation: undefined, depth: at - 1 }
      if (at === depth) continue
      for (const step of actionsOf(s)) {
        const after = apply(s, step)
        const key = keyOf(after, true)
        if (seen.has(key)) continue
        seen.add(key)
        next.push([after, { label: step.label, before: path }])
      }
    }
    front = next
  }
  return { states: seen.size, checks, violation: undefined, depth }
}

// ---- at random

/** mulberry32 */
export const randomOf = (seed: number): () => number => {
  let at = seed | 0
  return () => {
    at = (at + 0x6d2b79f5) | 0
    let t = Math.imul(at ^ (at >>> 15), 1 | at)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}

const LENGTH = 80
const CHECKED = 0.15
const RESTED = 0.04
const PATIENCE = [0, 0.6, 0.95]

/** `patience`: how seldom frames arrive, against all else that happens. */
const pick = (steps: ReadonlyArray<Step>, random: () => number, patience: number): Step => {
  const others = random() < 0.55 ? steps.filter(({ label }) => !isChatter(label)) : steps
  const from = others.length > 0 ? others : steps
  const one = from[Math.floor(random() * from.length)]!
  return isArrival(one.label) && random() < patience ? steps[Math.floor(random() * steps.length)]! : one
}

export interface WalkFound extends Found {
  readonly walks: number
  /** The seed of the last walk. */
  readonly seed: number
}

/** Walks, each with a seed of its own, until one goes wrong. */
export const walk = (world: World, seed: number, isOver: (walks: number) => boolean): WalkFound => {
  const known: Known = new Set()
  let states = 0
  let checks = 0
  let walks = 0
  for (; !isOver(walks); walks++) {
    const random = randomOf(seed + walks)
    const patience = PATIENCE[(seed + walks) % PATIENCE.length]!
    const history: Array<string> = []
    let s = initial(world)
    for (let at = 0; at < LENGTH; at++) {
      const steps = actionsOf(s)
      if (steps.length === 0) break
      const step = pick(steps, random, patience)
      s = apply(s, step)
      states++
      history.push(step.label)
      const isRested = random() < RESTED
      if (s.violation === undefined && !isRested && at < LENGTH - 1 && random() >= CHECKED) continue
      checks++
      const what = check(s, known)
      if (what !== undefined) {
        return { states, checks, walks, seed: seed + walks, violation: { what, history } }
      }
      if (!isRested) continue
      s = rest(s)
      history.push(REST)
    }
  }
  return { states, checks, walks, seed: seed + walks, violation: undefined }
}

// ---- shorter

/** Does this history go wrong? Not if a step of it can't be taken. */
export const replay = (world: World, history: ReadonlyArray<string>): string | undefined => {
  let s = initial(world)
  for (const label of history) {
    if (label === REST) {
      if (check(s) !== undefined) return undefined
      s = rest(s)
      continue
    }
    const step = actionsOf(s).find((one) => one.label === label)
    if (step === undefined) return undefined
    s = apply(s, step)
    if (s.violation !== undefined) return s.violation
  }
  return check(s)
}

const kindOf = (what: string): string => what.split(":")[0]!

/** Leaves out every step without which it goes wrong in the same way all the same. */
export const shrink = (world: World, { history, what }: Violation): Violation => {
  let best: Violation = { what, history }
  for (let isShorter = true; isShorter;) {
    isShorter = false
    for (let at = best.history.length - 1; at >= 0; at--) {
      const shorter = best.history.toSpliced(at, 1)
      const found = replay(world, shorter)
      if (found === undefined || kindOf(found) !== kindOf(what)) continue
      best = { what: found, history: shorter }
      isShorter = true
    }
  }
  return best
}
