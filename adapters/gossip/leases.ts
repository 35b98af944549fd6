/** Registrations of this node that end unless they are renewed. A takeover starts a lease anew. */
import { Effect, type Scope } from "effect"
import type { Claim } from "../../src/protocol/claims.ts"
import type { Core } from "./core.ts"
import { keyOf } from "./keyOf.ts"

const LOOK_EVERY_MS = 100

interface Lease {
  readonly sworm: string
  readonly name: string
  readonly leaseMs: number
  endsAtMs: number
}

export class Leases {
  readonly #nowMs: () => number
  readonly #leases = new Map<string, Lease>()

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs
  }

  /** A claim of this node as it is from now on. */
  note(sworm: string, name: string, claim: Claim | undefined): void {
    const leaseMs = claim?.mode === "live" || claim?.mode === "adopted" ? claim.extras?.leaseMs : undefined
    if (leaseMs === undefined && this.#leases.size === 0) return
    const key = keyOf(sworm, name)
    if (leaseMs === undefined) this.#leases.delete(key)
    else if (this.#leases.get(key)?.leaseMs !== leaseMs) {
      this.#leases.set(key, { sworm, name, leaseMs, endsAtMs: this.#nowMs() + leaseMs })
    }
  }

  renew(sworm: string, name: string): void {
    const lease = this.#leases.get(keyOf(sworm, name))
    if (lease !== undefined) lease.endsAtMs = this.#nowMs() + lease.leaseMs
  }

  *expired(): Generator<Lease> {
    if (this.#leases.size === 0) return
    const now = this.#nowMs()
    for (const lease of this.#leases.values()) if (lease.endsAtMs <= now) yield lease
  }
}

/** Ends what has run out, again and again. */
export const drive = (
  { parts }: Core,
  leases: Leases,
  expire: (sworm: string, name: string) => Effect.Effect<void>
): Effect.Effect<void, never, Scope.Scope> =>
  Effect.asVoid(Effect.forkScoped(Effect.forever(Effect.andThen(
    Effect.sleep(LOOK_EVERY_MS),
    Effect.sync(() => {
      for (const { name, sworm } of [...leases.expired()]) parts.fork(expire(sworm, name))
    })
  ))))
