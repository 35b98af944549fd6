/** Processes past their restart limit: kept, so that they can be listed and started again from what they were. */
import { Effect } from "effect"
import type { Claim } from "../../src/protocol/claims.ts"
import { extrasOf } from "../../src/protocol/extras.ts"
import { compareText, nodeOf, type SectionId } from "../../src/protocol/ids.ts"
import { stampMillis } from "../../src/protocol/stamp.ts"
import { type GivenUpEntry, givenUpKey } from "../../src/protocol/wire.ts"
import { NotRegistered, type ProcessRef, type RegisterError } from "../../src/SwormError.ts"
import type { GivenUp } from "../../src/Supervisor.ts"
import type { Core } from "./core.ts"
import type { Slot } from "./slot.ts"
import type { Registrar } from "./registrar.ts"
import type { Registrations } from "./registrations.ts"

/** On one node, of all sworms; beyond it the oldest are forgotten. */
const MAX = 1000

export class GivenUps {
  readonly #core: Core
  /** This node's own, oldest first. */
  readonly #own = new Map<string, number>()

  constructor(core: Core) {
    this.#core = core
  }

  note(sworm: string, name: string, claim: Claim, detail: string): void {
    const { epoch, groups, metadata, spec } = claim
    if (spec === undefined) return
    const { replication } = this.#core.parts
    const key = givenUpKey(sworm, name)
    const stamp = this.#core.stampAfter(sworm, extrasOf(claim).link)
    const entry: GivenUpEntry = { epoch, stamp, detail, spec, metadata, groups }
    this.#own.delete(key)
    this.#own.set(key, epoch)
    replication.write(key, entry)
    if (this.#own.size > MAX) this.#forget(this.#own.keys().next().value!)
  }

  /** A name has changed: once it runs again, it is no longer given up. */
  look({ name, sworm, view }: Slot): void {
    if (this.#own.size === 0) return
    const key = givenUpKey(sworm, name)
    const epoch = this.#own.get(key)
    if (epoch !== undefined && (view.claims.length > 0 || view.endedEpoch > epoch)) this.#forget(key)
  }

  #forget(key: string): void {
    this.#own.delete(key)
    this.#core.parts.replication.write(key, undefined)
  }

  #of(sworm: string, name: string): readonly [SectionId, GivenUpEntry] | undefined {
    const { directory } = this.#core.parts
    const { claims, endedEpoch } = directory.view(sworm, name)
    if (claims.length > 0) return undefined
    let latest: readonly [SectionId, GivenUpEntry] | undefined
    for (const held of directory.givenUp.of(sworm, name)) {
      if (held[1].epoch >= endedEpoch && (latest === undefined || held[1].stamp > latest[1].stamp)) latest = held
    }
    return latest
  }

  list(sworm: string): ReadonlyArray<GivenUp> {
    const all: Array<GivenUp> = []
    for (const name of this.#core.parts.directory.givenUp.names(sworm)) {
      const held = this.#of(sworm, name)
      if (held === undefined) continue
      const [section, { detail, epoch, spec, stamp }] = held
      all.push({ name, type: spec.type, node: nodeOf(section), epoch, atMs: stampMillis(stamp), detail })
    }
    return all.sort((a, b) => compareText(a.name, b.name))
  }

  readonly reset = Effect.fnUntraced({ self: this }, function* (
    this: GivenUps,
    registrar: Registrar,
    registrations: Registrations,
    sworm: string,
    name: string
  ): Effect.fn.Return<ProcessRef, NotRegistered | RegisterError> {
    const held = this.#of(sworm, name)
    if (held === undefined) return yield* Effect.fail(new NotRegistered({ sworm, name }))
    const { groups, metadata, spec } = held[1]
    const ref = yield* registrar.register({ sworm, name, spec, metadata })
    for (const group of groups) yield* registrations.change(sworm, name, { _tag: "Join", group })
    return ref
  })
}
