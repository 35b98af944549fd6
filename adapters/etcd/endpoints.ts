/** Which endpoint to ask: the one that works is kept, the next one follows when it fails. */
import { Effect, Random } from "effect"

export class Endpoints {
  readonly #all: readonly [string, ...ReadonlyArray<string>]
  #at = 0

  constructor(all: readonly [string, ...ReadonlyArray<string>]) {
    this.#all = all
  }

  get size(): number {
    return this.#all.length
  }

  get current(): string {
    return this.#all[this.#at] ?? this.#all[0]
  }

  /** Of many requests that fail at one endpoint, only the first moves on. */
  failed(endpoint: string): void {
    if (endpoint === this.current) this.#at = (this.#at + 1) % this.#all.length
  }
}

const FIRST_MS = 50
const LONGEST_MS = 2000

/** Waits before the next attempt: doubling from 50 ms to 2 s, of that between half and all, so that clients spread. */
export const backOffMs = (attempt: number): Effect.Effect<number> =>
  Effect.map(Random.next, (dice) => Math.ceil(Math.min(FIRST_MS * 2 ** attempt, LONGEST_MS) * (0.5 + dice / 2)))
