/** What may happen in the histories that are looked at: each of these puts one part of the rules under strain. */
import { type Budget, budgetOf, type World } from "./state.ts"
import type { Rules } from "./switches.ts"

interface Strain {
  readonly budget: Partial<Budget>
  readonly merges?: boolean
}

export const strains = {
  /** Registrations, ends, crashes and splits. */
  claims: {
    budget: {
      register: 3,
      unregister: 2,
      duplicate: 2,
      crash: 3,
      restart: 3,
      wrong: 3,
      cut: 5,
      late: 3,
      part: 6,
      lose: 1
    }
  },
  /** All of it. */
  everything: {
    budget: {
      register: 3,
      unregister: 2,
      duplicate: 2,
      increment: 2,
      move: 3,
      lose: 2,
      late: 3,
      part: 6,
      crash: 3,
      restart: 3,
      wrong: 3,
      cut: 5
    }
  },
  /** Moves to nodes that have just been started. */
  strangers: { budget: { register: 1, unregister: 1, move: 3, crash: 2, restart: 2, part: 2 } },
  /** Moves among all that. */
  moves: {
    budget: {
      register: 2,
      unregister: 1,
      increment: 2,
      move: 3,
      lose: 3,
      crash: 2,
      restart: 2,
      wrong: 2,
      cut: 3,
      part: 3
    }
  },
  /** Moves on a healthy network, on which messages get lost. */
  calm: { budget: { register: 1, unregister: 1, increment: 3, move: 3, lose: 3, late: 2, part: 3 } },
  /** Splits, in which both sides go on. */
  splits: { budget: { register: 2, increment: 3, move: 1, lose: 2, wrong: 2, cut: 4, crash: 1, restart: 1, part: 3 } },
  /** The same, for a process type that merges states. */
  merging: {
    budget: { register: 2, increment: 3, move: 1, lose: 2, wrong: 2, cut: 4, crash: 1, restart: 1, part: 3 },
    merges: true
  },
  /** Registrations, message by message, while a node joins. */
  asking: { budget: { ask: 3, retry: 2, unregister: 1, duplicate: 1, lose: 2, join: 1, part: 2, late: 1 } },
  /** The same, with crashes. */
  askingFaulty: {
    budget: { ask: 3, retry: 2, unregister: 1, duplicate: 1, lose: 2, crash: 2, restart: 2, wrong: 1, cut: 2, part: 2 }
  },
  /** Requests that arrive again, late. */
  requests: { budget: { register: 2, unregister: 2, duplicate: 2, late: 1 } },
  /** Directions that nothing passes. */
  oneWay: {
    budget: { register: 2, unregister: 1, increment: 1, oneWay: 3, cut: 2, crash: 1, restart: 1, wrong: 1, lose: 1 }
  },
  /** The dead are forgotten, and come back. */
  forgetting: {
    budget: { register: 2, unregister: 2, crash: 1, restart: 1, cut: 3, forget: 2, wrong: 1, part: 2, increment: 1 }
  }
} satisfies Record<string, Strain>

const small = (budget: Partial<Budget>) => (rules: Rules): World => ({ rules, budget: budgetOf(budget), merges: false })

export type StrainName = keyof typeof strains

export const strainNames = Object.keys(strains) as ReadonlyArray<StrainName>

export const worldOf = (name: StrainName, rules: Rules): World => {
  const { budget, merges = false }: Strain = strains[name]
  return { rules, budget: budgetOf(budget), merges }
}

/** Small enough for every history up to a length. */
export const breadths = {
  claims: { depth: 4, world: small({ register: 1, unregister: 1, crash: 1, restart: 1, wrong: 1 }) },
  splits: { depth: 4, world: small({ register: 1, increment: 1, wrong: 1, lose: 1 }) },
  moves: { depth: 5, world: small({ register: 1, increment: 1, move: 1, lose: 1, crash: 1 }) },
  asking: { depth: 6, world: small({ ask: 2, lose: 1, join: 1 }) }
}
