/**
 * What may be dropped of what sections say about a name, and when: PROTOCOL R9 and R10, as far as one node's own store
 * decides it. Pure; whoever drops sees to what all the others have.
 */
import { type NameEntry, type NameView, supersedes, type Tomb, union } from "./claims.ts"
import type { SectionId } from "./ids.ts"

export interface Graveyard {
  readonly isGone: (section: SectionId) => boolean
  /** A peer has buried at least what is stored here of that section: its tombs are in living sections. */
  readonly isDischarged: (section: SectionId) => boolean
}

type Entries = Iterable<readonly [SectionId, NameEntry]>

const within = (some: ReadonlyArray<string>, all: ReadonlyArray<string>): boolean =>
  some.every((item) => all.includes(item))

/** The tombs of living sections, as one. */
const livingTomb = (entries: Entries, { isGone }: Graveyard): Pick<Tomb, "registrations" | "epoch"> => {
  let registrations: ReadonlyArray<string> = []
  let epoch = 0
  for (const [section, { tomb }] of entries) {
    if (tomb === undefined || isGone(section)) continue
    registrations = union(registrations, tomb.registrations)
    epoch = Math.max(epoch, tomb.epoch)
  }
  return { registrations, epoch }
}

/** What keeps a dead section from being dropped. */
export type Leftover =
  | { readonly _tag: "Nothing" }
  /** Its claim is neither covered nor superseded by a living section's: somebody takes it over first. */
  | { readonly _tag: "Claim" }
  /** These ends stand in no living section: the registrar of the name writes them into its own. */
  | { readonly _tag: "Tomb"; readonly tomb: Tomb }

const NOTHING: Leftover = { _tag: "Nothing" }

/** R9, of one name in a dead section. */
export const leftover = (
  entries: Entries,
  view: NameView,
  dead: SectionId,
  { claim, tomb }: NameEntry,
  graveyard: Graveyard
): Leftover => {
  const isCovered = claim !== undefined && within(claim.registrations, view.tombed)
  if (claim !== undefined && !isCovered) {
    const held = { section: dead, claim }
    const isSuperseded = view.claims.some((other) =>
      other.claim.mode !== "prepared" && !graveyard.isGone(other.section) && supersedes(other, held)
    )
    if (!isSuperseded) return { _tag: "Claim" }
  }
  if (graveyard.isDischarged(dead)) return NOTHING
  const registrations = union(tomb?.registrations ?? [], isCovered ? claim.registrations : [])
  const epoch = Math.max(tomb?.epoch ?? 0, isCovered ? claim.epoch : 0)
  const living = livingTomb(entries, graveyard)
  if (within(registrations, living.registrations) && epoch <= living.epoch) return NOTHING
  return { _tag: "Tomb", tomb: { registrations, epoch, reason: tomb?.reason ?? view.endReason ?? "Unregistered" } }
}

/** R10: nothing stored here still needs this tomb, its writer's own. */
export const isSpent = (entries: Entries, view: NameView, tomb: Tomb, { isGone }: Graveyard): boolean => {
  for (const [section, entry] of entries) {
    const { claim } = entry
    if (claim !== undefined && (claim.epoch <= tomb.epoch || within(claim.registrations, view.tombed))) return false
    if (entry.tomb !== undefined && isGone(section)) return false
  }
  return true
}
