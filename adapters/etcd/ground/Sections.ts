/** Replication by etcd: what this node says is written there, under its own section; what others say is watched. */
import { Effect } from "effect"
import type { NameEntry } from "../../../src/protocol/claims.ts"
import { extrasOf } from "../../../src/protocol/extras.ts"
import type { SectionId } from "../../../src/protocol/ids.ts"
import type { Replica } from "../../../src/protocol/replica.ts"
import { Unavailable } from "../../../src/SwormError.ts"
import type { ReplicationDriver } from "../../gossip/ground.ts"
import type { Operation } from "../types.ts"
import type { Commits } from "./Commits.ts"
import { encodeEntry, encodeVersion, type Layout } from "./layout.ts"
import type { Mirror } from "./mirror.ts"
import { EPOCHS_PER_REVISION, type Wish } from "./rules.ts"

const STORED_TIMEOUT_MS = 5000

interface Waiter {
  readonly ready: () => boolean
  readonly resume: () => void
}

export interface SectionsParts {
  /** This node claims a name. */
  readonly onClaimed: (key: string) => void
  readonly replica: Replica
  readonly layout: Layout
  readonly mirror: Mirror
  readonly commits: Commits
  /** A claim was refused: somebody else has the name. What was there before is there again. */
  readonly onRefused: (key: string) => void
}

export class Sections implements ReplicationDriver {
  readonly replica: Replica
  synced = false
  readonly #parts: SectionsParts
  readonly #waiters = new Set<Waiter>()
  /** Written here, and neither done nor refused. */
  readonly #pending = new Map<string, number>()
  /** What was accepted last of each name. */
  readonly #accepted = new Map<string, unknown>()
  /** Versions that were refused, the latest. */
  readonly #refused = new Set<number>()
  /** Versions of which nothing is known, since the stay in which they were written has ended. */
  #lapsed: ReadonlyArray<{ readonly from: number; readonly to: number }> = []

  constructor(parts: SectionsParts) {
    this.#parts = parts
    this.replica = parts.replica
  }

  // ---- own changes

  write(key: string, value: unknown): number {
    // whoever hears of it may write at once: what was written first goes first
    const version = this.replica.version(this.replica.own) + 1
    const mode = key.startsWith("n") ? (value as NameEntry | undefined)?.claim?.mode : undefined
    if (mode === "live" || mode === "adopted") this.#parts.onClaimed(key)
    // what is overtaken before it was sent needs not be sent
    this.#pending.delete(key)
    this.#pending.set(key, version)
    const { commits, layout } = this.#parts
    const own = this.replica.own
    const entry: Operation = value === undefined
      ? { deleteRange: { key: layout.entry(own, key) } }
      : { put: layout.entry(own, key), value: encodeEntry(key, version, value) }
    commits.add({
      wishes: key.startsWith("n") ? this.#wishesOf(key, value as NameEntry | undefined) : [],
      writes: [entry, { put: layout.version(own), value: encodeVersion(version) }],
      isWanted: () => this.#pending.get(key) === version,
      onDone: () => {
        if (key.startsWith("n")) {
          if (value === undefined) this.#accepted.delete(key)
          else this.#accepted.set(key, value)
        }
        this.#settled(key, version)
      },
      onRefused: (name) => this.#refuse(key, version, name === key)
    })
    return this.replica.write(key, value)
  }

  /** What a claim means for its name, and for its further names. */
  #wishesOf(key: string, entry: NameEntry | undefined): ReadonlyArray<readonly [string, Wish]> {
    const claim = entry?.claim
    const mine = this.#accepted.get(key) as NameEntry | undefined
    if (claim?.mode === "prepared") return []
    if (claim?.mode === "released") {
      return [[key, { _tag: "Pass", to: claim.successor ?? "", epoch: claim.epoch }]]
    }
    const { mirror } = this.#parts
    if (claim === undefined) {
      const tomb = entry?.tomb === mine?.tomb ? undefined : entry?.tomb
      // a released claim that is erased may not have been sent: then this gives up the name; a tomb ends it
      const before = (this.replica.get(this.replica.own, key) as NameEntry | undefined)?.claim
      if (tomb === undefined && before?.mode === "released") {
        return [[key, { _tag: "Pass", to: before.successor ?? "", epoch: before.epoch }]]
      }
      if (tomb === undefined && mine?.claim?.mode !== "live" && mine?.claim?.mode !== "adopted") return []
      if (tomb !== undefined && this.#isRegisteredAbove(key, tomb.epoch)) return []
      return [
        [key, { _tag: "Free" }],
        ...mirror.aliasesOf(key).map((name) => [name, { _tag: "Unalias", of: key }] as const)
      ]
    }
    const aliases = extrasOf(claim).aliases.map((name) => siblingOf(key, name))
    return [
      [key, { _tag: "Hold", epoch: claim.epoch, isNew: false }],
      ...aliases.map((name) => [name, { _tag: "Alias", of: key }] as const),
      ...mirror.aliasesOf(key).filter((name) => !aliases.includes(name))
        .map((name) => [name, { _tag: "Unalias", of: key }] as const)
    ]
  }

  /** A tomb that is copied from a dead node's section may be of an earlier registration. */
  #isRegisteredAbove(key: string, epoch: number): boolean {
    const record = this.#parts.mirror.names.get(key)?.record
    if (record?._tag !== "Held" || record.holder === this.replica.own) return false
    const entry = this.replica.get(record.holder, key) as NameEntry | undefined
    return (entry?.claim?.epoch ?? 0) > epoch
  }

  #settled(key: string, version: number): void {
    if (this.#pending.get(key) === version) this.#pending.delete(key)
    this.wake()
  }

  #refuse(key: string, version: number, isName: boolean): void {
    this.#refused.add(version)
    if (this.#refused.size > MAX_REFUSED) this.#refused.delete(this.#refused.values().next().value!)
    const isLatest = this.#pending.get(key) === version
    this.#settled(key, version)
    if (!isLatest) return
    const before = this.#accepted.get(key) as NameEntry | undefined
    if (!isName) return void this.write(key, before)
    // the claim is void; of what was there before only the tomb still says something
    this.#accepted.delete(key)
    this.write(key, before?.tomb === undefined ? undefined : { claim: undefined, tomb: before.tomb })
    this.#parts.onRefused(key)
  }

  /** All that was written up to a version is done, or was refused. */
  #isSettled(version: number): boolean {
    for (const pending of this.#pending.values()) return pending > version
    return true
  }

  wasRefused(version: number): boolean {
    return this.#refused.has(version) || this.#lapsed.some(({ from, to }) => version >= from && version <= to)
  }

  flush(): void {}

  stored(version: number, operation: string): Effect.Effect<void, Unavailable> {
    return Effect.andThen(
      this.#await(operation, () => this.#isSettled(version), "etcd has not stored the change"),
      Effect.suspend(() =>
        this.wasRefused(version)
          ? Effect.fail(
            new Unavailable({ operation, detail: "another node has the name, or this node has lost its lease" })
          )
          : Effect.void
      )
    )
  }

  have(section: SectionId, version: number, operation: string): Effect.Effect<void, Unavailable> {
    return this.#await(operation, () => this.replica.version(section) >= version, "etcd has not told of the change")
  }

  #await(operation: string, ready: () => boolean, detail: string): Effect.Effect<void, Unavailable> {
    return Effect.suspend(() => {
      if (ready()) return Effect.void
      const arrived = Effect.callback<void>((resume) => {
        const waiter: Waiter = { ready, resume: () => resume(Effect.void) }
        this.#waiters.add(waiter)
        return Effect.sync(() => void this.#waiters.delete(waiter))
      })
      return Effect.timeoutOrElse(arrived, {
        duration: STORED_TIMEOUT_MS,
        orElse: () => Effect.fail(new Unavailable({ operation, detail: `${detail} within ${STORED_TIMEOUT_MS} ms` }))
      })
    })
  }

  wake(): void {
    for (const waiter of this.#waiters) {
      if (!waiter.ready()) continue
      this.#waiters.delete(waiter)
      waiter.resume()
    }
  }

  // ---- a new stay

  /**
   * The stay has ended: what is neither done nor refused may be done or not, and is made anew by the next one. Whoever
   * waits for it is told so at once: it holds up what has to stop.
   */
  lapse(): void {
    const first = this.#pending.values().next().value
    if (first !== undefined) {
      const to = this.replica.version(this.replica.own)
      const last = this.#lapsed.at(-1)
      // of attempts to stay that fail one after the other all that was written is one range
      this.#lapsed = last !== undefined && first === last.to + 1
        ? [...this.#lapsed.slice(0, -1), { from: last.from, to }]
        : [...this.#lapsed, { from: first, to }].slice(-MAX_LAPSED)
    }
    this.#pending.clear()
    this.wake()
  }

  /** After its lease has ended this node says again what it has to say: its names it has given up, or others have them. */
  restate(): void {
    const { mirror } = this.#parts
    const { own } = this.replica
    this.lapse()
    for (const key of [...this.replica.keysOf(own)]) {
      const value = this.replica.get(own, key)
      if (!key.startsWith("n")) {
        this.write(key, value)
        continue
      }
      const entry = value as NameEntry
      const record = mirror.names.get(key)?.record
      const isMine = record?._tag === "Held" && record.holder === own
      const claim = entry.claim === undefined || !isMine
        ? undefined
        : { ...entry.claim, mode: "released" as const, successor: undefined }
      this.#accepted.delete(key)
      this.write(key, claim === undefined && entry.tomb === undefined ? undefined : { claim, tomb: entry.tomb })
    }
  }

  // ---- what the store answers for everybody

  /** Above all that a name may have had whose record is gone. */
  get floor(): number {
    return this.#parts.mirror.revision * EPOCHS_PER_REVISION
  }

  raiseFloor(): void {}

  /** Takes it out of the store, unless its node has come back. */
  bury(section: SectionId): void {
    const { commits, layout } = this.#parts
    this.replica.bury(section)
    this.replica.exhume(section)
    commits.add({
      wishes: [],
      writes: [{ deleteRange: { prefix: layout.entries(section) } }, { deleteRange: { key: layout.version(section) } }],
      when: [{ key: layout.member(section), createRevision: 0 }],
      onDone: () => {},
      onRefused: () => {}
    })
  }

  isDischarged(): boolean {
    return false
  }

  isBuriedByAll(): boolean {
    return true
  }

  haveAll(): boolean {
    return true
  }

  seenByAll(): boolean {
    return true
  }

  compareWithAll(): void {}

  hasLatest(): boolean {
    return true
  }

  /** Marks of erased keys are of no use: the store has erased them. */
  sweep(): void {
    const first = this.#pending.values().next().value
    this.replica.sweep(first === undefined ? this.replica.version(this.replica.own) : first - 1)
  }
}

const MAX_REFUSED = 1000
/** Whoever waits for a version doesn't wait for so many stays. */
const MAX_LAPSED = 64

/** The key of another name of the same sworm. */
export const siblingOf = (key: string, name: string): string => `${key.slice(0, key.indexOf("\n") + 1)}${name}`
