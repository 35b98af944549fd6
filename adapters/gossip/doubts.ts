/**
 * A registration whose question was not answered may have been made all the same. Whoever is asked next may not know
 * of it, and refuse it for a claim that has ended where it was made: its caller would be told that the name has been
 * taken by another, and be registered (H12). So a refusal counts when those that did not answer have said that they
 * have not made it, or when the copy that it names has been there all the while.
 */
import { Effect } from "effect"
import { nodeOf, type RegistrationId, type SectionId } from "../../src/protocol/ids.ts"
import { asArray, asCount, asFlag, asText } from "../../src/protocol/wire.ts"
import { type NameTaken, type ProcessRef, Unavailable } from "../../src/SwormError.ts"
import { AGAIN, ASK_TIMEOUT_MS } from "./attempts.ts"
import type { Core } from "./core.ts"
import { sectionOf } from "./views.ts"
import type { Registered, Registration } from "./registrationFrames.ts"
import { Method } from "./requests.ts"

export class Doubts {
  readonly #core: Core
  readonly #reg: RegistrationId
  readonly #registration: Registration
  /** Registrars that were asked, and did not answer. */
  readonly #silent = new Set<SectionId>()
  /** The life of the copy that this node knew before it asked anybody. */
  readonly #continuity: number | undefined
  #refusedMs: number | undefined

  constructor(core: Core, reg: RegistrationId, registration: Registration) {
    this.#core = core
    this.#reg = reg
    this.#registration = registration
    this.#continuity = core.parts.directory.slot(registration.sworm, registration.name)?.top?.claim.continuity
  }

  /** A registrar did not answer. */
  noAnswer(registrar: string): void {
    const member = this.#core.parts.members.member(registrar)
    if (member !== undefined) this.#silent.add(sectionOf(member))
  }

  /** What a refusal comes to: it counts, or this very registration was made, or that has to be found out yet. */
  refused(refusal: NameTaken): Effect.Effect<Registered | typeof AGAIN, NameTaken | Unavailable> {
    return Effect.gen({ self: this }, function* () {
      for (const section of this.#silent) {
        const made = yield* this.#madeAt(section)
        if (made !== undefined) return made
      }
      if (this.#silent.size === 0 || (yield* this.#stoodBefore(refusal.ref))) return yield* Effect.fail(refusal)
      const { nowMs } = this.#core.parts
      this.#refusedMs ??= nowMs()
      if (nowMs() - this.#refusedMs < ASK_TIMEOUT_MS) return AGAIN
      const { epoch, node } = refusal.ref
      const { name } = this.#registration
      const silent = [...this.#silent].map((section) => `"${nodeOf(section)}"`).join(", ")
      const detail = `${silent} may have made it, and can't be asked; elsewhere it runs on "${node}" at epoch ${epoch}`
      return yield* Effect.fail(new Unavailable({ operation: `register "${name}"`, detail }))
    })
  }

  /** Asks again who did not answer before, as another question: then a late copy of the first one does nothing more. */
  readonly #madeAt = Effect.fnUntraced({ self: this }, function* (
    this: Doubts,
    section: SectionId
  ): Effect.fn.Return<Registered | undefined> {
    const { members, requests } = this.#core.parts
    const { name, sworm } = this.#registration
    if (members.isGone(section)) return undefined
    const reply = yield* Effect.orElseSucceed(
      requests.ask(nodeOf(section), Method.reserved, [sworm, name, this.#reg], ASK_TIMEOUT_MS),
      () => false
    )
    if (reply === false) return undefined
    this.#silent.delete(section)
    if (reply === null) return undefined
    const [holder, version, epoch, isSame] = asArray(reply, 4)
    return asFlag(isSame) ? { section: asText(holder), version: asCount(version), epoch: asCount(epoch) } : undefined
  })

  /** Does the copy live that this node knew before it asked, without a break? Then nobody has started another meanwhile. */
  #stoodBefore({ epoch, node: at }: ProcessRef): Effect.Effect<boolean> {
    const { directory, members, node, requests } = this.#core.parts
    const { name, sworm } = this.#registration
    const top = directory.slot(sworm, name)?.top
    if (top === undefined || top.claim.continuity !== this.#continuity || top.claim.epoch !== epoch) {
      return Effect.succeed(false)
    }
    if (nodeOf(top.section) !== at || members.isGone(top.section)) return Effect.succeed(false)
    if (top.section === node.section) return Effect.succeed(true)
    return Effect.match(requests.ask(at, Method.confirm, [sworm, name], ASK_TIMEOUT_MS), {
      onFailure: () => false,
      onSuccess: (reply) => reply === epoch
    })
  }
}
