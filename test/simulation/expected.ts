/** What must be true of a name in the end, as far as what clients were told decides it. */
import type { SwormId } from "./operations.ts"
import { type Asked, isUnknown, type Oracle } from "./oracle.ts"

export type Expected = "runs" | "gone" | "either"

/** Could one have had its effect after the other began to? */
const mayFollow = (later: Asked, earlier: Asked): boolean =>
  later.endedMs === undefined || isUnknown(later.outcome) || later.endedMs >= earlier.sinceMs

const isDone = ({ outcome }: Asked): boolean => outcome?._tag === "Done"

/** A refusal that leaves everything as it was. */
const isRefused = ({ outcome }: Asked): boolean => outcome?._tag === "Failed" && !isUnknown(outcome)

/**
 * Did two registrations of the name stand side by side, in two parts of the cluster? Then one `unregister` may have
 * known of one of them only, and the other goes on.
 */
export const isSplit = (oracle: Oracle, sworm: SwormId, name: string): boolean => {
  const asked = oracle.asked.filter(({ operation }) => operation.sworm === sworm && operation.name === name)
  const registers = asked.filter((one) => one.operation._tag === "Register" && !isRefused(one))
  const unregisters = asked.filter((one) => one.operation._tag === "Unregister" && isDone(one))
  return registers.some((first) =>
    registers.some((second) =>
      first.id < second.id &&
      !unregisters.some((between) => !mayFollow(first, between) && !mayFollow(between, second))
    )
  )
}

export const expected = (oracle: Oracle, sworm: SwormId, name: string): Expected => {
  const asked = oracle.asked.filter(({ operation }) => operation.sworm === sworm && operation.name === name)
  const registers = asked.filter(({ operation }) => operation._tag === "Register")
  const unregisters = asked.filter(({ operation }) => operation._tag === "Unregister")
  const excusedMs = oracle.excused.get(`${sworm}/${name}`) ?? -1
  const runs = registers.some((register) =>
    isDone(register) && register.endedMs! > excusedMs &&
    unregisters.every((unregister) => isRefused(unregister) || !mayFollow(unregister, register))
  )
  if (runs) return "runs"
  const isGone = registers.every((register) =>
    isRefused(register) ||
    unregisters.some((unregister) =>
      isDone(unregister) && unregister.endedMs! > excusedMs && !mayFollow(register, unregister)
    )
  )
  return isGone && excusedMs < 0 && !isSplit(oracle, sworm, name) ? "gone" : "either"
}
