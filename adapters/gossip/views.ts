/** The members, as those see them who place names and choose registrars. */
import type { Member } from "../../src/Membership.ts"
import { hash32, mix32 } from "../../src/protocol/hash.ts"
import { compareText, type SectionId, sectionId } from "../../src/protocol/ids.ts"
import type { Member as SwimMember } from "../../src/protocol/swim.ts"
import type { View } from "./ground.ts"

const MAX_PREVIOUS = 8

export const viewOf = (present: ReadonlyArray<SwimMember>): View => {
  const active = present.filter(({ status, synced }) => synced && status !== "leaving")
    .sort((a, b) => compareText(a.id, b.id))
  let hash = 0
  for (const { boot, id } of active) hash = mix32(hash ^ hash32(id, boot >>> 0))
  return { present, active, hash }
}

/** The view, and those that held until a moment ago. */
export class Views {
  readonly #nowMs: () => number
  readonly #graceMs: number
  #current: View
  #previous: ReadonlyArray<{ readonly view: View; readonly until: number }> = []

  constructor(present: ReadonlyArray<SwimMember>, graceMs: number, nowMs: () => number) {
    this.#current = viewOf(present)
    this.#graceMs = graceMs
    this.#nowMs = nowMs
  }

  get current(): View {
    return this.#current
  }

  change(present: ReadonlyArray<SwimMember>): void {
    const next = viewOf(present)
    if (next.hash !== this.#current.hash) {
      this.#previous = [{ view: this.#current, until: this.#nowMs() }, ...this.#previous].slice(0, MAX_PREVIOUS)
    }
    this.#current = next
  }

  /** The latest first. */
  get previous(): ReadonlyArray<View> {
    this.#previous = this.#previous.filter(({ until }) => this.#nowMs() - until <= this.#graceMs)
    return this.#previous.map(({ view }) => view)
  }
}

export const sectionOf = (member: SwimMember): SectionId => sectionId(member.id, member.boot)

export const publicMember = ({ cordoned = false, hash: _, life: _life, ...member }: SwimMember): Member => ({
  ...member,
  cordoned
})
