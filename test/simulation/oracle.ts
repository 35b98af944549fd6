/** What really happened in a simulated history, seen from outside: copies that live, messages handled, answers given. */
import type { SwormError } from "@sworm/sworm"
import type { Process } from "@sworm/sworm"
import type { Simulation } from "@sworm/sworm/testing"
import { Ref } from "effect"
import type { Operation } from "./operations.ts"
import type { Node } from "./nodes.ts"

/** What the operations of clients fail with. */
export type AnyError =
  | SwormError.RegisterError
  | SwormError.CallError
  | SwormError.NotRegistered
  | SwormError.NameTaken
  | SwormError.HandoffError

/** A copy of a process, from the end of its `init` to the end of its scope. */
export interface Copy {
  readonly sworm: string
  readonly name: string
  readonly node: string
  readonly machine: Simulation.Machine
  readonly epoch: number
  readonly sinceMs: number
  endedMs: number | undefined
}

/** One message handled by a copy. */
export interface Execution {
  readonly message: number
  readonly sworm: string
  readonly name: string
  readonly node: string
  readonly epoch: number
  readonly atMs: number
  /** All that the state remembers, this message last: over moves and merges, those of one unbroken life. */
  readonly history: ReadonlyArray<number>
}

/** One message cast by a client: between which moments of the oracle it left its node. */
export interface Cast {
  /** The run of the node. */
  readonly from: Node
  readonly begun: number
  ended: number | undefined
}

/** What a process remembers. */
export interface State {
  readonly name: string
  readonly node: string
  readonly asked: number
  readonly messages: ReadonlyArray<number>
}

/** A process that serves at a place, or served there last. */
export interface Served {
  readonly sworm: string
  readonly name: string
  readonly node: string
  readonly machine: Simulation.Machine
  readonly self: Process.Self<State>
}

/** One of two copies when they are merged. */
export interface Claimant {
  readonly node: string
  readonly epoch: number
  readonly asked: number
}

/** Two copies became one: who stayed, who ended. */
export interface Settled {
  readonly sworm: string
  readonly name: string
  readonly winner: Claimant
  readonly loser: Claimant
  readonly atMs: number
}

/** Something that a client on a node asked for. */
export interface Asked {
  readonly id: number
  readonly node: Node
  readonly operation: Operation
  readonly sinceMs: number
  endedMs: number | undefined
  outcome: Outcome | undefined
  /** Nobody else was there, as the node saw it, when it was answered. */
  wasAlone: boolean
  /** For the end of a registration: which one was seen there, before. */
  ends: number | undefined
}

export type Outcome =
  | { readonly _tag: "Done"; readonly value: unknown }
  | { readonly _tag: "Failed"; readonly error: AnyError }
  /** Nothing of the kind may happen. */
  | { readonly _tag: "Died"; readonly detail: string }

/** It may still happen, or have happened. */
export const isUnknown = (outcome: Outcome | undefined): boolean =>
  outcome === undefined || outcome._tag === "Died" ||
  (outcome._tag === "Failed" && (outcome.error._tag === "Unavailable" || outcome.error._tag === "StartFailed"))

export class Oracle {
  /** How many nodes there are, running or not. */
  readonly size: number
  /** The states of Cells are kept on two other nodes with each call. */
  readonly keepsEachCall: boolean
  readonly copies: Array<Copy> = []
  readonly executions: Array<Execution> = []
  /** Whatever guarded processes have handled, in the order in which it happened. */
  readonly ticks: Array<Pick<Execution, "name" | "node" | "epoch" | "atMs">> = []
  readonly asked: Array<Asked> = []
  /** By message. */
  readonly casts = new Map<number, Cast>()
  #moment = 0
  readonly settled: Array<Settled> = []
  /** Whose state may have been lost, and when: it crashed, or its node did, or left. */
  readonly lost: Array<
    { readonly sworm: string; readonly name: string; readonly node: string; readonly atMs: number }
  > = []
  readonly endings: Array<{ readonly node: string; readonly atMs: number }> = []
  /** Since when nodes may not all see each other, once. */
  partedMs = Infinity
  /** Kinds of faults that there were. */
  readonly faults = new Set<string>()
  readonly #served = new Map<string, Served>()
  /** Found on the way; any is a failure. */
  readonly violations: Array<string> = []
  /** Names whose last registration may be lost, since when: every node that knew of it is gone. */
  readonly excused = new Map<string, number>()
  /** When nodes crashed, or left with nobody to hand over to. */
  readonly losses: Array<number> = []

  constructor(size: number, keepsEachCall = false) {
    this.size = size
    this.keepsEachCall = keepsEachCall
  }

  /** Told of what happens, for the trace. */
  note: (text: string) => void = () => {}

  /** Copies that nobody has ended, on machines that go on. */
  get living(): ReadonlyArray<Copy> {
    return this.copies.filter((copy) => copy.endedMs === undefined && !copy.machine.isDead)
  }

  casting(message: number, from: Node): Cast {
    const cast: Cast = { from, begun: ++this.#moment, ended: undefined }
    this.casts.set(message, cast)
    return cast
  }

  hasCast(cast: Cast): void {
    cast.ended = ++this.#moment
  }

  serves(served: Served): void {
    this.#served.set(`${served.sworm}/${served.name} at ${served.node}`, served)
  }

  servedAt(sworm: string, name: string, node: string): Served | undefined {
    return this.#served.get(`${sworm}/${name} at ${node}`)
  }

  /** What the living copy of a name remembers. */
  stateOf({ name, node, sworm }: Copy): State | undefined {
    const served = this.servedAt(sworm, name, node)
    return served === undefined ? undefined : Ref.getUnsafe(served.self.state)
  }

  /** `mine` takes `theirs` in: by the claims that they had when the one gave its state to the other, which may be long ago. */
  settles(context: Process.ConflictContext, mine: State, theirs: State, atMs: number): void {
    const claimantOf = ({ asked }: State, { epoch, node }: Process.ConflictSide): Claimant => ({ node, epoch, asked })
    const [winner, loser] = [claimantOf(mine, context.mine), claimantOf(theirs, context.theirs)]
    this.settled.push({ sworm: context.sworm, name: mine.name, winner, loser, atMs })
  }

  /** A node ends, or is asked to: what its processes remember may go with it. */
  loses(node: string, atMs: number): void {
    this.endings.push({ node, atMs })
    for (const copy of this.living) if (copy.node === node) this.lost.push({ ...copy, atMs })
  }

  violation(text: string): void {
    if (!this.violations.includes(text)) this.violations.push(text)
  }
}
