/** Epochs never go back: a node that has seen one never sees a lower one; no two copies start with one token. */
import { Effect } from "effect"
import { type Node, sworm } from "../nodes.ts"
import { swormIds } from "../operations.ts"
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
  end: (_, oracle) => {
    const tokens = new Map<string, number>()
    for (const { epoch, machine, name, node, sworm } of oracle.copies) {
      if (sworm !== "Cells") continue
      const token = `${sworm}/${name} ${epoch} at ${node}`
      const before = tokens.get(token)
      if (before !== undefined) return [`tokens: two copies of ${token}`]
      tokens.set(token, machine.nowMs)
    }
    return []
  }
}
