/**
 * Snapshots of processes, kept on other nodes for the loss of their own (H23). A node keeps the newest of each holder of a
 * name, by epoch and number; and from the moment it gives them away to whoever takes the name over, it takes no older
 * one any more: so a copy that was only thought dead can acknowledge nothing that its successor doesn't know (the promise
 * of Paxos, Lamport 1998).
 */
import { type ClaimId, claimId, type SectionId } from "./ids.ts"
import { asArray, asCount, asFlag, asSection, asText, asTexts, fail } from "./reading.ts"
import { weigh } from "./replica.ts"

/** Which snapshot of a name: the later epoch, and in an epoch the higher number. */
export interface SnapshotId {
  readonly epoch: number
  readonly seq: number
}

export interface Snapshot extends SnapshotId {
  /** Whose state it is. */
  readonly holder: SectionId
  /** What has gone into it of other holders, by takeover, by a move, by settling: see `isIn`. */
  readonly after: ReadonlyArray<ClaimId>
  /** When it was taken, in ms since 1970. */
  readonly takenMs: number
  /** Of the claim that it was taken under. */
  readonly continuity: number
  /** Nothing that was acknowledged is newer: it was taken with each call. */
  readonly isComplete: boolean
  /** The process type that the state is of. */
  readonly type: string
  /** The state as plain data, packed. */
  readonly state: Uint8Array
  /** What was answered so far, so that a message that comes again is not handled again (H21). Read by who goes on. */
  readonly ledger: unknown
}

export const isNewer = (a: SnapshotId, b: SnapshotId): boolean =>
  a.epoch > b.epoch || (a.epoch === b.epoch && a.seq > b.seq)

/** A holder's state as of an epoch: all of that, or up to a snapshot. */
export interface Gone {
  readonly holder: SectionId
  readonly epoch: number
  /** `Infinity`: nothing came after it. 0: it was asked for, and nobody had any. */
  readonly seq: number
}

/** A claim, written `epoch/holder`, or `epoch:seq/holder`: up to which snapshot, where its copy may have gone on. */
const writeGone = ({ epoch, holder, seq }: Gone): ClaimId =>
  seq === Infinity ? claimId(epoch, holder) : `${epoch}:${seq}/${holder}`

const readGone = (id: ClaimId): Gone => {
  const cut = id.indexOf("/")
  const [epoch, seq = Infinity] = id.slice(0, cut).split(":").map(Number)
  return { holder: id.slice(cut + 1), epoch: epoch ?? NaN, seq }
}

/** Has what a holder had come to gone into a state that came after these? */
export const isIn = (after: ReadonlyArray<ClaimId>, { epoch, holder, seq }: Gone): boolean =>
  after.some((id) => {
    const gone = readGone(id)
    // that nobody had any of one epoch says nothing of what was kept at another
    if (gone.holder !== holder) return false
    return gone.epoch === epoch ? gone.seq >= seq : gone.epoch > epoch && (gone.seq > 0 || seq === 0)
  })

/** Holders that are remembered: what came before the last ones is not kept anywhere any more. */
const MAX_AFTER = 16

/** Of each holder the latest; and the latest of which nobody had any, beside it. */
export const afterAll = (after: ReadonlyArray<ClaimId>, more: Iterable<Gone>): ReadonlyArray<ClaimId> => {
  const latest = new Map<string, ClaimId>()
  const note = (id: ClaimId, gone: Gone): void => {
    const of = gone.seq === 0 ? `nothing of ${gone.holder}` : gone.holder
    for (const before of [latest.get(gone.holder), latest.get(of)]) {
      if (before !== undefined && (isIn([before], gone) || readGone(before).epoch > gone.epoch)) return
    }
    latest.delete(of)
    latest.set(of, id)
  }
  for (const id of after) note(id, readGone(id))
  for (const gone of more) note(writeGone(gone), gone)
  return [...latest.values()].slice(-MAX_AFTER)
}

/** Of all that was found of a name the newest, and those whose states have gone into none of the others. */
export const lineages = (found: ReadonlyArray<Snapshot>): ReadonlyArray<Snapshot> => {
  const newest = new Map<SectionId, Snapshot>()
  for (const one of found) {
    const before = newest.get(one.holder)
    if (before === undefined || isNewer(one, before)) newest.set(one.holder, one)
  }
  const all = [...newest.values()].sort((a, b) => isNewer(a, b) ? -1 : 1)
  // what comes after another stands above it: so of whatever peers say one is left
  return all.filter((one) => !all.some((other) => isNewer(other, one) && isIn(other.after, one)))
}

const asByte = (u: unknown): number => asCount(u) < 256 ? asCount(u) : fail("a byte")

const asBytes = (u: unknown): Uint8Array =>
  u instanceof Uint8Array ? new Uint8Array(u) : new Uint8Array(asArray(u).map(asByte))

export const encodeSnapshot = (one: Snapshot): ReadonlyArray<unknown> => [
  one.epoch,
  one.seq,
  one.holder,
  one.after,
  one.takenMs,
  one.continuity,
  one.isComplete,
  one.type,
  one.state,
  one.ledger
]

export const decodeSnapshot = (u: unknown): Snapshot => {
  const [epoch, seq, holder, after, takenMs, continuity, isComplete, type, state, ledger] = asArray(u, 10)
  return {
    epoch: asCount(epoch),
    seq: asCount(seq),
    holder: asSection(holder),
    after: asTexts(after),
    takenMs: asCount(takenMs),
    continuity: asCount(continuity),
    isComplete: asFlag(isComplete),
    type: asText(type),
    state: asBytes(state),
    ledger
  }
}

export type Kept = "kept" | "stale" | "full"

interface Held {
  readonly of: Map<SectionId, Snapshot>
  /** No snapshot of a lower epoch is taken. */
  promised: number
}

const isEmpty = (ledger: unknown): boolean =>
  Array.isArray(ledger) && ledger.every((part) => Array.isArray(part) && part.length === 0)

/** The answers in it may be larger than the state. */
const sizeOf = ({ ledger, state }: Snapshot): number => state.byteLength + (isEmpty(ledger) ? 0 : weigh(ledger))

/** What one node keeps of others' processes. */
export class SnapshotTable {
  readonly #held = new Map<string, Held>()
  readonly #maxBytes: number
  #bytes = 0
  #count = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** One that is here already, sent again, is kept. */
  keep(name: string, snapshot: Snapshot): Kept {
    const held = this.#held.get(name)
    if (held !== undefined && snapshot.epoch < held.promised) return "stale"
    const before = held?.of.get(snapshot.holder)
    if (before !== undefined && isNewer(before, snapshot)) return "stale"
    const bytes = this.#bytes + sizeOf(snapshot) - (before === undefined ? 0 : sizeOf(before))
    if (bytes > this.#maxBytes) return "full"
    this.#bytes = bytes
    if (before === undefined) this.#count++
    if (held === undefined) this.#held.set(name, { of: new Map([[snapshot.holder, snapshot]]), promised: 0 })
    else held.of.set(snapshot.holder, snapshot)
    return "kept"
  }

  /** What there is of a name, for whoever starts it under this epoch. */
  promise(name: string, epoch: number): ReadonlyArray<Snapshot> {
    const held = this.#held.get(name)
    if (held === undefined) this.#held.set(name, { of: new Map(), promised: epoch })
    else held.promised = Math.max(held.promised, epoch)
    return this.of(name)
  }

  of(name: string): ReadonlyArray<Snapshot> {
    return [...this.#held.get(name)?.of.values() ?? []]
  }

  /** The lowest epoch that is still taken. */
  promised(name: string): number {
    return this.#held.get(name)?.promised ?? 0
  }

  has(name: string): boolean {
    return this.#held.has(name)
  }

  /** Without a holder: all of them, and the promise. */
  drop(name: string, holder?: SectionId): void {
    const held = this.#held.get(name)
    if (held === undefined) return
    for (const [of, snapshot] of held.of) {
      if (holder !== undefined && of !== holder) continue
      held.of.delete(of)
      this.#bytes -= sizeOf(snapshot)
      this.#count--
    }
    if (holder === undefined) this.#held.delete(name)
  }

  /** Without snapshots of names that are only promised. */
  get size(): number {
    return this.#count
  }

  /** Of what, by `sworm` and name, there is any. */
  *names(): Generator<readonly [sworm: string, name: string]> {
    for (const key of this.#held.keys()) {
      const cut = key.indexOf("\n")
      yield [key.slice(0, cut), key.slice(cut + 1)]
    }
  }

  get isEmpty(): boolean {
    return this.#held.size === 0
  }

  get bytes(): number {
    return this.#bytes
  }
}
