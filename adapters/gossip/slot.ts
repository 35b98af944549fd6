/** One name, as all sections together have it. */
import { type Held, type NameEntry, type NameView, viewOf } from "../../src/protocol/claims.ts"
import { extrasOf } from "../../src/protocol/extras.ts"
import { nodeOf, type SectionId } from "../../src/protocol/ids.ts"
import type { Entry } from "../../src/Registry.ts"
import type { ProcessRef } from "../../src/SwormError.ts"

/** All that sections say about one name. */
export class Slot {
  readonly sworm: string
  readonly name: string
  readonly entries: Array<readonly [SectionId, NameEntry]> = []
  #view: NameView | undefined
  #ref: ProcessRef | undefined

  constructor(sworm: string, name: string) {
    this.sworm = sworm
    this.name = name
  }

  get view(): NameView {
    return this.#view ??= viewOf(this.entries)
  }

  set(section: SectionId, entry: NameEntry | undefined): void {
    this.#view = undefined
    this.#ref = undefined
    const at = this.entries.findIndex(([id]) => id === section)
    if (at >= 0 && entry !== undefined) this.entries[at] = [section, entry]
    else if (at >= 0) this.entries.splice(at, 1)
    else if (entry !== undefined) this.entries.push([section, entry])
  }

  entryOf(section: SectionId): NameEntry | undefined {
    return this.entries.find(([id]) => id === section)?.[1]
  }

  /** The claim that has the name, its holder gone or not; a released one has nothing. */
  get top(): Held | undefined {
    const top = this.view.claims[0]
    return top === undefined || top.claim.mode === "released" ? undefined : top
  }

  get ref(): ProcessRef | undefined {
    const top = this.top
    if (top === undefined) return undefined
    return this.#ref ??= { sworm: this.sworm, name: this.name, node: nodeOf(top.section), epoch: top.claim.epoch }
  }
}

/** What is registered, as a claim says it. */
export const entryOf = ({ name, sworm }: Slot, { claim, section }: Held): Entry => ({
  ref: { sworm, name, node: nodeOf(section), epoch: claim.epoch },
  type: claim.spec?.type,
  metadata: claim.metadata,
  groups: claim.groups,
  names: [name, ...extrasOf(claim).aliases]
})
