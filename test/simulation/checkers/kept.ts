/** Where states are merged, what was answered is remembered in the end, unless its holder crashed, left, or was ended. */
import { type Asked, isUnknown, type Oracle } from "../oracle.ts"
import type { Checker } from "./checker.ts"

/** May what was remembered since have been lost? The end of a name may come from a side that did not see the message. */
const isExcused = (oracle: Oracle, { operation: { name, sworm }, sinceMs }: Asked): boolean =>
  oracle.lost.some((lost) => lost.sworm === sworm && lost.name === name && lost.atMs >= sinceMs) ||
  oracle.asked.some(({ operation, outcome }) =>
    operation.sworm === sworm && operation.name === name &&
    (operation._tag === "Unregister" || operation._tag === "Forget") && (outcome?._tag === "Done" || isUnknown(outcome))
  )

export const kept: Checker = {
  name: "what was answered is kept",
  end: (_, oracle) =>
    oracle.asked.flatMap((asked) => {
      const { operation, outcome } = asked
      if (operation.sworm !== "Cells" || outcome?._tag !== "Done") return []
      if (operation._tag !== "Add" && operation._tag !== "Slow") return []
      const messages = operation._tag === "Add" ? operation.messages : [operation.message]
      const living = oracle.living.find(({ name, sworm }) => sworm === "Cells" && name === operation.name)
      const state = living === undefined ? undefined : oracle.stateOf(living)
      if (state === undefined || isExcused(oracle, asked)) return []
      const missing = messages.filter((message) => !state.messages.includes(message))
      return missing.length === 0 ? [] : [`forgotten: ${operation.name} answered ${missing.join()}, and has lost it`]
    })
}
