/** What the replicated entries amount to: who has which name, which groups there are, which node hosts which sworm. */
import { Effect, type PubSub } from "effect"
import type { Location } from "../../src/Dispatch.ts"
import { type Held, type NameEntry, type NameView, viewOf } from "../../src/protocol/claims.ts"
import { nodeOf, type SectionId } from "../../src/protocol/ids.ts"
import { parseKey } from "../../src/protocol/wire.ts"
import type { RegistryChange } from "../../src/Registry.ts"
import type { ProcessRef } from "../../src/SwormError.ts"
import { publish } from "./events.ts"

const NOTHING: NameView = { claims: [], tombed: [], endedEpoch: 0, highestEpoch: 0 }

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

export interface DirectoryOptions {
  readonly isGone: (section: SectionId) => boolean
  /** Something about a name has changed: it is to be decided upon. */
  readonly onName: (slot: Slot) => void
  /** A node offers, or no longer offers, a sworm. */
  readonly onHosts: (sworm: string) => void
}

export class Directory {
  readonly #options: DirectoryOptions
  readonly #names = new Map<string, Map<string, Slot>>()
  readonly #groups = new Map<string, Map<string, Set<string>>>()
  readonly #hosts = new Map<string, Set<SectionId>>()
  readonly #watchers = new Map<string, Set<() => void>>()
  readonly changes: PubSub.PubSub<RegistryChange>

  constructor(options: DirectoryOptions, changes: PubSub.PubSub<RegistryChange>) {
    this.#options = options
    this.changes = changes
  }

  /** Takes a change of a section. */
  apply(section: SectionId, key: string, value: unknown): void {
    const parsed = parseKey(key)
    if (parsed === undefined) return
    if (parsed._tag === "Sworm") return this.#applyHost(section, parsed.sworm, value !== undefined)
    const { name, sworm } = parsed
    let names = this.#names.get(sworm)
    if (names === undefined) this.#names.set(sworm, names = new Map())
    let slot = names.get(name)
    if (slot === undefined) names.set(name, slot = new Slot(sworm, name))
    const before = slot.ref
    const groupsBefore = slot.top?.claim.groups
    slot.set(section, value as NameEntry | undefined)
    this.#regroup(slot, groupsBefore, slot.top?.claim.groups)
    if (slot.entries.length === 0) names.delete(name)
    this.#tell(slot, before)
    this.#options.onName(slot)
  }

  #applyHost(section: SectionId, sworm: string, hosts: boolean): void {
    let sections = this.#hosts.get(sworm)
    if (sections === undefined) this.#hosts.set(sworm, sections = new Set())
    if (hosts) sections.add(section)
    else sections.delete(section)
    this.#options.onHosts(sworm)
  }

  #regroup(slot: Slot, before: ReadonlyArray<string> | undefined, after: ReadonlyArray<string> | undefined): void {
    if (before === after) return
    for (const group of before ?? []) {
      if (after?.includes(group)) continue
      const groups = this.#groups.get(slot.sworm)
      const members = groups?.get(group)
      members?.delete(slot.name)
      if (members?.size === 0) groups?.delete(group)
    }
    for (const group of after ?? []) {
      let groups = this.#groups.get(slot.sworm)
      if (groups === undefined) this.#groups.set(slot.sworm, groups = new Map())
      let members = groups.get(group)
      if (members === undefined) groups.set(group, members = new Set())
      members.add(slot.name)
    }
  }

  #tell(slot: Slot, before: ProcessRef | undefined): void {
    const ref = slot.ref
    if (ref?.node === before?.node && ref?.epoch === before?.epoch) return
    const key = `${slot.sworm}\n${slot.name}`
    const watchers = this.#watchers.get(key)
    if (watchers !== undefined) {
      this.#watchers.delete(key)
      for (const watcher of watchers) watcher()
    }
    publish(this.changes, { sworm: slot.sworm, name: slot.name, ref, before })
  }

  slot(sworm: string, name: string): Slot | undefined {
    return this.#names.get(sworm)?.get(name)
  }

  view(sworm: string, name: string): NameView {
    return this.slot(sworm, name)?.view ?? NOTHING
  }

  /** Who has the name and is not gone. */
  ref(sworm: string, name: string): ProcessRef | undefined {
    const slot = this.slot(sworm, name)
    const top = slot?.top
    return top === undefined || this.#options.isGone(top.section) ? undefined : slot!.ref
  }

  find(sworm: string, name: string): Location | undefined {
    const top = this.slot(sworm, name)?.top
    if (top === undefined || this.#options.isGone(top.section)) return undefined
    return { section: top.section, epoch: top.claim.epoch, continuity: top.claim.continuity }
  }

  refs(sworm: string): Array<ProcessRef> {
    const refs: Array<ProcessRef> = []
    for (const slot of this.#names.get(sworm)?.values() ?? []) {
      const ref = this.ref(sworm, slot.name)
      if (ref !== undefined) refs.push(ref)
    }
    return refs.sort(byName)
  }

  group(sworm: string, group: string): Array<ProcessRef> {
    const refs: Array<ProcessRef> = []
    for (const name of this.#groups.get(sworm)?.get(group) ?? []) {
      const ref = this.ref(sworm, name)
      if (ref !== undefined) refs.push(ref)
    }
    return refs.sort(byName)
  }

  hosts(sworm: string, section: SectionId): boolean {
    return this.#hosts.get(sworm)?.has(section) ?? false
  }

  *slots(): Generator<Slot> {
    for (const names of this.#names.values()) yield* names.values()
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

const byName = (a: ProcessRef, b: ProcessRef): number => a.name < b.name ? -1 : a.name > b.name ? 1 : 0
