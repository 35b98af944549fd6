/**
 * Drops what nothing depends on any more: sections of dead nodes (PROTOCOL R9), and tombs (R10). Never by age alone: a
 * tomb goes when everyone has seen it, and all that this node has seen, with nothing left that it could cover.
 */
import { type Graveyard, isSpent, leftover } from "../../src/protocol/collection.ts"
import type { NameEntry } from "../../src/protocol/claims.ts"
import type { SectionId } from "../../src/protocol/ids.ts"
import type { Versions } from "../../src/protocol/replica.ts"
import { type GivenUpEntry, type MetaEntry, parseKey } from "../../src/protocol/wire.ts"
import type { Core } from "./core.ts"
import type { Slot } from "./slot.ts"

/** A round of comparing with everyone is given up after this long: it began with too old a state, or somebody is away. */
const ROUND_MS = 60_000

/** Tombs that may go, once everyone has what this node had when it looked. */
interface Round {
  readonly sinceMs: number
  readonly versions: Versions
  /** By slot: how often it had changed. */
  readonly tombs: ReadonlyMap<Slot, number>
}

export class Collector {
  readonly #core: Core
  readonly #tombAgeMs: number
  /** For a dead section, a name of it that waited to be taken over the last time: looked at first. */
  readonly #waiting = new Map<SectionId, string>()
  #round: Round | undefined

  constructor(core: Core, tombAgeMs: number) {
    this.#core = core
    this.#tombAgeMs = tombAgeMs
  }

  /** Called now and then. */
  collect(): void {
    const { replication } = this.#core.parts
    if (!replication.synced) return
    this.#forgetMarks()
    for (const section of [...replication.replica.sections()]) {
      if (section !== replication.replica.own && this.#graveyard.isGone(section)) this.#bury(section)
    }
    this.#collectTombs()
  }

  readonly #graveyard: Graveyard = {
    isGone: (section) => this.#core.parts.members.isGone(section),
    isDischarged: (section) => this.#core.parts.replication.isDischarged(section)
  }

  // ---- dead sections

  #bury(section: SectionId): void {
    const { replica } = this.#core.parts.replication
    const known = this.#waiting.get(section)
    // what waits for a takeover is most often still waiting
    if (known !== undefined && this.#needs(section, known) === "takeover") return
    this.#waiting.delete(section)
    let isNeeded = false
    let epoch = 0
    for (const key of replica.keysOf(section)) {
      // what others copy is waited for, but not before this node has copied all that is its own to copy
      const need = this.#needs(section, key)
      if (need === "takeover") return void this.#waiting.set(section, key)
      if (need === "copy") isNeeded = true
      const parsed = parseKey(key)
      if (parsed?._tag !== "Name") continue
      const { claim, tomb } = replica.get(section, key) as NameEntry
      epoch = Math.max(epoch, claim?.epoch ?? 0, tomb?.epoch ?? 0)
    }
    if (isNeeded) return
    this.#core.parts.replication.raiseFloor(epoch)
    this.#core.parts.replication.bury(section)
  }

  /** What has to happen before this key's section can go; what is this node's to copy, it copies. */
  #needs(section: SectionId, key: string): "takeover" | "copy" | undefined {
    const { replication } = this.#core.parts
    const value = replication.replica.get(section, key)
    const parsed = parseKey(key)
    if (value === undefined || parsed === undefined) return undefined
    switch (parsed._tag) {
      case "Sworm":
        return undefined
      case "Name":
        return this.#nameNeeds(section, parsed.sworm, parsed.name, value as NameEntry)
      case "Meta":
      case "GivenUp": {
        const { directory } = this.#core.parts
        const records: { of: (sworm: string, name: string) => ReadonlyMap<SectionId, MetaEntry | GivenUpEntry> } =
          parsed._tag === "Meta" ? directory.metas : directory.givenUp
        const { stamp } = value as MetaEntry | GivenUpEntry
        for (const [other, entry] of records.of(parsed.sworm, parsed.name)) {
          if (other !== section && entry.stamp >= stamp && !this.#graveyard.isGone(other)) return undefined
        }
        if (!this.#isMine(parsed.sworm, parsed.name)) return "copy"
        replication.write(key, value)
        return undefined
      }
    }
  }

  #nameNeeds(
    section: SectionId,
    sworm: string,
    name: string,
    entry: NameEntry
  ): "takeover" | "copy" | undefined {
    const slot = this.#core.parts.directory.slot(sworm, name)
    if (slot === undefined) return undefined
    const left = leftover(slot.entries, slot.view, section, entry, this.#graveyard)
    if (left._tag !== "Tomb") return left._tag === "Claim" ? "takeover" : undefined
    if (!this.#isMine(sworm, name)) return "copy"
    this.#core.adoptTomb(sworm, name, left.tomb)
    return undefined
  }

  #isMine(sworm: string, name: string): boolean {
    return this.#core.placing.registrar(sworm, name) === this.#core.parts.node.id
  }

  /** A mark is needed for as long as somebody may still have the section. */
  #forgetMarks(): void {
    const { members, replication } = this.#core.parts
    for (const section of [...replication.replica.buried.keys()]) {
      if (!members.isGone(section) || replication.isBuriedByAll(section)) replication.replica.exhume(section)
    }
  }

  // ---- tombs

  #collectTombs(): void {
    const { members, nowMs, replication } = this.#core.parts
    const now = nowMs()
    const round = this.#round
    if (round !== undefined) {
      if (replication.haveAll(round.versions, round.sinceMs, (section) => !members.isGone(section))) {
        this.#round = undefined
        for (const [slot, changes] of round.tombs) this.#drop(slot, changes)
      } else if (now - round.sinceMs > ROUND_MS) this.#round = undefined
      return
    }
    const tombs = new Map<Slot, number>()
    for (const { name, sinceMs, sworm } of this.#core.tombs.values()) {
      if (now - sinceMs < this.#tombAgeMs) break
      const slot = this.#core.parts.directory.slot(sworm, name)
      if (slot !== undefined && this.#isSpent(slot)) tombs.set(slot, slot.changes)
    }
    if (tombs.size > 0) this.#round = { sinceMs: now, versions: replication.replica.versions(), tombs }
  }

  #isSpent(slot: Slot): boolean {
    const tomb = slot.entryOf(this.#core.parts.node.section)?.tomb
    return tomb !== undefined && isSpent(slot.entries, slot.view, tomb, this.#graveyard)
  }

  #drop(slot: Slot, changes: number): void {
    if (slot.changes !== changes || !this.#isSpent(slot)) return
    const { node, replication } = this.#core.parts
    replication.raiseFloor(slot.entryOf(node.section)!.tomb!.epoch)
    this.#core.dropTomb(slot.sworm, slot.name)
  }
}
