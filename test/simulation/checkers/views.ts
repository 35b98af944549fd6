/** All nodes see the same members, the same names at the same places, the same groups, once quiet. */
import { Membership } from "@sworm/sworm"
import { Effect } from "effect"
import { type Node, sworm } from "../nodes.ts"
import { swormIds } from "../operations.ts"
import type { World } from "../simulate.ts"
import type { Checker } from "./checker.ts"

const membersOf = (world: World, node: Node): string =>
  (world.look(node, Effect.flatMap(Membership.Membership, ({ members }) => members)) ?? [])
    .filter(({ status }) => status === "alive").map(({ id }) => id).sort().join()

const namesOf = (world: World, node: Node): string =>
  swormIds.map((id) => {
    const refs = world.look(node, Effect.flatMap(sworm(id), ({ registered }) => registered)) ?? []
    return `${id}: ${refs.map(({ epoch, name, node: at }) => `${name} at ${at}@${epoch}`).join(", ")}`
  }).join("; ")

const groupsOf = (world: World, node: Node): string =>
  swormIds.map((id) => {
    const groups = Effect.flatMap(sworm(id), (client) =>
      Effect.flatMap(client.groups, (all) =>
        Effect.forEach(all, (group) =>
          Effect.map(client.members(group), (refs) =>
            `${group} of ${
              refs.map(({ name }) =>
                name
              ).join(", ")
            }`))))
    return `${id}: ${(world.look(node, groups) ?? []).join("; ")}`
  }).join(". ")

const differences = (world: World, what: string, see: (node: Node) => string): ReadonlyArray<string> => {
  const views = new Map<string, Array<string>>()
  for (const node of world.ready) {
    const view = see(node)
    views.set(view, [...views.get(view) ?? [], node.id])
  }
  return views.size <= 1
    ? []
    : [`${what} differ: ${[...views].map(([view, at]) => `${at.join()} see ${view}`).join(" | ")}`]
}

export const views: Checker = {
  name: "views converge",
  quiet: (world) => {
    const running = world.running.map(({ id }) => id).sort().join()
    const wrong = world.ready.filter((node) => membersOf(world, node) !== running)
    return [
      ...world.ready.length === world.running.length ? [] : ["members: a node is not ready"],
      ...wrong.map((node) => `members: ${node.id} sees ${membersOf(world, node)} instead of ${running}`),
      ...differences(world, "names", (node) => namesOf(world, node)),
      ...differences(world, "groups", (node) => groupsOf(world, node))
    ]
  }
}
