/** The probes that are under way, and whose turn is next: round robin over the members, shuffled anew each time. */
import type { Member } from "./members.ts"

export interface Probe {
  readonly target: string
  /** When others are asked, then when the target is given up. */
  indirectAt: number
  failAt: number
  askedOthers: boolean
  refusedHere: boolean
  refusedThere: boolean
  /** How many of the others that were asked have said anything. */
  nacks: number
  /** Its ping could not be sent: to be sent again with the next tick. */
  again: boolean
  /** Set when this probe is made for another member. */
  readonly askedBy: { readonly id: string; readonly seq: number } | undefined
}

export class Probes {
  readonly #random: () => number
  readonly #underWay = new Map<number, Probe>()
  #order: Array<string> = []
  #lastSeq = 0

  constructor(random: () => number) {
    this.#random = random
  }

  /** Begins one, which asks others when `timeoutMs` are over, and fails when `limitMs` are. */
  begin(
    target: string,
    now: number,
    { askedBy, limitMs, timeoutMs }: Pick<Probe, "askedBy"> & { readonly limitMs: number; readonly timeoutMs: number }
  ): readonly [seq: number, probe: Probe] {
    const seq = ++this.#lastSeq
    const probe: Probe = {
      target,
      indirectAt: now + timeoutMs,
      failAt: now + limitMs,
      askedOthers: askedBy !== undefined,
      refusedHere: false,
      refusedThere: false,
      nacks: 0,
      again: false,
      askedBy
    }
    this.#underWay.set(seq, probe)
    return [seq, probe]
  }

  get(seq: number): Probe | undefined {
    return this.#underWay.get(seq)
  }

  end(seq: number): void {
    this.#underWay.delete(seq)
  }

  /** What is under way; probes may end, and others begin, between two steps. */
  [Symbol.iterator](): Iterator<readonly [seq: number, probe: Probe]> {
    return this.#underWay[Symbol.iterator]()
  }

  *of(target: string): Generator<readonly [seq: number, probe: Probe]> {
    for (const one of this.#underWay) if (one[1].target === target) yield one
  }

  /** Does this node probe a member on its own behalf? */
  isProbed(id: string): boolean {
    for (const [, { askedBy }] of this.of(id)) if (askedBy === undefined) return true
    return false
  }

  seesRefused(target: string): boolean {
    for (const [, { refusedHere }] of this.of(target)) if (refusedHere) return true
    return false
  }

  /** A member is gone: nobody waits for its answer. */
  drop(target: string): void {
    for (const [seq] of this.of(target)) this.#underWay.delete(seq)
  }

  /** All deadlines move. */
  delay(byMs: number): void {
    for (const probe of this.#underWay.values()) {
      probe.indirectAt += byMs
      probe.failAt += byMs
    }
  }

  /** Which of those that are there to probe now: one that is not probed already. Looks at so many at most. */
  next(others: ReadonlyArray<Member>, atMost: number): string | undefined {
    const there = new Set(others.map(({ id }) => id))
    for (let tries = atMost; tries > 0; tries--) {
      if (this.#order.length === 0) this.#order = this.#shuffled(there)
      const id = this.#order.pop()
      if (id !== undefined && there.has(id) && !this.isProbed(id)) return id
    }
    return undefined
  }

  #shuffled(there: ReadonlySet<string>): Array<string> {
    const ids = [...there]
    for (let i = ids.length - 1; i > 0; i--) {
      const j = Math.floor(this.#random() * (i + 1))
      const id = ids[i]!
      ids[i] = ids[j]!
      ids[j] = id
    }
    return ids
  }
}
