/**
 * What a node that has died wrote last may have reached one other node only, which is enough for it to have been
 * acknowledged. Before its names are taken over, everyone tells everyone what they have of its section: one round trip.
 */
import type { SectionId } from "../../src/protocol/ids.ts"
import type { ReplicationDriver } from "./ground.ts"

/** Who doesn't say within this time is not waited for. */
const LIMIT_MS = 500

export class Estates {
  readonly #replication: ReplicationDriver
  readonly #nowMs: () => number
  readonly #open = new Map<SectionId, number>()
  /** Called when the names of a dead node may be taken over. */
  onSettled: () => void = () => {}

  readonly #after: (millis: number, run: () => void) => void

  constructor(replication: ReplicationDriver, nowMs: () => number, after: (millis: number, run: () => void) => void) {
    this.#replication = replication
    this.#nowMs = nowMs
    this.#after = after
  }

  /** A node has died. */
  open(section: SectionId): void {
    if (this.#replication.replica.version(section) === 0) return
    this.#open.set(section, this.#nowMs())
    this.#replication.compareWithAll()
    this.#after(LIMIT_MS, () => this.look())
    // with nobody left to ask
    this.look()
  }

  /** May this section still be known better by somebody else? */
  isOpen(section: SectionId): boolean {
    return this.#open.has(section)
  }

  /** Looks again: after news from peers, and of members. */
  look(): void {
    if (this.#open.size === 0) return
    const now = this.#nowMs()
    let isSettled = false
    for (const [section, sinceMs] of this.#open) {
      if (now - sinceMs < LIMIT_MS && !this.#replication.hasLatest(section, sinceMs)) continue
      this.#open.delete(section)
      isSettled = true
    }
    if (isSettled) this.onSettled()
  }
}
