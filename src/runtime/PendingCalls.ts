/** Calls that this node's callers wait for, by their numbers. */
import type { Reply } from "./callFrames.ts"

/** A call without an answer is sent again after this long, under its number: its frame, or the reply's, may be lost. */
const RESEND_MS = 500
/** Calls are looked through four times a second: a node that comes to it so late has been held up. */
const HELD_UP_MS = 500

/** One attempt of a call. */
export interface Attempt {
  readonly node: string
  readonly resume: (reply: Reply) => void
  readonly resend: () => void
}

interface Pending extends Attempt {
  resendAtMs: number
  /** To `node`, and how many of those it refused. */
  sent: number
  misses: number
}

export class PendingCalls {
  readonly #nowMs: () => number
  readonly #calls = new Map<number, Pending>()
  #lastSeq = 0
  #lookedThroughAtMs: number
  #isLate = false

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs
    this.#lookedThroughAtMs = nowMs()
  }

  /** A number for a call. */
  next(): number {
    return ++this.#lastSeq
  }

  /** Waited for, though not sent yet: no other call tells a holder that nothing below it is waited for. */
  reserve(seq: number): void {
    this.#calls.set(seq, { node: "", resume: () => {}, resend: () => {}, resendAtMs: Infinity, sent: 0, misses: 0 })
  }

  /** It is being sent. */
  set(seq: number, { node, resend, resume }: Attempt): void {
    this.#calls.set(seq, { node, resume, resend, resendAtMs: this.#nowMs() + RESEND_MS, sent: 1, misses: 0 })
  }

  delete(seq: number): void {
    this.#calls.delete(seq)
  }

  /** The lowest number still waited for: holders may forget what they answered to all below. */
  floor(): number {
    for (const seq of this.#calls.keys()) return seq
    return this.#lastSeq + 1
  }

  reply(from: string, seq: number, reply: Reply): void {
    const call = this.#calls.get(seq)
    // of a call that was sent twice one copy may be refused, the other executed: each is answered
    if (call === undefined || (reply._tag === "NotHere" && (from !== call.node || ++call.misses < call.sent))) return
    call.resume(reply)
  }

  /** Was one copy of it refused, and another not? That one may have been executed. */
  isUncertain(seq: number): boolean {
    const { misses = 0, sent = 1 } = this.#calls.get(seq) ?? {}
    return sent > 1 && misses < sent
  }

  /** A node is out of reach. */
  lose(node: string, reply: Reply): void {
    for (const call of [...this.#calls.values()]) if (call.node === node) call.resume(reply)
  }

  /** Sends again what has been without an answer for long. */
  resend(): void {
    const now = this.#nowMs()
    // a node that was held up first reads what has come meanwhile: it may be all that is waited for
    this.#isLate = now - this.#lookedThroughAtMs > HELD_UP_MS && !this.#isLate
    this.#lookedThroughAtMs = now
    if (this.#isLate) return
    for (const call of this.#calls.values()) {
      if (call.resendAtMs > now) continue
      call.resendAtMs = now + RESEND_MS
      if (call.misses > 0) {
        call.resume({ _tag: "NotHere" })
        continue
      }
      call.sent++
      call.resend()
    }
  }
}
