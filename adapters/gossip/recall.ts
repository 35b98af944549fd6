/**
 * How states come back whose node is lost (H23): all living members are asked, and those that the claim lists until they
 * answer or are given up. What several copies had acknowledged, each for itself after a split, is merged.
 */
import { Effect, Exit, Ref } from "effect"
import type { Claim, Held, Spec } from "../../src/protocol/claims.ts"
import { extrasOf } from "../../src/protocol/extras.ts"
import { type ClaimId, nodeOf, type SectionId } from "../../src/protocol/ids.ts"
import {
  afterAll,
  decodeSnapshot,
  type Gone,
  isIn,
  lineages,
  type Snapshot,
  type SnapshotTable
} from "../../src/protocol/snapshots.ts"
import { asArray, asCount, asSection, asText } from "../../src/protocol/reading.ts"
import type { HostedType } from "../../src/runtime/Hosted.ts"
import type { Brought, LocalProcess } from "../../src/runtime/LocalProcess.ts"
import { unpack } from "../../src/runtime/Snapshots.ts"
import { Unavailable } from "../../src/SwormError.ts"
import type { Core } from "./core.ts"
import { keyOf } from "./keyOf.ts"
import { absorbLedger } from "./ledger.ts"
import { sectionOf } from "./views.ts"
import { mergeStates, type Side } from "./merging.ts"
import { isFrozen } from "./moveFrames.ts"
import { Method } from "./requests.ts"
import type { Slot } from "./slot.ts"
import { isLeft } from "./snapshots.ts"
import type { Stored } from "./storing.ts"

/** A member that isn't known to have a snapshot is waited for so long. */
const ASK_TIMEOUT_MS = 1000
const RETRY_MS = 100

/** A state to go on from, and what goes along with it. */
export interface Recalled extends Brought {
  readonly ageMs: number
  /** Of the newest of what it was made of. */
  readonly epoch: number
  readonly continuity: number
  /** Nothing that was acknowledged is missing. */
  readonly isComplete: boolean
  readonly after: ReadonlyArray<ClaimId>
  /** What each of those that it was made of had answered. */
  readonly ledgers: ReadonlyArray<unknown>
}

/** What is in the store; its epoch also where the state can't be used any more. */
export interface StoredState {
  readonly epoch: number
  readonly recalled: Recalled | undefined
}

export class Recall {
  readonly #core: Core
  readonly #table: SnapshotTable
  readonly #stored: Stored

  constructor(core: Core, table: SnapshotTable, stored: Stored) {
    this.#core = core
    this.#table = table
    this.#stored = stored
    core.parts.requests.answer(Method.owed, (_, body) => this.#owedAsked(body))
  }

  #typeOf(sworm: string, type: string): HostedType | undefined {
    return this.#core.parts.processes.hosted(sworm)?.types.get(type)
  }

  /** Is the state of such processes kept anywhere? */
  isKept(sworm: string, { type }: Spec): boolean {
    return this.#typeOf(sworm, type)?.options.snapshot !== undefined
  }

  mayBeStored(sworm: string, spec: Spec): boolean {
    return this.#stored.isThere && this.isKept(sworm, spec)
  }

  // ---- a name whose holder is gone

  /** Its newest state; from now on nobody takes an older one. */
  recall(slot: Slot, spec: Spec, epoch: number): Effect.Effect<Recalled | undefined> {
    const { name, sworm } = slot
    const held = slot.view.claims
    const asked = this.isKept(sworm, spec) ? this.#others() : this.#leftBy(slot)
    return Effect.map(this.#gather(slot, epoch, asked), (found) => {
      const recalled = this.#combine(sworm, name, spec.type, found, held)
      if (recalled !== undefined) return recalled
      const listed = held.flatMap(({ claim }) => extrasOf(claim).replicas?.nodes ?? [])
      if (listed.length > 0) this.#lost(slot, `those who kept its state are gone: ${listed.map(nodeOf).join(", ")}`)
      return undefined
    })
  }

  /**
   * What was stored of a name that is registered anew: after a restart of the whole cluster. Fails when that can't be
   * known: whatever started now would take the place of what is stored.
   */
  stored(sworm: string, name: string, spec: Spec): Effect.Effect<StoredState, Unavailable> {
    return Effect.mapBoth(this.#stored.get(sworm, name), {
      onFailure: ({ detail }) => new Unavailable({ operation: `register "${name}"`, detail }),
      onSuccess: (found) => ({
        epoch: found?.epoch ?? 0,
        recalled: this.#combine(sworm, name, spec.type, found === undefined ? [] : [found], [])
      })
    })
  }

  #lost({ name, sworm, view }: Slot, detail: string): void {
    const ref = { sworm, name, node: this.#core.parts.node.id, epoch: view.highestEpoch }
    this.#core.emit({ _tag: "StateLost", ref, detail })
  }

  #others(): ReadonlyArray<SectionId> {
    const { members, node } = this.#core.parts
    return members.view().present.filter(({ id }) => id !== node.id).map(sectionOf)
  }

  /** Nodes that have just given it to one that is gone. */
  #leftBy({ view }: Slot): ReadonlyArray<SectionId> {
    const { members } = this.#core.parts
    const left = view.claims.filter(({ claim: { mode, successor }, section }) =>
      mode === "released" && successor !== undefined && !members.isGone(section)
    )
    return left.map(({ section }) => section)
  }

  /** Is there anybody to ask for the state of a name? */
  mayFind(slot: Slot, spec: Spec): boolean {
    return this.isKept(slot.sworm, spec) || this.#leftBy(slot).length > 0
  }

  /** All that these have of a name, this node and the store. */
  #gather(slot: Slot, epoch: number, asked: ReadonlyArray<SectionId>): Effect.Effect<ReadonlyArray<Snapshot>> {
    const { name, sworm, view } = slot
    const { node, nowMs, options } = this.#core.parts
    const listed = new Set(view.claims.flatMap(({ claim }) => extrasOf(claim).replicas?.nodes ?? []))
    const untilMs = nowMs() + options.handoffTimeoutMs
    return Effect.suspend(() => {
      const own = this.#table.promise(keyOf(sworm, name), epoch)
      const answers = Effect.forEach(
        asked.filter((other) => other !== node.section),
        (other) => this.#ask(other, [sworm, name, epoch], listed.has(other) ? untilMs : 0),
        { concurrency: "unbounded" }
      )
      const first = Effect.exit(this.#stored.get(sworm, name))
      return Effect.flatMap(Effect.all([answers, first], { concurrency: 2 }), ([answered, stored]) => {
        const found = [...own, ...answered.flat()]
        // without it the state would be lost, which is there
        const last = Exit.isFailure(stored) && found.length === 0
          ? this.#storedBefore(sworm, name, untilMs)
          : Effect.succeed(Exit.isSuccess(stored) ? stored.value : undefined)
        return Effect.map(last, (one) => one === undefined ? found : [...found, one])
      })
    })
  }

  /** Asks the store again until then. */
  #storedBefore(sworm: string, name: string, untilMs: number): Effect.Effect<Snapshot | undefined> {
    const { nowMs } = this.#core.parts
    const again: Effect.Effect<Snapshot | undefined> = Effect.catch(
      this.#stored.get(sworm, name),
      () => nowMs() >= untilMs ? Effect.succeed(undefined) : Effect.andThen(Effect.sleep(RETRY_MS), again)
    )
    return Effect.andThen(Effect.sleep(RETRY_MS), again)
  }

  #ask(section: SectionId, body: ReadonlyArray<unknown>, untilMs: number): Effect.Effect<ReadonlyArray<Snapshot>> {
    const { members, nowMs, requests } = this.#core.parts
    const ask: Effect.Effect<ReadonlyArray<Snapshot>> = Effect.matchEffect(
      requests.ask(nodeOf(section), Method.recall, body, ASK_TIMEOUT_MS),
      {
        onFailure: () =>
          nowMs() >= untilMs || members.isGone(section)
            ? Effect.succeed([])
            : Effect.andThen(Effect.sleep(RETRY_MS), ask),
        onSuccess: (reply) => Effect.sync(() => asArray(reply).map(decodeSnapshot))
      }
    )
    return Effect.catchCause(ask, () => Effect.succeed([]))
  }

  /** One state of all that copies without a common successor have left. */
  #combine(
    sworm: string,
    name: string,
    type: string,
    found: ReadonlyArray<Snapshot>,
    held: ReadonlyArray<Held>
  ): Recalled | undefined {
    const { directory, wallMs } = this.#core.parts
    const { endedEpoch } = directory.view(sworm, name)
    const usable = lineages(found.filter((one) => one.epoch > endedEpoch && one.type === type))
    const hosted = this.#typeOf(sworm, type)
    if (hosted === undefined) return undefined
    let merged: Side | undefined
    for (const one of usable) {
      const side = this.#decode(hosted, name, one)
      if (side !== undefined) {
        merged = merged === undefined ? side : mergeStates(this.#core, hosted, sworm, name, merged, side)
      }
    }
    const [newest] = usable
    if (merged === undefined || newest === undefined) return undefined
    return {
      state: merged.state,
      ageMs: Math.max(0, wallMs() - newest.takenMs),
      epoch: newest.epoch,
      continuity: merged.continuity,
      isComplete: newest.isComplete,
      after: afterAll(newest.after, accountedBy(usable, held)),
      ledgers: usable.map(({ ledger }) => ledger)
    }
  }

  #decode(type: HostedType, name: string, { continuity, epoch, holder, state }: Snapshot): Side | undefined {
    const decoded = type.state.decode(unpack(state))
    if (decoded._tag === "Success") return { section: holder, epoch, continuity, state: decoded.value }
    this.#core.warn(`a snapshot of "${name}" does not decode: was its state's schema changed?`)
    return undefined
  }

  // ---- a copy that lives, of a name that another copy had too whose node is gone

  /** Claims of copies that are gone, whose states have not gone into the one that runs here. */
  owed({ name, sworm, view }: Slot): ReadonlyArray<Held> {
    const { members, node, processes } = this.#core.parts
    if (view.claims.length < 2) return []
    const process = processes.get(sworm, name)
    const top = view.claims[0]!
    if (process?.snapshots === undefined || top.section !== node.section || top.claim.mode !== "live") return []
    if (process.status !== "running" && process.status !== "passive") return []
    const after = [...process.snapshots.after, ...top.claim.merged]
    return view.claims.filter(({ claim, section }) =>
      section !== node.section && claim.mode === "live" && claim.extras?.replicas !== undefined &&
      members.isGone(section) && !isIn(after, { holder: section, epoch: claim.epoch, seq: 0 })
    )
  }

  /** Somebody has kept what this node's copy may not have. */
  #owedAsked(body: unknown): Effect.Effect<unknown> {
    const [swormField, nameField, holder, epoch, seq] = asArray(body, 5)
    const [sworm, name] = [asText(swormField), asText(nameField)]
    const owed: Gone = { holder: asSection(holder), epoch: asCount(epoch), seq: asCount(seq) }
    const { directory, processes } = this.#core.parts
    const slot = directory.slot(sworm, name)
    const process = processes.get(sworm, name)
    const claim = this.#core.entry(sworm, name)?.claim
    if (slot === undefined || process?.snapshots === undefined || claim?.mode !== "live") return Effect.succeed(false)
    if (process.status !== "running" && process.status !== "passive") return Effect.succeed(false)
    if (isIn([...process.snapshots.after, ...claim.merged], owed)) return Effect.succeed(true)
    const merged = this.#core.exclusively(sworm, name, this.merge(slot, []))
    return merged === undefined ? Effect.succeed(false) : Effect.as(merged, true)
  }

  /** Takes in what those copies had acknowledged and others have kept. */
  merge(slot: Slot, owed: ReadonlyArray<Held>): Effect.Effect<void> {
    const { name, sworm } = slot
    const core = this.#core
    const { node, options, processes } = core.parts
    const process = processes.get(sworm, name)
    if (process?.snapshots === undefined) return Effect.void
    const { snapshots } = process
    return process.freeze().pipe(
      Effect.andThen(Effect.suspend(() => this.#gather(slot, core.nextEpoch(sworm, name), this.#others()))),
      Effect.map((found) => {
        const claim = core.entry(sworm, name)?.claim
        if (!isFrozen(process) || claim?.mode !== "live") return
        const after = [...snapshots.after, ...claim.merged]
        // one whose holder lives is settled with that
        const others = lineages(found).filter((one) =>
          one.holder !== node.section && one.type === process.type.name && one.epoch > slot.view.endedEpoch &&
          isLeft(slot.view, one.holder, core.parts.members.isGone(one.holder)) && !isIn(after, one)
        )
        const continuity = this.#mergeInto(process, claim, others)
        snapshots.after = afterAll(snapshots.after, accountedBy(others, owed))
        const epoch = core.nextEpoch(sworm, name)
        core.writeClaim(sworm, name, { ...claim, epoch, continuity })
        for (const { ledger } of others) absorbLedger(core, sworm, name, process, ledger, { isAll: false })
      }),
      Effect.timeoutOrElse({ duration: options.handoffTimeoutMs, orElse: () => Effect.void }),
      Effect.ensuring(Effect.sync(() => {
        const claim = core.entry(sworm, name)?.claim
        if (isFrozen(process) && claim?.mode === "live") process.serve(claim.epoch)
        core.parts.owner.keepLater(process, 0)
      }))
    )
  }

  /** Answers since when the state is unbroken. */
  #mergeInto(process: LocalProcess, { continuity, epoch }: Claim, others: ReadonlyArray<Snapshot>): number {
    const { name, sworm, type } = process
    let side: Side = {
      section: this.#core.parts.node.section,
      epoch,
      continuity,
      state: Ref.getUnsafe(process.state)
    }
    for (const other of others) {
      const theirs = this.#decode(type, name, other)
      if (theirs !== undefined) side = mergeStates(this.#core, type, sworm, name, side, theirs)
    }
    Effect.runSync(Ref.set(process.state, side.state))
    return side.continuity
  }
}

function* accountedBy(
  snapshots: ReadonlyArray<Snapshot>,
  held: ReadonlyArray<Held>
): Generator<Gone> {
  yield* snapshots
  for (const { claim, section } of held) yield { holder: section, epoch: claim.epoch, seq: 0 }
}
