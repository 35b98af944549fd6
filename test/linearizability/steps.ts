/**
 * The sequential specification of one name, and a history taken apart into steps of it.
 *
 * A name is absent, or held by a copy: `register` on an absent name makes it held, with an epoch above all that the
 * name has ever had; `unregister` on a held one makes it absent. What the system does by itself (moves, takeovers,
 * restarts of crashed processes) takes a held name to any node and any higher epoch, at any moment, seen or not.
 *
 * Those transitions need no search. A state here stands for all that the name could have got to unseen: `held` with an
 * epoch of at least `floor`, which is at `node` if it is exactly `floor`. Since whatever can follow on a state can also
 * follow on one with a lower floor, the lowest that fits is always the right guess.
 */
import { deadlineOf, type Operation, type Ref, refOf, showRef } from "./history.ts"

export interface State {
  readonly isHeld: boolean
  /** Of an absent name the highest epoch that it is known to have had, of a held one the lowest that it may have. */
  readonly floor: number
  /** The node of the copy at epoch `floor`; undefined if that was never seen. */
  readonly node: string | undefined
  /** A `register` has begun this holding that has still to get its answer: the index of the step of its answer. */
  readonly owes: number | undefined
}

export const initial: State = { isHeld: false, floor: 0, node: undefined, owes: undefined }

/**
 * A moment at which an operation meets the state. An acknowledged `register` has two: it takes effect, and then, at the
 * same moment or later, it sees the ref that it answers, in the holding that it began.
 */
export interface Step {
  readonly operation: Operation
  readonly needs: "absent" | "held"
  readonly does: "register" | "unregister" | "answer" | "see"
  /** What is seen at this moment; of the first step of a `register`, what its answer is going to see. */
  readonly ref: Ref | undefined
  readonly from: number
  readonly until: number
}

const momentsOf = ({ op, result }: Operation): ReadonlyArray<Pick<Step, "needs" | "does">> => {
  switch (result._tag) {
    case "Unknown":
      return []
    case "None":
    case "NotRegistered":
      return [{ needs: "absent", does: "see" }]
    case "At":
    case "Taken":
      return [{ needs: "held", does: "see" }]
    case "Ok":
      if (op === "unregister") return [{ needs: "held", does: "unregister" }]
      return [{ needs: "absent", does: "register" }, { needs: "held", does: "answer" }]
  }
}

/** What must be placed, by invocation; the answer of a `register` comes right after its effect. */
export const stepsOf = (history: ReadonlyArray<Operation>): ReadonlyArray<Step> =>
  [...history].sort((a, b) => a.invokedAt - b.invokedAt).flatMap((operation) =>
    momentsOf(operation).map((moment) => ({
      ...moment,
      operation,
      ref: refOf(operation),
      from: operation.invokedAt,
      until: deadlineOf(operation)
    }))
  )

const answers = ({ floor, isHeld, node }: State, ref: Ref): boolean =>
  isHeld && (ref.epoch > floor || (ref.epoch === floor && (node === undefined || node === ref.node)))

/** The name is registered by somebody of whom nothing is known yet. */
export const registered = ({ floor }: State, owes?: number): State => ({
  isHeld: true,
  floor: floor + 1,
  node: undefined,
  owes
})

/** The name is unregistered: not while a `register` waits to see its own copy. */
export const unregistered = ({ floor, owes }: State): State | undefined =>
  owes === undefined ? { isHeld: false, floor, node: undefined, owes: undefined } : undefined

/**
 * The state after the step at `index`, the same one if it changes nothing; undefined if it can't be made in `state`.
 */
export const apply = (state: State, step: Step, index: number): State | undefined => {
  if (state.isHeld !== (step.needs === "held")) return undefined
  const { does, ref } = step
  if (does === "register") return state.floor < ref!.epoch ? registered(state, index + 1) : undefined
  if (does === "unregister") return unregistered(state)
  if (does === "answer" && state.owes !== index) return undefined
  if (ref === undefined) return state
  if (!answers(state, ref)) return undefined
  const owes = does === "answer" ? undefined : state.owes
  if (ref.epoch === state.floor && ref.node === state.node && owes === state.owes) return state
  return { isHeld: true, floor: ref.epoch, node: ref.node, owes }
}

/** Whatever comes, the name never again is what the step must see: epochs don't go back. */
export const isLost = (state: State, { does, ref }: Step): boolean => {
  if (ref === undefined) return false
  if (does === "register") return ref.epoch <= state.floor
  return ref.epoch < state.floor || (ref.epoch === state.floor && !answers(state, ref))
}

export const showState = ({ floor, isHeld, node }: State): string => {
  if (!isHeld) return floor === 0 ? "absent, never held" : `absent, held before up to epoch ${floor}`
  return node === undefined ? `held at epoch ${floor} or above` : `held at ${showRef({ node, epoch: floor })} or above`
}
