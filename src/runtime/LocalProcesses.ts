/** The processes of this node, by sworm and name, and the sworms that it hosts. */
import type { Hosted } from "./Hosted.ts"
import type { LocalProcess } from "./LocalProcess.ts"

export class LocalProcesses {
  readonly #sworms = new Map<string, Hosted>()
  readonly #processes = new Map<string, Map<string, LocalProcess>>()

  host(sworm: Hosted): void {
    this.#sworms.set(sworm.id, sworm)
  }

  unhost(sworm: string): void {
    this.#sworms.delete(sworm)
  }

  hosted(sworm: string): Hosted | undefined {
    return this.#sworms.get(sworm)
  }

  sworms(): IterableIterator<Hosted> {
    return this.#sworms.values()
  }

  get(sworm: string, name: string): LocalProcess | undefined {
    return this.#processes.get(sworm)?.get(name)
  }

  add(process: LocalProcess): void {
    let names = this.#processes.get(process.sworm)
    if (names === undefined) this.#processes.set(process.sworm, names = new Map())
    names.set(process.name, process)
  }

  /** Removes this process; another that took its name meanwhile stays. */
  remove(process: LocalProcess): void {
    const names = this.#processes.get(process.sworm)
    if (names?.get(process.name) === process) names.delete(process.name)
  }

  /** How many of a sworm there are, those that are starting included. */
  count(sworm: string): number {
    return this.#processes.get(sworm)?.size ?? 0
  }

  *of(sworm: string): Generator<LocalProcess> {
    yield* this.#processes.get(sworm)?.values() ?? []
  }

  *all(): Generator<LocalProcess> {
    for (const names of this.#processes.values()) yield* names.values()
  }
}
