/** Acknowledged registrations run somewhere, once quiet; what was unregistered never runs again. */
import { Effect, Option } from "effect"
import { expected } from "../expected.ts"
import { sworm } from "../nodes.ts"
import { names, swormIds } from "../operations.ts"
import type { Oracle } from "../oracle.ts"
import type { World } from "../simulate.ts"
import type { Checker } from "./checker.ts"

const isSeen = (world: World, id: typeof swormIds[number], name: string): boolean =>
  world.ready.some((node) => {
    const ref = world.look(node, Effect.flatMap(sworm(id), (client) => client.whereis(name)))
    return ref !== undefined && Option.isSome(ref)
  })

/**
 * Two nodes store what is acknowledged. When as many crash, or when one does that was alone in its view, it may be lost:
 * then nothing is expected of the name any more, until somebody registers it again.
 */
export const excuseLost = (world: World, oracle: Oracle): void => {
  for (const id of swormIds) {
    for (const name of names) {
      if (expected(oracle, id, name) === "runs" && isSeen(world, id, name)) continue
      oracle.excused.set(`${id}/${name}`, world.timeline.nowMs)
    }
  }
}

export const registrations: Checker = {
  name: "registrations are kept",
  quiet: (world, oracle) =>
    swormIds.flatMap((id) =>
      names.flatMap((name) => {
        const seen = isSeen(world, id, name)
        const must = world.ready.length === 0 ? "either" : expected(oracle, id, name)
        if (must === "runs" && !seen) return [`lost: ${id}/${name} was registered, and does not run`]
        if (must === "gone" && seen) return [`zombie: ${id}/${name} was unregistered, and runs again`]
        return []
      })
    )
}
