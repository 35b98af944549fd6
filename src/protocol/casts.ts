/**
 * Bookkeeping of casts between nodes (H22): each sender, which is one run of one node, numbers what it casts to each name.
 * Whoever has the process hands them over in that order, each at most once. One that comes too early waits for those
 * before it, though not for long: they may be lost. What is known of a process's senders moves with it.
 */
import type { SectionId } from "./ids.ts"

/** Of one cast, among those of its sender to its name. */
export interface CastNumber {
  /** Of this run of numbers: a later one stands above all before it. */
  readonly series: number
  /** From 1 on, without a gap. */
  readonly number: number
  /** With which number the sender began to cast to the process in its present life: whoever knows nothing starts there. */
  readonly first: number
}

/** How far a process has come with the casts of one sender. */
export interface CastProgress {
  readonly sender: SectionId
  readonly series: number
  readonly last: number
}

/** So long a cast waits for one before it. */
export const GAP_MS = 500

/** A cast is under way for less than that: after it nothing can be overtaken any more, and a new series may begin. */
const UNDER_WAY_MS = 60_000

/** A sender that is silent for so long has ended its series long since. */
const FORGET_SENDER_MS = 2 * UNDER_WAY_MS

/** Senders remembered by one process: nodes, and their runs of the last minutes. */
const MAX_SENDERS = 10_000

/** Casts that wait at one process for others before them: as many as wait in a mailbox by default. */
const MAX_EARLY = 1024

/** Names with casts under way from one node; past it the oldest begins a new series, and may lose what is under way. */
const MAX_COUNTERS = 100_000

// ---- the sender's side

interface Counter {
  readonly series: number
  last: number
  first: number
  /** Of the process that was sent to last, as the sender knew it. */
  continuity: number | undefined
  sentMs: number
}

/** The numbers of what one node casts. */
export class CastNumbers {
  readonly #counters = new Map<string, Map<string, Counter>>()
  #lastSeries = 0
  #size = 0

  /** The next number of a cast to another node; `continuity` of the process there, where it is known. */
  next(sworm: string, name: string, nowMs: number, continuity?: number): CastNumber {
    const counter = this.#live(sworm, name, nowMs) ?? this.#begin(sworm, name, nowMs)
    if (continuity !== undefined && continuity !== counter.continuity) {
      if (counter.continuity !== undefined) counter.first = counter.last + 1
      counter.continuity = continuity
    }
    counter.sentMs = nowMs
    return { series: counter.series, number: ++counter.last, first: counter.first }
  }

  /** The next number of a cast to a process of the same node; none is needed while nothing of its is under way. */
  nextHere(sworm: string, name: string, nowMs: number): CastNumber | undefined {
    const counter = this.#live(sworm, name, nowMs)
    return counter === undefined ? undefined : { series: counter.series, number: ++counter.last, first: counter.first }
  }

  /** The cast that took the last number did not leave. */
  takeBack(sworm: string, name: string): void {
    const counter = this.#counters.get(sworm)?.get(name)
    if (counter !== undefined) counter.last--
  }

  #live(sworm: string, name: string, nowMs: number): Counter | undefined {
    const counter = this.#counters.get(sworm)?.get(name)
    return counter === undefined || nowMs - counter.sentMs >= UNDER_WAY_MS ? undefined : counter
  }

  #begin(sworm: string, name: string, nowMs: number): Counter {
    let names = this.#counters.get(sworm)
    if (names === undefined) this.#counters.set(sworm, names = new Map())
    if (!names.has(name) && ++this.#size > MAX_COUNTERS) this.#evict()
    const series = ++this.#lastSeries
    const counter: Counter = { series, last: 0, first: 1, continuity: undefined, sentMs: nowMs }
    // the order of the map is that in which they began
    names.delete(name)
    names.set(name, counter)
    return counter
  }

  #evict(): void {
    for (const names of this.#counters.values()) {
      for (const name of names.keys()) {
        names.delete(name)
        this.#size--
        return
      }
    }
  }

  /** Forgets names that nothing is under way to. */
  expire(nowMs: number): void {
    for (const [sworm, names] of this.#counters) {
      for (const [name, { sentMs }] of names) {
        if (nowMs - sentMs < UNDER_WAY_MS) continue
        names.delete(name)
        this.#size--
      }
      if (names.size === 0) this.#counters.delete(sworm)
    }
  }

  get size(): number {
    return this.#size
  }
}

// ---- the holder's side

interface Early<A> {
  readonly series: number
  readonly number: number
  readonly item: A
  /** Since when it waits; `-Infinity` for one that has waited elsewhere: what was missing there was counted there. */
  sinceMs: number
}

interface Sender<A> {
  series: number
  /** The number handed over last. */
  last: number
  /** In order; each above what was handed over last, but for what was handed over while the others were. */
  readonly early: Array<Early<A>>
  usedMs: number
}

/** What came for one process, and what of it waits for others before it. */
export class CastLog<A> {
  readonly #senders = new Map<SectionId, Sender<A>>()
  /** Everything that was ever handed over is known here: who is not known has begun with 1. */
  #isComplete = false
  #early = 0
  #usedMs = 0
  #lost = 0

  /**
   * A cast arrives: answers it, where it is to be handed over now; after that `next` may have more. Otherwise it waits,
   * or is dropped, because it or one after it was handed over before.
   */
  receive(sender: SectionId, cast: CastNumber, item: A, nowMs: number): A | undefined {
    const record = this.#sender(sender, cast, nowMs)
    if (isPast(record, cast)) return undefined
    if (record.early.length === 0 && isExpected(record, cast)) return this.#hand(record, cast, item)
    this.#keep(record, { series: cast.series, number: cast.number, item, sinceMs: nowMs })
    return this.#next(record, nowMs)
  }

  /** As `receive`, of a cast that was handed over where the process comes from: it has waited long enough there. */
  adopt(sender: SectionId, cast: CastNumber, item: A, nowMs: number): A | undefined {
    const record = this.#sender(sender, cast, nowMs)
    if (isPast(record, cast)) return undefined
    this.#keep(record, { series: cast.series, number: cast.number, item, sinceMs: -Infinity })
    return this.#next(record, nowMs)
  }

  /** The next of a sender, or of all, that waits for nothing any more. Each is to be handed over before it is asked again. */
  next(nowMs: number, sender?: SectionId): A | undefined {
    if (this.#early === 0) return undefined
    if (sender !== undefined) {
      const record = this.#senders.get(sender)
      return record === undefined ? undefined : this.#next(record, nowMs)
    }
    for (const record of this.#senders.values()) {
      const item = record.early.length === 0 ? undefined : this.#next(record, nowMs)
      if (item !== undefined) return item
    }
    return undefined
  }

  #next(record: Sender<A>, nowMs: number): A | undefined {
    while (record.early.length > 0) {
      const head = record.early[0]!
      if (!isPast(record, head) && !this.#isReady(record, head, nowMs)) return undefined
      record.early.shift()
      this.#early--
      if (!isPast(record, head)) return this.#hand(record, head, head.item, head.sinceMs !== -Infinity)
    }
    return undefined
  }

  #isReady({ early, last, series }: Sender<A>, head: Early<A>, nowMs: number): boolean {
    return isExpected({ last, series }, head) || head.series < early[early.length - 1]!.series ||
      this.#early > MAX_EARLY || dueMs(early) <= nowMs
  }

  #hand(record: Sender<A>, { number, series }: Numbered, item: A, counts = true): A {
    if (counts) this.#lost += number - 1 - (series === record.series ? record.last : 0)
    record.series = series
    record.last = number
    return item
  }

  #sender(id: SectionId, { first, number, series }: CastNumber, nowMs: number): Sender<A> {
    let record = this.#senders.get(id)
    if (record === undefined) {
      if (this.#senders.size >= MAX_SENDERS) this.#evict()
      const last = this.#isComplete ? 0 : Math.min(first, number) - 1
      this.#senders.set(id, record = { series, last, early: [], usedMs: nowMs })
    }
    record.usedMs = this.#usedMs = nowMs
    return record
  }

  #evict(): void {
    for (const [id, { early }] of this.#senders) {
      this.#early -= early.length
      this.#senders.delete(id)
      return
    }
  }

  #keep({ early }: Sender<A>, item: Early<A>): void {
    let at = early.length
    while (at > 0 && compare(early[at - 1]!, item) > 0) at--
    const before = early[at - 1]
    if (before !== undefined && compare(before, item) === 0) {
      before.sinceMs = Math.min(before.sinceMs, item.sinceMs)
      return
    }
    early.splice(at, 0, item)
    this.#early++
  }

  /** When the first of those that wait has waited long enough; `Infinity` when none waits. */
  get dueMs(): number {
    let due = Infinity
    if (this.#early === 0) return due
    for (const { early } of this.#senders.values()) due = Math.min(due, dueMs(early))
    return due
  }

  /** Those that wait begin to wait now: what they wait for may still be on its way with a move. */
  hold(nowMs: number): void {
    if (this.#early === 0) return
    for (const { early } of this.#senders.values()) for (const item of early) item.sinceMs = nowMs
  }

  /** What waits, in order, for whoever has the process next. */
  takeEarly(): Array<A> {
    const taken = [...this.#senders.values()].flatMap(({ early }) => early.splice(0).map(({ item }) => item))
    this.#early = 0
    return taken
  }

  get hasEarly(): boolean {
    return this.#early > 0
  }

  /** Numbers that were waited for in vain, since they were last taken. */
  get lost(): number {
    return this.#lost
  }

  takeLost(): number {
    const lost = this.#lost
    this.#lost = 0
    return lost
  }

  /** How far the process has come, where these were handed over but wait to be handled. */
  progress(waiting: Iterable<readonly [SectionId, CastNumber]>): Array<CastProgress> {
    const known = new Map(
      Array.from(this.#senders, ([sender, { last, series }]) => [sender, { sender, series, last }] as const)
    )
    for (const [sender, { number, series }] of waiting) {
      const at = known.get(sender)
      // where a series before this one waits, of this one nothing was handled
      if (at !== undefined && isPast(at, { series, number })) known.set(sender, { sender, series, last: number - 1 })
    }
    return [...known.values()]
  }

  /** Takes over what another node knows; `isComplete`: the process comes from there, so it is all there is to know. */
  absorb(progress: ReadonlyArray<CastProgress>, isComplete: boolean, nowMs: number): void {
    this.#isComplete ||= isComplete
    this.#usedMs = nowMs
    for (const { last, sender, series } of progress) {
      const record = this.#senders.get(sender)
      if (record === undefined) this.#senders.set(sender, { series, last, early: [], usedMs: nowMs })
      else if (series > record.series || (series === record.series && last > record.last)) {
        record.series = series
        record.last = last
      }
    }
  }

  /** Forgets who has been silent for long; answers whether there is nothing left to know. */
  expire(nowMs: number): boolean {
    for (const [id, { early, usedMs }] of this.#senders) {
      if (early.length === 0 && nowMs - usedMs > FORGET_SENDER_MS) this.#senders.delete(id)
    }
    return this.#senders.size === 0 && nowMs - this.#usedMs > FORGET_SENDER_MS
  }

  get size(): number {
    return this.#senders.size
  }
}

type Numbered = Pick<CastNumber, "series" | "number">
type Reached = Pick<CastProgress, "series" | "last">

const compare = (a: Numbered, b: Numbered): number => a.series - b.series || a.number - b.number

const isPast = ({ last, series }: Reached, cast: Numbered): boolean =>
  cast.series < series || (cast.series === series && cast.number <= last)

/** A series begins with 1; the one before has ended long since. */
const isExpected = ({ last, series }: Reached, cast: Numbered): boolean =>
  cast.series >= series && cast.number === (cast.series === series ? last + 1 : 1)

const dueMs = <A>(early: ReadonlyArray<Early<A>>): number => {
  let since = Infinity
  for (const { sinceMs } of early) since = Math.min(since, sinceMs)
  return since + GAP_MS
}
