/**
 * Is a history of one name linearizable: can each operation be given one moment between its invocation and its return,
 * so that in the order of these moments every answer is what the sequential specification (`steps.ts`) says?
 *
 * Searches depth first for such an order, as Wing and Gong do ("Testing and Verifying Concurrent Objects", 1993), and
 * remembers each set of placed operations with the states it led to, so that none is gone on from twice: Lowe's
 * addition ("Testing for linearizability", 2017), as in Horn and Kroening's checker (2015), Porcupine and Knossos.
 * Names are checked each by itself, which is enough: linearizability is local (Herlihy and Wing, 1990).
 *
 * Three things keep the search small. What the system does by itself is part of the states and needs no steps. An
 * operation that only sees the state as it is can be placed at once: whatever order there is, there is one with it
 * first. And operations of unknown result, which are concurrent with all that comes after them, are used only when the
 * next step needs them, the earliest of a kind first, so that how many were used says all of them.
 */
import { assertWellFormed, byName, isUnknown, type Operation } from "./history.ts"
import { apply, initial, isLost, registered, showState, type State, type Step, stepsOf, unregistered } from "./steps.ts"

export interface Violation {
  readonly name: string
  /** The longest order that was found, of operations that can be explained together. */
  readonly prefix: ReadonlyArray<Operation>
  /** What that leads to, in words. */
  readonly state: string
  /** What can't come next, and one of them must: the first has to take effect before the others return. */
  readonly stuck: ReadonlyArray<Operation>
}

export type Verdict =
  /** `order` has each operation that took effect once; of those of unknown result only the ones that are needed. */
  | { readonly _tag: "Linearizable"; readonly order: ReadonlyArray<Operation>; readonly states: number }
  | { readonly _tag: "Violation"; readonly violation: Violation; readonly states: number }
  /** The search was given up: the history may be either. */
  | { readonly _tag: "Undecided"; readonly states: number }

export interface CheckOptions {
  /** How many states to look at before giving up. Default: 1,000,000, some seconds and some hundred MiB. */
  readonly maxStates?: number | undefined
}

const MAX_STATES = 1_000_000

/** How many of the operations of unknown result took effect so far. */
interface Used {
  readonly registers: number
  readonly unregisters: number
}

interface Situation {
  readonly state: State
  readonly used: Used
}

/** What could come next: each was invoked before the earliest deadline of all that are not placed. */
interface Window {
  /** All before it are placed. */
  readonly first: number
  readonly candidates: ReadonlyArray<number>
  readonly deadline: number
  /** Which of the steps from `first` on are placed. */
  readonly placed: string
}

interface Placed {
  readonly operation: Operation
  /** Undefined for an operation of unknown result, which is no step. */
  readonly index: number | undefined
}

class Search {
  readonly #steps: ReadonlyArray<Step>
  readonly #registers: ReadonlyArray<Operation>
  readonly #unregisters: ReadonlyArray<Operation>
  readonly #isPlaced: Uint8Array
  readonly #path: Array<Placed> = []
  /** What was gone on from, by what was placed. */
  readonly #seen = new Map<string, Array<Situation>>()
  #states = 0
  readonly #maxStates: number
  #best: { readonly path: ReadonlyArray<Placed>; readonly state: State; readonly stuck: ReadonlyArray<number> } = {
    path: [],
    state: initial,
    stuck: []
  }

  constructor(history: ReadonlyArray<Operation>, maxStates: number) {
    const unknown = history.filter(isUnknown).sort((a, b) => a.invokedAt - b.invokedAt)
    this.#steps = stepsOf(history)
    this.#registers = unknown.filter(({ op }) => op === "register")
    this.#unregisters = unknown.filter(({ op }) => op === "unregister")
    this.#isPlaced = new Uint8Array(this.#steps.length)
    this.#maxStates = maxStates
  }

  run(name: string): Verdict {
    const isFound = this.#explore(initial, { registers: 0, unregisters: 0 }, 0)
    const states = this.#states
    if (isFound) return { _tag: "Linearizable", order: operationsOf(this.#path), states }
    if (this.#isTired) return { _tag: "Undecided", states }
    const { path, state, stuck } = this.#best
    const late = stuck.map((index) => this.#steps[index]!).sort((a, b) => a.until - b.until)
    const violation = {
      name,
      prefix: operationsOf(path),
      state: showState(state),
      stuck: [...new Set(late.map(({ operation }) => operation))]
    }
    return { _tag: "Violation", violation, states }
  }

  get #isTired(): boolean {
    return this.#states >= this.#maxStates
  }

  /** Places all that is left, or leaves everything as it was. */
  #explore(before: State, used: Used, from: number): boolean {
    const mark = this.#path.length
    const [state, window] = this.#placeFree(before, from)
    if (window.candidates.length === 0) return true
    if (this.#path.length > this.#best.path.length || this.#best.stuck.length === 0) {
      this.#best = { path: [...this.#path], state, stuck: window.candidates }
    }
    if (this.#isNew(state, used, window) && !window.candidates.some((index) => isLost(state, this.#steps[index]!))) {
      for (const index of window.candidates) if (this.#tryStep(state, used, window, index)) return true
    }
    this.#undo(mark)
    return false
  }

  #tryStep(before: State, used: Used, { deadline, first }: Window, index: number): boolean {
    const mark = this.#path.length
    const step = this.#steps[index]!
    const [state, usedThen] = this.#meet(before, step, used, deadline)
    const next = state === undefined ? undefined : apply(state, step, index)
    if (next !== undefined) {
      this.#place(index)
      if (this.#explore(next, usedThen, first)) return true
    }
    this.#undo(mark)
    return false
  }

  /** The state with the name absent or held as the step needs it, if need be by an operation of unknown result. */
  #meet(state: State, { needs }: Step, used: Used, deadline: number): readonly [State | undefined, Used] {
    if (state.isHeld === (needs === "held")) return [state, used]
    const { registers, unregisters } = used
    const operation = needs === "held" ? this.#registers[registers] : this.#unregisters[unregisters]
    if (operation === undefined || operation.invokedAt > deadline) return [undefined, used]
    this.#path.push({ operation, index: undefined })
    return needs === "held"
      ? [registered(state), { registers: registers + 1, unregisters }]
      : [unregistered(state), { registers, unregisters: unregisters + 1 }]
  }

  /** Places what leaves the state as it is, until nothing does. */
  #placeFree(before: State, from: number): readonly [State, Window] {
    let state = before
    let window = this.#windowFrom(from)
    for (;;) {
      const found = window.candidates.find((index) => isFree(state, apply(state, this.#steps[index]!, index)))
      if (found === undefined) return [state, window]
      state = apply(state, this.#steps[found]!, found)!
      this.#place(found)
      window = this.#windowFrom(window.first)
    }
  }

  #windowFrom(from: number): Window {
    let first = from
    while (this.#isPlaced[first] === 1) first++
    const candidates: Array<number> = []
    let deadline = Infinity
    let placed = ""
    for (let index = first; index < this.#steps.length; index++) {
      const step = this.#steps[index]!
      if (this.#isPlaced[index] === 1) placed += "x"
      else if (step.from > deadline) break
      else {
        placed += "."
        candidates.push(index)
        deadline = Math.min(deadline, step.until)
      }
    }
    return { first, candidates, deadline, placed }
  }

  /** Nothing was tried from here, nor from where all that can be done here could be done too. */
  #isNew(state: State, used: Used, { first, placed }: Window): boolean {
    if (this.#isTired) return false
    const key = `${first}${placed}${state.isHeld}`
    const before = this.#seen.get(key) ?? []
    if (before.some((situation) => covers(situation, { state, used }))) return false
    this.#states++
    this.#seen.set(key, [...before, { state, used }])
    return true
  }

  #place(index: number): void {
    this.#isPlaced[index] = 1
    this.#path.push({ operation: this.#steps[index]!.operation, index })
  }

  #undo(mark: number): void {
    for (const { index } of this.#path.splice(mark)) if (index !== undefined) this.#isPlaced[index] = 0
  }
}

/**
 * With the same steps placed and the name held, or absent, in both: whatever can follow on `other` can on `one`. The
 * rest is the same in both: how many more registers than unregisters were used, what node is known to have had the
 * epoch `floor`, and whose answer is owed.
 */
const covers = (one: Situation, other: Situation): boolean =>
  one.used.registers <= other.used.registers && one.state.floor <= other.state.floor

/**
 * The step may come first whatever comes later: it only sees the state. A node that it tells of the epoch `floor` can
 * be told at no other time.
 */
const isFree = (state: State, next: State | undefined): boolean =>
  next !== undefined && next.isHeld === state.isHeld && next.floor === state.floor

const operationsOf = (path: ReadonlyArray<Placed>): ReadonlyArray<Operation> => [
  ...new Set(path.map(({ operation }) => operation))
]

/** Checks the history of one name; throws if it was recorded wrongly. */
export const check = (history: ReadonlyArray<Operation>, { maxStates = MAX_STATES }: CheckOptions = {}): Verdict => {
  const [name = "", ...others] = byName(history).keys()
  if (others.length > 0) throw new Error(`Cannot check "${name}" and "${others[0]}" as one name: check each by itself`)
  assertWellFormed(history)
  return new Search(history, maxStates).run(name)
}
