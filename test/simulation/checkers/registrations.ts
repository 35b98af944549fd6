/** Acknowledged registrations run somewhere, once quiet; what was unregistered never runs again. */
import { Effect, Option } from "effect"
import { expected, others } from "../expected.ts"
import { type Node, quorumOf, sworm } from "../nodes.ts"
import { names, swormIds } from "../operations.ts"
import type { Oracle } from "../oracle.ts"
import type { World } from "../simulate.ts"
import type { Checker } from "./checker.ts"

const isSeen = (world: World, id: typeof swormIds[number], name: string): boolean =>
  world.ready.some((node) => {
    const ref = world.look(node, Effect.flatMap(sworm(id), (client) => client.whereis(name)))
    return ref !== undefined && Option.isSome(ref)
  })

/** Does a node see a registration that stands? One that was held up may see another still, which has ended. */
const isStanding = (world: World, oracle: Oracle, id: typeof swormIds[number], name: string): boolean => {
  const standing = new Set(others(oracle, id, name, undefined).map((register) => register.id))
  return world.ready.some((node) => {
    const entry = world.look(node, Effect.flatMap(sworm(id), (client) => client.entry(name)))
    return entry !== undefined && Option.isSome(entry) && standing.has(entry.value.metadata as number)
  })
}

/** Are enough nodes there for the guarded sworm to run at all? */
export const hasQuorum = (world: World, { size }: Oracle): boolean => world.ready.length >= quorumOf(size)

/**
 * Two nodes store what is acknowledged. When as many are lost, or one that was alone in its view, it may be lost: then
 * nothing is expected of the name any more, until somebody registers it again.
 */
export const excuseLost = (world: World, oracle: Oracle): void => {
  oracle.losses.push(world.timeline.nowMs)
  for (const id of swormIds) {
    for (const name of names) {
      const last = oracle.asked.findLast(({ operation, outcome }) =>
        operation.sworm === id && operation.name === name && outcome?._tag === "Done" &&
        (operation._tag === "Register" || operation._tag === "Unregister")
      )
      const isDue = expected(oracle, id, name) === "runs"
      if (last === undefined || (isDue && isStanding(world, oracle, id, name))) continue
      const isHolderLost = last.node.machine.isDead || last.node.leaving !== undefined
      const since = Math.max(isHolderLost ? 1 : 0, oracle.losses.filter((atMs) => atMs >= last.endedMs!).length)
      if (since >= (last.wasAlone ? 1 : 2)) oracle.excused.set(`${id}/${name}`, world.timeline.nowMs)
    }
  }
}

/** Nodes that have left: they store nothing any more. */
const left = new WeakSet<Node>()

export const registrations: Checker = {
  name: "registrations are kept",
  during: (world, oracle) => {
    for (const node of world.nodes.values()) {
      if (node.leaving?.exit === undefined || node.machine.isDead || left.has(node)) continue
      left.add(node)
      excuseLost(world, oracle)
    }
  },
  quiet: (world, oracle) =>
    swormIds.flatMap((id) =>
      names.flatMap((name) => {
        if (id === "Guarded" && !hasQuorum(world, oracle)) return []
        const seen = isSeen(world, id, name)
        const must = world.ready.length === 0 ? "either" : expected(oracle, id, name)
        if (must === "runs" && !seen) return [`lost: ${id}/${name} was registered, and does not run`]
        if (must === "gone" && seen) return [`zombie: ${id}/${name} was unregistered, and runs again`]
        return []
      })
    )
}
