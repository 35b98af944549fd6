/** What becomes of two states of one process: after a split, or when one of them is all that a lost copy has left. */
import { nodeOf, type SectionId } from "../../src/protocol/ids.ts"
import { stampMillis } from "../../src/protocol/stamp.ts"
import type { ConflictSide } from "../../src/Process.ts"
import type { HostedType } from "../../src/runtime/Hosted.ts"
import type { Core } from "./core.ts"

export interface Side {
  readonly section: SectionId
  readonly epoch: number
  readonly continuity: number
  readonly state: unknown
}

const sideOf = ({ continuity, epoch, section }: Side): ConflictSide => ({
  node: nodeOf(section),
  epoch,
  since: new Date(stampMillis(continuity))
})

/**
 * `mine` goes on. Its process type merges the two; without that, and where it dies, the state with the longer unbroken
 * life stays, which is `theirs` where that is answered as it is.
 */
export const mergeStates = (
  core: Core,
  type: HostedType,
  sworm: string,
  name: string,
  mine: Side,
  theirs: Side
): Side => {
  const resolve = type.implementation?.resolveConflict
  if (resolve !== undefined) {
    try {
      const context = { sworm, name, mine: sideOf(mine), theirs: sideOf(theirs) }
      return { ...mine, state: resolve(mine.state, theirs.state, context) }
    } catch (error) {
      core.warn(`resolveConflict died for "${name}": the state with the longer life stays: ${String(error)}`)
    }
  }
  return theirs.continuity < mine.continuity ? theirs : mine
}
