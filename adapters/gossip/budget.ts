/** How much redistribution may do: whether at all, how fast, and with which processes. Only what a node gives away. */
import { Effect, Semaphore } from "effect"
import type { LocalProcess } from "../../src/runtime/LocalProcess.ts"
import type { Core } from "./core.ts"

export class Budget {
  readonly #core: Core
  /** When the processes of this node came; noted only where it is asked for. */
  readonly #since = new WeakMap<LocalProcess, number>()
  readonly #one = Semaphore.makeUnsafe(1)
  #nextMs = 0
  isPaused = false

  constructor(core: Core) {
    this.#core = core
    const { minResidenceMs } = core.parts.options
    if (minResidenceMs > 0) core.onProcess = (process) => this.#since.set(process, core.parts.nowMs())
  }

  /** In how many ms a process may be moved; 0 for now. */
  restOf(process: LocalProcess): number {
    const { nowMs, options } = this.#core.parts
    if (options.minResidenceMs === 0) return 0
    return Math.max(0, (this.#since.get(process) ?? -Infinity) + options.minResidenceMs - nowMs())
  }

  get isPaced(): boolean {
    return this.#core.parts.options.movesPerSecond !== Infinity
  }

  /** Waits for the next move's turn; one that is interrupted takes none. */
  readonly turn: Effect.Effect<void> = this.#one.withPermits(1)(Effect.suspend(() => {
    const { nowMs, options } = this.#core.parts
    return Effect.andThen(
      Effect.sleep(Math.max(0, this.#nextMs - nowMs())),
      Effect.sync(() => {
        this.#nextMs = Math.max(nowMs(), this.#nextMs) + 1000 / options.movesPerSecond
      })
    )
  }))
}
