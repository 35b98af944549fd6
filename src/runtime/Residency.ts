/**
 * Which processes of this node hold resources: those idle for too long become passive, and so do the least recently
 * used ones of a sworm that has more than it may.
 */
import { Effect, type Scope } from "effect"
import type { LocalProcess } from "./LocalProcess.ts"

const LOOK_EVERY_MS = 100

/** Processes with one timeout, in the order of last use: when that was. So those after the first fresh one are fresh. */
type Used = Map<LocalProcess, number>

export class Residency {
  readonly #nowMs: () => number
  readonly #onPassive: (process: LocalProcess) => void
  /** By sworm and timeout. */
  readonly #sworms = new Map<string, Map<number, Used>>()

  constructor(nowMs: () => number, onPassive: (process: LocalProcess) => void) {
    this.#nowMs = nowMs
    this.#onPassive = onPassive
  }

  /** It was used now; it is the last that becomes passive. */
  used(process: LocalProcess): void {
    const timeout = process.options.idleTimeoutMs ?? Infinity
    let sworm = this.#sworms.get(process.sworm)
    if (sworm === undefined) this.#sworms.set(process.sworm, sworm = new Map())
    let used = sworm.get(timeout)
    if (used === undefined) sworm.set(timeout, used = new Map())
    used.delete(process)
    used.set(process, this.#nowMs())
  }

  forget(process: LocalProcess): void {
    const sworm = this.#sworms.get(process.sworm)
    const timeout = process.options.idleTimeoutMs ?? Infinity
    const used = sworm?.get(timeout)
    if (sworm === undefined || used?.delete(process) !== true || used.size > 0) return
    sworm.delete(timeout)
    if (sworm.size === 0) this.#sworms.delete(process.sworm)
  }

  /** How many of a sworm's processes hold resources, among those that are counted. */
  count(sworm: string): number {
    let count = 0
    for (const used of this.#sworms.get(sworm)?.values() ?? []) count += used.size
    return count
  }

  sweep(): void {
    const now = this.#nowMs()
    for (const [sworm, timeouts] of [...this.#sworms]) {
      for (const [timeout, used] of [...timeouts]) {
        for (const [process, usedAtMs] of used) {
          if (now - usedAtMs < timeout) break
          this.#passivate(process)
        }
      }
      this.#shrink(sworm)
    }
  }

  #shrink(sworm: string): void {
    const oldest = [...this.#sworms.get(sworm)?.values() ?? []]
    const max = oldest[0]?.keys().next().value?.hosted.maxResident ?? Infinity
    let excess = this.count(sworm) - max
    if (excess <= 0) return
    const inOrder = oldest.flatMap((used) => [...used]).sort((a, b) => a[1] - b[1])
    for (const [process] of inOrder) if (excess > 0 && this.#passivate(process)) excess--
  }

  #passivate(process: LocalProcess): boolean {
    if (!process.passivate()) return false
    this.forget(process)
    this.#onPassive(process)
    return true
  }
}

export const make = (
  nowMs: () => number,
  onPassive: (process: LocalProcess) => void
): Effect.Effect<Residency, never, Scope.Scope> =>
  Effect.gen(function* () {
    const residency = new Residency(nowMs, onPassive)
    yield* Effect.forkScoped(Effect.forever(Effect.andThen(
      Effect.sleep(LOOK_EVERY_MS),
      Effect.sync(() => residency.sweep())
    )))
    return residency
  })
