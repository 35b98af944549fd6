/** The end of a registration (PROTOCOL R2, H2, H26): its holder writes a tomb in place of its claim, and its process stops. */
import { Deferred, Effect } from "effect"
import { type EndReason, union } from "../../src/protocol/claims.ts"
import { nodeOf, type SectionId } from "../../src/protocol/ids.ts"
import { asArray, asCount, asText, asTexts, nameKey } from "../../src/protocol/wire.ts"
import type { LocalProcess } from "../../src/runtime/LocalProcess.ts"
import { NotRegistered, Unavailable } from "../../src/SwormError.ts"
import { AGAIN, ASK_TIMEOUT_MS, CHANGE_TIMEOUT_MS, kept, retrying } from "./attempts.ts"
import type { Core } from "./core.ts"
import { keyOf } from "./keyOf.ts"
import { sectionOf } from "./views.ts"
import type { Registrations } from "./registrations.ts"
import { Method } from "./requests.ts"

interface Written {
  readonly section: SectionId
  readonly version: number
}

/**
 * What a holder says to who wants certain registrations ended: the version at which it has written so, which ones it has
 * in place of those, that it has done nothing, or (`"perhaps"`) that this isn't known.
 */
type Answer = number | ReadonlyArray<string> | "perhaps" | null

const CLOSE_MS = 2000

export class Ends {
  readonly #core: Core
  readonly #registrations: Registrations

  constructor(core: Core, registrations: Registrations) {
    this.#core = core
    this.#registrations = registrations
    const { requests } = core.parts
    requests.answer(Method.unregister, (_, body) => this.#unregisterAsked(body))
    requests.answer(Method.ended, (_, body) => this.#endedAsked(body))
  }

  /**
   * Asks the holder which registrations it has, then to end those. One that asked without saying which would, when its
   * answer is lost and it asks again, end what somebody else has registered since.
   */
  unregister(sworm: string, name: string): Effect.Effect<void, NotRegistered | Unavailable> {
    const operation = `unregister "${name}"`
    const { authority, directory } = this.#core.parts
    /** A store that orders everything doesn't tell two that their calls have ended one registration. */
    const unknown = Effect.fail(
      new Unavailable({ operation, detail: "it has ended; whether by this call is not known, for its answer was lost" })
    )
    let meant: ReadonlyArray<string> = []
    /** An end that was asked for and not answered may have been made: then its tomb is the answer. */
    let mayHaveEnded = false
    const attempt = Effect.gen({ self: this }, function* () {
      const written = mayHaveEnded ? this.#endedAt(sworm, name, meant) : undefined
      if (written !== undefined) return authority === undefined ? written : yield* unknown
      const at = directory.find(sworm, name) ?? (yield* this.#registrations.locate(sworm, name))
      if (at === undefined) {
        if (authority === undefined) return yield* Effect.fail(new NotRegistered({ sworm, name }))
        if (mayHaveEnded) return yield* unknown
        // what this node knows may be over, or to come
        if ((yield* authority.registered(sworm, name)) !== undefined) return AGAIN
        return yield* Effect.fail(new NotRegistered({ sworm, name }))
      }
      // one more name of a process is given up, the process and its others stay
      if (at !== "moving" && at.name !== name) return at.name
      const section = at === "moving" ? this.#registrarOf(sworm, name) : at.section
      if (section === undefined) return AGAIN
      if (meant.length === 0) meant = heldOf(yield* this.#ask(section, sworm, name, meant))
      if (meant.length === 0) return AGAIN
      const answer = yield* this.#ask(section, sworm, name, meant)
      if (typeof answer === "number") return { section, version: answer }
      if (answer === "perhaps" || (answer === null && authority === undefined)) mayHaveEnded = true
      else if (answer !== null && !mayHaveEnded) meant = answer
      return AGAIN
    })
    return retrying(this.#core, operation, CHANGE_TIMEOUT_MS, () => attempt).pipe(
      Effect.flatMap((end) =>
        typeof end === "string"
          ? Effect.asVoid(this.#registrations.changed(sworm, end, { _tag: "Unalias", alias: name }))
          : Effect.andThen(kept(this.#core, end, operation), this.#tellRegistrar(sworm, name, end))
      )
    )
  }

  /** Ends a registration whose lease has run out. */
  expire(sworm: string, name: string): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.#core.isBusy(sworm, name) || this.#held(sworm, name).length === 0) return Effect.void
      return Effect.asVoid(this.#end(sworm, name, "LeaseExpired"))
    })
  }

  /** Every final end writes a tomb (H26), for all registrations known. */
  entomb(sworm: string, name: string, reason: EndReason): number {
    const view = this.#core.parts.directory.view(sworm, name)
    const registrations = union(...view.claims.map(({ claim }) => claim.registrations))
    return this.#core.writeTomb(sworm, name, { registrations, epoch: view.highestEpoch }, reason)
  }

  // ---- asking

  /** Nobody holds the name just now: its registrar may end it. */
  #registrarOf(sworm: string, name: string): SectionId | undefined {
    const registrar = this.#core.parts.members.member(this.#core.placing.registrar(sworm, name) ?? "")
    return registrar === undefined ? undefined : sectionOf(registrar)
  }

  #ask(section: SectionId, sworm: string, name: string, meant: ReadonlyArray<string>): Effect.Effect<Answer> {
    const { node, requests } = this.#core.parts
    if (section === node.section) return this.#endIfHeld(sworm, name, meant)
    return requests.ask(nodeOf(section), Method.unregister, [sworm, name, meant], ASK_TIMEOUT_MS).pipe(
      Effect.map((reply): Answer =>
        reply === null || reply === "perhaps" ? reply : Array.isArray(reply) ? asTexts(reply) : asCount(reply)
      ),
      Effect.orElseSucceed(() => "perhaps" as const)
    )
  }

  /** Where it is written that these registrations have ended. */
  #endedAt(sworm: string, name: string, meant: ReadonlyArray<string>): Written | undefined {
    const { directory, replication } = this.#core.parts
    for (const [section, { tomb }] of directory.slot(sworm, name)?.entries ?? []) {
      if (tomb?.reason !== "Unregistered" || !tomb.registrations.some((id) => meant.includes(id))) continue
      return { section, version: replication.replica.versionOf(section, nameKey(sworm, name)) }
    }
    return undefined
  }

  /** A name that was ended is free for everybody once its registrar knows: see that it does, if it can be reached. */
  #tellRegistrar(sworm: string, name: string, { section, version }: Written): Effect.Effect<void> {
    const { node, requests } = this.#core.parts
    const registrar = this.#core.placing.registrar(sworm, name)
    if (registrar === undefined || registrar === node.id || registrar === nodeOf(section)) return Effect.void
    return Effect.ignore(requests.ask(registrar, Method.ended, [name, section, version], ASK_TIMEOUT_MS))
  }

  // ---- answering

  #endedAsked(body: unknown): Effect.Effect<unknown> {
    const [name, section, version] = asArray(body, 3)
    const { replication } = this.#core.parts
    const operation = `unregister "${asText(name)}"`
    return Effect.as(Effect.ignore(replication.have(asText(section), asCount(version), operation)), true)
  }

  #unregisterAsked(body: unknown): Effect.Effect<unknown> {
    const [sworm, name, meant] = asArray(body, 3)
    return this.#endIfHeld(asText(sworm), asText(name), asTexts(meant))
  }

  #endIfHeld(sworm: string, name: string, meant: ReadonlyArray<string>): Effect.Effect<Answer> {
    return Effect.suspend((): Effect.Effect<Answer> => {
      if (this.#core.isBusy(sworm, name)) return Effect.succeed(null)
      const held = this.#held(sworm, name)
      if (held.some((id) => meant.includes(id))) return this.#endAccepted(sworm, name)
      return Effect.succeed(held.length === 0 ? null : held)
    })
  }

  /**
   * The registrations this node may end: those of its own claim, and as their registrar those whose holders are gone.
   * Whoever is about to take these over finds them ended (R3), or can't start them anyway.
   */
  #held(sworm: string, name: string): ReadonlyArray<string> {
    const own = this.#core.entry(sworm, name)?.claim
    if (own !== undefined) return own.registrations
    const { directory, members } = this.#core.parts
    const { claims } = directory.view(sworm, name)
    const isOrphan = claims.every(({ claim, section }) => claim.mode === "released" || members.isGone(section))
    return isOrphan ? union(...claims.map(({ claim }) => claim.registrations)) : []
  }

  #end(sworm: string, name: string, reason: EndReason): Effect.Effect<number> {
    return Effect.suspend(() => {
      const core = this.#core
      const version = this.entomb(sworm, name, reason)
      const process = core.parts.processes.get(sworm, name)
      core.adopted.get(keyOf(sworm, name))?.()
      if (process === undefined) return Effect.succeed(version)
      core.parts.processes.remove(process)
      core.emit({ _tag: "Stopped", ref: { sworm, name, node: process.node, epoch: process.epoch } })
      return Effect.as(this.#close(process), version)
    })
  }

  /** Ended where a store has the last word, too. */
  #endAccepted(sworm: string, name: string): Effect.Effect<number | "perhaps" | null> {
    const core = this.#core
    const process = core.parts.processes.get(sworm, name)
    const end = Effect.flatMap(
      Effect.suspend(() => this.#end(sworm, name, "Unregistered")),
      (version) => Effect.map(core.accepted(version), (is) => is ? version : "perhaps")
    )
    if (core.parts.authority === undefined || process === undefined) return end
    // where it is one copy at a time, the next may start as soon as the name is free: this one has ended then
    return core.exclusively(sworm, name, Effect.andThen(this.#close(process), end)) ?? Effect.succeed(null)
  }

  /** Waits for the process's end, unless its own finalizers take long: they go on by themselves. */
  #close(process: LocalProcess): Effect.Effect<void> {
    const closed = Deferred.makeUnsafe<void>()
    this.#core.parts.fork(Effect.andThen(process.close("Unregistered"), Deferred.succeed(closed, undefined)))
    return Effect.timeoutOrElse(Deferred.await(closed), { duration: CLOSE_MS, orElse: () => Effect.void })
  }
}

const heldOf = (answer: Answer): ReadonlyArray<string> => Array.isArray(answer) ? answer : []
