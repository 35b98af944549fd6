/** Epochs never go back: a node that has seen one never sees a lower one; no two copies start with one token. */
import { Effect } from "effect"
import { type Node, sworm } from "../nodes.ts"
import { swormIds } from "../operations.ts"
import type { Copy } from "../oracle.ts"
import type { Checker } from "./checker.ts"

const seen = new WeakMap<Node, Map<string, number>>()

export const epochs: Checker = {
  name: "epochs",
  during: (world, oracle) => {
    for (const node of world.ready) {
      let highest = seen.get(node)
      if (highest === undefined) seen.set(node, highest = new Map())
      for (const id of swormIds) {
        for (
          const { epoch, name } of world.look(node, Effect.flatMap(sworm(id), ({ registered }) => registered)) ?? []
        ) {
          const before = highest.get(`${id}/${name}`) ?? 0
          if (epoch < before) oracle.violation(`epochs: ${node.id} saw ${id}/${name} at ${before}, now at ${epoch}`)
          highest.set(`${id}/${name}`, Math.max(before, epoch))
        }
      }
    }
  },
  end: (_, oracle) =>
    oracle.copies.flatMap(({ epoch, machine, name, node, sworm }, index) => {
      // a passive one wakes at the epoch that it has
      const isSame = (other: Copy): boolean =>
        other.machine === machine && other.epoch === epoch && other.name === name && other.sworm === sworm
      const isTwice = sworm === "Cells" && oracle.copies.findIndex(isSame) !== index
      return isTwice ? [`tokens: two copies of ${sworm}/${name} at ${node}@${epoch}`] : []
    })
}
