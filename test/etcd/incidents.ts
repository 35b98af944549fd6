/** What goes wrong in a run, and when: plain data, made from a seed. */
import { diceOf } from "../linearizability/support.ts"

export interface Incident {
  /** Of a node, or of the store. */
  readonly kind: string
  readonly node: string
  /** Whom a node is cut off from. */
  readonly others: ReadonlyArray<string>
  readonly atMs: number
  readonly forMs: number
}

export interface Script {
  readonly nodes: ReadonlyArray<string>
  readonly names: ReadonlyArray<string>
  readonly incidents: ReadonlyArray<Incident>
  /** For how long clients ask. */
  readonly forMs: number
}

const OF_NODES = ["unreachable", "silent", "answerLost", "slow", "cut", "paused", "killed", "left"] as const

/** Some are shorter than a lease of two seconds, some longer. */
const LONGEST_MS = 3500

export const scriptOf = (seed: number, troubles: ReadonlyArray<string>): Script => {
  const dice = diceOf(seed)
  const nodes = Array.from({ length: 3 + dice.below(3) }, (_, at) => `n${at + 1}`)
  const names = ["ant", "bee", "cat"].slice(0, 2 + dice.below(2))
  const forMs = Math.round(dice.between(4000, 7000))
  const incidents = Array.from({ length: 2 + dice.below(5) }, (): Incident => {
    const node = dice.pick(nodes)
    const others = nodes.filter((one) => one !== node)
    return {
      kind: dice.chance(0.75) ? dice.pick(OF_NODES) : dice.pick(troubles),
      node,
      others: dice.chance(0.5) ? others : others.filter(() => dice.chance(0.5)),
      atMs: Math.round(dice.between(200, forMs * 0.7)),
      forMs: Math.round(dice.between(200, LONGEST_MS))
    }
  })
  return { nodes, names, incidents, forMs }
}
