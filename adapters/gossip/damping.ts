/**
 * Flap damping: a node that is thought dead again and again, and comes back each time, makes all others take its names
 * over and give them back. It sees so itself, and steps back: it is a member like a new one, that runs nothing and
 * serialises nothing, until it has been quiet for a while. It says so itself, so all agree on it (H19).
 */
import { Effect } from "effect"
import { warn } from "../../src/runtime/log.ts"
import type { MembershipDriver } from "./ground.ts"

const DEATHS = 3
const WITHIN_MS = 60_000
const QUIET_MS = 30_000

export class Damping {
  readonly #members: () => MembershipDriver
  readonly #nowMs: () => number
  readonly #fork: (effect: Effect.Effect<unknown>) => void
  #deaths: Array<number> = []
  #isBack = true

  constructor(members: () => MembershipDriver, nowMs: () => number, fork: (effect: Effect.Effect<unknown>) => void) {
    this.#members = members
    this.#nowMs = nowMs
    this.#fork = fork
  }

  /** This node was told that it is dead. */
  died(): void {
    const now = this.#nowMs()
    this.#deaths = [...this.#deaths.filter((atMs) => now - atMs < WITHIN_MS), now]
    if (this.#deaths.length < DEATHS || !this.#isBack) return
    const { active } = this.#members().view()
    const self = this.#members().self()
    // somebody has to go on
    if (active.filter(({ id }) => id !== self.id).length < 2 || !self.synced) return
    this.#isBack = false
    this.#fork(Effect.gen({ self: this }, function* () {
      yield* warn(`Others thought this node dead ${DEATHS} times within a minute: it runs nothing until it is quiet`)
      this.#members().announce({ synced: false })
      do yield* Effect.sleep(QUIET_MS)
      while (this.#nowMs() - this.#deaths.at(-1)! < QUIET_MS)
      this.#isBack = true
      this.#members().announce({ synced: true })
    }))
  }
}
