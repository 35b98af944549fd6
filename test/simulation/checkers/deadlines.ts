/** Whatever a client asks for ends by its limit, with a documented result. */
import { CALL_MS } from "../client.ts"
import type { Asked } from "../oracle.ts"
import type { Checker } from "./checker.ts"

/** Registrations and changes end, at worst, after their `init` and a few questions, each with its limit. */
const CHANGE_MS = 45_000

const limitOf = ({ operation }: Asked): number =>
  operation._tag === "Add"
    ? operation.messages.length * CALL_MS
    : operation._tag === "Slow" || operation._tag === "Crash"
    ? CALL_MS
    : CHANGE_MS

export const deadlines: Checker = {
  name: "deadlines",
  end: (world, oracle) =>
    oracle.asked.flatMap((asked) => {
      const { endedMs, node, operation, outcome, sinceMs } = asked
      if (outcome?._tag === "Died") return [`died: ${operation._tag} of ${operation.name}: ${outcome.detail}`]
      // what asked is gone, or was held up, and its clock may run slower than the time
      if (node.machine.isDead || node.leaving !== undefined) return []
      const tookMs = (endedMs ?? world.timeline.nowMs) - sinceMs - node.machine.heldMs
      if (tookMs <= limitOf(asked) * 1.15 + 250) return []
      return [
        `late: ${operation._tag} of ${operation.name} at ${node.id} ${
          endedMs === undefined ? "hangs" : `took ${tookMs} ms`
        }`
      ]
    })
}
