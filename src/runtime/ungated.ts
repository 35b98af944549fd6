/**
 * A quorum is of all that host the sworm, wherever it stands in a composition of placements: whoever asks one about few
 * of them must not have it ask for its quorum again.
 */
import type { Placement } from "../Placement.ts"

const ungated = new WeakMap<Placement, Placement["pick"]>()

export const keepUngated = (placement: Placement, pick: Placement["pick"]): void => void ungated.set(placement, pick)

/** What a placement picks, whether these are as many as its quorum or not. */
export const pickOf = (placement: Placement): Placement["pick"] => ungated.get(placement) ?? placement.pick
