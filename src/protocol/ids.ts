/** Identities that protocol state is keyed by. */

/** One run of one node, written `boot/node`. What a node writes is keyed by it: see PROTOCOL R12. */
export type SectionId = string

export const sectionId = (node: string, boot: number): SectionId => `${boot}/${node}`

interface Parts {
  readonly node: string
  readonly boot: number
}

/** Sections are few, and taken apart with every change of a name: what was taken apart once is looked up. */
const parts = new Map<SectionId, Parts>()
const MAX_PARTS = 1024

const partsOf = (section: SectionId): Parts => {
  const known = parts.get(section)
  if (known !== undefined) return known
  const cut = section.indexOf("/")
  const made = { node: section.slice(cut + 1), boot: Number(section.slice(0, cut)) }
  // peers name them: a peer that invents some makes nothing grow
  if (parts.size >= MAX_PARTS) parts.clear()
  parts.set(section, made)
  return made
}

export const nodeOf = (section: SectionId): string => partsOf(section).node

export const bootOf = (section: SectionId): number => partsOf(section).boot

/** A registration: made once by the caller of `register`; retries, takeovers, moves and settling keep it (H12). */
export type RegistrationId = string

export const registrationId = (seq: number, section: SectionId): RegistrationId => `${seq}/${section}`

/** (epoch, boot, node): what a process is given as its fencing token. Epochs alone are not unique (H8). */
export type ClaimId = string

export const claimId = (epoch: number, section: SectionId): ClaimId => `${epoch}/${section}`

/** Orders strings by UTF-16 code unit, the same on every runtime and under every locale. */
export const compareText = (a: string, b: string): number => a < b ? -1 : a > b ? 1 : 0
