/**
 * Hybrid logical clock: a stamp that follows the wall clock, never goes back, and exceeds every stamp seen.
 * Kulkarni et al., "Logical Physical Clocks", 2014. Milliseconds times 1,024 plus a counter: safe integers until 2248.
 */
const COUNTER = 1024

export class HybridClock {
  #last = 0
  readonly #maxAheadMs: number

  /** A stamp further than `maxAheadMs` ahead of the wall clock is not followed, so one wild clock can't drag the rest. */
  constructor(maxAheadMs = 60_000) {
    this.#maxAheadMs = maxAheadMs
  }

  next(nowMs: number): number {
    this.#last = Math.max(this.#last + 1, nowMs * COUNTER)
    return this.#last
  }

  observe(stamp: number, nowMs: number): void {
    if (stamp > this.#last && stamp <= (nowMs + this.#maxAheadMs) * COUNTER) this.#last = stamp
  }
}

/** The wall-clock part of a stamp, in ms. */
export const stampMillis = (stamp: number): number => Math.floor(stamp / COUNTER)
