/** What the parts of a gossip backend share: one node's knowledge, its processes, and the ways to write and to start. */
import { Effect, Exit, type PubSub } from "effect"
import type { Dispatch } from "../../src/Dispatch.ts"
import type { Move } from "../../src/Handoff.ts"
import type { Node } from "../../src/Node.ts"
import { type Claim, type EndReason, type NameEntry, type Spec, type Tomb, union } from "../../src/protocol/claims.ts"
import { applyChange, type Change, type Link } from "../../src/protocol/extras.ts"
import type { HybridClock } from "../../src/protocol/stamp.ts"
import { nameKey } from "../../src/protocol/wire.ts"
import { isDone } from "../../src/runtime/done.ts"
import { type Brought, LocalProcess, type ProcessOwner } from "../../src/runtime/LocalProcess.ts"
import type { LocalProcesses } from "../../src/runtime/LocalProcesses.ts"
import type { SupervisorEvent } from "../../src/Supervisor.ts"
import { StartFailed, TooManyProcesses, type Unavailable } from "../../src/SwormError.ts"
import { warn } from "../../src/runtime/log.ts"
import type { Directory } from "./directory.ts"
import type { Estates } from "./estates.ts"
import { publish } from "./events.ts"
import { Fence } from "./fence.ts"
import { keyOf } from "./keyOf.ts"
import type { Acquired, Authority, MembershipDriver, Refused, ReplicationDriver } from "./ground.ts"
import type { ResolvedGossipOptions } from "./Options.ts"
import { Placing } from "./placing.ts"
import type { Requests } from "./requests.ts"

export interface CoreParts {
  readonly node: Node
  readonly options: ResolvedGossipOptions
  /** For how long something takes; never goes back. */
  readonly nowMs: () => number
  /** For when something was. */
  readonly wallMs: () => number
  readonly stamps: HybridClock
  readonly replication: ReplicationDriver
  /** Where a store has the last word. */
  readonly authority: Authority | undefined
  readonly directory: Directory
  readonly members: MembershipDriver
  readonly estates: Estates
  readonly requests: Requests
  readonly processes: LocalProcesses
  readonly dispatch: Dispatch
  readonly owner: ProcessOwner
  readonly events: PubSub.PubSub<SupervisorEvent>
  readonly moves: PubSub.PubSub<Move>
  /** Of this node's own choices; not of the protocol. */
  readonly random: () => number
  /** Runs something in the background, as long as the backend lives. */
  readonly fork: (effect: Effect.Effect<unknown>) => void
}

/** Why a process has not started here. */
export type StartFailure = StartFailed | TooManyProcesses | Refused | Unavailable

const WARN_EVERY_MS = 5000

export class Core {
  readonly parts: CoreParts
  /** Names with an operation of this node under way; nothing is decided about them until it ends. */
  readonly #busy = new Set<string>()
  #warnedAt = -Infinity
  #lastKey = { sworm: "", name: "", key: nameKey("", "") }
  /** Called when an operation on a name has ended. */
  onIdle: (sworm: string, name: string) => void = () => {}
  /** Called before a claim of this node is written, or erased. */
  onClaim: (sworm: string, name: string, claim: Claim | undefined) => void = () => {}
  /** Called before it is written that a name has ended for good. */
  onEnded: (sworm: string, name: string, epoch: number) => void = () => {}
  /** Called with every process that starts here, or is moved here. */
  onProcess: (process: LocalProcess) => void = () => {}
  /** Processes whose type answered that they stay where they are. */
  readonly staying = new WeakSet<LocalProcess>()
  /** Things that run here and were registered by hand: who to tell when they lose their name. */
  readonly adopted = new Map<string, () => void>()

  /** Names that have a tomb in this node's section, the oldest first, and since when it is as it is. */
  readonly tombs = new Map<string, { readonly sworm: string; readonly name: string; readonly sinceMs: number }>()

  readonly fence: Fence
  readonly placing: Placing

  constructor(parts: CoreParts) {
    this.parts = parts
    this.placing = new Placing(this)
    this.fence = new Fence(this, parts.options.stopWithinMs)
  }

  isBusy(sworm: string, name: string): boolean {
    return this.#busy.size > 0 && this.#busy.has(keyOf(sworm, name))
  }

  /** Runs an operation on a name that must not run twice; `undefined` when one is under way. */
  exclusively<A, E>(sworm: string, name: string, operation: Effect.Effect<A, E>): Effect.Effect<A, E> | undefined {
    const key = keyOf(sworm, name)
    if (this.#busy.has(key)) return undefined
    this.#busy.add(key)
    return Effect.onExit(operation, () => this.#ended(key, sworm, name))
  }

  /** The same for one that begins at once, and may end at once: then it needs no fiber. What it answers is to be run. */
  exclusivelyNow<A, E>(sworm: string, name: string, begin: () => Effect.Effect<A, E>): Effect.Effect<A, E> | undefined {
    const key = keyOf(sworm, name)
    if (this.#busy.has(key)) return undefined
    this.#busy.add(key)
    let operation: Effect.Effect<A, E>
    try {
      operation = begin()
    } catch (defect) {
      operation = Exit.die(defect)
    }
    if (!Exit.isExit(operation)) return Effect.onExit(operation, () => this.#ended(key, sworm, name))
    this.#ended(key, sworm, name)
    return operation
  }

  #ended(key: string, sworm: string, name: string): Effect.Effect<void> {
    this.#busy.delete(key)
    this.onIdle(sworm, name)
    return Effect.void
  }

  // ---- entries of this node

  entry(sworm: string, name: string): NameEntry | undefined {
    const { replica } = this.parts.replication
    return replica.get(replica.own, this.#entryKey(sworm, name)) as NameEntry | undefined
  }

  /** Most is asked of the name that was asked of before: its key is made, and hashed, once. */
  #entryKey(sworm: string, name: string): string {
    const last = this.#lastKey
    if (last.name !== name || last.sworm !== sworm) this.#lastKey = { sworm, name, key: nameKey(sworm, name) }
    return this.#lastKey.key
  }

  writeClaim(sworm: string, name: string, claim: Claim | undefined): number {
    return this.#write(sworm, name, { claim, tomb: this.entry(sworm, name)?.tomb })
  }

  /** Ends registrations for good: in the same entry, in place of whatever claim is there. */
  writeTomb(
    sworm: string,
    name: string,
    ended: { readonly registrations: ReadonlyArray<string>; readonly epoch: number },
    reason: EndReason
  ): number {
    this.onEnded(sworm, name, ended.epoch)
    const before = this.entry(sworm, name)?.tomb
    const registrations = before === undefined ? ended.registrations : union(before.registrations, ended.registrations)
    const epoch = Math.max(ended.epoch, before?.epoch ?? 0)
    return this.#write(sworm, name, { claim: undefined, tomb: { registrations, epoch, reason } })
  }

  /** Writes the claim of a process that has just started, with what its code has changed of it meanwhile. */
  writeFirstClaim(process: LocalProcess, claim: Claim): number {
    const changes = process.early ?? []
    process.early = undefined
    return this.writeClaim(process.sworm, process.name, changes.reduce(applyChange, claim))
  }

  /** A change of a name's claim at its holder, asked for by anyone; `undefined` when this node doesn't hold it. */
  change(sworm: string, name: string, change: Change): number | undefined {
    const claim = this.entry(sworm, name)?.claim
    if (claim === undefined || claim.mode === "released") return undefined
    const { replication } = this.parts
    const changed = applyChange(claim, change)
    return changed === claim
      ? replication.replica.version(replication.replica.own)
      : this.writeClaim(sworm, name, changed)
  }

  /** Takes over what a dead section says has ended (R9); a claim of this node's stays beside it. */
  adoptTomb(sworm: string, name: string, { epoch, reason, registrations }: Tomb): void {
    const before = this.entry(sworm, name)
    const tomb: Tomb = {
      registrations: union(before?.tomb?.registrations ?? [], registrations),
      epoch: Math.max(before?.tomb?.epoch ?? 0, epoch),
      reason: before?.tomb?.reason ?? reason
    }
    this.#write(sworm, name, { claim: before?.claim, tomb })
  }

  /** R10. */
  dropTomb(sworm: string, name: string): void {
    this.#write(sworm, name, { claim: this.entry(sworm, name)?.claim, tomb: undefined })
  }

  #write(sworm: string, name: string, entry: NameEntry): number {
    const value = entry.claim === undefined && entry.tomb === undefined ? undefined : entry
    if (this.entry(sworm, name)?.tomb !== entry.tomb) {
      const key = keyOf(sworm, name)
      this.tombs.delete(key)
      if (entry.tomb !== undefined) this.tombs.set(key, { sworm, name, sinceMs: this.parts.nowMs() })
    }
    this.onClaim(sworm, name, entry.claim)
    return this.parts.replication.write(this.#entryKey(sworm, name), value)
  }

  nextEpoch(sworm: string, name: string): number {
    return Math.max(this.parts.directory.view(sworm, name).highestEpoch, this.parts.replication.floor) + 1
  }

  /** The stamp of a failure: above all that is known of its link, whatever this node's clock says. */
  stampAfter(sworm: string, link: Link | undefined): number {
    const { directory, stamps, wallMs } = this.parts
    let stamp = stamps.next(wallMs())
    for (const name of link?.names ?? []) {
      const known = directory.view(sworm, name).claims[0]?.claim.extras?.link?.stamp ?? 0
      stamp = Math.max(stamp, known + 1)
    }
    return Math.max(stamp, (link?.stamp ?? 0) + 1)
  }

  // ---- processes of this node

  /** Makes a process and runs its `init`; it is in the table at once, so that `init` can join groups. */
  startProcess(
    sworm: string,
    name: string,
    spec: Spec,
    epoch: number,
    handoff: Brought | undefined
  ): Effect.Effect<LocalProcess, StartFailure> {
    const { authority } = this.parts
    if (authority === undefined) return Effect.suspend(() => this.startProcessNow(sworm, name, spec, epoch, handoff))
    return Effect.flatMap(authority.acquire(sworm, name, epoch), (acquired) =>
      Effect.onError(
        Effect.suspend(() => {
          const brought = handoff ?? this.#broughtBy(sworm, spec, acquired)
          return this.startProcessNow(sworm, name, spec, acquired.epoch, brought)
        }),
        () => Effect.sync(() => authority.release(sworm, name))
      ))
  }

  #broughtBy(sworm: string, { type }: Spec, { state }: Acquired): Brought | undefined {
    const decoded = state === undefined
      ? undefined
      : this.parts.processes.hosted(sworm)?.types.get(type)?.state.decode(state.encoded)
    return decoded?._tag === "Success" ? { state: decoded.value } : undefined
  }

  /**
   * The same, begun at once: an exit where `init` answers at once. Nobody else is asked: what a move brings is the
   * source's until that lets go of it.
   */
  startProcessNow(
    sworm: string,
    name: string,
    spec: Spec,
    epoch: number,
    handoff: Brought | undefined
  ): Effect.Effect<LocalProcess, StartFailed | TooManyProcesses> {
    const { node, owner, processes } = this.parts
    const hosted = processes.hosted(sworm)
    const hostedType = hosted?.types.get(spec.type)
    if (hosted === undefined || hostedType?.implementation === undefined) {
      const detail = hosted === undefined ? `this node does not host "${sworm}"` : `no process type "${spec.type}" here`
      return Exit.fail(new StartFailed({ name, node: node.id, detail }))
    }
    const ended = processes.get(sworm, name)
    if (ended !== undefined) {
      // its registration is over, and nobody has come to decide about it yet
      processes.remove(ended)
      this.emit({ _tag: "Stopped", ref: { sworm, name, node: node.id, epoch: ended.epoch } })
      const again = Effect.suspend(() => this.startProcessNow(sworm, name, spec, epoch, handoff))
      return Effect.andThen(ended.close("Unregistered"), again)
    }
    if (processes.count(sworm) >= hosted.maxChildren) {
      return Exit.fail(new TooManyProcesses({ sworm, node: node.id, max: hosted.maxChildren }))
    }
    const process = new LocalProcess(owner, hosted, hostedType, name, spec, epoch)
    processes.add(process)
    this.onProcess(process)
    const begun = process.startNow(handoff)
    const started = isDone(begun) ? this.#started(process, handoff) : Effect.andThen(
      begun,
      Effect.suspend(() => this.#started(process, handoff))
    )
    if (isDone(started)) return started
    return Effect.onExit(
      started,
      (exit) => exit._tag === "Success" ? Effect.void : Effect.sync(() => processes.remove(process))
    )
  }

  /** It has started and is not wanted any more: its name, where a store gave it to this node, is given back. */
  abandon(process: LocalProcess): Effect.Effect<void> {
    const { authority, processes } = this.parts
    processes.remove(process)
    return Effect.andThen(
      process.close("Superseded"),
      Effect.sync(() => authority?.release(process.sworm, process.name))
    )
  }

  /** Its `init` has answered: may it go on? */
  #started(process: LocalProcess, handoff: Brought | undefined): Effect.Effect<LocalProcess, StartFailed> {
    const { hosted, name, sworm } = process
    const { node, processes } = this.parts
    if (handoff !== undefined) process.snapshots?.begin(handoff.ageMs)
    if (!this.placing.hasQuorum(hosted)) {
      const detail = "its sworm lost its quorum while it started"
      return Effect.andThen(process.close("Shutdown"), Exit.fail(new StartFailed({ name, node: node.id, detail })))
    }
    // closed while init ran: its node stops hosting the sworm, or leaves
    if (process.status === "closed" || processes.get(sworm, name) !== process) {
      return Exit.fail(new StartFailed({ name, node: node.id, detail: "it was stopped while it started" }))
    }
    return Exit.succeed(process)
  }

  /** Has what this node wrote been accepted where a store has the last word? Elsewhere it is. */
  accepted(version: number): Effect.Effect<boolean> {
    return this.parts.authority?.accepted(version) ?? Effect.succeed(true)
  }

  /** Logs a warning, at most one every few seconds. */
  warn(text: string): void {
    const now = this.parts.nowMs()
    if (now - this.#warnedAt < WARN_EVERY_MS) return
    this.#warnedAt = now
    this.parts.fork(warn(text))
  }

  emit(event: SupervisorEvent): void {
    publish(this.parts.events, event)
  }
}
