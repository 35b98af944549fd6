/** Of two copies that meet after a split the one stays that the documented order says: it doesn't matter who looks. */
import type { Oracle, Settled } from "../oracle.ts"
import type { Checker } from "./checker.ts"

/** Registrations this far apart have stamps in the same order, on clocks that are as they should be. */
const APART_MS = 5000

/** Why the other should have stayed, if it should. */
const objection = (oracle: Oracle, { loser, winner }: Settled): string | undefined => {
  if (loser.epoch !== winner.epoch) return loser.epoch > winner.epoch ? "its epoch is lower" : undefined
  // one registration that was made twice has two stamps, unless it was made once and taken over: nobody outside knows
  if (loser.asked === winner.asked || oracle.faults.has("Jump") || oracle.faults.has("Drift")) return undefined
  const [mine, theirs] = [oracle.asked[winner.asked], oracle.asked[loser.asked]]
  if (mine === undefined || theirs === undefined) return undefined
  return theirs.endedMs !== undefined && theirs.endedMs + APART_MS < mine.sinceMs ? "it is younger" : undefined
}

export const winners: Checker = {
  name: "documented winner",
  end: (_, oracle) =>
    oracle.settled.flatMap((settled) => {
      const { loser, name, sworm, winner } = settled
      const why = objection(oracle, settled)
      return why === undefined ? [] : [
        `winner: ${sworm}/${name} stayed at ${winner.node}@${winner.epoch}, not at ${loser.node}@${loser.epoch}: ${why}`
      ]
    })
}
