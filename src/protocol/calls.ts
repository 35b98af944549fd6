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

export interface MovedCall {
  readonly caller: SectionId
  readonly seq: number
  readonly deadlineMs: number
  readonly reply: unknown
}

export class CallTable {
  readonly #callers = new Map<SectionId, Map<number, CallRecord>>()

  /** A call arrives: the record of the same call if it is known, else it is noted as running and is to be executed. */
  receive(caller: SectionId, seq: number, process: string, deadlineMs: number): CallRecord | undefined {
    let calls = this.#callers.get(caller)
    if (calls === undefined) this.#callers.set(caller, calls = new Map())
    const known = calls.get(seq)
    if (known !== undefined) return known
    calls.set(seq, { _tag: "Running", process, deadlineMs })
    return undefined
  }

  answer(caller: SectionId, seq: number, reply: unknown): void {
    const calls = this.#callers.get(caller)
    const call = calls?.get(seq)
    if (call !== undefined) {
      calls!.set(seq, { _tag: "Answered", process: call.process, deadlineMs: call.deadlineMs, reply })
    }
  }

  /** The call was not executed here and never will be: as if it had not come. */
  forget(caller: SectionId, seq: number): void {
    this.#callers.get(caller)?.delete(seq)
  }

  /** The caller has its answers to all calls below `floor`. Numbers rise, so old ones stand first in the map. */
  settleBelow(caller: SectionId, floor: number): void {
    const calls = this.#callers.get(caller)
    if (calls === undefined) return
    for (const [seq, call] of calls) {
      if (seq >= floor) break
      if (call._tag === "Answered") calls.delete(seq)
    }
  }

  /** Drops answers whose caller has given up waiting, and callers that left nothing. */
  expire(nowMs: number): void {
    for (const [caller, calls] of this.#callers) {
      for (const [seq, call] of calls) if (call.deadlineMs < nowMs) calls.delete(seq)
      if (calls.size === 0) this.#callers.delete(caller)
    }
  }

  /** The answers that a process takes along when it moves. */
  extract(process: string): Array<MovedCall> {
    const moved: Array<MovedCall> = []
    for (const [caller, calls] of this.#callers) {
      for (const [seq, call] of calls) {
        if (call._tag === "Answered" && call.process === process) {
          moved.push({ caller, seq, deadlineMs: call.deadlineMs, reply: call.reply })
        }
      }
    }
    return moved
  }

  absorb(process: string, moved: ReadonlyArray<MovedCall>): void {
    for (const { caller, deadlineMs, reply, seq } of moved) {
      let calls = this.#callers.get(caller)
      if (calls === undefined) this.#callers.set(caller, calls = new Map())
      calls.set(seq, { _tag: "Answered", process, deadlineMs, reply })
    }
  }

  get size(): number {
    let size = 0
    for (const calls of this.#callers.values()) size += calls.size
    return size
  }
}
