/** What this node has seen of its names lately, for whoever asks why something is where it is. */
import type { Held } from "../../src/protocol/claims.ts"
import { nodeOf } from "../../src/protocol/ids.ts"
import type { Slot } from "./slot.ts"

/** Of all names together. */
const SIZE = 2048

interface Change {
  readonly atMs: number
  readonly slot: Slot
  readonly before: Held | undefined
  readonly after: Held | undefined
  readonly endReason: string | undefined
}

export class History {
  readonly #wallMs: () => number
  readonly #changes: Array<Change> = []
  #next = 0

  constructor(wallMs: () => number) {
    this.#wallMs = wallMs
  }

  note(slot: Slot, before: Held | undefined, after: Held | undefined): void {
    if (before?.section === after?.section && before?.claim.epoch === after?.claim.epoch) return
    const endReason = after === undefined ? slot.view.endReason : undefined
    this.#changes[this.#next] = { atMs: this.#wallMs(), slot, before, after, endReason }
    this.#next = (this.#next + 1) % SIZE
  }

  of(sworm: string, name: string): Array<{ readonly atMs: number; readonly what: string }> {
    const ordered = [...this.#changes.slice(this.#next), ...this.#changes.slice(0, this.#next)]
    return ordered.filter(({ slot }) => slot.name === name && slot.sworm === sworm)
      .map((change) => ({ atMs: change.atMs, what: tell(change) }))
  }
}

const tell = ({ after, before, endReason }: Change): string => {
  if (after === undefined) return endReason === undefined ? "left without a holder" : `ended: ${endReason}`
  const where = `"${nodeOf(after.section)}" at epoch ${after.claim.epoch}`
  if (before === undefined) return `started on ${where}`
  if (before.section !== after.section) return `went from "${nodeOf(before.section)}" to ${where}`
  return before.claim.continuity === after.claim.continuity ? `renewed on ${where}` : `started again on ${where}`
}
