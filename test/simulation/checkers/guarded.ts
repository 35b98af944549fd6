/** Where a quorum decides which side of a split goes on, no copy handles a message once a later one has, ever. */
import type { Checker } from "./checker.ts"

export const guarded: Checker = {
  name: "never two of a guarded name",
  end: (_, oracle) => {
    const latest = new Map<string, { readonly node: string; readonly epoch: number; readonly atMs: number }>()
    const found: Array<string> = []
    for (const tick of oracle.ticks) {
      const before = latest.get(tick.name)
      if (before !== undefined && before.epoch > tick.epoch) {
        found.push(`two: ${tick.name} at ${tick.node}@${tick.epoch} goes on after ${before.node}@${before.epoch} has`)
      }
      if (before === undefined || before.epoch < tick.epoch) latest.set(tick.name, tick)
    }
    return found.slice(0, 3)
  }
}
