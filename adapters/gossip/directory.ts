/** What the replicated entries amount to: who has which name, which groups there are, which node hosts which sworm. */
import { Effect, type PubSub } from "effect"
import type { Location } from "../../src/Dispatch.ts"
import { compareClaims, type Held, type NameEntry, type NameView } from "../../src/protocol/claims.ts"
import { compareText, type SectionId } from "../../src/protocol/ids.ts"
import { type GivenUpEntry, type MetaEntry, type Offer, parseKey } from "../../src/protocol/wire.ts"
import type { Entry, RegistryChange } from "../../src/Registry.ts"
import type { ProcessRef } from "../../src/SwormError.ts"
import { publish } from "./events.ts"
import { History } from "./history.ts"
import { Records } from "./records.ts"
import { entryOf, Slot } from "./slot.ts"
import { Watches } from "./watches.ts"

const NOTHING: NameView = { claims: [], tombed: [], endedEpoch: 0, endReason: undefined, highestEpoch: 0 }

/** One sworm, as the entries have it. */
class SwormNames {
  readonly slots = new Map<string, Slot>()
  readonly aliases = new Map<string, Set<Slot>>()
  readonly groups = new Map<string, Set<string>>()
  /** How many names each section has. */
  readonly counts = new Map<SectionId, number>()
  /** How many of these are processes: what was registered by hand is nobody's load. */
  readonly loads = new Map<SectionId, number>()
  readonly offers = new Map<SectionId, Offer>()
  /** Raised whenever a node begins or ends to host it. */
  generation = 0
}

const add = <A>(index: Map<string, Set<A>>, key: string, item: A): void => {
  let items = index.get(key)
  if (items === undefined) index.set(key, items = new Set())
  items.add(item)
}

const remove = <A>(index: Map<string, Set<A>>, key: string, item: A): void => {
  const items = index.get(key)
  items?.delete(item)
  if (items?.size === 0) index.delete(key)
}

export interface DirectoryOptions {
  readonly isGone: (section: SectionId) => boolean
  readonly wallMs: () => number
  /** Something about a name has changed: it is to be decided upon. */
  readonly onName: (slot: Slot) => void
  /** A node offers, or no longer offers, a sworm. */
  readonly onHosts: (sworm: string) => void
  /** A node gave a process up, or has forgotten that. */
  readonly onGivenUp: (sworm: string, name: string) => void
}

const NO_NAMES: ReadonlyArray<string> = []

export class Directory {
  readonly #options: DirectoryOptions
  readonly #sworms = new Map<string, SwormNames>()
  readonly #watchers = new Map<string, Set<() => void>>()
  readonly changes: PubSub.PubSub<RegistryChange>
  readonly watches: Watches
  readonly history: History
  readonly metas: Records<MetaEntry> = new Records()
  readonly givenUp: Records<GivenUpEntry> = new Records()

  constructor(options: DirectoryOptions, changes: PubSub.PubSub<RegistryChange>) {
    this.#options = options
    this.changes = changes
    this.history = new History(options.wallMs)
    this.watches = new Watches(this, options.isGone)
  }

  #sworm(id: string): SwormNames {
    let sworm = this.#sworms.get(id)
    if (sworm === undefined) this.#sworms.set(id, sworm = new SwormNames())
    return sworm
  }

  /** Takes a change of a section. */
  apply(section: SectionId, key: string, value: unknown): void {
    const parsed = parseKey(key)
    if (parsed === undefined) return
    const sworm = this.#sworm(parsed.sworm)
    switch (parsed._tag) {
      case "Sworm": {
        if (value === undefined) sworm.offers.delete(section)
        else sworm.offers.set(section, value as Offer)
        sworm.generation++
        return this.#options.onHosts(parsed.sworm)
      }
      case "Meta":
        return this.metas.set(parsed.sworm, parsed.name, section, value as MetaEntry | undefined)
      case "GivenUp":
        this.givenUp.set(parsed.sworm, parsed.name, section, value as GivenUpEntry | undefined)
        return this.#options.onGivenUp(parsed.sworm, parsed.name)
      case "Name":
        return this.#applyName(sworm, parsed.sworm, parsed.name, section, value as NameEntry | undefined)
    }
  }

  #applyName(
    sworm: SwormNames,
    id: string,
    name: string,
    section: SectionId,
    entry: NameEntry | undefined
  ): void {
    let slot = sworm.slots.get(name)
    if (slot === undefined) sworm.slots.set(name, slot = new Slot(id, name))
    const before = slot.top
    const refBefore = slot.ref
    const aliasesBefore = aliasesOf(slot)
    slot.set(section, entry)
    const after = slot.top
    if (before?.section !== after?.section) recount(sworm, before, after)
    reindex(sworm.groups, before?.claim.groups ?? NO_NAMES, after?.claim.groups ?? NO_NAMES, name)
    reindex(sworm.aliases, aliasesBefore, aliasesOf(slot), slot)
    if (slot.entries.length === 0) sworm.slots.delete(name)
    this.#tell(slot, refBefore)
    this.watches.changed(slot, before)
    this.history.note(slot, before, after)
    this.#options.onName(slot)
  }

  #tell(slot: Slot, before: ProcessRef | undefined): void {
    const ref = slot.ref
    if (ref?.node === before?.node && ref?.epoch === before?.epoch) return
    const key = this.#watchers.size === 0 ? "" : `${slot.sworm}\n${slot.name}`
    const watchers = key === "" ? undefined : this.#watchers.get(key)
    if (watchers !== undefined) {
      this.#watchers.delete(key)
      for (const watcher of watchers) watcher()
    }
    publish(this.changes, { sworm: slot.sworm, name: slot.name, ref, before })
  }

  // ---- one name

  slot(sworm: string, name: string): Slot | undefined {
    return this.#sworms.get(sworm)?.slots.get(name)
  }

  view(sworm: string, name: string): NameView {
    return this.slot(sworm, name)?.view ?? NOTHING
  }

  /** Has anybody a claim to the name, as its own or one more, in whatever state? */
  isClaimed(sworm: string, name: string): boolean {
    return this.view(sworm, name).claims.length > 0 || this.bestOf(sworm, name) !== undefined
  }

  /** The name's own slot if something has it, else that of the process which has it as one more name. */
  resolve(sworm: string, name: string): Slot | undefined {
    const names = this.#sworms.get(sworm)
    const slot = names?.slots.get(name)
    if (slot?.top !== undefined || names === undefined || names.aliases.size === 0) return slot
    return this.bestOf(sworm, name) ?? slot
  }

  hasAliases(sworm: string): boolean {
    return (this.#sworms.get(sworm)?.aliases.size ?? 0) > 0
  }

  /** The processes that have a name as one more. */
  allOf(sworm: string, alias: string): ReadonlyArray<Slot> {
    return [...this.#sworms.get(sworm)?.aliases.get(alias) ?? []]
  }

  /** Of the processes that have a name as one more, the one that stands first. */
  bestOf(sworm: string, alias: string): Slot | undefined {
    let best: Slot | undefined
    for (const slot of this.allOf(sworm, alias)) {
      if (best === undefined || compareClaims(slot.view.claims[0]!, best.view.claims[0]!) < 0) best = slot
    }
    return best
  }

  /** Who has the name and is not gone. */
  ref(sworm: string, name: string): ProcessRef | undefined {
    const slot = this.resolve(sworm, name)
    const ref = slot?.ref
    return ref === undefined || this.#options.isGone(slot!.top!.section) ? undefined : ref
  }

  find(sworm: string, name: string): Location | undefined {
    const slot = this.resolve(sworm, name)
    const top = slot?.top
    if (top === undefined || this.#options.isGone(top.section)) return undefined
    const { continuity, epoch, mode } = top.claim
    return { name: slot!.name, section: top.section, epoch, continuity, isAdopted: mode === "adopted" }
  }

  entry(sworm: string, name: string): Entry | undefined {
    const slot = this.resolve(sworm, name)
    const top = slot?.top
    return top === undefined || this.#options.isGone(top.section) ? undefined : entryOf(slot!, top)
  }

  // ---- all of a sworm

  /** Every name that somebody has who is not gone, in order. */
  *present(sworm: string): Generator<readonly [Slot, Held]> {
    for (const slot of this.#sworms.get(sworm)?.slots.values() ?? []) {
      const { top } = slot
      if (top !== undefined && !this.#options.isGone(top.section)) yield [slot, top]
    }
  }

  refs(sworm: string): Array<ProcessRef> {
    return Array.from(this.present(sworm), ([slot]) => slot.ref!).sort(byName)
  }

  group(sworm: string, group: string): Array<ProcessRef> {
    const refs: Array<ProcessRef> = []
    for (const name of this.#sworms.get(sworm)?.groups.get(group) ?? []) {
      const ref = this.slot(sworm, name)?.top === undefined ? undefined : this.ref(sworm, name)
      if (ref !== undefined) refs.push(ref)
    }
    return refs.sort(byName)
  }

  groups(sworm: string): Array<string> {
    return [...this.#sworms.get(sworm)?.groups.keys() ?? []].sort(compareText)
  }

  /** How many processes a section has. */
  load(sworm: string, section: SectionId): number {
    return this.#sworms.get(sworm)?.loads.get(section) ?? 0
  }

  loads(sworm: string): Iterable<readonly [SectionId, number]> {
    return this.#sworms.get(sworm)?.loads ?? []
  }

  counts(sworm: string): Iterable<readonly [SectionId, number]> {
    return this.#sworms.get(sworm)?.counts ?? []
  }

  isGone(section: SectionId): boolean {
    return this.#options.isGone(section)
  }

  // ---- hosts

  offer(sworm: string, section: SectionId): Offer | undefined {
    return this.#sworms.get(sworm)?.offers.get(section)
  }

  /** Changes with the sworm's hosts. */
  generation(sworm: string): number {
    return this.#sworms.get(sworm)?.generation ?? 0
  }

  *slots(sworm?: string): Generator<Slot> {
    for (const [id, { slots }] of this.#sworms) if (sworm === undefined || id === sworm) yield* slots.values()
  }

  /** Done at the next change of who has the name. */
  changed(sworm: string, name: string): Effect.Effect<void> {
    const key = `${sworm}\n${name}`
    return Effect.callback<void>((resume) => {
      let watchers = this.#watchers.get(key)
      if (watchers === undefined) this.#watchers.set(key, watchers = new Set())
      const watcher = (): void => resume(Effect.void)
      watchers.add(watcher)
      return Effect.sync(() => {
        watchers.delete(watcher)
        if (watchers.size === 0 && this.#watchers.get(key) === watchers) this.#watchers.delete(key)
      })
    })
  }
}

const change = (counts: Map<SectionId, number>, section: SectionId, by: number): void => {
  const count = (counts.get(section) ?? 0) + by
  if (count > 0) counts.set(section, count)
  else counts.delete(section)
}

const recount = ({ counts, loads }: SwormNames, before: Held | undefined, after: Held | undefined): void => {
  for (const [held, by] of [[before, -1], [after, 1]] as const) {
    if (held === undefined) continue
    change(counts, held.section, by)
    if (held.claim.mode !== "adopted") change(loads, held.section, by)
  }
}

/** Of its first claim, released or not: a process between two nodes keeps its names. */
const aliasesOf = ({ view }: Slot): ReadonlyArray<string> => view.claims[0]?.claim.extras?.aliases ?? NO_NAMES

const reindex = <A>(
  index: Map<string, Set<A>>,
  before: ReadonlyArray<string>,
  after: ReadonlyArray<string>,
  item: A
): void => {
  if (before === after) return
  for (const key of before) if (!after.includes(key)) remove(index, key, item)
  for (const key of after) add(index, key, item)
}

const byName = (a: ProcessRef, b: ProcessRef): number => compareText(a.name, b.name)
