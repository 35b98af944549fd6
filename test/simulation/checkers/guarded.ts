/** Where a quorum decides which side of a split goes on, no copy handles a message once a later one has begun, ever. */
import type { Checker } from "./checker.ts"

export const guarded: Checker = {
  name: "never two of a guarded name",
  end: (_, oracle) =>
    oracle.executions.filter(({ sworm }) => sworm === "Guarded").flatMap(({ atMs, epoch, message, name, node }) => {
      const later = oracle.copies.find((copy) =>
        copy.sworm === "Guarded" && copy.name === name && copy.epoch > epoch && copy.node !== node &&
        copy.sinceMs < atMs
      )
      if (later === undefined) return []
      return [`two: ${node}@${epoch} handled ${message} to ${name} after ${later.node}@${later.epoch} had begun`]
    })
}
