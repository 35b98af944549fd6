/** Nothing leaks: once quiet, no section of a node that is gone; later no tombs, no marks, wherever nobody is away. */
import { Membership, Registry } from "@sworm/sworm"
import { Effect } from "effect"
import type { World } from "../simulate.ts"
import { hasQuorum } from "./registrations.ts"
import type { Checker } from "./checker.ts"

const tablesOf = (world: World): ReadonlyArray<readonly [node: string, Registry.RegistryTables]> =>
  world.ready.flatMap((node) => {
    const tables = world.look(node, Effect.flatMap(Registry.Registry, ({ tables }) => tables))
    return tables === undefined ? [] : [[node.id, tables] as const]
  })

/** Tombs wait for dead members, which may come back with what the tombs are for. */
export const isAnyoneAway = (world: World): boolean =>
  world.ready.some((node) => {
    const members = world.look(node, Effect.flatMap(Membership.Membership, ({ members }) => members)) ?? []
    return members.some(({ status }) => status === "dead" || status === "suspect")
  })

export const collected: Checker = {
  name: "nothing leaks",
  quiet: (world, oracle) =>
    // what the guarded sworm can't take over yet is kept
    !hasQuorum(world, oracle)
      ? []
      : tablesOf(world).flatMap(([node, { goneSections }]) =>
        goneSections === 0 ? [] : [`leak: ${node} keeps ${goneSections} sections of nodes that are gone`]
      ),
  rest: (world, oracle) =>
    // nor are tombs dropped that stand beside such a name in the section of a node that is gone
    isAnyoneAway(world) || !hasQuorum(world, oracle)
      ? []
      : tablesOf(world).flatMap(([node, { buried, erased, tombs }]) =>
        tombs + erased + buried === 0
          ? []
          : [`leak: ${node} keeps ${tombs} tombs, ${erased} marks of erased keys, ${buried} of dropped sections`]
      )
}
