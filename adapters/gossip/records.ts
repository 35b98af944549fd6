/** Values that sections hold by sworm and name, besides claims. */
import type { SectionId } from "../../src/protocol/ids.ts"

export class Records<A> {
  readonly #sworms = new Map<string, Map<string, Map<SectionId, A>>>()

  set(sworm: string, name: string, section: SectionId, value: A | undefined): void {
    let names = this.#sworms.get(sworm)
    if (names === undefined) this.#sworms.set(sworm, names = new Map())
    let held = names.get(name)
    if (held === undefined) names.set(name, held = new Map())
    if (value !== undefined) held.set(section, value)
    else held.delete(section)
    if (held.size === 0) names.delete(name)
  }

  /** What each section has under a name. */
  of(sworm: string, name: string): ReadonlyMap<SectionId, A> {
    return this.#sworms.get(sworm)?.get(name) ?? new Map()
  }

  *names(sworm: string): Generator<string> {
    yield* this.#sworms.get(sworm)?.keys() ?? []
  }
}
