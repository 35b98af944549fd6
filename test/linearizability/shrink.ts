/**
 * Less of a history that is not linearizable, with its fault still in it.
 *
 * Each step keeps this: if the whole were linearizable, then so would be what is left of it. So what is left shows a
 * fault of the whole, not one of the cutting.
 */
import { check, type CheckOptions, type Verdict } from "./checker.ts"
import { deadlineOf, isEffect, isUnknown, type Operation, unanswered } from "./history.ts"

type History = ReadonlyArray<Operation>

/**
 * The history as it stood right after `time`: what has not returned is of unknown result. Any beginning of a
 * linearizable history is linearizable.
 */
export const until = (history: History, time: number): History =>
  history.filter(({ invokedAt }) => invokedAt <= time).flatMap((operation) => {
    if (isUnknown(operation) || deadlineOf(operation) <= time) return [operation]
    return operation.op === "whereis" ? [] : [unanswered(operation)]
  })

/** What only saw the state, and did nothing to it, can be left out. */
export const isReading = (operation: Operation): boolean =>
  !isEffect(operation) && (!isUnknown(operation) || operation.op === "whereis")

/**
 * Stretches of whole operations, none of which overlaps one of known result outside, with as many that registered as
 * unregistered: the shortest from each place where one can begin. Such a stretch leaves the name absent or held as it
 * found it, and without it the epochs are only lower: it can be left out. Operations of unknown result stay.
 */
export const balanced = (history: History): ReadonlyArray<ReadonlySet<Operation>> => {
  const known = history.filter((one) => !isUnknown(one)).sort((a, b) => a.invokedAt - b.invokedAt)
  const stretches: Array<ReadonlySet<Operation>> = []
  let last = -Infinity
  for (const [begin, { invokedAt }] of known.entries()) {
    if (last < invokedAt) {
      const end = endOfBalanced(known, begin)
      if (end !== undefined) stretches.push(new Set(known.slice(begin, end)))
    }
    last = Math.max(last, deadlineOf(known[begin]!))
  }
  return stretches
}

const endOfBalanced = (known: History, begin: number): number | undefined => {
  let holds = 0
  let effects = 0
  let last = -Infinity
  for (let end = begin; end < known.length; end++) {
    const operation = known[end]!
    if (isEffect(operation)) {
      effects++
      holds += operation.op === "register" ? 1 : -1
    }
    last = Math.max(last, deadlineOf(operation))
    const isCut = last < (known[end + 1]?.invokedAt ?? Infinity)
    if (isCut && holds === 0 && effects > 0) return end + 1
  }
  return undefined
}

const without = (history: History, dropped: ReadonlySet<Operation>): History =>
  history.filter((operation) => !dropped.has(operation))

/** All checks together look at no more states: what is left by then is as small as it gets. */
const MAX_STATES = 1_000_000

class Shrinker {
  #statesLeft: number

  constructor({ maxStates = MAX_STATES }: CheckOptions) {
    this.#statesLeft = maxStates
  }

  #verdict(history: History): Verdict["_tag"] {
    if (this.#statesLeft <= 0) return "Undecided"
    const { _tag, states } = check(history, { maxStates: this.#statesLeft })
    this.#statesLeft -= states
    return _tag
  }

  violates(history: History): boolean {
    return this.#verdict(history) === "Violation"
  }

  /** The shortest beginning that is wrong already: one that ends with a return. */
  truncated(history: History): History {
    const returns = history.map(deadlineOf).filter(Number.isFinite).sort((a, b) => a - b)
    let [low, high] = [0, returns.length - 1]
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.violates(until(history, returns[middle]!))) high = middle
      else low = middle + 1
    }
    const beginning = until(history, returns[high] ?? Infinity)
    return this.violates(beginning) ? beginning : history
  }

  /** Leaves out readings: many at once, then fewer, at the end one by one. */
  withoutReadings(history: History): History {
    let left = history
    for (let size = history.length; size >= 1; size = Math.floor(size / 2)) {
      for (let at = 0; at < left.length; at += size) {
        const dropped = new Set(left.slice(at, at + size).filter(isReading))
        const rest = without(left, dropped)
        if (dropped.size > 0 && this.violates(rest)) {
          left = rest
          at -= size
        }
      }
    }
    return left
  }

  withoutBalanced(history: History): History {
    let left = history
    for (;;) {
      const rest = balanced(left).map((stretch) => without(left, stretch)).find((rest) => this.violates(rest))
      if (rest === undefined) return left
      left = rest
    }
  }

  /**
   * Leaves out operations of unknown result that have no part in it. There is a fault without any of them, but it may
   * be another one: what an unknown `register` explains is a riddle without it. One has no part if whatever could be
   * left out to make the history right still makes it right.
   */
  withoutUnknown(history: History): History {
    let left = history
    for (const unknown of history.filter(isUnknown)) {
      const rest = without(left, new Set([unknown]))
      const isNeeded = rest.some((one) => {
        if (isUnknown(one)) return false
        const dropped = new Set([one])
        return this.#verdict(without(left, dropped)) !== "Violation" &&
          this.#verdict(without(rest, dropped)) !== "Linearizable"
      })
      if (!isNeeded) left = rest
    }
    return left
  }
}

/** The smallest part that could be found that is still not linearizable; the whole, if that can't be told to be. */
export const shrink = (history: History, options: CheckOptions = {}): History => {
  if (check(history, options)._tag !== "Violation") return history
  const shrinker = new Shrinker(options)
  let left = shrinker.truncated(history)
  for (let before = -1; before !== left.length;) {
    before = left.length
    left = shrinker.withoutBalanced(shrinker.withoutReadings(left))
  }
  return shrinker.withoutUnknown(left)
}
