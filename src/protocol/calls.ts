/**
 * Bookkeeping of calls between nodes: each caller numbers its calls; the holder answers each number once and remembers
 * the answer until the caller no longer needs it, so a repeated call is answered, not executed again (H21). The part of
 * the table that belongs to a process moves with it.
 */
import type { SectionId } from "./ids.ts"

/** What the holder knows of one call. */
export type CallRecord =
  | { readonly _tag: "Running"; readonly process: string; readonly deadlineMs: number }
  | { readonly _tag: "Answered"; readonly process: string; readonly deadlineMs: number; readonly reply: unknown }
  /** The caller has its answer, or gave up: a copy of the call that is still under way somewhere. */
  | { readonly _tag: "Settled" }

/** Changed where it is: an answer makes nothing but itself. */
interface Known {
  _tag: "Running" | "Answered"
  readonly process: string
  readonly deadlineMs: number
  reply: unknown
}

interface CallerRecord {
  readonly calls: Map<number, Known>
  /** The caller waits for nothing below it. */
  floor: number
  /** Since when nothing was known of it but its floor. */
  emptySinceMs: number | undefined
}

/**
 * A copy of a call may come this long after its deadline, from a network or a caller that was held up: so long its record
 * stays, unless the caller says before that it needs it no more, as it does with every further call.
 */
const LATE_MS = 60_000

/** How long the floor of a silent caller is remembered: far longer than a copy of a call can be under way. */
const FORGET_CALLER_MS = 10 * 60_000

export interface MovedCall {
  readonly caller: SectionId
  readonly seq: number
  readonly deadlineMs: number
  readonly reply: unknown
}

export class CallTable {
  readonly #callers = new Map<SectionId, CallerRecord>()
  /**
   * The calls of each process, by caller: what it takes along is found without a look at all others. There only while
   * processes move: with every call it would cost more than all the rest here.
   */
  #processes: Map<string, Map<SectionId, Set<number>>> | undefined
  /** Something was asked of the index since it was last considered whether to keep it. */
  #isIndexUsed = false

  #caller(id: SectionId): CallerRecord {
    let caller = this.#callers.get(id)
    if (caller === undefined) this.#callers.set(id, caller = { calls: new Map(), floor: 0, emptySinceMs: undefined })
    return caller
  }

  /** What is asked of no process in particular never moves. */
  #index(process: string, caller: SectionId, seq: number): void {
    const processes = this.#processes
    if (processes === undefined || process === "") return
    let callers = processes.get(process)
    if (callers === undefined) processes.set(process, callers = new Map())
    const seqs = callers.get(caller)
    if (seqs === undefined) callers.set(caller, new Set([seq]))
    else seqs.add(seq)
  }

  #indexed(): Map<string, Map<SectionId, Set<number>>> {
    this.#isIndexUsed = true
    if (this.#processes !== undefined) return this.#processes
    const processes = this.#processes = new Map()
    for (const [caller, { calls }] of this.#callers) {
      for (const [seq, { process }] of calls) this.#index(process, caller, seq)
    }
    return processes
  }

  #drop(record: CallerRecord, caller: SectionId, seq: number): void {
    if (this.#processes !== undefined) this.#unindex(this.#processes, record.calls.get(seq)?.process, caller, seq)
    record.calls.delete(seq)
  }

  #unindex(
    processes: Map<string, Map<SectionId, Set<number>>>,
    process: string | undefined,
    caller: SectionId,
    seq: number
  ): void {
    const callers = process === undefined ? undefined : processes.get(process)
    const seqs = callers?.get(caller)
    if (process === undefined || callers === undefined || seqs?.delete(seq) !== true || seqs.size > 0) return
    callers.delete(caller)
    if (callers.size === 0) processes.delete(process)
  }

  /** What is known of a call, without one. */
  find(caller: SectionId, seq: number): CallRecord | undefined {
    return this.#callers.get(caller)?.calls.get(seq)
  }

  /** A call arrives: the record of the same call if it is known, else it is noted as running and is to be executed. */
  receive(caller: SectionId, seq: number, process: string, deadlineMs: number): CallRecord | undefined {
    const record = this.#caller(caller)
    const { calls, floor } = record
    const known = calls.get(seq)
    if (known !== undefined) return known
    if (seq < floor) return { _tag: "Settled" }
    record.emptySinceMs = undefined
    calls.set(seq, { _tag: "Running", process, deadlineMs, reply: undefined })
    this.#index(process, caller, seq)
    return undefined
  }

  answer(caller: SectionId, seq: number, reply: unknown): void {
    const call = this.#callers.get(caller)?.calls.get(seq)
    if (call === undefined) return
    call._tag = "Answered"
    call.reply = reply
  }

  /** The call was not executed here and never will be: as if it had not come. */
  forget(caller: SectionId, seq: number): void {
    const record = this.#callers.get(caller)
    if (record !== undefined) this.#drop(record, caller, seq)
  }

  /** The caller has its answers to all calls below `floor`. Numbers rise, so old ones stand first in the map. */
  settleBelow(caller: SectionId, floor: number): void {
    const record = this.#caller(caller)
    if (floor > record.floor) {
      record.floor = floor
      record.emptySinceMs = undefined
    }
    for (const [seq, call] of record.calls) {
      if (seq >= floor) break
      if (call._tag === "Answered") this.#drop(record, caller, seq)
    }
  }

  /** Of each caller: what it waits for no more is below. */
  *floors(): Generator<readonly [caller: SectionId, floor: number]> {
    for (const [id, { floor }] of this.#callers) if (floor > 0) yield [id, floor]
  }

  floorOf(caller: SectionId): number | undefined {
    return this.#callers.get(caller)?.floor
  }

  /** Drops answers that no copy of their call can ask for any more, and callers not heard of for a while. */
  expire(nowMs: number): void {
    if (!this.#isIndexUsed) this.#processes = undefined
    this.#isIndexUsed = false
    for (const [id, caller] of this.#callers) {
      for (const [seq, call] of caller.calls) if (call.deadlineMs + LATE_MS < nowMs) this.#drop(caller, id, seq)
      if (caller.calls.size > 0) caller.emptySinceMs = undefined
      else if (nowMs - (caller.emptySinceMs ??= nowMs) > FORGET_CALLER_MS) this.#callers.delete(id)
    }
  }

  /** The answers that a process takes along when it moves. */
  extract(process: string): Array<MovedCall> {
    const moved: Array<MovedCall> = []
    for (const [caller, seqs] of this.#indexed().get(process) ?? []) {
      for (const seq of [...seqs].sort((a, b) => a - b)) {
        const call = this.#callers.get(caller)?.calls.get(seq)
        if (call?._tag === "Answered") moved.push({ caller, seq, deadlineMs: call.deadlineMs, reply: call.reply })
      }
    }
    return moved
  }

  absorb(process: string, moved: ReadonlyArray<MovedCall>): void {
    const touched = new Set<CallerRecord>()
    for (const { caller: id, deadlineMs, reply, seq } of moved) {
      const caller = this.#caller(id)
      if (seq < caller.floor) continue
      this.#drop(caller, id, seq)
      caller.calls.set(seq, { _tag: "Answered", process, deadlineMs, reply })
      this.#index(process, id, seq)
      touched.add(caller)
    }
    for (const { calls } of touched) {
      const sorted = [...calls].sort(([a], [b]) => a - b)
      calls.clear()
      for (const [seq, call] of sorted) calls.set(seq, call)
    }
  }

  get size(): number {
    let size = 0
    for (const { calls } of this.#callers.values()) size += calls.size
    return size
  }
}
