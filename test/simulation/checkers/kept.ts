/**
 * Where states are merged, what was answered is remembered in the end, unless its holder crashed, left, or was ended. Where
 * they are kept with each call, on two other nodes, also then, as long as all could be reached and three were not lost.
 */
import { type Asked, isUnknown, type Oracle } from "../oracle.ts"
import type { Checker } from "./checker.ts"

const isLost = (oracle: Oracle, sworm: string, name: string, sinceMs: number): boolean => {
  const since = oracle.lost.filter(({ atMs }) => atMs >= sinceMs)
  const own = since.filter((lost) => lost.sworm === sworm && lost.name === name)
  if (!oracle.keepsEachCall) return own.length > 0
  const nodes = new Set(oracle.endings.filter(({ atMs }) => atMs >= sinceMs - KEEP_MS).map(({ node }) => node))
  return own.length > 0 && (nodes.size > 2 || oracle.partedMs < Infinity)
}

/** A state that is kept anew elsewhere is there by then. */
const KEEP_MS = 10_000

/** May what was remembered since have been lost? The end of a name may come from a side that did not see the message. */
const isExcused = (oracle: Oracle, { operation: { name, sworm }, sinceMs }: Asked): boolean =>
  isLost(oracle, sworm, name, sinceMs) ||
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
