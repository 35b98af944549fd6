/**
 * What happens to a registration once it is made: it is looked up, changed, put into groups (PROTOCOL H28). Changes go
 * to the holder of the claim, the only node that writes it.
 */
import { Effect, Option } from "effect"
import type { Location } from "../../src/Dispatch.ts"
import type { Change } from "../../src/protocol/extras.ts"
import { nodeOf, type SectionId } from "../../src/protocol/ids.ts"
import { asArray, asCount, asFlag, asText, asTexts, decodeChange, encodeChange } from "../../src/protocol/wire.ts"
import type { Lookup } from "../../src/Registry.ts"
import { type InvalidInput, NotOwner, NotRegistered, type ProcessRef, type Unavailable } from "../../src/SwormError.ts"
import { AGAIN, again, ASK_TIMEOUT_MS, CHANGE_TIMEOUT_MS, checkMetadata, kept, retrying } from "./attempts.ts"
import type { Core } from "./core.ts"
import type { View } from "./ground.ts"
import { Method } from "./requests.ts"

export class Registrations {
  readonly #core: Core

  constructor(core: Core) {
    this.#core = core
    const { requests } = core.parts
    requests.answer(Method.locate, (_, body) => this.#locateAsked(body))
    requests.answer(Method.change, (_, body) => this.#changeAsked(body))
    requests.answer(Method.confirm, (_, body) => this.#confirmAsked(body))
  }

  /** Called when a lease was renewed here. */
  onRenewed: (sworm: string, name: string) => void = () => {}

  // ---- looking up

  /**
   * Looks further where this node's copy names nobody to call: the registrar has seen every registration, and just after
   * a change of members the registrar before it has.
   */
  locate(sworm: string, name: string): Effect.Effect<Location | "moving" | undefined> {
    return Effect.gen({ self: this }, function* () {
      const { directory, members } = this.#core.parts
      if (directory.isClaimed(sworm, name)) return "moving"
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
    const registrar = this.#core.placing.registrar(sworm, name, active)
    if (registrar === undefined || registrar === node.id) return Effect.succeed(undefined)
    return requests.ask(registrar, Method.locate, [sworm, name], ASK_TIMEOUT_MS).pipe(
      Effect.map((reply): Location | "moving" | undefined => {
        if (reply === null || reply === "moving") return reply ?? undefined
        const [primary, section, epoch, continuity, isAdopted] = asArray(reply, 5)
        return {
          name: asText(primary),
          section: asText(section),
          epoch: asCount(epoch),
          continuity: asCount(continuity),
          isAdopted: asFlag(isAdopted)
        }
      }),
      Effect.catchTag("NoAnswer", () => Effect.succeed("moving" as const))
    )
  }

  #locateAsked(body: unknown): Effect.Effect<unknown> {
    const [sworm, name] = asTexts(body)
    const { directory } = this.#core.parts
    const at = directory.find(sworm!, name!)
    if (at !== undefined) return Effect.succeed([at.name, at.section, at.epoch, at.continuity, at.isAdopted])
    return Effect.succeed(directory.isClaimed(sworm!, name!) ? "moving" : null)
  }

  /** As the holder says, or as the registrar does when nobody is known to hold it. */
  lookup(sworm: string, name: string): Effect.Effect<Lookup, Unavailable> {
    const { node, requests } = this.#core.parts
    const attempt = Effect.gen({ self: this }, function* () {
      const at = this.#core.parts.directory.find(sworm, name) ?? (yield* this.locate(sworm, name))
      if (at === "moving") return AGAIN
      if (at === undefined) return Option.none<ProcessRef>()
      const reply = at.section === node.section ? this.#confirmed(sworm, at.name) : yield* Effect.orElseSucceed(
        requests.ask(nodeOf(at.section), Method.confirm, [sworm, at.name], ASK_TIMEOUT_MS),
        () => null
      )
      // it has just gone from there: what this node knows will change in a moment
      if (reply === null) return AGAIN
      return Option.some({ sworm, name: at.name, node: nodeOf(at.section), epoch: asCount(reply) })
    })
    return Effect.map(
      retrying(this.#core, `look up "${name}"`, CHANGE_TIMEOUT_MS, () => attempt),
      (ref) => ({ ref, guarantee: "owner" as const })
    )
  }

  /** The epoch at which this node holds a name. */
  #confirmed(sworm: string, name: string): number | null {
    const claim = this.#core.entry(sworm, name)?.claim
    return claim?.mode === "live" || claim?.mode === "adopted" ? claim.epoch : null
  }

  #confirmAsked(body: unknown): Effect.Effect<unknown> {
    const [sworm, name] = asTexts(body)
    return Effect.succeed(this.#confirmed(sworm!, name!))
  }

  // ---- changes: at the holder

  change(sworm: string, name: string, change: Change): Effect.Effect<void, NotRegistered | Unavailable> {
    const process = this.#core.parts.processes.get(sworm, name)
    if (process?.status === "starting") {
      // from inside `init`: the claim that is written when it is done has it
      return Effect.sync(() => void (process.early ??= []).push(change))
    }
    return Effect.asVoid(this.changed(sworm, name, change))
  }

  /** As `change`; answers where and at which version the claim has it. */
  changed(
    sworm: string,
    name: string,
    change: Change
  ): Effect.Effect<{ readonly section: SectionId; readonly version: number }, NotRegistered | Unavailable> {
    const { directory, node, requests } = this.#core.parts
    const operation = `change "${name}" (${change._tag})`
    const attempt = Effect.gen({ self: this }, function* () {
      const at = directory.find(sworm, name) ?? (yield* this.locate(sworm, name))
      if (at === undefined) return yield* Effect.fail(new NotRegistered({ sworm, name }))
      if (at === "moving") return AGAIN
      if (at.section === node.section) {
        const version = yield* this.#change(sworm, at.name, change)
        return version === AGAIN ? AGAIN : { section: node.section, version }
      }
      const body = [sworm, at.name, encodeChange(change)]
      const reply = yield* requests.ask(nodeOf(at.section), Method.change, body, ASK_TIMEOUT_MS).pipe(
        Effect.catchTag("NoAnswer", () => Effect.succeed(null))
      )
      return reply === null ? AGAIN : { section: at.section, version: asCount(reply) }
    })
    return retrying(this.#core, operation, CHANGE_TIMEOUT_MS, () => attempt).pipe(
      Effect.tap((change) => kept(this.#core, change, operation))
    )
  }

  /** Where the name is held nothing comes in between: elsewhere it is refused. */
  updateMetadata(
    sworm: string,
    name: string,
    update: (metadata: unknown) => unknown
  ): Effect.Effect<unknown, NotOwner | NotRegistered | InvalidInput | Unavailable> {
    const core = this.#core
    const { directory, node, options } = core.parts
    const operation = `update the metadata of "${name}"`
    const attempt = Effect.gen({ self: this }, function* () {
      const at = directory.find(sworm, name) ?? (yield* this.locate(sworm, name))
      if (at === undefined) return yield* Effect.fail(new NotRegistered({ sworm, name }))
      if (at === "moving") return AGAIN
      if (at.section !== node.section) {
        const ref = { sworm, name: at.name, node: nodeOf(at.section), epoch: at.epoch }
        return yield* Effect.fail(new NotOwner({ ref }))
      }
      const claim = core.entry(sworm, at.name)?.claim
      if (claim === undefined || core.isBusy(sworm, at.name) || this.#isArriving(sworm, at.name)) return AGAIN
      const metadata = update(claim.metadata)
      const invalid = checkMetadata(at.name, metadata, options.deltaBytes)
      if (invalid !== undefined) return yield* Effect.fail(invalid)
      const version = core.writeClaim(sworm, at.name, { ...claim, metadata })
      return { section: node.section, version, metadata }
    })
    return retrying(this.#core, operation, CHANGE_TIMEOUT_MS, () => attempt).pipe(
      Effect.tap((change) => kept(core, change, operation)),
      Effect.map(({ metadata }) => metadata)
    )
  }

  #changeAsked(body: unknown): Effect.Effect<unknown> {
    const [sworm, name, change] = asArray(body, 3)
    return Effect.map(
      Effect.orElseSucceed(this.#change(asText(sworm), asText(name), decodeChange(change)), () => AGAIN),
      (version) => version === AGAIN ? null : version
    )
  }

  /** Prepared by a move that may yet be undone: what were changed here would be lost with it. */
  #isArriving(sworm: string, name: string): boolean {
    return this.#core.entry(sworm, name)?.claim?.mode === "prepared"
  }

  #change(sworm: string, name: string, change: Change): Effect.Effect<number | typeof AGAIN, NotRegistered> {
    return Effect.suspend((): Effect.Effect<number | typeof AGAIN, NotRegistered> => {
      if (this.#core.isBusy(sworm, name) || this.#isArriving(sworm, name)) return again
      const version = this.#core.change(sworm, name, change)
      if (version === undefined) return Effect.fail(new NotRegistered({ sworm, name }))
      if (change._tag === "Renew") this.onRenewed(sworm, name)
      return Effect.map(this.#core.accepted(version), (is) => is ? version : AGAIN)
    })
  }
}
