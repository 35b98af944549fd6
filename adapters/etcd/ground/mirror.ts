/** This node's copy of what is in etcd below the prefix, kept by a watch. */
import { Effect } from "effect"
import type { SectionId } from "../../../src/protocol/ids.ts"
import type { Replica } from "../../../src/protocol/replica.ts"
import type { Member } from "../../../src/protocol/swim.ts"
import type { KeyValue, RangeResult, WatchBatch } from "../types.ts"
import { decodeEntry, decodeMember, decodeName, decodeVersion, type Layout, type NameRecord } from "./layout.ts"
import type { Known } from "./rules.ts"

export interface MirrorHooks {
  /** A member has come, changed or gone. */
  readonly onMember: (section: SectionId, member: Member | undefined) => void
  /** Who has a name has changed. */
  readonly onName: (name: string) => void
  /** All of a revision is here. */
  readonly onArrived: () => void
}

/** What one revision, or a listing, says of a section. */
interface News {
  version: number
  readonly written: Array<readonly [key: string, version: number, value: unknown]>
  readonly erased: Array<string>
}

export class Mirror {
  readonly #layout: Layout
  readonly #replica: Replica
  readonly #hooks: MirrorHooks
  readonly members = new Map<SectionId, Member>()
  readonly names = new Map<string, Known>()
  /** Further names, by the name that they are of. */
  readonly #aliases = new Map<string, Set<string>>()
  #revision = 0
  #applied = 0
  #listed = 0
  #written = 0
  readonly #waiters = new Set<{ readonly revision: number; readonly resume: () => void }>()

  constructor(layout: Layout, replica: Replica, hooks: MirrorHooks) {
    this.#layout = layout
    this.#replica = replica
    this.#hooks = hooks
  }

  /** The latest revision of the store that was heard of. */
  get revision(): number {
    return this.#revision
  }

  /** The revision of the last listing: what is newer has to be watched. */
  get listed(): number {
    return this.#listed
  }

  heard(revision: number): void {
    this.#revision = Math.max(this.#revision, revision)
  }

  /** All up to this revision is here. */
  get applied(): number {
    return this.#applied
  }

  /** What is here, and what this node has written: of that the watch is about to tell. */
  get known(): number {
    return Math.max(this.#applied, this.#written)
  }

  wrote(revision: number): void {
    this.heard(revision)
    this.#written = Math.max(this.#written, revision)
  }

  /** Done when all up to a revision is here. */
  reached(revision: number): Effect.Effect<void> {
    return Effect.callback<void>((done) => {
      if (this.#applied >= revision) return done(Effect.void)
      const waiter = { revision, resume: () => done(Effect.void) }
      this.#waiters.add(waiter)
      return Effect.sync(() => void this.#waiters.delete(waiter))
    })
  }

  #arrived(revision: number): void {
    this.heard(revision)
    this.#applied = Math.max(this.#applied, revision)
    for (const waiter of this.#waiters) {
      if (waiter.revision > this.#applied) continue
      this.#waiters.delete(waiter)
      waiter.resume()
    }
    this.#hooks.onArrived()
  }

  aliasesOf(name: string): ReadonlyArray<string> {
    return [...this.#aliases.get(name) ?? []]
  }

  // ---- names

  /** What was written of a name at a revision, and held still at a later one where it was read then. */
  learn(name: string, record: NameRecord | undefined, revision: number, readAt = revision): void {
    const before = this.names.get(name)
    if (before !== undefined && before.revision > readAt) return
    if (before?.record._tag === "Alias") this.#aliases.get(before.record.of)?.delete(name)
    if (record === undefined) this.names.delete(name)
    else this.names.set(name, { record, revision })
    if (record?._tag === "Alias") {
      const all = this.#aliases.get(record.of) ?? new Set()
      this.#aliases.set(record.of, all.add(name))
    }
    if (before?.record._tag === "Alias" && this.#aliases.get(before.record.of)?.size === 0) {
      this.#aliases.delete(before.record.of)
    }
    this.#hooks.onName(name)
  }

  // ---- what the watch tells

  apply({ events, revision }: WatchBatch): void {
    let news = new Map<SectionId, News>()
    let at = 0
    const gone: Array<SectionId> = []
    for (const event of events) {
      const [key, changed] = event.type === "put" ? [event.kv.key, event.kv.modRevision] : [event.key, event.revision]
      // what one transaction wrote of a section belongs together
      if (changed !== at) {
        this.#tell(news)
        news = new Map()
        at = changed
      }
      if (event.type === "put") this.#put(event.kv, news)
      else this.#deleted(key, event.revision, news, gone)
    }
    this.#tell(news)
    for (const section of gone) this.#forget(section)
    this.#arrived(revision)
  }

  #put(kv: KeyValue, news: Map<SectionId, News>): void {
    const place = this.#layout.placeOf(kv.key)
    switch (place?._tag) {
      case "Member":
        return this.#member(place.section, decodeMember(place.section, kv.value))
      case "Name":
        return this.learn(place.name, decodeName(kv.value), kv.modRevision)
      case "Entry": {
        const entry = decodeEntry(place.key, kv.value)
        if (entry !== undefined) newsOf(news, place.section).written.push([place.key, entry.version, entry.value])
        return
      }
      case "Version":
        newsOf(news, place.section).version = decodeVersion(kv.value) ?? 0
    }
  }

  #deleted(key: string, revision: number, news: Map<SectionId, News>, gone: Array<SectionId>): void {
    const place = this.#layout.placeOf(key)
    switch (place?._tag) {
      case "Member":
        return this.#member(place.section, undefined)
      case "Name":
        return this.learn(place.name, undefined, revision)
      case "Entry":
        return void newsOf(news, place.section).erased.push(place.key)
      case "Version":
        gone.push(place.section)
    }
  }

  #member(section: SectionId, member: Member | undefined): void {
    if (member === undefined) this.members.delete(section)
    else this.members.set(section, member)
    if (section !== this.#replica.own) this.#hooks.onMember(section, member)
  }

  #tell(news: ReadonlyMap<SectionId, News>): void {
    for (const [section, { erased, version, written }] of news) {
      if (section === this.#replica.own) continue
      const to = Math.max(version, ...written.map(([, at]) => at))
      if (to <= 0) continue
      const entries = [
        ...written.sort((a, b) => a[1] - b[1]),
        ...erased.map((key) => [key, to, undefined] as const)
      ]
      this.#replica.apply({ section, from: this.#replica.version(section), to, swept: to, entries })
    }
  }

  #forget(section: SectionId): void {
    if (section === this.#replica.own) return
    this.#replica.bury(section)
    this.#replica.exhume(section)
  }

  // ---- all that is there

  /** After a beginning, or when events were lost: what is here and not there has gone. */
  reset({ kvs, revision }: RangeResult): void {
    const news = new Map<SectionId, News>()
    const names = new Set(this.names.keys())
    const members = new Set(this.members.keys())
    const sections = new Set(this.#replica.sections())
    for (const kv of kvs) {
      const place = this.#layout.placeOf(kv.key)
      if (place?._tag === "Name") names.delete(place.name)
      if (place?._tag === "Member") members.delete(place.section)
      if (place?._tag === "Entry" || place?._tag === "Version") sections.delete(place.section)
      this.#put(kv, news)
    }
    for (const [section, { erased, written }] of news) {
      const there = new Set(written.map(([key]) => key))
      for (const key of this.#replica.keysOf(section)) if (!there.has(key)) erased.push(key)
    }
    this.#tell(news)
    for (const name of names) this.learn(name, undefined, revision)
    for (const section of members) this.#member(section, undefined)
    for (const section of sections) this.#forget(section)
    this.#listed = revision
    this.#arrived(revision)
  }
}

const newsOf = (news: Map<SectionId, News>, section: SectionId): News => {
  const known = news.get(section) ?? { version: 0, written: [], erased: [] }
  news.set(section, known)
  return known
}
