/** On a network without faults two registrations of one name never both succeed, unless the first has ended. */
import type { Asked, Oracle } from "../oracle.ts"
import { isUnknown } from "../oracle.ts"
import type { Checker } from "./checker.ts"

/** Members have been the same for long enough by then. */
const STEADY_MS = 4000

const isDone = ({ operation, outcome }: Asked): boolean => operation._tag === "Register" && outcome?._tag === "Done"

/** Was the name ended between the two, or may it have been? */
const isEnded = (oracle: Oracle, first: Asked, second: Asked): boolean =>
  oracle.asked.some(({ endedMs, operation, outcome, sinceMs }) =>
    operation._tag === "Unregister" && operation.sworm === first.operation.sworm &&
    operation.name === first.operation.name && (outcome?._tag === "Done" || isUnknown(outcome)) &&
    sinceMs <= second.endedMs! && (endedMs ?? Infinity) >= first.sinceMs
  )

export const single: Checker = {
  name: "one of two registrations",
  end: (_, oracle) => {
    if ([...oracle.faults].some((fault) => fault !== "Start")) return []
    const done = oracle.asked.filter(isDone)
    return done.flatMap((first, index) =>
      done.slice(index + 1).flatMap((second) => {
        const { name, sworm } = first.operation
        if (second.operation.sworm !== sworm || second.operation.name !== name) return []
        if (Math.max(first.sinceMs, second.sinceMs) < STEADY_MS || isEnded(oracle, first, second)) return []
        return [`twice: ${sworm}/${name} was registered by #${first.id} and by #${second.id}`]
      })
    )
  }
}
