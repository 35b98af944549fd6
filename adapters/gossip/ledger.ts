/**
 * What a process's state goes nowhere without, so that no message is handled twice: what it has answered, how far it has
 * come with casts, and below which of their numbers callers wait for nothing any more. The last is what callers have
 * told this node: a copy of an old call may reach the next holder, which knows of it from here alone.
 */
import type { MovedCall } from "../../src/protocol/calls.ts"
import type { SectionId } from "../../src/protocol/ids.ts"
import { asArray, asCount, asSection } from "../../src/protocol/reading.ts"
import type { LocalProcess } from "../../src/runtime/LocalProcess.ts"
import type { Core } from "./core.ts"
import { keyOf } from "./keyOf.ts"
import { absorb, decodeCasts, keptCalls, movedCalls, movedCasts } from "./moveFrames.ts"

export type Floors = ReadonlyArray<readonly [caller: SectionId, floor: number]>

export interface LedgerOptions {
  /** Calls that are as good as answered. */
  readonly answered?: ReadonlyArray<MovedCall>
  readonly floors: Floors
  /** It is read by who goes on without this node, whose streams have ended then. Else the process takes it along. */
  readonly isForLoss?: boolean
}

/** As plain data. */
export const ledgerOf = (
  { parts: { dispatch, nowMs } }: Core,
  sworm: string,
  name: string,
  process: LocalProcess | undefined,
  { answered = [], floors, isForLoss = false }: LedgerOptions
): ReadonlyArray<unknown> => [
  (isForLoss ? keptCalls : movedCalls)([...dispatch.calls.extract(keyOf(sworm, name)), ...answered], nowMs()),
  process === undefined ? [] : movedCasts(dispatch.casts.progress(process)),
  floors
]

export interface Absorbing {
  /** The process goes on from where the ledger comes from, so it is all there is to know. */
  readonly isAll: boolean
  /** What was answered over there is in the state. Default `true`. */
  readonly withAnswers?: boolean
}

export const absorbLedger = (
  core: Core,
  sworm: string,
  name: string,
  process: LocalProcess | undefined,
  ledger: unknown,
  { isAll, withAnswers = true }: Absorbing
): void => {
  const { dispatch } = core.parts
  const [calls, castsField, floors] = asArray(ledger, 3)
  const casts = decodeCasts(castsField)
  const told = asArray(floors).map((item) => {
    const [caller, floor] = asArray(item, 2)
    return [asSection(caller), asCount(floor)] as const
  })
  if (withAnswers) absorb(core, sworm, name, calls)
  for (const [caller, floor] of told) dispatch.calls.settleBelow(caller, floor)
  if (process === undefined) return
  dispatch.casts.absorb(process, casts, isAll)
  for (const [caller] of told) process.snapshots?.callers.add(caller)
}

/** No more nodes are remembered: those that are not are told everything again. */
const MAX_TARGETS = 64

/** Which floors a node was told already: of ten thousand processes that move there at once, few have news. */
export class ToldFloors {
  readonly #core: Core
  readonly #told = new Map<SectionId, Map<SectionId, number>>()

  constructor(core: Core) {
    this.#core = core
  }

  newsFor(target: SectionId): Floors {
    const told = this.#told.get(target)
    return [...this.#core.parts.dispatch.calls.floors()].filter(([caller, floor]) => floor > (told?.get(caller) ?? 0))
  }

  /** It has answered: it knows them. */
  know(target: SectionId, floors: Floors): void {
    if (floors.length === 0) return
    let told = this.#told.get(target)
    if (told === undefined) {
      if (this.#told.size >= MAX_TARGETS) this.#told.clear()
      this.#told.set(target, told = new Map())
    }
    for (const [caller, floor] of floors) told.set(caller, Math.max(floor, told.get(caller) ?? 0))
    for (const caller of told.keys()) {
      if (this.#core.parts.dispatch.calls.floorOf(caller) === undefined) told.delete(caller)
    }
  }
}
