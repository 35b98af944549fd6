/** Identities that protocol state is keyed by. */

/** One run of one node, written `boot/node`. What a node writes is keyed by it: see PROTOCOL R12. */
export type SectionId = string

export const sectionId = (node: string, boot: number): SectionId => `${boot}/${node}`

export const nodeOf = (section: SectionId): string => section.slice(section.indexOf("/") + 1)

export const bootOf = (section: SectionId): number => Number(section.slice(0, section.indexOf("/")))

/** A registration: made once by the caller of `register`; retries, takeovers, moves and settling keep it (H12). */
export type RegistrationId = string

export const registrationId = (seq: number, section: SectionId): RegistrationId => `${seq}/${section}`

/** (epoch, boot, node): what a process is given as its fencing token. Epochs alone are not unique (H8). */
export type ClaimId = string

export const claimId = (epoch: number, section: SectionId): ClaimId => `${epoch}/${section}`

/** Orders strings by UTF-16 code unit, the same on every runtime and under every locale. */
export const compareText = (a: string, b: string): number => a < b ? -1 : a > b ? 1 : 0
