/** At most one living holder of each name, once quiet; and it is the one that everybody sees. */
import { Supervisor } from "@sworm/sworm"
import { Effect } from "effect"
import { swormIds } from "../operations.ts"
import type { Checker } from "./checker.ts"

export const holders: Checker = {
  name: "one holder",
  quiet: (world) =>
    swormIds.flatMap((sworm) => {
      const held = new Map<string, Array<string>>()
      for (const node of world.ready) {
        const which = Effect.flatMap(Supervisor.Supervisor, (supervisor) => supervisor.which(sworm, node.id))
        for (const { ref, status } of world.look(node, which) ?? []) {
          if (status !== "running" && status !== "passive") return [`${sworm}/${ref.name} is ${status} at ${node.id}`]
          held.set(ref.name, [...held.get(ref.name) ?? [], `${node.id}@${ref.epoch}`])
        }
      }
      return [...held].filter(([, at]) => at.length > 1).map(([name, at]) =>
        `one holder: ${sworm}/${name} at ${at.join(" and ")}`
      )
    })
}
