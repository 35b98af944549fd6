/** H22: in the life of a process no cast is handled before one that left the same node earlier, and none twice. */
import type { Oracle } from "../oracle.ts"
import type { Checker } from "./checker.ts"

/** What was handled before a message although it must not have been; `undefined` when nothing was. */
const wrongBefore = ({ casts }: Oracle, message: number, before: ReadonlyArray<number>): number | undefined => {
  const cast = casts.get(message)
  if (cast === undefined) return undefined
  return before.find((other) => {
    const earlier = casts.get(other)
    if (earlier === undefined || earlier.from !== cast.from) return false
    return other === message || (cast.ended !== undefined && cast.ended < earlier.begun)
  })
}

export const casts: Checker = {
  name: "casts",
  end: (_, oracle) =>
    oracle.executions.flatMap(({ history, message, name, node, sworm }) => {
      const other = wrongBefore(oracle, message, history.slice(0, -1))
      return other === undefined ? [] : [`cast order: ${message} to ${sworm}/${name} at ${node}, after ${other}`]
    })
}
