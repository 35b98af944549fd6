/**
 * The replicated structure (DESIGN 4.2, PROTOCOL R12): every node writes only its own section, versioned key/values
 * under (node, boot); everybody keeps a copy of all sections. Merge keeps the higher version of each section, so copies
 * converge by construction. Deltas are contiguous: one that starts above what the receiver has is refused, never stored
 * with a hole.
 *
 * After scuttlebutt reconciliation: van Renesse et al., "Efficient Reconciliation and Flow Control for Anti-Entropy
 * Protocols", 2008.
 */
import { hash32, mix32 } from "./hash.ts"
import { compareText, type SectionId } from "./ids.ts"

/** A value as stored: `undefined` marks an erased key, kept until everyone has seen the erasure. */
export interface Versioned {
  readonly version: number
  readonly value: unknown
}

/** Part of a section: every entry whose version is in (`from`, `to`], oldest first. */
export interface Delta {
  readonly section: SectionId
  readonly from: number
  readonly to: number
  /** Marks of keys erased up to this version have been seen by all, and may be forgotten. */
  readonly swept: number
  readonly entries: ReadonlyArray<readonly [key: string, version: number, value: unknown]>
}

export type Versions = ReadonlyMap<SectionId, number>

class Section {
  version = 0
  swept = 0
  readonly entries = new Map<string, Versioned>()
  /** Keys whose last write erased them, oldest first. */
  readonly #erased = new Map<string, number>()
  /** Every write in version order; entries that were overwritten since stay until `#compact`. */
  #log: Array<readonly [version: number, key: string]> = []

  write(key: string, version: number, value: unknown): void {
    this.entries.set(key, { version, value })
    this.version = version
    this.#erased.delete(key)
    if (value === undefined) this.#erased.set(key, version)
    this.#log.push([version, key])
    if (this.#log.length > 64 && this.#log.length > 2 * this.entries.size) this.#compact()
  }

  get erased(): number {
    return this.#erased.size
  }

  /** Forgets the marks of keys erased up to a version. */
  sweep(version: number): void {
    if (version <= this.swept) return
    this.swept = version
    for (const [key, at] of this.#erased) {
      if (at > version) break
      this.#erased.delete(key)
      this.entries.delete(key)
    }
  }

  *since(version: number): Generator<readonly [key: string, entry: Versioned]> {
    for (let i = this.#firstAfter(version); i < this.#log.length; i++) {
      const [at, key] = this.#log[i]!
      const entry = this.entries.get(key)
      if (entry !== undefined && entry.version === at) yield [key, entry]
    }
  }

  #firstAfter(version: number): number {
    let low = 0
    let high = this.#log.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#log[middle]![0] <= version) low = middle + 1
      else high = middle
    }
    return low
  }

  #compact(): void {
    this.#log = this.#log.filter(([version, key]) => this.entries.get(key)?.version === version)
  }
}

/** What one change did to a copy: the old and the new value of a key in a section. */
export type OnChange = (section: SectionId, key: string, before: unknown, after: unknown) => void

/** A node's copy of all sections, its own included. */
export class Replica {
  readonly own: SectionId
  readonly #sections = new Map<SectionId, Section>()
  readonly #onChange: OnChange
  /** Dead sections that were dropped, and at which version: up to it they are not taken in again (R9). */
  readonly #buried = new Map<SectionId, number>()
  #digestHash: number | undefined

  constructor(own: SectionId, onChange: OnChange) {
    this.own = own
    this.#onChange = onChange
    this.#sections.set(own, new Section())
  }

  /** Writes into the own section; `undefined` erases. Returns the section's new version. */
  write(key: string, value: unknown): number {
    const section = this.#sections.get(this.own)!
    const before = section.entries.get(key)?.value
    const version = section.version + 1
    section.write(key, version, value)
    this.#digestHash = undefined
    this.#onChange(this.own, key, before, value)
    return version
  }

  get(section: SectionId, key: string): unknown {
    return this.#sections.get(section)?.entries.get(key)?.value
  }

  /** The version at which a section last wrote this key; 0 when it never did. */
  versionOf(section: SectionId, key: string): number {
    return this.#sections.get(section)?.entries.get(key)?.version ?? 0
  }

  /** How much of a section is stored here; 0 when nothing is. */
  version(section: SectionId): number {
    return this.#sections.get(section)?.version ?? 0
  }

  /** How many keys of a section have a value, and how many marks of erased ones are kept. */
  sizeOf(id: SectionId): { readonly keys: number; readonly erased: number } {
    const section = this.#sections.get(id)
    const erased = section?.erased ?? 0
    return { keys: (section?.entries.size ?? 0) - erased, erased }
  }

  sections(): IterableIterator<SectionId> {
    return this.#sections.keys()
  }

  *keysOf(section: SectionId): Generator<string> {
    for (const [key, entry] of this.#sections.get(section)?.entries ?? []) if (entry.value !== undefined) yield key
  }

  versions(): Map<SectionId, number> {
    const versions = new Map<SectionId, number>()
    for (const [id, section] of this.#sections) if (section.version > 0) versions.set(id, section.version)
    return versions
  }

  /** Marks of sections that were dropped. */
  get buried(): Versions {
    return this.#buried
  }

  /** One number for all versions: equal numbers mean equal copies (up to a 1 in 2^32 accident, repaired by the next write). */
  digestHash(): number {
    if (this.#digestHash === undefined) {
      let hash = 0
      for (const [id, version] of [...this.versions()].sort((a, b) => compareText(a[0], b[0]))) {
        hash = mix32(hash ^ hash32(id, version >>> 0))
      }
      this.#digestHash = hash
    }
    return this.#digestHash
  }

  /**
   * What a peer with the given versions lacks, about `maxBytes` of it, or one entry that is larger. Sections are cut,
   * never skipped over, so every part is contiguous. What the peer has buried it would not take.
   */
  deltasFor(have: Versions, maxBytes: number, only?: SectionId, buried?: Versions): Array<Delta> {
    const deltas: Array<Delta> = []
    let room = maxBytes
    for (const [id, section] of only === undefined ? this.#sections : this.#only(only)) {
      const from = have.get(id) ?? 0
      if (section.version <= from || room <= 0 || (buried?.get(id) ?? -1) >= section.version) continue
      const entries: Array<readonly [string, number, unknown]> = []
      let to = section.version
      for (const [key, entry] of section.since(from)) {
        const size = key.length + 16 + weigh(entry.value)
        if (size > room && (entries.length > 0 || deltas.length > 0)) {
          to = entries.length > 0 ? entries[entries.length - 1]![1] : from
          room = 0
          break
        }
        entries.push([key, entry.version, entry.value])
        room -= size
      }
      if (to > from) deltas.push({ section: id, from, to, swept: section.swept, entries })
    }
    return deltas
  }

  *#only(id: SectionId): Generator<readonly [SectionId, Section]> {
    const section = this.#sections.get(id)
    if (section !== undefined) yield [id, section]
  }

  /** Merges a delta of a foreign section; `false` when it leaves a gap, then nothing of it was stored. */
  apply(delta: Delta): boolean {
    if (delta.section === this.own || this.#buried.has(delta.section)) return true
    let section = this.#sections.get(delta.section)
    const have = section?.version ?? 0
    if (delta.from > have) return false
    if (delta.to <= have) return true
    if (section === undefined) this.#sections.set(delta.section, section = new Section())
    this.#digestHash = undefined
    for (const [key, version, value] of delta.entries) {
      if (version <= have) continue
      const before = section.entries.get(key)?.value
      section.write(key, version, value)
      if (before !== undefined || value !== undefined) this.#onChange(delta.section, key, before, value)
    }
    section.version = delta.to
    section.sweep(Math.min(delta.swept, delta.to))
    return true
  }

  /** Drops a dead section that nothing depends on any more, and marks it (R9). */
  bury(id: SectionId): void {
    const section = this.#sections.get(id)
    if (section === undefined || id === this.own) return
    this.#buried.set(id, section.version)
    this.#discard(id, section)
  }

  /** Its node is alive after all, or wrote more than was dropped here, or nobody has it any more: the mark is void. */
  exhume(id: SectionId): void {
    this.#buried.delete(id)
  }

  /** Drops all that others have told, after this node was away for longer than they remember (R11). */
  dropForeign(): void {
    for (const [id, section] of [...this.#sections]) if (id !== this.own) this.#discard(id, section)
    this.#buried.clear()
  }

  #discard(id: SectionId, section: Section): void {
    this.#sections.delete(id)
    this.#digestHash = undefined
    for (const [key, entry] of section.entries) {
      if (entry.value !== undefined) this.#onChange(id, key, entry.value, undefined)
    }
  }

  /** Forgets the marks of own keys erased up to a version that everyone has seen; others do so with the next delta. */
  sweep(seenByAll: number): void {
    this.#sections.get(this.own)!.sweep(seenByAll)
  }
}

/** A cheap, rough size of a value on the wire: bytes, where text is ASCII; up to a third of them where it isn't. */
export const weigh = (value: unknown): number => {
  if (typeof value === "string") return value.length + 2
  if (value instanceof Uint8Array) return value.byteLength + 5
  if (Array.isArray(value)) {
    let sum = 3
    for (const item of value) sum += weigh(item)
    return sum
  }
  if (typeof value === "object" && value !== null) {
    let sum = 3
    for (const key in value) sum += key.length + 2 + weigh((value as Record<string, unknown>)[key])
    return sum
  }
  return 9
}
