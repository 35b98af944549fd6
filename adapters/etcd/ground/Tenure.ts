/**
 * For how long this node may go on: as long as its lease can't have ended, by its own clocks, with a margin. It stops
 * before others can take what it has.
 *
 * After leases: Gray and Cheriton, "Leases: An Efficient Fault-Tolerant Mechanism for Distributed File Cache
 * Consistency", 1989.
 */
import { Effect } from "effect"

/** Of a lease's time, kept in reserve: clocks run at slightly different rates, and what runs takes a moment to stop. */
const MARGIN = 0.2

export class Tenure {
  readonly #nowMs: () => number
  readonly #wallMs: () => number
  #until: { readonly steadyMs: number; readonly wallMs: number } | undefined

  constructor(nowMs: () => number, wallMs: () => number) {
    this.#nowMs = nowMs
    this.#wallMs = wallMs
  }

  /** When a renewal is asked for: the lease's time begins no earlier. */
  now(): { readonly steadyMs: number; readonly wallMs: number } {
    return { steadyMs: this.#nowMs(), wallMs: this.#wallMs() }
  }

  renewed(asked: { readonly steadyMs: number; readonly wallMs: number }, ttlSeconds: number): void {
    const forMs = ttlSeconds * 1000 * (1 - MARGIN)
    this.#until = { steadyMs: asked.steadyMs + forMs, wallMs: asked.wallMs + forMs }
  }

  end(): void {
    this.#until = undefined
  }

  /** Asked before each message. Both clocks count: one stands still while a machine sleeps, the other may be set. */
  holds(): boolean {
    const until = this.#until
    return until !== undefined && this.#nowMs() < until.steadyMs && this.#wallMs() < until.wallMs
  }

  get leftMs(): number {
    const until = this.#until
    if (until === undefined) return 0
    return Math.max(0, Math.min(until.steadyMs - this.#nowMs(), until.wallMs - this.#wallMs()))
  }

  /** Done when it holds no longer. */
  readonly over: Effect.Effect<void> = Effect.suspend((): Effect.Effect<void> =>
    this.holds() ? Effect.andThen(Effect.sleep(Math.max(1, this.leftMs)), this.over) : Effect.void
  )
}
