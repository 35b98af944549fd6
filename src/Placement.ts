/** Strategies that pick a name's home: pure functions of the name and of the members that can host it. */
import { hash32, HASH_ID, rendezvous as pick } from "./protocol/hash.ts"

/** A member that placement may choose: alive, synced, hosting the sworm. */
export interface Candidate {
  readonly id: string
  readonly labels: Readonly<Record<string, string>>
  /** `hash32` of the id, made once. */
  readonly hash: number
}

/**
 * Answers the same member on every node that sees the same candidates, whatever their order; `undefined` when none may
 * have the name.
 */
export interface Placement {
  readonly name: string
  readonly pick: (key: string, candidates: ReadonlyArray<Candidate>) => Candidate | undefined
}

/**
 * Rendezvous hashing (Thaler and Ravishankar, 1998), the default: even, and a node's coming or going moves only the
 * names that it gains or had.
 */
export const rendezvous: Placement = {
  name: `rendezvous/${HASH_ID}`,
  pick: (key, candidates) => pick(hash32(key), candidates)
}

/** Only members whose label has this value, then as `then` says (default rendezvous). */
export const label = (key: string, value: string, then: Placement = rendezvous): Placement => ({
  name: `label/${key}=${value}/${then.name}`,
  pick: (name, candidates) => then.pick(name, candidates.filter(({ labels }) => labels[key] === value))
})

/** Your own function. `name` tells strategies apart: give a changed function a changed name. */
export const make = (name: string, choose: Placement["pick"]): Placement => ({ name, pick: choose })
