/** Histories of many names, and what is wrong with them, for people to read. */
import { check, type CheckOptions, type Verdict, type Violation } from "./checker.ts"
import { byName, type Operation, show } from "./history.ts"
import { shrink } from "./shrink.ts"

/** So much of the order that was found says where it ended. */
const SHOWN = 12

export const explain = ({ name, prefix, state, stuck }: Violation): string => {
  const hidden = Math.max(0, prefix.length - SHOWN)
  return [
    `"${name}" is not linearizable. This order explains the most:`,
    ...(hidden > 0 ? [`  (${hidden} before)`] : []),
    ...prefix.slice(hidden).map((operation) => `  ${show(operation)}`),
    `then the name is ${state}, and none of these can come next:`,
    ...stuck.map((operation) => `  ${show(operation)}`)
  ].join("\n")
}

const describe = (name: string, history: ReadonlyArray<Operation>, verdict: Verdict, options: CheckOptions) => {
  if (verdict._tag === "Linearizable") return []
  if (verdict._tag === "Undecided") {
    return [`"${name}" can't be decided: ${verdict.states} states were not enough for ${history.length} operations`]
  }
  const least = shrink(history, options)
  const again = check(least, options)
  const { violation } = again._tag === "Violation" ? again : verdict
  return [`${explain(violation)}\nThe least of its history that is wrong, by invocation:\n${listed(least)}`]
}

const listed = (history: ReadonlyArray<Operation>): string =>
  [...history].sort((a, b) => a.invokedAt - b.invokedAt).map((operation) => `  ${show(operation)}`).join("\n")

/** One text for each name whose history is wrong, or could not be decided. */
export const findings = (history: ReadonlyArray<Operation>, options: CheckOptions = {}): ReadonlyArray<string> =>
  [...byName(history)].flatMap(([name, those]) => describe(name, those, check(those, options), options))
