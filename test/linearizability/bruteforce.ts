/**
 * The specification again, as literally as it can be, to compare the checker with: every order of all operations, and
 * for each the set of all states that the name could be in, each with one node and one epoch. For histories of few
 * operations.
 */
import { deadlineOf, isUnknown, type Operation, type Ref, refOf } from "./history.ts"

interface Absent {
  readonly epochEver: number
}

interface Held extends Ref {
  /** The `register` that began it. */
  readonly by: Operation
}

type State = Absent | Held

const isHeld = (state: State): state is Held => "by" in state

/**
 * A moment of an operation: a `register` that was acknowledged has one for its effect and a later one for its answer.
 */
interface Moment {
  readonly operation: Operation
  readonly isAnswer: boolean
}

export class BruteForce {
  readonly #moments: ReadonlyArray<Moment>
  readonly #nodes: ReadonlyArray<string>
  readonly #ids = new Map<Operation, number>()
  readonly #highest: number

  constructor(history: ReadonlyArray<Operation>) {
    for (const [id, operation] of history.entries()) this.#ids.set(operation, id)
    this.#moments = history.flatMap((operation) => {
      const moment = { operation, isAnswer: false }
      const isTwo = operation.op === "register" && operation.result._tag === "Ok"
      return isTwo ? [moment, { operation, isAnswer: true }] : [moment]
    })
    const refs = history.map(refOf).filter((ref) => ref !== undefined)
    this.#nodes = [...new Set([...refs.map(({ node }) => node), "elsewhere"])]
    this.#highest = Math.max(0, ...refs.map(({ epoch }) => epoch)) + history.length + 1
  }

  isLinearizable(): boolean {
    return this.#search(new Set(), [{ epochEver: 0 }])
  }

  #search(done: ReadonlySet<Moment>, states: ReadonlyArray<State>): boolean {
    const left = this.#moments.filter((moment) => !done.has(moment))
    if (left.every(({ operation }) => isUnknown(operation))) return true
    const deadline = Math.min(...left.map(({ operation }) => deadlineOf(operation)))
    const within = this.#withTakeovers(states)
    return left.some((moment) => {
      const { isAnswer, operation } = moment
      if (operation.invokedAt > deadline) return false
      if (isAnswer && left.some((other) => other.operation === operation && !other.isAnswer)) return false
      const after = this.#unique(within.flatMap((state): ReadonlyArray<State> => this.#after(state, moment)))
      return after.length > 0 && this.#search(new Set([...done, moment]), after)
    })
  }

  /** The states after the moment; none if the answer contradicts the state. */
  #after(state: State, { isAnswer, operation }: Moment): ReadonlyArray<State> {
    const { op, result } = operation
    const ref = refOf(operation)
    const isThere = isHeld(state) && (ref === undefined || (ref.node === state.node && ref.epoch === state.epoch))
    if (op === "whereis") return result._tag === "Unknown" || isThere === (result._tag === "At") ? [state] : []
    if (op === "unregister") {
      if (result._tag === "NotRegistered") return isHeld(state) ? [] : [state]
      return isHeld(state) ? [{ epochEver: state.epoch }] : []
    }
    if (isAnswer) return isThere && state.by === operation ? [state] : []
    if (result._tag === "Taken") return isThere ? [state] : []
    return isHeld(state) ? [] : this.#heldAbove(state.epochEver, operation)
  }

  #heldAbove(epoch: number, by: Operation): Array<Held> {
    const all: Array<Held> = []
    for (let next = epoch + 1; next <= this.#highest; next++) {
      for (const node of this.#nodes) all.push({ node, epoch: next, by })
    }
    return all
  }

  #withTakeovers(states: ReadonlyArray<State>): ReadonlyArray<State> {
    return this.#unique(
      states.flatMap((state): ReadonlyArray<State> =>
        isHeld(state) ? [state, ...this.#heldAbove(state.epoch, state.by)] : [state]
      )
    )
  }

  #unique(states: ReadonlyArray<State>): ReadonlyArray<State> {
    const byKey = new Map(states.map((state) => [
      isHeld(state) ? `${state.node}@${state.epoch} ${this.#ids.get(state.by)}` : `${state.epochEver}`,
      state
    ]))
    return [...byKey.values()]
  }
}

export const isLinearizable = (history: ReadonlyArray<Operation>): boolean => new BruteForce(history).isLinearizable()
