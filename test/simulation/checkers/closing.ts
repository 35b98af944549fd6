/** A node that is asked to leave ends by its limit, and leaves nothing behind. */
import type { Checker } from "./checker.ts"

/** Handing over may take `shutdownTimeout`, and closing what is left as long again. */
const LEAVE_MS = 11_000

export const closing: Checker = {
  name: "closing",
  closed: (world, oracle) =>
    [...world.nodes.values()].flatMap(({ id, leaving, machine }) => {
      if (machine.isDead || leaving === undefined) return []
      const { endedMs, exit, sinceMs } = leaving
      if (endedMs === undefined) return [`closing: ${id} does not end`]
      if (exit?._tag === "Failure") return [`closing: ${id} failed to`]
      const tookMs = endedMs - sinceMs - machine.heldMs
      if (tookMs > LEAVE_MS) return [`closing: ${id} took ${tookMs.toFixed(0)} ms`]
      const copies = oracle.living.filter((copy) => copy.machine === machine).length
      if (copies > 0) return [`leak: ${copies} processes live on at ${id}, which has closed`]
      // what clients still wait for ends by its own limit
      if (oracle.asked.some(({ endedMs, node }) => node.machine === machine && endedMs === undefined)) return []
      return machine.pending === 0 ? [] : [`leak: ${machine.pending} timers or tasks go on at ${id}, which has closed`]
    })
}
