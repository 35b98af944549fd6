/**
 * Watching names: first the present state, then every change, with nothing lost in between. A watcher keeps at most one
 * pending change per name: what a slow reader misses are steps, never where they lead.
 */
import { Effect, Equal, Stream } from "effect"
import type { Held } from "../../src/protocol/claims.ts"
import { extrasOf } from "../../src/protocol/extras.ts"
import { claimId, type SectionId } from "../../src/protocol/ids.ts"
import type { DownReason, Entry, MonitorEvent, WatchEvent, WatchTarget } from "../../src/Registry.ts"
import type { ProcessRef } from "../../src/SwormError.ts"
import { entryOf, type Slot } from "./slot.ts"

/** Where the names are. */
export interface Names {
  readonly slots: (sworm: string) => Iterable<Slot>
  readonly resolve: (sworm: string, name: string) => Slot | undefined
}

interface Watcher {
  readonly matches: (slot: Slot, held: Held | undefined) => boolean
  /** Slots with changes that were not told yet, and what was told of them last. */
  readonly pending: Map<Slot, Held | undefined>
  /** Looks again when members come and go. */
  readonly seesMembers: boolean
  resume: (() => void) | undefined
}

export class Watches {
  readonly #names: Names
  readonly #isGone: (section: SectionId) => boolean
  readonly #watchers = new Map<string, Set<Watcher>>()

  constructor(names: Names, isGone: (section: SectionId) => boolean) {
    this.#names = names
    this.#isGone = isGone
  }

  changed(slot: Slot, before: Held | undefined): void {
    const watchers = this.#watchers.get(slot.sworm)
    if (watchers === undefined) return
    for (const watcher of watchers) {
      if (!watcher.matches(slot, before) && !watcher.matches(slot, slot.top)) continue
      if (!watcher.pending.has(slot)) watcher.pending.set(slot, before)
      watcher.resume?.()
    }
  }

  /** A member came or went: who is up may be another matter now. */
  membersChanged(): void {
    for (const watchers of this.#watchers.values()) {
      for (const watcher of watchers) if (watcher.seesMembers) watcher.resume?.()
    }
  }

  #add(sworm: string, matches: Watcher["matches"], seesMembers: boolean): Watcher {
    const watcher: Watcher = { matches, pending: new Map(), seesMembers, resume: undefined }
    let watchers = this.#watchers.get(sworm)
    if (watchers === undefined) this.#watchers.set(sworm, watchers = new Set())
    watchers.add(watcher)
    return watcher
  }

  #remove(sworm: string, watcher: Watcher): void {
    const watchers = this.#watchers.get(sworm)
    watchers?.delete(watcher)
    if (watchers?.size === 0) this.#watchers.delete(sworm)
  }

  /** First one element from what is there, then `next` whenever something may have changed. */
  #stream<A>(
    sworm: string,
    matches: Watcher["matches"],
    seesMembers: boolean,
    begin: (watcher: Watcher) => { readonly first: A; readonly next: () => ReadonlyArray<A> }
  ): Stream.Stream<A> {
    return Stream.unwrap(Effect.map(
      Effect.acquireRelease(
        // what is there is read, and changes are noted, in one step
        Effect.sync(() => {
          const watcher = this.#add(sworm, matches, seesMembers)
          return { watcher, ...begin(watcher) }
        }),
        ({ watcher }) => Effect.sync(() => this.#remove(sworm, watcher))
      ),
      ({ first, next, watcher }) => {
        const more = Effect.callback<ReadonlyArray<A>>((resume) => {
          const told = next()
          if (told.length > 0) return resume(Effect.succeed(told))
          watcher.resume = () => {
            watcher.resume = undefined
            // at the end of the turn: changes that come together are told together
            queueMicrotask(() => resume(Effect.sync(next)))
          }
          return Effect.sync(() => {
            watcher.resume = undefined
          })
        })
        return Stream.concat(Stream.succeed(first), Stream.fromIterableEffectRepeat(more))
      }
    ))
  }

  watch(sworm: string, target: WatchTarget): Stream.Stream<WatchEvent> {
    const matches = matcher(target)
    return this.#stream<WatchEvent>(sworm, matches, false, (watcher) => {
      const entries = [...this.#names.slots(sworm)].flatMap((slot) =>
        slot.top !== undefined && matches(slot, slot.top) ? [entryOf(slot, slot.top)] : []
      )
      const next = (): ReadonlyArray<WatchEvent> => {
        const changes = [...watcher.pending]
        watcher.pending.clear()
        return changes.flatMap(([slot, before]) => changeOf(slot, before))
      }
      return { first: { _tag: "Present", entries }, next }
    })
  }

  monitor(sworm: string, name: string): Stream.Stream<MonitorEvent> {
    return this.#stream<MonitorEvent>(sworm, matcher({ name }), true, (watcher) => {
      let last = this.#standing(sworm, name, undefined)
      const next = (): ReadonlyArray<MonitorEvent> => {
        watcher.pending.clear()
        const now = this.#standing(sworm, name, last)
        const events = transitions(last, now)
        last = now.up !== undefined ? now : { ...now, was: last.up ?? last.was }
        return events
      }
      return { first: eventOf(last, undefined), next }
    })
  }

  #standing(sworm: string, name: string, last: Standing | undefined): Standing {
    const slot = this.#names.resolve(sworm, name)
    const top = slot?.top
    const down = (reason: DownReason, isFinal: boolean): Standing => ({
      up: undefined,
      was: undefined,
      reason,
      isFinal
    })
    if (slot !== undefined && top !== undefined) {
      if (this.#isGone(top.section)) return down(top.claim.mode === "adopted" ? "OwnerGone" : "NodeLost", false)
      if (extrasOf(top.claim).isDown) return down("Crashed", false)
      const before = last?.up ?? last?.was
      const reason = before === undefined ? "NotRegistered" : this.#whyElsewhere(before, top, slot)
      return { up: { ref: slot.ref!, held: top }, was: undefined, reason, isFinal: false }
    }
    if (slot?.view.claims[0] !== undefined) return down("Stopped", false)
    const ended = slot?.view.endReason
    if (ended !== undefined) return down(ended, true)
    return down(last?.up === undefined ? "NotRegistered" : "Unregistered", true)
  }

  /** Why the life that was seen before is not the one that is seen now. */
  #whyElsewhere(before: Up, top: Held, slot: Slot): Why {
    const { claim, section } = before.held
    if (section === top.section && isSameLife(before.held, top)) {
      // the winner of a split goes on, with what it has taken in
      return top.claim.merged.length > claim.merged.length ? "Merged" : "Crashed"
    }
    if (this.#isGone(section) && isSameLife(before.held, top)) return "NodeLost"
    // two copies, one of which has to go; in a move the old one lets go first, or the new one only waits to serve
    const own = slot.entryOf(section)?.claim
    const isConflict = own?.mode === "live" && own.epoch >= claim.epoch && top.claim.mode !== "prepared"
    if (section !== top.section && (isConflict || top.claim.merged.includes(claimId(claim.epoch, section)))) {
      return "Superseded"
    }
    if (!isSameLife(before.held, top)) return slot.view.endReason ?? "Unregistered"
    return "Moved"
  }
}

type Why = DownReason | "Moved" | "Merged"

/** Of one registration, whatever became of it. */
const isSameLife = (a: Held, b: Held): boolean => a.claim.registrations.some((id) => b.claim.registrations.includes(id))

interface Up {
  readonly ref: ProcessRef
  readonly held: Held
}

interface Standing {
  readonly up: Up | undefined
  /** While it is down: what it was. */
  readonly was: Up | undefined
  readonly reason: Why
  readonly isFinal: boolean
}

const downReason = (why: Why): DownReason => why === "Moved" || why === "Merged" ? "Superseded" : why

const eventOf = ({ isFinal, reason, up }: Standing, before: Up | undefined): MonitorEvent =>
  up !== undefined
    ? { _tag: "Up", ref: up.ref }
    : { _tag: "Down", ref: before?.ref, reason: downReason(reason), isFinal }

const transitions = (last: Standing, now: Standing): ReadonlyArray<MonitorEvent> => {
  const before = last.up
  if (before === undefined || now.up === undefined) {
    const isSame = before === undefined && now.up === undefined && last.reason === now.reason &&
      last.isFinal === now.isFinal
    return isSame ? [] : [eventOf(now, before ?? last.was)]
  }
  const { held, ref } = now.up
  const old = before.held
  const isSame = isSameLife(old, held)
  if (now.reason === "Merged") return []
  if (isSame && old.section === held.section && old.claim.continuity === held.claim.continuity) return []
  if (isSame && now.reason === "Moved") {
    return [{ _tag: "Moved", from: before.ref, to: ref, withState: old.claim.continuity === held.claim.continuity }]
  }
  return [
    { _tag: "Down", ref: before.ref, reason: downReason(now.reason), isFinal: !isSame && now.reason !== "Superseded" },
    { _tag: "Up", ref }
  ]
}

const matcher = (target: WatchTarget): Watcher["matches"] => {
  if (target === "everything") return () => true
  if ("prefix" in target) return ({ name }) => name.startsWith(target.prefix)
  return (slot, held) => slot.name === target.name || (held?.claim.extras?.aliases.includes(target.name) ?? false)
}

const changeOf = (slot: Slot, before: Held | undefined): ReadonlyArray<WatchEvent> => {
  const { top } = slot
  if (top === undefined) {
    if (before === undefined) return []
    return [{ _tag: "Unregistered", before: entryOf(slot, before), reason: slot.view.endReason ?? "Unregistered" }]
  }
  const entry = entryOf(slot, top)
  if (before === undefined) return [{ _tag: "Registered", entry }]
  const old = entryOf(slot, before)
  return isSameEntry(old, entry) ? [] : [{ _tag: "Updated", entry, before: old }]
}

const isSameEntry = (a: Entry, b: Entry): boolean =>
  a.ref.node === b.ref.node && a.ref.epoch === b.ref.epoch && Equal.equals(a.groups, b.groups) &&
  Equal.equals(a.names, b.names) && Equal.equals(a.metadata, b.metadata)
