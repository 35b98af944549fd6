/**
 * Registration, its end, and changes of a registration (PROTOCOL R1, R2, H12, H14, H15, H28). All registrations of a
 * name go through its registrar, which answers them one after the other; changes of a claim go to its holder, the only
 * node that writes it.
 */
import { Deferred, Effect, Exit, Random } from "effect"
import type { Location } from "../../src/Dispatch.ts"
import { rendezvous } from "../../src/Placement.ts"
import { type Claim, type Spec, union } from "../../src/protocol/claims.ts"
import { nodeOf, type RegistrationId, registrationId, type SectionId } from "../../src/protocol/ids.ts"
import { asArray, asCount, asText, asTexts, decodeSpec, encodeSpec } from "../../src/protocol/wire.ts"
import type { LocalProcess } from "../../src/runtime/LocalProcess.ts"
import {
  decodeRegisterError,
  encodeRegisterError,
  InvalidInput,
  NameTaken,
  NotRegistered,
  type ProcessRef,
  type RegisterError,
  StartFailed,
  Unavailable,
  Unregistered
} from "../../src/SwormError.ts"
import { type Core, keyOf } from "./core.ts"
import type { View } from "./membership.ts"
import { Method } from "./requests.ts"

/** What is to be registered. */
export interface Registration {
  readonly sworm: string
  readonly name: string
  /** Missing for something that runs already, on the node that registers it. */
  readonly spec: Spec | undefined
  readonly metadata: unknown
}

/** A registration as it was made: the claim stands in this section from this version on. */
interface Registered {
  readonly section: SectionId
  readonly version: number
  readonly epoch: number
}

type Outcome = Exit.Exit<Registered, RegisterError>

/** Try again: views differ for the moment, or a node could not be reached. */
const AGAIN = "again" as const

const again: Effect.Effect<typeof AGAIN> = Effect.succeed(AGAIN)

const REGISTER_TIMEOUT_MS = 40_000
const CHANGE_TIMEOUT_MS = 10_000
const START_TIMEOUT_MS = 35_000
const ASK_TIMEOUT_MS = 3000
const JITTER_MS = 40

const encoder = new TextEncoder()

export const checkName = (what: string, name: string): InvalidInput | undefined => {
  const bytes = name.length > 512 ? name.length : encoder.encode(name).length
  return bytes >= 1 && bytes <= 512
    ? undefined
    : new InvalidInput({ what, detail: `${bytes} bytes of UTF-8; 1 to 512 are allowed` })
}

export class Registrar {
  readonly #core: Core
  readonly #reserved = new Map<string, { readonly reg: RegistrationId; readonly outcome: Deferred.Deferred<Outcome> }>()
  #lastSeq = 0

  constructor(core: Core) {
    this.#core = core
    const { requests } = core.parts
    requests.answer(Method.register, (_, body) => this.#registerAsked(body))
    requests.answer(Method.start, (_, body) => this.#startAsked(body))
    requests.answer(Method.reserved, (_, body) => this.#reservedAsked(body))
    requests.answer(Method.locate, (_, body) => this.#locateAsked(body))
    requests.answer(Method.unregister, (_, body) => this.#unregisterAsked(body))
    requests.answer(Method.join, (_, body) => this.#groupAsked(body, true))
    requests.answer(Method.leave, (_, body) => this.#groupAsked(body, false))
  }

  // ---- the caller's side

  register(registration: Registration): Effect.Effect<ProcessRef, RegisterError> {
    const { name, sworm } = registration
    const invalid = checkName("name", name)
    if (invalid !== undefined) return Effect.fail(invalid)
    const { node } = this.#core.parts
    const reg = registrationId(++this.#lastSeq, node.section)
    const operation = `register "${name}"`
    return this.#retrying(operation, REGISTER_TIMEOUT_MS, () => this.#attempt(reg, registration)).pipe(
      Effect.flatMap((made) =>
        Effect.as(this.#kept(made, operation), { sworm, name, node: nodeOf(made.section), epoch: made.epoch })
      )
    )
  }

  #attempt(reg: RegistrationId, registration: Registration): Effect.Effect<Registered | typeof AGAIN, RegisterError> {
    const { members, node, replication, requests } = this.#core.parts
    const { metadata, name, spec, sworm } = registration
    const registrar = replication.synced ? this.#core.registrar(sworm, name) : undefined
    if (registrar === undefined) return again
    const view = members.view().hash
    if (registrar === node.id) return this.#serve(view, reg, registration, node.section)
    const body = [view, reg, sworm, name, spec === undefined ? null : encodeSpec(spec), metadata ?? null, node.section]
    return requests.ask(registrar, Method.register, body, REGISTER_TIMEOUT_MS).pipe(
      Effect.flatMap((reply) => readOutcome(reply)),
      Effect.catchTag("NoAnswer", () => again)
    )
  }

  /** Until it succeeds or fails for good; waits a little, each time differently, between attempts. */
  #retrying<A, E>(
    operation: string,
    timeoutMs: number,
    attempt: () => Effect.Effect<A | typeof AGAIN, E>
  ): Effect.Effect<A, E | Unavailable> {
    const loop = Effect.gen(function* () {
      for (let wait = 10;; wait = Math.min(wait * 2, 500)) {
        const result = yield* attempt()
        if (result !== AGAIN) return result
        yield* Effect.sleep(wait + (yield* Random.nextIntBetween(0, JITTER_MS)))
      }
    })
    return loop.pipe(Effect.timeoutOrElse({
      duration: timeoutMs,
      orElse: () =>
        Effect.fail(new Unavailable({ operation, detail: `the cluster did not agree on it within ${timeoutMs} ms` }))
    }))
  }

  /** A change counts when two nodes have it: the one that wrote it, and this one or another. */
  #kept({ section, version }: { readonly section: SectionId; readonly version: number }, operation: string) {
    const { node, replication } = this.#core.parts
    return section === node.section
      ? replication.stored(version, operation)
      : replication.have(section, version, operation)
  }

  // ---- the registrar's side

  #registerAsked(body: unknown): Effect.Effect<unknown> {
    const [view, reg, sworm, name, spec, metadata, caller] = asArray(body, 7)
    const registration: Registration = {
      sworm: asText(sworm),
      name: asText(name),
      spec: spec === null ? undefined : decodeSpec(spec),
      metadata: metadata ?? undefined
    }
    return Effect.map(
      Effect.exit(this.#serve(asCount(view), asText(reg), registration, asText(caller))),
      writeOutcome
    )
  }

  /** Decides a registration: one at a time for each name. */
  #serve(
    viewHash: number,
    reg: RegistrationId,
    registration: Registration,
    caller: SectionId
  ): Effect.Effect<Registered | typeof AGAIN, RegisterError> {
    return Effect.suspend(() => {
      const { members, replication } = this.#core.parts
      if (!replication.synced || members.view().hash !== viewHash) return again
      const { name, sworm } = registration
      const known = this.#known(sworm, name, reg)
      if (known !== undefined) return known
      const key = keyOf(sworm, name)
      const reserved = this.#reserved.get(key)
      if (reserved !== undefined) return this.#afterReserved(reserved, viewHash, reg, registration, caller)
      const outcome = Deferred.makeUnsafe<Outcome>()
      this.#reserved.set(key, { reg, outcome })
      return this.#askPrevious(registration).pipe(
        Effect.flatMap((elsewhere) =>
          elsewhere === undefined ? this.#place(reg, registration, caller) : Effect.fail(elsewhere)
        ),
        // the name stays reserved until this node sees the claim, so that nobody else gets it in between
        Effect.tap((made) => made === AGAIN ? Effect.void : Effect.ignore(this.#seen(made, name))),
        Effect.onExit((exit) =>
          Effect.sync(() => {
            this.#reserved.delete(key)
            const failed = exit._tag === "Success" && exit.value !== AGAIN ? Exit.succeed(exit.value) : undefined
            Deferred.doneUnsafe(
              outcome,
              Effect.succeed(failed ?? Exit.fail(new Unavailable({ operation: `register "${name}"`, detail: "" })))
            )
          })
        )
      )
    })
  }

  #seen({ section, version }: Registered, name: string): Effect.Effect<void, Unavailable> {
    const { node, replication } = this.#core.parts
    return section === node.section ? Effect.void : replication.have(section, version, `register "${name}"`)
  }

  #known(sworm: string, name: string, reg: RegistrationId): Effect.Effect<Registered, RegisterError> | undefined {
    const { directory } = this.#core.parts
    const view = directory.view(sworm, name)
    if (view.tombed.includes(reg)) return Effect.fail(new Unregistered({ sworm, name }))
    const top = view.claims[0]
    if (top === undefined) return undefined
    const mine = view.claims.some(({ claim }) => claim.registrations.includes(reg))
    if (!mine) {
      const ref = { sworm, name, node: nodeOf(top.section), epoch: top.claim.epoch }
      return Effect.fail(new NameTaken({ ref }))
    }
    const { replication } = this.#core.parts
    return Effect.succeed({
      section: top.section,
      version: replication.replica.version(top.section),
      epoch: top.claim.epoch
    })
  }

  #afterReserved(
    reserved: { readonly reg: RegistrationId; readonly outcome: Deferred.Deferred<Outcome> },
    viewHash: number,
    reg: RegistrationId,
    registration: Registration,
    caller: SectionId
  ): Effect.Effect<Registered | typeof AGAIN, RegisterError> {
    const { name, sworm } = registration
    return Effect.flatMap(Deferred.await(reserved.outcome), (outcome) => {
      if (outcome._tag === "Success" && reserved.reg === reg) return outcome
      if (outcome._tag === "Success") {
        const { epoch, section } = outcome.value
        return Effect.fail(new NameTaken({ ref: { sworm, name, node: nodeOf(section), epoch } }))
      }
      return this.#serve(viewHash, reg, registration, caller)
    })
  }

  /** Just after a change of members the registrar before may have given the name away, or be about to. */
  #askPrevious({ name, sworm }: Registration): Effect.Effect<RegisterError | undefined> {
    const { members, node, nowMs, options, requests } = this.#core.parts
    const { until, view } = members.previous()
    if (nowMs() - until > options.joinGraceMs) return Effect.succeed(undefined)
    const before = this.#core.registrar(sworm, name, view.active)
    const present = before !== undefined && members.view().present.some(({ id }) => id === before)
    if (before === undefined || before === node.id || !present) return Effect.succeed(undefined)
    return requests.ask(before, Method.reserved, [sworm, name], ASK_TIMEOUT_MS).pipe(
      Effect.map((reply) => {
        if (reply === null) return undefined
        const [holder, epoch] = asArray(reply, 2)
        return new NameTaken({ ref: { sworm, name, node: asText(holder), epoch: asCount(epoch) } })
      }),
      Effect.catchTag("NoAnswer", () => Effect.succeed(undefined))
    )
  }

  #reservedAsked(body: unknown): Effect.Effect<unknown> {
    const [sworm, name] = asTexts(body)
    const holder = (): unknown => {
      const ref = this.#core.parts.directory.ref(sworm!, name!)
      return ref === undefined ? null : [ref.node, ref.epoch]
    }
    const reserved = this.#reserved.get(keyOf(sworm!, name!))
    return reserved === undefined
      ? Effect.sync(holder)
      : Effect.map(Deferred.await(reserved.outcome), (outcome) =>
        outcome._tag === "Success" ? [nodeOf(outcome.value.section), outcome.value.epoch] : holder())
  }

  /** Picks the node and starts it there. */
  #place(
    reg: RegistrationId,
    { metadata, name, spec, sworm }: Registration,
    caller: SectionId
  ): Effect.Effect<Registered | typeof AGAIN, RegisterError> {
    const core = this.#core
    const { node, nowMs, processes, requests, stamps } = core.parts
    const candidates = core.candidates(sworm)
    const hosted = processes.hosted(sworm)
    const target = spec === undefined ? nodeOf(caller) : (hosted?.placement ?? rendezvous).pick(name, candidates)?.id
    if (target === undefined) {
      return Effect.fail(new Unavailable({ operation: `register "${name}"`, detail: `no node hosts "${sworm}" now` }))
    }
    const epoch = core.nextEpoch(sworm, name)
    const start = stamps.next(nowMs())
    if (target === node.id) return this.#start(sworm, name, reg, epoch, start, spec, metadata)
    const body = [sworm, name, reg, epoch, start, spec === undefined ? null : encodeSpec(spec), metadata ?? null]
    return requests.ask(target, Method.start, body, START_TIMEOUT_MS).pipe(
      Effect.flatMap((reply) => readOutcome(reply)),
      Effect.catchTag("NoAnswer", () => again)
    )
  }

  // ---- the node that is to run it

  #startAsked(body: unknown): Effect.Effect<unknown> {
    const [sworm, name, reg, epoch, start, spec, metadata] = asArray(body, 7)
    const started = this.#start(
      asText(sworm),
      asText(name),
      asText(reg),
      asCount(epoch),
      asCount(start),
      spec === null ? undefined : decodeSpec(spec),
      metadata ?? undefined
    )
    return Effect.map(Effect.exit(started), writeOutcome)
  }

  #start(
    sworm: string,
    name: string,
    reg: RegistrationId,
    epoch: number,
    start: number,
    spec: Spec | undefined,
    metadata: unknown
  ): Effect.Effect<Registered | typeof AGAIN, RegisterError> {
    const core = this.#core
    const { node, nowMs, stamps } = core.parts
    const claimed = (process: LocalProcess | undefined): Registered => {
      const claim: Claim = {
        epoch,
        start,
        registrations: [reg],
        mode: process === undefined ? "adopted" : "live",
        merged: [],
        continuity: stamps.next(nowMs()),
        spec,
        metadata,
        groups: process?.groups ?? []
      }
      const version = core.writeClaim(sworm, name, claim)
      process?.serve(epoch)
      core.emit({ _tag: "Started", ref: { sworm, name, node: node.id, epoch } })
      return { section: node.section, version, epoch }
    }
    const operation = Effect.suspend((): Effect.Effect<Registered, RegisterError> => {
      stamps.observe(start, nowMs())
      const known = this.#known(sworm, name, reg)
      if (known !== undefined) return known
      if (spec === undefined) return Effect.sync(() => claimed(undefined))
      return Effect.flatMap(core.startProcess(sworm, name, spec.type, spec.args, epoch, undefined), (process) => {
        const taken = this.#known(sworm, name, reg)
        if (taken === undefined) return Effect.sync(() => claimed(process))
        core.parts.processes.remove(process)
        return Effect.andThen(process.close("Superseded"), taken)
      })
    })
    return Effect.suspend((): Effect.Effect<Registered | typeof AGAIN, RegisterError> =>
      core.exclusively(sworm, name, operation) ?? again
    )
  }

  // ---- looking up

  /**
   * Looks further where this node's copy names nobody to call: the registrar has seen every registration, and just after
   * a change of members the registrar before it has.
   */
  locate(sworm: string, name: string): Effect.Effect<Location | "moving" | undefined> {
    return Effect.gen({ self: this }, function* () {
      const { directory, members, nowMs, options } = this.#core.parts
      if (directory.view(sworm, name).claims.length > 0) return "moving"
      const at = yield* this.#askWhere(sworm, name, members.view().active)
      const { until, view } = members.previous()
      if (at !== undefined || nowMs() - until > options.joinGraceMs) return at
      const present = new Set(members.view().present.map(({ id }) => id))
      return yield* this.#askWhere(sworm, name, view.active.filter(({ id }) => present.has(id)))
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
      if (at === "moving") return AGAIN
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
    return this.#retrying(operation, CHANGE_TIMEOUT_MS, () => attempt).pipe(
      Effect.flatMap((change) => this.#kept(change, operation))
    )
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
      if (core.entry(sworm, name)?.claim === undefined) return Effect.fail(new NotRegistered({ sworm, name }))
      const version = this.entomb(sworm, name)
      const process = core.parts.processes.get(sworm, name)
      core.adopted.get(keyOf(sworm, name))?.()
      if (process === undefined) return Effect.succeed(version)
      core.parts.processes.remove(process)
      core.emit({ _tag: "Stopped", ref: { sworm, name, node: process.node, epoch: process.epoch } })
      return Effect.as(process.close("Unregistered"), version)
    })
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

// ---- outcomes on the wire

const writeOutcome = (exit: Exit.Exit<Registered | typeof AGAIN, RegisterError>): unknown => {
  if (exit._tag === "Failure") {
    const reason = exit.cause.reasons[0]
    const error = reason?._tag === "Fail"
      ? reason.error
      : new StartFailed({ name: "", node: "", detail: String(exit.cause) })
    return [1, encodeRegisterError(error)]
  }
  return exit.value === AGAIN ? [2] : [0, exit.value.section, exit.value.version, exit.value.epoch]
}

const readOutcome = (u: unknown): Effect.Effect<Registered | typeof AGAIN, RegisterError> => {
  const [kind, first, version, epoch] = asArray(u)
  if (kind === 0) {
    return Effect.succeed({ section: asText(first), version: asCount(version), epoch: asCount(epoch) })
  }
  return kind === 1 ? Effect.fail(decodeRegisterError(first)) : again
}
