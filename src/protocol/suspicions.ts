/** Who is suspected, since when, and by whom: the more members confirm it, the sooner a suspicion ends (Lifeguard). */
import type { SwimConfig } from "./swimMessages.ts"

export interface Suspicion {
  readonly since: number
  deadline: number
  readonly observers: Set<string>
}

const NOBODY: ReadonlySet<string> = new Set()

export class Suspicions {
  readonly #config: SwimConfig
  readonly #suspicions = new Map<string, Suspicion>()

  constructor(config: SwimConfig) {
    this.#config = config
  }

  begin(id: string, now: number): void {
    this.#suspicions.set(id, { since: now, deadline: now + this.#config.suspicionMaxMs, observers: new Set() })
  }

  end(id: string): void {
    this.#suspicions.delete(id)
  }

  /** Those whose time is over; they may end while they are read. */
  *due(now: number): Generator<readonly [id: string, suspicion: Suspicion]> {
    for (const one of this.#suspicions) if (now >= one[1].deadline) yield one
  }

  /** All deadlines move. */
  delay(byMs: number): void {
    for (const suspicion of this.#suspicions.values()) suspicion.deadline += byMs
  }

  observers(id: string): ReadonlySet<string> {
    return this.#suspicions.get(id)?.observers ?? NOBODY
  }

  /** Has anybody else found a member silent? */
  isDoubted(id: string, self: string): boolean {
    return [...this.observers(id)].some((observer) => observer !== self)
  }

  /** An observer finds a suspected member silent; `others` could have looked. */
  confirm(id: string, observer: string, others: number, now: number): void {
    const suspicion = this.#suspicions.get(id)
    if (suspicion === undefined) return
    suspicion.observers.add(observer)
    const { suspicionMaxMs: max, suspicionMinMs: min } = this.#config
    const expected = Math.min(3, others)
    const seen = suspicion.observers.size - 1
    const share = expected <= 0 ? 1 : Math.min(1, Math.log(seen + 1) / Math.log(expected + 1))
    suspicion.deadline = Math.max(now, suspicion.since + max - (max - min) * share)
  }

  /** What an observer found is void. */
  retract(id: string, observer: string): void {
    this.#suspicions.get(id)?.observers.delete(observer)
  }
}
