/** What the parts of a gossip backend share: one node's knowledge, its processes, and the ways to write and to start. */
import { Effect, type PubSub } from "effect"
import type { Dispatch } from "../../src/Dispatch.ts"
import type { Move } from "../../src/Handoff.ts"
import type { Node } from "../../src/Node.ts"
import type { Candidate } from "../../src/Placement.ts"
import type { Claim, NameEntry, Spec, Tomb } from "../../src/protocol/claims.ts"
import { union } from "../../src/protocol/claims.ts"
import { hash32, rendezvous } from "../../src/protocol/hash.ts"
import type { HybridClock } from "../../src/protocol/stamp.ts"
import { nameKey } from "../../src/protocol/wire.ts"
import { type Hosted } from "../../src/runtime/Hosted.ts"
import { LocalProcess, type ProcessOwner } from "../../src/runtime/LocalProcess.ts"
import type { LocalProcesses } from "../../src/runtime/LocalProcesses.ts"
import type { SupervisorEvent } from "../../src/Supervisor.ts"
import { StartFailed } from "../../src/SwormError.ts"
import type { Directory } from "./directory.ts"
import { publish } from "./events.ts"
import { type MembershipDriver, sectionOf } from "./membership.ts"
import type { ResolvedGossipOptions } from "./Options.ts"
import type { Replication } from "./replication.ts"
import type { Requests } from "./requests.ts"

export interface CoreParts {
  readonly node: Node
  readonly options: ResolvedGossipOptions
  readonly nowMs: () => number
  readonly stamps: HybridClock
  readonly replication: Replication
  readonly directory: Directory
  readonly members: MembershipDriver
  readonly requests: Requests
  readonly processes: LocalProcesses
  readonly dispatch: Dispatch
  readonly owner: ProcessOwner
  readonly events: PubSub.PubSub<SupervisorEvent>
  readonly moves: PubSub.PubSub<Move>
  /** Runs something in the background, as long as the backend lives. */
  readonly fork: (effect: Effect.Effect<unknown>) => void
}

const WARN_EVERY_MS = 5000

export const keyOf = (sworm: string, name: string): string => `${sworm}\n${name}`

export class Core {
  readonly parts: CoreParts
  /** Names with an operation of this node under way; nothing is decided about them until it ends. */
  readonly #busy = new Set<string>()
  #warnedAt = -Infinity
  /** Called when an operation on a name has ended. */
  onIdle: (sworm: string, name: string) => void = () => {}
  /** Things that run here and were registered by hand: who to tell when they lose their name. */
  readonly adopted = new Map<string, () => void>()

  constructor(parts: CoreParts) {
    this.parts = parts
  }

  isBusy(sworm: string, name: string): boolean {
    return this.#busy.has(keyOf(sworm, name))
  }

  /** Runs an operation on a name that must not run twice; `undefined` when one is under way. */
  exclusively<A, E>(sworm: string, name: string, operation: Effect.Effect<A, E>): Effect.Effect<A, E> | undefined {
    const key = keyOf(sworm, name)
    if (this.#busy.has(key)) return undefined
    this.#busy.add(key)
    return Effect.ensuring(
      operation,
      Effect.sync(() => {
        this.#busy.delete(key)
        this.onIdle(sworm, name)
      })
    )
  }

  // ---- placement

  /** Members that can be given processes of a sworm. */
  candidates(sworm: string): Array<Candidate> {
    const { directory, members } = this.parts
    return members.view().active.filter((member) => directory.hosts(sworm, sectionOf(member)))
  }

  /** Where placement wants a name to live now. */
  home(hosted: Hosted, name: string): Candidate | undefined {
    try {
      return hosted.placement.pick(name, this.candidates(hosted.id))
    } catch (error) {
      // it is the user's function: without its answer the name stays where it is
      this.warn(`placement "${hosted.placement.name}" failed for "${name}": ${String(error)}`)
      return undefined
    }
  }

  /** Who serialises registrations of a name, in a given view. */
  registrar(sworm: string, name: string, active = this.parts.members.view().active): string | undefined {
    return rendezvous(hash32(keyOf(sworm, name)), active)?.id
  }

  // ---- entries of this node

  entry(sworm: string, name: string): NameEntry | undefined {
    const { replication } = this.parts
    return replication.replica.get(replication.replica.own, nameKey(sworm, name)) as NameEntry | undefined
  }

  writeClaim(sworm: string, name: string, claim: Claim | undefined): number {
    return this.#write(sworm, name, { claim, tomb: this.entry(sworm, name)?.tomb })
  }

  /** Ends registrations for good: in the same entry, in place of whatever claim is there. */
  writeTomb(sworm: string, name: string, tomb: Tomb): number {
    const before = this.entry(sworm, name)?.tomb
    const registrations = before === undefined ? tomb.registrations : union(before.registrations, tomb.registrations)
    const epoch = Math.max(tomb.epoch, before?.epoch ?? 0)
    return this.#write(sworm, name, { claim: undefined, tomb: { registrations, epoch } })
  }

  #write(sworm: string, name: string, entry: NameEntry): number {
    const value = entry.claim === undefined && entry.tomb === undefined ? undefined : entry
    return this.parts.replication.write(nameKey(sworm, name), value)
  }

  nextEpoch(sworm: string, name: string): number {
    return Math.max(this.parts.directory.view(sworm, name).highestEpoch, this.parts.replication.floor) + 1
  }

  // ---- processes of this node

  /** Makes a process and runs its `init`; it is in the table at once, so that `init` can join groups. */
  startProcess(
    sworm: string,
    name: string,
    spec: Spec,
    epoch: number,
    handoff: { readonly state: unknown } | undefined
  ): Effect.Effect<LocalProcess, StartFailed> {
    return Effect.suspend(() => {
      const { node, owner, processes } = this.parts
      const hosted = processes.hosted(sworm)
      const hostedType = hosted?.types.get(spec.type)
      if (hosted === undefined || hostedType?.implementation === undefined) {
        const detail = hosted === undefined
          ? `this node does not host "${sworm}"`
          : `no process type "${spec.type}" here`
        return Effect.fail(new StartFailed({ name, node: node.id, detail }))
      }
      const process = new LocalProcess(owner, hosted, hostedType, name, spec, epoch)
      processes.add(process)
      return process.start(handoff).pipe(
        Effect.andThen(Effect.suspend(() =>
          // closed while init ran: its node stops hosting the sworm, or leaves
          process.status === "closed" || processes.get(sworm, name) !== process
            ? Effect.fail(new StartFailed({ name, node: node.id, detail: "it was stopped while it started" }))
            : Effect.succeed(process)
        )),
        Effect.onExit((exit) => exit._tag === "Success" ? Effect.void : Effect.sync(() => processes.remove(process)))
      )
    })
  }

  /** Logs a warning, at most one every few seconds. */
  warn(text: string): void {
    const now = this.parts.nowMs()
    if (now - this.#warnedAt < WARN_EVERY_MS) return
    this.#warnedAt = now
    this.parts.fork(Effect.logWarning(text))
  }

  emit(event: SupervisorEvent): void {
    publish(this.parts.events, event)
  }
}
