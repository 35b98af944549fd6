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
  /** How often anything about it has changed. */
  changes = 0
  #view: NameView | undefined
  /** Made when first asked for: looking a name up is one look at them. */
  #top: Held | undefined | null = null
  #ref: ProcessRef | undefined

  constructor(sworm: string, name: string) {
    this.sworm = sworm
    this.name = name
  }

  get view(): NameView {
    return this.#view ??= viewOf(this.entries)
  }

  set(section: SectionId, entry: NameEntry | undefined): void {
    this.changes++
    this.#view = undefined
    this.#top = null
    this.#ref = undefined
    const at = this.entries.findIndex(([id]) => id === section)
    if (at >= 0 && entry !== undefined) this.entries[at] = [section, entry]
    else if (at >= 0) this.entries.splice(at, 1)
    else if (entry !== undefined) this.entries.push([section, entry])
  }

  entryOf(section: SectionId): NameEntry | undefined {
    return this.entries.find(([id]) => id === section)?.[1]
  }

  /**
   * The claim that has the name, its holder gone or not. A released one has nothing; one that is not above all that has
   * ended lifts itself first, so that nobody sees epochs go back (H17).
   */
  get top(): Held | undefined {
    if (this.#top !== null) return this.#top
    const { claims: [top], endedEpoch } = this.view
    const isUsable = top !== undefined && top.claim.mode !== "released" && top.claim.epoch > endedEpoch
    return this.#top = isUsable ? top : undefined
  }

  get ref(): ProcessRef | undefined {
    if (this.#ref !== undefined) return this.#ref
    const top = this.top
    if (top === undefined) return undefined
    return this.#ref = { sworm: this.sworm, name: this.name, node: nodeOf(top.section), epoch: top.claim.epoch }
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
