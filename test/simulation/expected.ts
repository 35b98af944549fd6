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

const about = (oracle: Oracle, sworm: SwormId, name: string): ReadonlyArray<Asked> =>
  oracle.asked.filter(({ operation }) => operation.sworm === sworm && operation.name === name)

/**
 * Has a registration ended for certain? The node that was asked to end the name saw this one there, and nobody asked for
 * another meanwhile. Of two that stand side by side, in two parts of the cluster, only the one that is seen has.
 */
const hasEnded = (register: Asked, all: ReadonlyArray<Asked>): boolean =>
  all.some((unregister) =>
    unregister.operation._tag === "Unregister" && isDone(unregister) && unregister.ends === register.id &&
    !all.some((other) =>
      other.operation._tag === "Register" && other.id !== register.id && mayFollow(other, unregister) &&
      other.sinceMs <= unregister.endedMs!
    )
  )

/** Registrations of a name, besides this one, that may stand. */
export const others = (
  oracle: Oracle,
  sworm: SwormId,
  name: string,
  than: number | undefined
): ReadonlyArray<Asked> => {
  const all = about(oracle, sworm, name)
  return all.filter((one) =>
    one.operation._tag === "Register" && one.id !== than && !isRefused(one) && !hasEnded(one, all)
  )
}

export const expected = (oracle: Oracle, sworm: SwormId, name: string): Expected => {
  const asked = about(oracle, sworm, name)
  const registers = asked.filter(({ operation }) => operation._tag === "Register")
  const unregisters = asked.filter(({ operation }) => operation._tag === "Unregister")
  const excusedMs = oracle.excused.get(`${sworm}/${name}`) ?? -1
  const runs = registers.some((register) =>
    isDone(register) && register.endedMs! > excusedMs &&
    unregisters.every((unregister) => isRefused(unregister) || !mayFollow(unregister, register))
  )
  if (runs) return "runs"
  const isGone = excusedMs < 0 && registers.every((register) => isRefused(register) || hasEnded(register, asked))
  return isGone ? "gone" : "either"
}
