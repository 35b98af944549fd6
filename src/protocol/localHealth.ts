/** Lifeguard's local health: how slow this node itself seems to be, from 0; its own timeouts grow with it. */

/** As in memberlist: timeouts grow to at most nine times what they are. */
const MAX_SLOWNESS = 8

export class LocalHealth {
  #slowness = 0
  #lastTick: number | undefined

  /** How many times as long as usual this node's own timeouts are. */
  get factor(): number {
    return 1 + this.#slowness
  }

  /** Slower by one, or faster. */
  feels(by: number): void {
    this.#slowness = Math.max(0, Math.min(MAX_SLOWNESS, this.#slowness + by))
  }

  /** How much later than it should this node looks at its members again; nothing when it is about in time. */
  lag(now: number, expectedMs: number): number {
    const lag = this.#lastTick === undefined ? 0 : now - this.#lastTick
    this.#lastTick = now
    if (lag <= 2 * expectedMs) return 0
    this.feels(1)
    return lag
  }
}
