/** A message is handled at most once; one that is answered was handled; those of one sender are handled in their order. */
import type { Checker } from "./checker.ts"

export const calls: Checker = {
  name: "calls",
  end: (_, oracle) => {
    const handledAt = new Map<number, number>()
    const found: Array<string> = []
    for (const { atMs, history, message, name, node, sworm } of oracle.executions) {
      // what a lost node had done and nobody was told of is done again: then in the life of a state it is done once
      const isAgain = oracle.keepsEachCall && sworm === "Cells"
        ? history.indexOf(message) < history.length - 1
        : handledAt.has(message)
      if (isAgain) found.push(`twice: message ${message} to ${sworm}/${name}, again at ${node}`)
      handledAt.set(message, atMs)
    }
    for (const { operation, outcome } of oracle.asked) {
      if (operation._tag !== "Add" && operation._tag !== "Slow") continue
      const messages = operation._tag === "Add" ? operation.messages : [operation.message]
      const answered = outcome?._tag === "Done"
      const times = messages.map((message) => handledAt.get(message))
      if (answered && times.includes(undefined)) {
        found.push(`not handled: ${messages.join()} to ${operation.name} were answered`)
      }
      const known = times.filter((time) => time !== undefined)
      if (known.some((time, index) => index > 0 && time < known[index - 1]!)) {
        found.push(`order: ${messages.join()} to ${operation.name} were handled in another order`)
      }
    }
    return found
  }
}
