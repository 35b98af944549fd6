/**
 * Does what `decide` says about each name whose claims, holder or home have changed: PROTOCOL R3 to R5 and R8 here,
 * R7 through the settler. The claim is written where the process is started, nowhere else.
 */
import { Effect } from "effect"
import {
  type Claim,
  decide,
  type Decision,
  type NameEntry,
  type NameView,
  type Standing
} from "../../src/protocol/claims.ts"
import { extrasOf, withExtras } from "../../src/protocol/extras.ts"
import { asTexts, nameKey } from "../../src/protocol/wire.ts"
import type { LocalProcess } from "../../src/runtime/LocalProcess.ts"
import { settleAliases } from "./aliases.ts"
import type { Core } from "./core.ts"
import { keyOf } from "./keyOf.ts"
import type { Slot } from "./slot.ts"
import { absorbLedger } from "./ledger.ts"
import { startMillis } from "./registrationFrames.ts"
import { Method } from "./requests.ts"
import type { Settler } from "./settler.ts"
import type { Recall, Recalled } from "./recall.ts"

const RETRY_MIN_MS = 200
const RETRY_MAX_MS = 10_000
/** Claims that are erased in one go: whoever gave ten thousand processes away is not held up by that. */
const MAX_ERASED = 1000

export class Caretaker {
  readonly #core: Core
  readonly #settler: Settler
  readonly #recall: Recall
  #dirty = new Set<Slot>()
  /**
   * With claims to erase once everyone has seen what supersedes them (R8). It can wait, and a node that gives everything
   * away has mostly left by then: its section goes as a whole.
   */
  readonly #toErase = new Set<Slot>()
  /** Names that could not be started: how often, and when that is tried again. */
  readonly #delays = new Map<string, { readonly failures: number; readonly untilMs: number }>()
  #scheduled = false
  /** Until a node that was thought dead has exchanged with a synced one, it takes nothing over (R14). */
  mayTakeOver = true

  constructor(core: Core, settler: Settler, recall: Recall) {
    this.#recall = recall
    this.#core = core
    this.#settler = settler
    core.parts.requests.answer(Method.takeOver, (_, body) => this.#takeOverAsked(body))
    core.onIdle = (sworm, name) => {
      const slot = core.parts.directory.slot(sworm, name)
      if (slot !== undefined) this.look(slot)
    }
  }

  /** Something about a name has changed; it is decided upon at the end of this turn. */
  look(slot: Slot): void {
    this.#dirty.add(slot)
    if (this.#scheduled) return
    this.#scheduled = true
    queueMicrotask(() => this.#decideAll())
  }

  /** A member came, went or changed: look at every name again. */
  lookAtAll(): void {
    for (const slot of this.#core.parts.directory.slots()) this.look(slot)
  }

  /** What waited for everyone to have seen a change may be due; called now and then. */
  lookAtReleased(): void {
    const due = [...this.#toErase].slice(0, MAX_ERASED)
    for (const slot of due) this.#toErase.delete(slot)
    this.#decideEach(due, (slot, decision) => {
      if (decision?._tag === "Erase") this.#erase(slot, decision)
      else this.look(slot)
    })
  }

  #decideAll(): void {
    this.#scheduled = false
    const slots = this.#dirty
    this.#dirty = new Set()
    this.#decideEach(slots, (slot, decision) => {
      if (this.#delays.size > 0 && decision?._tag !== "TakeOver") this.#delays.delete(keyOf(slot.sworm, slot.name))
      if (decision !== undefined) this.#perform(slot, decision)
      else this.#settleDebts(slot)
      settleAliases(this.#core, slot)
    })
  }

  /** Where nothing is under way; one name that can't be decided must not keep the others waiting. */
  #decideEach(slots: Iterable<Slot>, act: (slot: Slot, decision: Decision | undefined) => void): void {
    for (const slot of slots) {
      if (this.#core.isBusy(slot.sworm, slot.name)) continue
      try {
        act(slot, this.#decide(slot))
      } catch (error) {
        this.#core.warn(`cannot decide about "${slot.name}" of "${slot.sworm}": ${String(error)}`)
      }
    }
  }

  /** Another copy is gone that had acknowledged what this one doesn't know. */
  #settleDebts(slot: Slot): void {
    const owed = this.#recall.owed(slot)
    if (owed.length > 0) this.#inBackground(slot, this.#recall.merge(slot, owed))
  }

  #decide(slot: Slot, isHome = (): boolean => this.#isHome(slot)): Decision | undefined {
    const { members, node } = this.#core.parts
    const mine = slot.entryOf(node.section)
    if (isOthersOnly(slot.view, mine, members.isGone)) return undefined
    return decide(slot.view, mine, this.#standing(slot, members.isGone, isHome))
  }

  #standing(slot: Slot, isGone: Standing["isGone"], isHome: Standing["isHome"]): Standing {
    const { node, processes } = this.#core.parts
    const process = processes.get(slot.sworm, slot.name)
    const adopted = this.#core.adopted.size > 0 && this.#core.adopted.has(keyOf(slot.sworm, slot.name))
    const source = process?.status === "prepared" ? process.preparedFrom : undefined
    const hosted = processes.hosted(slot.sworm)
    // the source of a move may have resumed: what it offered serves in its place when it has stopped for certain (H20)
    const mayRun = source !== undefined && hosted !== undefined && !this.#core.fence.hasStopped(hosted, source)
    return {
      self: node.section,
      isGone: mayRun ? (section) => section !== source && isGone(section) : isGone,
      isHome,
      running: process === undefined ? adopted ? "live" : "no" : this.#running(process),
      preparedFrom: process?.preparedFrom
    }
  }

  /** What is decided of it has been, where it only waits for a store to say that it may: deciding it again has no end. */
  #running(process: LocalProcess): Standing["running"] {
    return this.#core.parts.authority?.awaits(process) === true ? "live" : running(process)
  }

  #isHome({ name, sworm, view }: Slot): boolean {
    const { estates, members, node, processes } = this.#core.parts
    if (!this.#mayStart() || view.claims.some(({ section }) => estates.isOpen(section))) return false
    const hosted = processes.hosted(sworm)
    const spec = view.claims.find(({ claim }) => claim.spec !== undefined)?.claim.spec
    // what was registered by hand has no home: its registrar buries it
    if (spec === undefined || view.claims[0]?.claim.mode === "adopted") {
      return this.#core.placing.registrar(sworm, name, members.view().active) === node.id
    }
    return hosted !== undefined && this.#core.placing.home(hosted, name, spec.type)?.id === node.id
  }

  #mayStart(): boolean {
    return this.#core.parts.replication.synced && this.mayTakeOver
  }

  #perform(slot: Slot, decision: Decision): void {
    const { name, sworm } = slot
    const core = this.#core
    const { node, processes } = core.parts
    const mine = slot.entryOf(node.section)?.claim
    const process = processes.get(sworm, name)
    switch (decision._tag) {
      case "Stop": {
        const epoch = Math.max(slot.view.endedEpoch, mine!.epoch)
        core.writeTomb(
          sworm,
          name,
          { registrations: mine!.registrations, epoch },
          slot.view.endReason ?? "Unregistered"
        )
        return this.#close(slot, process, "Unregistered")
      }
      case "Bury":
        return void core.writeTomb(sworm, name, decision, "OwnerGone")
      case "Renew": {
        const { epoch, isStale, registrations } = decision
        const continuity = isStale === true ? core.parts.stamps.next(core.parts.wallMs()) : mine!.continuity
        const claim: Claim = { ...mine!, mode: live(mine!), epoch, registrations, continuity }
        core.writeClaim(sworm, name, claim)
        return process?.serve(decision.epoch)
      }
      case "GoLive":
        core.writeClaim(sworm, name, { ...mine!, mode: "live" })
        return process?.serve(mine!.epoch)
      case "Resume":
        core.writeClaim(sworm, name, { ...mine!, mode: live(mine!), epoch: decision.epoch })
        return process?.serve(decision.epoch)
      case "Close":
        core.writeClaim(sworm, name, { ...mine!, mode: "released", successor: slot.view.claims[0]!.section })
        return this.#close(slot, process, "Superseded")
      case "Erase":
        // whoever leaves takes its whole section along
        if (core.parts.members.self().status !== "leaving") this.#toErase.add(slot)
        return
      case "Settle":
        return this.#inBackground(slot, this.#settler.settle(slot, decision.winner, process))
      case "TakeOver":
        if ((this.#delays.get(keyOf(sworm, name))?.untilMs ?? 0) > core.parts.nowMs()) return
        return this.#inBackground(slot, this.#takeOver(slot, decision))
    }
  }

  /** It can't be started now: tried again after a while, longer each time. Meanwhile it can be unregistered. */
  #later(slot: Slot): void {
    const { fork, nowMs } = this.#core.parts
    const key = keyOf(slot.sworm, slot.name)
    const failures = (this.#delays.get(key)?.failures ?? 0) + 1
    const wait = Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** Math.min(failures, 8))
    this.#delays.set(key, { failures, untilMs: nowMs() + wait })
    fork(Effect.andThen(Effect.sleep(wait), Effect.sync(() => this.look(slot))))
  }

  #inBackground(slot: Slot, operation: Effect.Effect<unknown>): void {
    const exclusive = this.#core.exclusively(slot.sworm, slot.name, operation)
    if (exclusive !== undefined) this.#core.parts.fork(exclusive)
  }

  #close({ name, sworm }: Slot, process: LocalProcess | undefined, reason: "Unregistered" | "Superseded"): void {
    const { fork, processes } = this.#core.parts
    this.#core.adopted.get(keyOf(sworm, name))?.()
    if (process === undefined) return
    processes.remove(process)
    this.#core.emit({ _tag: "Stopped", ref: { sworm, name, node: process.node, epoch: process.epoch } })
    fork(process.close(reason))
  }

  #erase(slot: Slot, { by }: Decision & { readonly _tag: "Erase" }): void {
    const { name, sworm } = slot
    const { replication } = this.#core.parts
    const version = replication.replica.versionOf(by.section, nameKey(sworm, name))
    if (replication.seenByAll(by.section, version)) this.#core.writeClaim(sworm, name, undefined)
    else this.#toErase.add(slot)
  }

  /** Here, or where a sticky placement wants it: the home only sees that somebody starts it. */
  #takeOver(slot: Slot, decision: Decision & { readonly _tag: "TakeOver" }): Effect.Effect<void> {
    const { name, sworm } = slot
    const { node, processes, requests } = this.#core.parts
    const hosted = processes.hosted(sworm)
    if (hosted?.placement.isSticky !== true) return this.#takeOverHere(slot, decision)
    const { type } = decision.from.spec!
    const attempt = (refused: ReadonlyArray<string>): Effect.Effect<void> =>
      Effect.suspend(() => {
        const target = this.#core.placing.target(hosted, name, type, node.id, refused)?.id
        if (target === node.id) return this.#takeOverHere(slot, decision)
        if (target === undefined) return Effect.sync(() => this.#later(slot))
        return requests.ask(target, Method.takeOver, [sworm, name], startMillis(decision.from.spec)).pipe(
          Effect.orElseSucceed(() => false),
          Effect.flatMap((isTaken) => isTaken === true ? this.#arrived(slot) : attempt([...refused, target]))
        )
      })
    return attempt([])
  }

  /** Until the claim of whoever has taken it over is here, nothing is decided anew. */
  #arrived({ name, sworm }: Slot): Effect.Effect<void> {
    const { directory } = this.#core.parts
    return Effect.raceFirst(directory.changed(sworm, name), Effect.sleep(RETRY_MIN_MS))
  }

  /** Another node is home of the name and has picked this one. */
  #takeOverAsked(body: unknown): Effect.Effect<unknown> {
    const [sworm, name] = asTexts(body)
    const slot = this.#core.parts.directory.slot(sworm!, name!)
    const decision = slot === undefined ? undefined : this.#decide(slot, () => this.#mayStart())
    if (slot === undefined || decision?._tag !== "TakeOver") return Effect.succeed(false)
    const taken = this.#takeOverHere(slot, decision, () => this.#mayStart())
    const { node } = this.#core.parts
    const isHere = (): boolean => slot.entryOf(node.section)?.claim?.mode === "live"
    return Effect.map(this.#core.exclusively(sworm!, name!, taken) ?? Effect.void, isHere)
  }

  #takeOverHere(
    slot: Slot,
    decision: Decision & { readonly _tag: "TakeOver" },
    isHome?: () => boolean
  ): Effect.Effect<void> {
    const { name, sworm } = slot
    const core = this.#core
    const spec = decision.from.spec!
    const epoch = Math.max(decision.epoch, core.nextEpoch(sworm, name))
    const start = (recalled: Recalled | undefined): Effect.Effect<void> =>
      core.startProcess(sworm, name, spec, epoch, recalled).pipe(
        Effect.matchEffect({
          onFailure: (error) => {
            // of a name that is another's already this node hears in a moment
            if (error._tag !== "Refused") core.emit({ _tag: "StartFailed", sworm, name, detail: error.message })
            return Effect.sync(() => this.#later(slot))
          },
          onSuccess: (process) => {
            this.#delays.delete(keyOf(sworm, name))
            const still = this.#decide(slot, isHome)
            if (still?._tag !== "TakeOver") {
              // a live copy turned up, or the registration was ended, while init ran
              return core.abandon(process)
            }
            return Effect.sync(() =>
              this.#taken(process, { ...still, epoch: Math.max(epoch, still.epoch, process.epoch) }, recalled)
            )
          }
        })
      )
    if (!this.#recall.mayFind(slot, spec)) return start(undefined)
    return Effect.flatMap(
      this.#recall.recall(slot, spec, epoch),
      // no longer, perhaps: then it is decided anew
      (recalled) => this.#decide(slot, isHome)?._tag === "TakeOver" ? start(recalled) : Effect.void
    )
  }

  /** It has started here: it goes on from a snapshot, or from its args. */
  #taken(
    process: LocalProcess,
    { epoch: least, from, registrations }: Decision & { readonly _tag: "TakeOver" },
    recalled: Recalled | undefined
  ): void {
    const core = this.#core
    const { name, sworm } = process
    const { node, stamps, wallMs } = core.parts
    const { extras, groups, metadata, spec, start } = from
    const epoch = Math.max(least, (recalled?.epoch ?? 0) + 1)
    if (process.snapshots !== undefined && recalled !== undefined) process.snapshots.after = recalled.after
    // nothing of a state that is kept with each call was acknowledged before it was kept for the first time
    const isUnbroken = recalled?.isComplete ??
      (process.snapshots?.isEachCall === true && extrasOf(from).replicas === undefined)
    const claim: Claim = {
      epoch,
      start,
      registrations,
      mode: "live",
      merged: [],
      // whoever waits for an answer may ask again: what was answered, and all it did, is in the snapshot
      continuity: isUnbroken ? recalled?.continuity ?? from.continuity : stamps.next(wallMs()),
      spec,
      metadata,
      groups,
      extras
    }
    if (recalled?.isComplete === true) {
      for (const ledger of recalled.ledgers) absorbLedger(core, sworm, name, process, ledger, { isAll: true })
    }
    core.writeFirstClaim(process, extras === undefined ? claim : startedAnew(core, sworm, claim))
    process.serve(epoch)
    const ref = { sworm, name, node: node.id, epoch }
    core.emit({ _tag: "Started", ref })
    if (recalled !== undefined) core.emit({ _tag: "Restored", ref, ageMs: recalled.ageMs })
  }
}

/** The claim of a process that has lost its state: those that depend on it follow. */
const startedAnew = (core: Core, sworm: string, claim: Claim): Claim => {
  const { link } = extrasOf(claim)
  return withExtras(claim, {
    isDown: false,
    link: link === undefined ? undefined : { ...link, stamp: core.stampAfter(sworm, link) }
  })
}

/**
 * Is the name in the hands of a living node, with nothing of this one in it? So it is with nearly every change that is
 * heard of, on nearly every node: `decide` would say no more, and ask for much.
 */
const isOthersOnly = (view: NameView, mine: NameEntry | undefined, isGone: Standing["isGone"]): boolean => {
  const top = view.claims[0]
  return mine === undefined && top !== undefined && top.claim.mode !== "released" && !isGone(top.section)
}

const live = (claim: Claim): Claim["mode"] => claim.mode === "adopted" ? "adopted" : "live"

const running = (process: LocalProcess): Standing["running"] => {
  switch (process.status) {
    case "running":
    case "restarting":
    case "passive":
    case "waking":
      return "live"
    case "frozen":
    case "prepared":
      return process.status
    default:
      return "no"
  }
}
