/** What really happened in a simulated history, seen from outside: copies that live, messages handled, answers given. */
import type { SwormError } from "@sworm/sworm"
import type { Simulation } from "@sworm/sworm/testing"
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
  readonly copies: Array<Copy> = []
  readonly executions: Array<Execution> = []
  /** Whatever guarded processes have handled, in the order in which it happened. */
  readonly ticks: Array<Pick<Execution, "name" | "node" | "epoch" | "atMs">> = []
  readonly asked: Array<Asked> = []
  /** By message. */
  readonly casts = new Map<number, Cast>()
  #moment = 0
  /** Found on the way; any is a failure. */
  readonly violations: Array<string> = []
  /** Names whose last registration may be lost, since when: every node that knew of it is gone. */
  readonly excused = new Map<string, number>()
  /** When nodes crashed, or left with nobody to hand over to. */
  readonly losses: Array<number> = []

  constructor(size: number) {
    this.size = size
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

  violation(text: string): void {
    if (!this.violations.includes(text)) this.violations.push(text)
  }
}
