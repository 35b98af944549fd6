/**
 * What happens to a registration once it is made: it is looked up, ended, put into groups (PROTOCOL R2, H26, H28).
 * Changes go to the holder of the claim, the only node that writes it.
 */
import { Deferred, Effect } from "effect"
import type { Location } from "../../src/Dispatch.ts"
import { union } from "../../src/protocol/claims.ts"
import { nodeOf, type SectionId } from "../../src/protocol/ids.ts"
import { asArray, asCount, asText, asTexts } from "../../src/protocol/wire.ts"
import type { LocalProcess } from "../../src/runtime/LocalProcess.ts"
import { type InvalidInput, NotRegistered, type Unavailable } from "../../src/SwormError.ts"
import { AGAIN, again, ASK_TIMEOUT_MS, checkName, kept, retrying } from "./attempts.ts"
import { type Core, keyOf } from "./core.ts"
import { sectionOf, type View } from "./membership.ts"
import { Method } from "./requests.ts"

const CHANGE_TIMEOUT_MS = 10_000
const CLOSE_MS = 2000

export class Registrations {
  readonly #core: Core

  constructor(core: Core) {
    this.#core = core
    const { requests } = core.parts
    requests.answer(Method.locate, (_, body) => this.#locateAsked(body))
    requests.answer(Method.unregister, (_, body) => this.#unregisterAsked(body))
    requests.answer(Method.ended, (_, body) => this.#endedAsked(body))
    requests.answer(Method.join, (_, body) => this.#groupAsked(body, true))
    requests.answer(Method.leave, (_, body) => this.#groupAsked(body, false))
  }

  // ---- looking up

  /**
   * Looks further where this node's copy names nobody to call: the registrar has seen every registration, and just after
   * a change of members the registrar before it has.
   */
  locate(sworm: string, name: string): Effect.Effect<Location | "moving" | undefined> {
    return Effect.gen({ self: this }, function* () {
      const { directory, members } = this.#core.parts
      if (directory.view(sworm, name).claims.length > 0) return "moving"
      const at = yield* this.#askWhere(sworm, name, members.view().active)
      if (at !== undefined) return at
      const present = new Set(members.view().present.map(({ id }) => id))
      for (const view of members.previous()) {
        const before = yield* this.#askWhere(sworm, name, view.active.filter(({ id }) => present.has(id)))
        if (before !== undefined) return before
      }
      return undefined
    })
  }

  #askWhere(
    sworm: string,
    name: string,
    active: View["active"]
  ): Effect.Effect<Location | "moving" | undefined> {
    const { node, requests } = this.#core.parts
    const registrar = this.#core.registrar(sworm, name, active)
    if (registrar === undefined || registrar === node.id) return Effect.succeed(undefined)
    return requests.ask(registrar, Method.locate, [sworm, name], ASK_TIMEOUT_MS).pipe(
      Effect.map((reply): Location | "moving" | undefined => {
        if (reply === null || reply === "moving") return reply ?? undefined
        const [section, epoch, continuity] = asArray(reply, 3)
        return { section: asText(section), epoch: asCount(epoch), continuity: asCount(continuity) }
      }),
      Effect.catchTag("NoAnswer", () => Effect.succeed("moving" as const))
    )
  }

  #locateAsked(body: unknown): Effect.Effect<unknown> {
    const [sworm, name] = asTexts(body)
    const { directory } = this.#core.parts
    const at = directory.find(sworm!, name!)
    if (at !== undefined) return Effect.succeed([at.section, at.epoch, at.continuity])
    return Effect.succeed(directory.view(sworm!, name!).claims.length > 0 ? "moving" : null)
  }

  // ---- the end of a registration, and groups: at the holder

  unregister(sworm: string, name: string): Effect.Effect<void, NotRegistered | Unavailable> {
    const operation = `unregister "${name}"`
    return this.#atHolder(operation, sworm, name, Method.unregister, [sworm, name], () => this.#end(sworm, name))
  }

  changeGroup(
    sworm: string,
    group: string,
    name: string,
    joins: boolean
  ): Effect.Effect<void, NotRegistered | InvalidInput | Unavailable> {
    const invalid = checkName("group", group)
    if (invalid !== undefined) return Effect.fail(invalid)
    const process = this.#core.parts.processes.get(sworm, name)
    if (process?.status === "starting") {
      // from inside `init`: the claim that is written when it is done has the group
      process.groups = joins ? union(process.groups, [group]) : process.groups.filter((other) => other !== group)
      return Effect.void
    }
    const method = joins ? Method.join : Method.leave
    const operation = `${joins ? "join" : "leave"} "${group}" with "${name}"`
    return this.#atHolder(
      operation,
      sworm,
      name,
      method,
      [sworm, name, group],
      () => this.#regroup(sworm, name, group, joins)
    )
  }

  /** Has something done by the node that writes a name's claim; done when a second node has stored it. */
  #atHolder(
    operation: string,
    sworm: string,
    name: string,
    method: number,
    body: unknown,
    here: () => Effect.Effect<number | typeof AGAIN, NotRegistered>
  ): Effect.Effect<void, NotRegistered | Unavailable> {
    const { directory, node, requests } = this.#core.parts
    const attempt = Effect.gen({ self: this }, function* () {
      const at = directory.find(sworm, name) ?? (yield* this.locate(sworm, name))
      if (at === "moving") return yield* this.#atRegistrar(sworm, name, method, body, here)
      if (at === undefined) return yield* Effect.fail(new NotRegistered({ sworm, name }))
      if (at.section === node.section) {
        const version = yield* here()
        return version === AGAIN ? AGAIN : { section: node.section, version }
      }
      const reply = yield* requests.ask(nodeOf(at.section), method, body, ASK_TIMEOUT_MS).pipe(
        Effect.catchTag("NoAnswer", () => Effect.succeed(null))
      )
      return reply === null ? AGAIN : { section: at.section, version: asCount(reply) }
    })
    return retrying(operation, CHANGE_TIMEOUT_MS, () => attempt).pipe(
      Effect.tap((change) => kept(this.#core, change, operation)),
      Effect.flatMap((change) => method === Method.unregister ? this.#tellRegistrar(sworm, name, change) : Effect.void)
    )
  }

  /** A name that was ended is free for everybody once its registrar knows: see that it does, if it can be reached. */
  #tellRegistrar(
    sworm: string,
    name: string,
    { section, version }: { readonly section: SectionId; readonly version: number }
  ): Effect.Effect<void> {
    const { node, requests } = this.#core.parts
    const registrar = this.#core.registrar(sworm, name)
    if (registrar === undefined || registrar === node.id || registrar === nodeOf(section)) return Effect.void
    return Effect.ignore(requests.ask(registrar, Method.ended, [name, section, version], ASK_TIMEOUT_MS))
  }

  #endedAsked(body: unknown): Effect.Effect<unknown> {
    const [name, section, version] = asArray(body, 3)
    const { replication } = this.#core.parts
    const operation = `unregister "${asText(name)}"`
    return Effect.as(Effect.ignore(replication.have(asText(section), asCount(version), operation)), true)
  }

  /** Nobody holds the name just now: someone will in a moment, unless nobody can; then its registrar may end it. */
  #atRegistrar(
    sworm: string,
    name: string,
    method: number,
    body: unknown,
    here: () => Effect.Effect<number | typeof AGAIN, NotRegistered>
  ): Effect.Effect<{ readonly section: SectionId; readonly version: number } | typeof AGAIN, NotRegistered> {
    const { members, node, requests } = this.#core.parts
    if (method !== Method.unregister || this.#core.candidates(sworm).length > 0) return again
    const registrar = members.member(this.#core.registrar(sworm, name) ?? "")
    if (registrar === undefined) return again
    const section = sectionOf(registrar)
    const ended = registrar.id === node.id ? here() : Effect.map(
      Effect.orElseSucceed(requests.ask(registrar.id, method, body, ASK_TIMEOUT_MS), () => null),
      (reply) => reply === null ? AGAIN : asCount(reply)
    )
    return Effect.map(ended, (version) => version === AGAIN ? AGAIN : { section, version })
  }

  #unregisterAsked(body: unknown): Effect.Effect<unknown> {
    const [sworm, name] = asTexts(body)
    return Effect.map(
      Effect.orElseSucceed(this.#end(sworm!, name!), () => AGAIN),
      (version) => version === AGAIN ? null : version
    )
  }

  #groupAsked(body: unknown, joins: boolean): Effect.Effect<unknown> {
    const [sworm, name, group] = asTexts(body)
    return Effect.map(
      Effect.orElseSucceed(this.#regroup(sworm!, name!, group!, joins), () => AGAIN),
      (version) => version === AGAIN ? null : version
    )
  }

  /** R2, at the holder: a tomb for all registrations known takes the claim's place; the process stops. */
  #end(sworm: string, name: string): Effect.Effect<number | typeof AGAIN, NotRegistered> {
    return Effect.suspend((): Effect.Effect<number | typeof AGAIN, NotRegistered> => {
      const core = this.#core
      if (core.isBusy(sworm, name)) return again
      if (core.entry(sworm, name)?.claim === undefined) return this.#endOrphan(sworm, name)
      const version = this.entomb(sworm, name)
      const process = core.parts.processes.get(sworm, name)
      core.adopted.get(keyOf(sworm, name))?.()
      if (process === undefined) return Effect.succeed(version)
      core.parts.processes.remove(process)
      core.emit({ _tag: "Stopped", ref: { sworm, name, node: process.node, epoch: process.epoch } })
      return Effect.as(this.#close(process), version)
    })
  }

  /** Waits for the process's end, unless its own finalizers take long: they go on by themselves. */
  #close(process: LocalProcess): Effect.Effect<void> {
    const closed = Deferred.makeUnsafe<void>()
    this.#core.parts.fork(Effect.andThen(process.close("Unregistered"), Deferred.succeed(closed, undefined)))
    return Effect.timeoutOrElse(Deferred.await(closed), { duration: CLOSE_MS, orElse: () => Effect.void })
  }

  /** A name whose holder is gone, and that nobody can take over, is ended by its registrar. */
  #endOrphan(sworm: string, name: string): Effect.Effect<number, NotRegistered> {
    const { directory, members } = this.#core.parts
    const { claims } = directory.view(sworm, name)
    const orphan = claims.length > 0 && this.#core.candidates(sworm).length === 0 &&
      claims.every(({ claim, section }) => claim.mode === "released" || members.isGone(section))
    return orphan ? Effect.sync(() => this.entomb(sworm, name)) : Effect.fail(new NotRegistered({ sworm, name }))
  }

  /** Every final end writes a tomb (H26). */
  entomb(sworm: string, name: string): number {
    const view = this.#core.parts.directory.view(sworm, name)
    const registrations = union(...view.claims.map(({ claim }) => claim.registrations))
    return this.#core.writeTomb(sworm, name, { registrations, epoch: view.highestEpoch })
  }

  #regroup(
    sworm: string,
    name: string,
    group: string,
    joins: boolean
  ): Effect.Effect<number | typeof AGAIN, NotRegistered> {
    return Effect.suspend((): Effect.Effect<number | typeof AGAIN, NotRegistered> => {
      const core = this.#core
      const { replication } = core.parts
      if (core.isBusy(sworm, name)) return again
      const claim = core.entry(sworm, name)?.claim
      if (claim === undefined || claim.mode === "released") return Effect.fail(new NotRegistered({ sworm, name }))
      const member = claim.groups.includes(group)
      if (member === joins) return Effect.succeed(replication.replica.version(replication.replica.own))
      const groups = joins ? [...claim.groups, group] : claim.groups.filter((other) => other !== group)
      return Effect.succeed(core.writeClaim(sworm, name, { ...claim, groups }))
    })
  }
}
