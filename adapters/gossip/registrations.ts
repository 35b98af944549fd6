/**
 * What happens to a registration once it is made: it is looked up, ended, put into groups (PROTOCOL R2, H26, H28).
 * Changes go to the holder of the claim, the only node that writes it.
 */
import { Deferred, Effect, Option } from "effect"
import type { Location } from "../../src/Dispatch.ts"
import { type EndReason, union } from "../../src/protocol/claims.ts"
import type { Change } from "../../src/protocol/extras.ts"
import { nodeOf, type SectionId } from "../../src/protocol/ids.ts"
import {
  asArray,
  asCount,
  asFlag,
  asText,
  asTexts,
  decodeChange,
  encodeChange,
  nameKey
} from "../../src/protocol/wire.ts"
import type { Lookup } from "../../src/Registry.ts"
import type { LocalProcess } from "../../src/runtime/LocalProcess.ts"
import { type InvalidInput, NotOwner, NotRegistered, type ProcessRef, type Unavailable } from "../../src/SwormError.ts"
import { AGAIN, again, ASK_TIMEOUT_MS, checkMetadata, kept, retrying } from "./attempts.ts"
import { type Core, keyOf } from "./core.ts"
import { sectionOf, type View } from "./membership.ts"
import { Method } from "./requests.ts"

/** What the node that holds a name is to do: asked for in a frame, or done here. */
interface Task {
  readonly method: number
  readonly body: unknown
  readonly here: () => Effect.Effect<number | typeof AGAIN, NotRegistered>
}

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
    const registrar = this.#core.registrar(sworm, name, active)
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

  // ---- changes and the end of a registration: at the holder

  unregister(sworm: string, name: string): Effect.Effect<void, NotRegistered | Unavailable> {
    const operation = `unregister "${name}"`
    const ended = this.#atHolder(operation, sworm, name, (primary) =>
      // one more name of a process is given up, the process and its others stay
      primary === name
        ? { method: Method.unregister, body: [sworm, name], here: () => this.#end(sworm, name, "Unregistered") }
        : this.#changing(sworm, primary, { _tag: "Unalias", alias: name }))
    return Effect.asVoid(ended)
  }

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
    const operation = `change "${name}" (${change._tag})`
    return this.#atHolder(operation, sworm, name, (primary) => this.#changing(sworm, primary, change))
  }

  #changing(sworm: string, name: string, change: Change): Task {
    const body = [sworm, name, encodeChange(change)]
    return { method: Method.change, body, here: () => this.#change(sworm, name, change) }
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

  /** Has something done by the node that writes a name's claim; done when a second node has stored it. */
  #atHolder(
    operation: string,
    sworm: string,
    name: string,
    taskFor: (primary: string) => Task
  ): Effect.Effect<{ readonly section: SectionId; readonly version: number }, NotRegistered | Unavailable> {
    const { directory, node, requests } = this.#core.parts
    /** An end that was asked for and not answered may have been made: then its tomb is the answer. */
    let mayHaveEnded = false
    const attempt = Effect.gen({ self: this }, function* () {
      const at = directory.find(sworm, name) ?? (yield* this.locate(sworm, name))
      if (at === "moving") {
        const ended = yield* this.#atRegistrar(sworm, name, taskFor(name))
        mayHaveEnded ||= ended === AGAIN
        return ended
      }
      if (at === undefined) return yield* Effect.fail(new NotRegistered({ sworm, name }))
      const task = taskFor(at.name)
      if (at.section === node.section) {
        const version = yield* task.here()
        return version === AGAIN ? AGAIN : { section: node.section, version, task }
      }
      const reply = yield* requests.ask(nodeOf(at.section), task.method, task.body, ASK_TIMEOUT_MS).pipe(
        Effect.catchTag("NoAnswer", () => Effect.succeed(null))
      )
      if (reply !== null) return { section: at.section, version: asCount(reply), task }
      mayHaveEnded ||= task.method === Method.unregister
      return AGAIN
    })
    const ended = Effect.catchTag(attempt, "NotRegistered", (error) => {
      const written = mayHaveEnded ? this.#endedAt(sworm, name) : undefined
      return written === undefined ? Effect.fail(error) : Effect.succeed({ ...written, task: taskFor(name) })
    })
    return retrying(this.#core, operation, CHANGE_TIMEOUT_MS, () => ended).pipe(
      Effect.tap((change) => kept(this.#core, change, operation)),
      Effect.tap(({ task, ...change }) =>
        task.method === Method.unregister ? this.#tellRegistrar(sworm, name, change) : Effect.void
      )
    )
  }

  /** Where it is written that a name has ended. */
  #endedAt(sworm: string, name: string): { readonly section: SectionId; readonly version: number } | undefined {
    const { directory, replication } = this.#core.parts
    for (const [section, { tomb }] of directory.slot(sworm, name)?.entries ?? []) {
      const version = replication.replica.versionOf(section, nameKey(sworm, name))
      if (tomb?.reason === "Unregistered") return { section, version }
    }
    return undefined
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

  /** Nobody holds the name just now. Its registrar may end it; for anything else somebody will in a moment. */
  #atRegistrar(
    sworm: string,
    name: string,
    task: Task
  ): Effect.Effect<
    { readonly section: SectionId; readonly version: number; readonly task: Task } | typeof AGAIN,
    NotRegistered
  > {
    const { members, node, requests } = this.#core.parts
    const { body, here, method } = task
    if (method !== Method.unregister) return again
    const registrar = members.member(this.#core.registrar(sworm, name) ?? "")
    if (registrar === undefined) return again
    const section = sectionOf(registrar)
    const ended = registrar.id === node.id ? here() : Effect.map(
      Effect.orElseSucceed(requests.ask(registrar.id, method, body, ASK_TIMEOUT_MS), () => null),
      (reply) => reply === null ? AGAIN : asCount(reply)
    )
    return Effect.map(ended, (version) => version === AGAIN ? AGAIN : { section, version, task })
  }

  #unregisterAsked(body: unknown): Effect.Effect<unknown> {
    const [sworm, name] = asTexts(body)
    return Effect.map(
      Effect.orElseSucceed(this.#end(sworm!, name!, "Unregistered"), () => AGAIN),
      (version) => version === AGAIN ? null : version
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
      return Effect.succeed(version)
    })
  }

  /** R2, at the holder: a tomb for all registrations known takes the claim's place; the process stops. */
  #end(sworm: string, name: string, reason: EndReason): Effect.Effect<number | typeof AGAIN, NotRegistered> {
    return Effect.suspend((): Effect.Effect<number | typeof AGAIN, NotRegistered> => {
      const core = this.#core
      if (core.isBusy(sworm, name)) return again
      if (core.entry(sworm, name)?.claim === undefined) return this.#endOrphan(sworm, name)
      const version = this.entomb(sworm, name, reason)
      const process = core.parts.processes.get(sworm, name)
      core.adopted.get(keyOf(sworm, name))?.()
      if (process === undefined) return Effect.succeed(version)
      core.parts.processes.remove(process)
      core.emit({ _tag: "Stopped", ref: { sworm, name, node: process.node, epoch: process.epoch } })
      return Effect.as(this.#close(process), version)
    })
  }

  /** Ends a registration whose lease has run out. */
  expire(sworm: string, name: string): Effect.Effect<void> {
    return Effect.ignore(this.#end(sworm, name, "LeaseExpired"))
  }

  /** Waits for the process's end, unless its own finalizers take long: they go on by themselves. */
  #close(process: LocalProcess): Effect.Effect<void> {
    const closed = Deferred.makeUnsafe<void>()
    this.#core.parts.fork(Effect.andThen(process.close("Unregistered"), Deferred.succeed(closed, undefined)))
    return Effect.timeoutOrElse(Deferred.await(closed), { duration: CLOSE_MS, orElse: () => Effect.void })
  }

  /**
   * A name whose holder is gone is ended by its registrar; whoever is about to take it over finds it ended (R3), or
   * can't start it anyway.
   */
  #endOrphan(sworm: string, name: string): Effect.Effect<number, NotRegistered> {
    const { directory, members } = this.#core.parts
    const { claims } = directory.view(sworm, name)
    const orphan = claims.length > 0 &&
      claims.every(({ claim, section }) => claim.mode === "released" || members.isGone(section))
    return orphan
      ? Effect.sync(() => this.entomb(sworm, name, "Unregistered"))
      : Effect.fail(new NotRegistered({ sworm, name }))
  }

  /** Every final end writes a tomb (H26). */
  entomb(sworm: string, name: string, reason: EndReason): number {
    const view = this.#core.parts.directory.view(sworm, name)
    const registrations = union(...view.claims.map(({ claim }) => claim.registrations))
    return this.#core.writeTomb(sworm, name, { registrations, epoch: view.highestEpoch }, reason)
  }
}
