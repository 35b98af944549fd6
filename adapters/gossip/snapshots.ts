/**
 * Where snapshots are kept (H23): on the next nodes in the name's placement, which its claim lists once they have it. How
 * they come back is in `recall.ts`.
 */
import { Effect, Metric } from "effect"
import type { Candidate } from "../../src/Placement.ts"
import type { Held, NameView } from "../../src/protocol/claims.ts"
import { extrasOf, withExtras } from "../../src/protocol/extras.ts"
import { hash32, rendezvous } from "../../src/protocol/hash.ts"
import { claimId, nodeOf, type SectionId } from "../../src/protocol/ids.ts"
import {
  afterAll,
  decodeSnapshot,
  encodeSnapshot,
  isIn,
  isNewer,
  type Snapshot,
  SnapshotTable
} from "../../src/protocol/snapshots.ts"
import { asArray, asCount, asText } from "../../src/protocol/wire.ts"
import type { LocalProcess } from "../../src/runtime/LocalProcess.ts"
import { type Outcome, pack, type Taken } from "../../src/runtime/Snapshots.ts"
import type { Core } from "./core.ts"
import { keyOf } from "./keyOf.ts"
import type { Host } from "./hosts.ts"
import { type Floors, ledgerOf } from "./ledger.ts"
import { Method } from "./requests.ts"
import type { Slot } from "./slot.ts"
import type { Stored } from "./storing.ts"

const sent = Metric.counter("sworm_snapshots_sent", {
  description: "Snapshots of processes that were sent to a node which keeps them"
})
const sentBytes = Metric.counter("sworm_snapshots_sent_bytes", {
  description: "Bytes of the states in the snapshots that were sent, without what is sent around them"
})

const KEEP_TIMEOUT_MS = 2000
/** A node that has no room for snapshots, or did not answer, is not asked before where there are others. */
const AVOID_MS = 10_000
/** A claim says soon after it has changed what has gone into its state; until then nothing is amiss. */
const OWED_AFTER_MS = 500
const OWED_TIMEOUT_MS = 5000
/** A node that leaves looks this often whether others have what it keeps. */
const PASS_ON_MS = 20

const KEPT = 0
const PROMISED = 1
const SUPERSEDED = 2
const FULL = 3

interface Avoided {
  readonly untilMs: number
  readonly isFull: boolean
}

export class Snapshots {
  readonly #core: Core
  readonly #stored: Stored
  /** What this node keeps for others. */
  readonly table: SnapshotTable
  readonly #avoided = new Map<string, Avoided>()
  /** Names whose holder is being told that this node has what it may not have. */
  readonly #telling = new Set<string>()
  readonly #wanted = new WeakMap<LocalProcess, readonly [ReadonlyArray<Host>, ReadonlyArray<SectionId>]>()

  constructor(core: Core, stored: Stored, maxBytes: number) {
    this.#stored = stored
    this.#core = core
    this.table = new SnapshotTable(maxBytes)
    core.parts.requests.answer(Method.keep, (_, body) => Effect.sync(() => this.#keepAsked(body)))
    core.parts.requests.answer(Method.recall, (_, body) => Effect.sync(() => this.#recallAsked(body)))
  }

  // ---- the holder

  /** Sends a state to the nodes that are to keep it; it is kept when all of them have it. */
  keep(process: LocalProcess, taken: Taken): Effect.Effect<Outcome> {
    return Effect.suspend(() => {
      const { hosted, name, sworm } = process
      const claim = this.#claimOf(process)
      // a side that can't go on acknowledges nothing
      if (claim === undefined || !this.#core.fence.isBigEnough(hosted)) return Effect.succeed("not kept")
      const { node } = this.#core.parts
      const snapshot: Snapshot = {
        epoch: claim.epoch,
        seq: taken.seq,
        holder: node.section,
        after: process.snapshots?.after ?? [],
        takenMs: taken.takenMs,
        continuity: claim.continuity,
        isComplete: process.snapshots?.isEachCall === true,
        type: process.type.name,
        state: taken.state,
        ledger: ledgerOf(this.#core, sworm, name, process, {
          answered: taken.answered,
          floors: this.#floorsFor(process),
          isForLoss: true
        })
      }
      const wanted = this.#replicasOf(process)
      const body = [sworm, name, encodeSnapshot(snapshot)]
      const all = Effect.forEach(wanted, (at) => this.#keepAt(process, at, body), { concurrency: "unbounded" })
      const sending = Effect.andThen(noteSent(wanted.length, taken.state.byteLength), all)
      return Effect.flatMap(sending, (outcomes): Effect.Effect<Outcome> => {
        const failed = outcomes.find((outcome) => outcome === "superseded") ??
          outcomes.find((outcome) => outcome !== "kept")
        if (failed !== undefined) return Effect.succeed(failed)
        const stored = this.#stored.put(sworm, name, snapshot)
        return Effect.map(stored, (isKept) => isKept && this.#list(process, snapshot, wanted) ? "kept" : "not kept")
      })
    })
  }

  /** Of those who have called it. */
  #floorsFor({ snapshots }: LocalProcess): Floors {
    const { calls } = this.#core.parts.dispatch
    return (snapshots?.callersAmong((caller) => calls.floorOf(caller) !== undefined) ?? [])
      .map((caller) => [caller, calls.floorOf(caller) ?? 0] as const)
  }

  #claimOf(process: LocalProcess) {
    const { name, sworm } = process
    const claim = this.#core.entry(sworm, name)?.claim
    const isHolder = this.#core.parts.processes.get(sworm, name) === process
    return isHolder && claim?.mode === "live" && claim.epoch === process.epoch ? claim : undefined
  }

  /** Who should have it now: the next in placement's order, as many as there are. */
  #replicasOf(process: LocalProcess): ReadonlyArray<SectionId> {
    const { hosted, name, snapshots, type } = process
    const candidates = this.#core.placing.candidates(hosted.id, type.name)
    const known = this.#wanted.get(process)
    if (known?.[0] === candidates && this.#avoided.size === 0) return known[1]
    const { node, nowMs } = this.#core.parts
    for (const [id, { untilMs }] of this.#avoided) if (untilMs < nowMs()) this.#avoided.delete(id)
    const others = candidates.filter(({ id }) => id !== node.id)
    const wanted: Array<SectionId> = []
    // where there are too few others, it is not kept without those that are avoided
    for (const isAvoided of [false, true]) {
      let rest = others.filter(({ id }) => this.#avoided.has(id) === isAvoided)
      while (wanted.length < (snapshots?.plan.replicas ?? 0) && rest.length > 0) {
        const next = this.#next(process, name, rest)
        wanted.push(next.section)
        rest = rest.filter((other) => other !== next)
      }
    }
    if (wanted.length < (snapshots?.plan.replicas ?? 0)) return this.#besides(process, wanted)
    if (this.#avoided.size === 0) this.#wanted.set(process, [candidates, wanted])
    return wanted
  }

  /** Too few, perhaps for a moment: those that have it already go on having it. */
  #besides(process: LocalProcess, wanted: ReadonlyArray<SectionId>): ReadonlyArray<SectionId> {
    const { members, node } = this.#core.parts
    const listed = extrasOf(this.#claimOf(process) ?? {}).replicas?.nodes ?? []
    const others = listed.filter((one) => one !== node.section && !wanted.includes(one) && !members.isGone(one))
    return [...wanted, ...others].slice(0, process.snapshots?.plan.replicas ?? 0)
  }

  /** What a placement refuses to choose from is chosen from by hashing. */
  #next({ hosted }: LocalProcess, name: string, rest: ReadonlyArray<Host>): Host {
    const picked: Candidate | undefined = hosted.placement.isSticky === true
      ? undefined
      : this.#core.placing.next(hosted, name, rest)
    return rest.find((one) => one === picked) ?? rendezvous(hash32(name), rest) ?? rest[0]!
  }

  #keepAt(process: LocalProcess, section: SectionId, body: ReadonlyArray<unknown>): Effect.Effect<Outcome> {
    const { requests } = this.#core.parts
    const node = nodeOf(section)
    if (this.#avoided.get(node)?.isFull === true) return Effect.succeed("not kept")
    return Effect.map(requests.ask(node, Method.keep, body, KEEP_TIMEOUT_MS), (reply) => {
      const [outcome, promised] = asArray(reply, 2)
      if (outcome === FULL) this.#avoid(node, true)
      if (outcome === PROMISED) return this.#rise(process, asCount(promised)) ? "not kept" : "superseded"
      return outcome === SUPERSEDED ? "superseded" : outcome === KEPT ? "kept" : "not kept"
    }).pipe(Effect.catchCause(() => {
      this.#avoid(node, false)
      return Effect.succeed<Outcome>("not kept")
    }))
  }

  #avoid(node: string, isFull: boolean): void {
    this.#avoided.set(node, { untilMs: this.#core.parts.nowMs() + AVOID_MS, isFull })
    if (isFull) this.#core.warn(`"${node}" has no room for snapshots: raise its \`snapshotBytes\``)
  }

  /**
   * Somebody set out to take the name over, and this copy lives: it goes on above what was promised for that. `false`
   * where it knows of one that stands above it. One that is being moved stays at the epoch under which it was offered:
   * above that it would take the offer back, and yet let go of itself. Whoever goes on with it keeps it anew.
   */
  #rise(process: LocalProcess, promised: number): boolean {
    const { name, status, sworm } = process
    // but the message at hand may wait for this, and the move for that
    if (status === "closed" || (status === "frozen" && process.isFree)) return true
    const { directory, node } = this.#core.parts
    const claim = this.#claimOf(process)
    if (claim === undefined || directory.view(sworm, name).claims[0]?.section !== node.section) return false
    const epoch = Math.max(this.#core.nextEpoch(sworm, name), promised + 1)
    this.#core.writeClaim(sworm, name, { ...claim, epoch })
    process.rise(epoch)
    return true
  }

  /** The claim says who has it: so those that had it before let go of it. */
  #list(process: LocalProcess, { after, epoch, seq }: Snapshot, nodes: ReadonlyArray<SectionId>): boolean {
    const claim = this.#claimOf(process)
    if (claim?.epoch !== epoch) return false
    const before = extrasOf(claim).replicas
    if (before?.epoch === epoch && before.nodes.join() === nodes.join() && before.after.join() === after.join()) {
      return true
    }
    this.#core.writeClaim(process.sworm, process.name, withExtras(claim, { replicas: { epoch, seq, nodes, after } }))
    return true
  }

  /** Members have changed: what others should have now is sent to them. */
  look(): void {
    for (const [sworm, name] of this.table.names()) {
      const slot = this.#core.parts.directory.slot(sworm, name)
      if (slot !== undefined) this.lookAt(slot)
    }
    for (const process of this.#core.parts.processes.all()) {
      const { snapshots } = process
      if (snapshots?.packed === undefined) continue
      const listed = extrasOf(this.#claimOf(process) ?? {}).replicas?.nodes
      if (listed === undefined || listed.join() === this.#replicasOf(process).join()) continue
      snapshots.expire()
      this.#core.parts.owner.keepLater(process, 0)
    }
  }

  /**
   * The state goes to another node, which may be lost in that moment; and which, once it runs the process, has yet to see
   * to its replicas: until then this node keeps it.
   */
  retain(
    process: LocalProcess,
    holder: SectionId,
    epoch: number,
    state: unknown
  ): void {
    const { name, snapshots, sworm, type } = process
    const claim = this.#core.entry(sworm, name)?.claim
    if (claim === undefined) return
    const { section } = this.#core.parts.node
    const before = snapshots?.after ?? []
    this.table.keep(keyOf(sworm, name), {
      epoch,
      seq: 0,
      holder,
      after: before.length === 0
        ? [claimId(claim.epoch, section)]
        : afterAll(before, [{ holder: section, epoch: claim.epoch, seq: Infinity }]),
      takenMs: process.wallMs(),
      continuity: claim.continuity,
      isComplete: snapshots?.isEachCall === true,
      type: type.name,
      state: pack(state),
      ledger: ledgerOf(this.#core, sworm, name, process, { floors: this.#floorsFor(process) })
    })
  }

  // ---- a replica

  #keepAsked(body: unknown): readonly [outcome: number, promised: number] {
    const [swormField, nameField, snapshotField] = asArray(body, 3)
    const [sworm, name] = [asText(swormField), asText(nameField)]
    const snapshot = decodeSnapshot(snapshotField)
    const { directory } = this.#core.parts
    const { claims: [top], endedEpoch } = directory.view(sworm, name)
    const isSuperseded = top !== undefined && !directory.isGone(top.section) && top.claim.epoch > snapshot.epoch
    if (isSuperseded || snapshot.epoch <= endedEpoch) return [SUPERSEDED, 0]
    const key = keyOf(sworm, name)
    const kept = this.table.keep(key, snapshot)
    if (kept === "full") return [FULL, 0]
    const promised = this.table.promised(key)
    return kept === "stale" && promised > snapshot.epoch ? [PROMISED, promised] : [KEPT, 0]
  }

  #recallAsked(body: unknown): unknown {
    const [sworm, name, epoch] = asArray(body, 3)
    return this.table.promise(keyOf(asText(sworm), asText(name)), asCount(epoch)).map(encodeSnapshot)
  }

  /** Something about a name has changed: is what is kept of it still wanted? */
  lookAt(slot: Slot): void {
    const { name, sworm, view } = slot
    if (this.table.isEmpty) return
    const key = keyOf(sworm, name)
    if (!this.table.has(key)) return
    const { directory } = this.#core.parts
    const top = view.claims[0]
    if (top === undefined) return this.table.drop(key)
    for (const kept of this.table.of(key)) {
      if (kept.epoch <= view.endedEpoch || (!directory.isGone(top.section) && this.#isSpent(kept, top, sworm))) {
        this.table.drop(key, kept.holder)
      } else if (this.#isOwed(slot, kept)) {
        this.#tellSoon(slot)
      }
    }
    // the claim itself refuses what the promise was to refuse
    const isEmpty = this.table.of(key).length === 0
    if (isEmpty && !directory.isGone(top.section) && top.claim.epoch >= this.table.promised(key)) this.table.drop(key)
  }

  /** Others have what came after it. */
  #isSpent(kept: Snapshot, { claim, section }: Held, sworm: string): boolean {
    const { node, processes } = this.#core.parts
    const listed = extrasOf(claim).replicas
    if (listed === undefined) {
      const type = processes.hosted(sworm)?.types.get(claim.spec?.type ?? "")
      // one that is kept will say by whom
      return type?.options.snapshot === undefined && claim.mode === "live" && claim.epoch >= kept.epoch
    }
    return kept.holder === section
      ? !isNewer(kept, listed) && !listed.nodes.includes(node.section)
      : isIn(listed.after, kept)
  }

  /** The one that goes on may not have it; and nobody else will bring it. */
  #isOwed({ view }: Slot, { holder }: Snapshot): boolean {
    const { directory } = this.#core.parts
    const top = view.claims[0]
    if (top?.claim.mode !== "live" || top.section === holder || directory.isGone(top.section)) return false
    return isLeft(view, holder, directory.isGone(holder))
  }

  /** This node leaves: done when others have what it keeps, where there are any that could, or after a while. */
  readonly passOn: Effect.Effect<void> = Effect.suspend(() => {
    const untilMs = this.#core.parts.nowMs() + KEEP_TIMEOUT_MS
    const again = Effect.suspend((): Effect.Effect<void> => {
      const isOver = this.#core.parts.nowMs() >= untilMs
      return isOver || !this.#isNeeded() ? Effect.void : Effect.andThen(Effect.sleep(PASS_ON_MS), again)
    })
    return again
  })

  #isNeeded(): boolean {
    const { directory, node } = this.#core.parts
    for (const [sworm, name] of this.table.names()) {
      const top = directory.view(sworm, name).claims[0]
      if (top === undefined || directory.isGone(top.section)) continue
      const nodes = extrasOf(top.claim).replicas?.nodes
      if (nodes?.includes(node.section) !== true) continue
      const others = this.#core.placing.candidates(sworm, top.claim.spec?.type)
        .filter(({ id, section }) => id !== node.id && section !== top.section)
      if (others.length >= nodes.length) return true
    }
    return false
  }

  #tellSoon({ name, sworm }: Slot): void {
    const key = keyOf(sworm, name)
    if (this.#telling.has(key)) return
    this.#telling.add(key)
    const { directory, fork, requests } = this.#core.parts
    fork(Effect.andThen(
      Effect.sleep(OWED_AFTER_MS),
      Effect.suspend(() => {
        this.#telling.delete(key)
        const slot = directory.slot(sworm, name)
        const top = slot?.view.claims[0]
        const owed = this.table.of(key).find((kept) => slot !== undefined && this.#isOwed(slot, kept))
        if (slot === undefined || top === undefined || owed === undefined) return Effect.void
        this.#telling.add(key)
        const { epoch, holder, seq } = owed
        const told = requests.ask(nodeOf(top.section), Method.owed, [sworm, name, holder, epoch, seq], OWED_TIMEOUT_MS)
        return Effect.ensuring(
          Effect.ignore(told),
          Effect.sync(() => {
            this.#telling.delete(key)
            const again = directory.slot(sworm, name)
            if (again !== undefined) this.lookAt(again)
          })
        )
      })
    ))
  }
}

const noteSent = (count: number, bytes: number): Effect.Effect<void> =>
  count === 0 ? Effect.void : Effect.andThen(Metric.update(sent, count), Metric.update(sentBytes, count * bytes))

/** Will a holder not bring its state itself? It is gone, or runs it no more. */
export const isLeft = (view: NameView, holder: SectionId, isGone: boolean): boolean => {
  const claim = view.claims.find(({ section }) => section === holder)?.claim
  return isGone || claim === undefined || claim.mode === "released"
}
