/** Seeds to keep. */
import type { Shape } from "./simulate.ts"

/** Found by the simulation, and fixed: each with the shape that it was found with, and what it was. */
export const regressions: ReadonlyArray<Shape & { readonly seed: number; readonly what: string }> = [
  { seed: 6, what: "an unregister whose answer was lost told its caller that there was no such name" },
  { seed: 223, what: "a call sent again after its deadline was executed twice (H21)" },
  { seed: 480, what: "the same, to a process that passivates" },
  { seed: 7841, what: "a name was not found by its registrant while a split healed" },
  { seed: 5335, nodes: 3, steps: 120, what: "a copy below the end of another was shown: epochs went back (H17)" },
  { seed: 6387, nodes: 7, steps: 120, what: "the same, seen by two nodes" },
  {
    seed: 6097,
    nodes: 7,
    steps: 120,
    what: "two starts of one name at one epoch on one node: one fencing token twice"
  },
  { seed: 10187, nodes: 3, steps: 100, what: "two nodes waited for each other to copy what a dead one left (R9)" },
  {
    seed: 20215,
    nodes: 4,
    steps: 100,
    what: "a section was buried at an old version, and its news refused for ever (R9)"
  },
  { seed: 50403, what: "a peer was forgotten between its link and its first word: nothing was ever synced with it" }
]

/** Of seeds, by seed: the same on Node, Deno and Bun. Changes with whatever nodes say to each other: see `npm run sim`. */
export const hashes: Readonly<Record<number, string>> = {}
