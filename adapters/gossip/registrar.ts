/**
 * Registration (PROTOCOL R1, H12, H14, H15). All registrations of a name go through its registrar, which answers them
 * one after the other; the node that placement picks runs the process and writes the claim.
 */
import { Deferred, Effect, Exit } from "effect"
import type { Claim } from "../../src/protocol/claims.ts"
import { NO_EXTRAS } from "../../src/protocol/extras.ts"
import { nodeOf, type RegistrationId, registrationId, type SectionId } from "../../src/protocol/ids.ts"
import { asArray, asCount, asFlag, asText, asTexts, encodeSpec, nameKey } from "../../src/protocol/wire.ts"
import type { LocalProcess } from "../../src/runtime/LocalProcess.ts"
import { NameTaken, type ProcessRef, type RegisterError, Unavailable, Unregistered } from "../../src/SwormError.ts"
import { AGAIN, again, ASK_TIMEOUT_MS, checkName, kept, retrying } from "./attempts.ts"
import type { Core } from "./core.ts"
import { keyOf } from "./keyOf.ts"
import { Doubts } from "./doubts.ts"
import { sectionOf } from "./views.ts"
import {
  checkData,
  readOutcome,
  readRegistration,
  type Registered,
  registerMillis,
  type Registration,
  startMillis,
  writeOutcome
} from "./registrationFrames.ts"
import type { Registrations } from "./registrations.ts"
import type { Recall, StoredState } from "./recall.ts"
import { Method } from "./requests.ts"
import { Targets } from "./targets.ts"
import { UnansweredStarts } from "./unanswered.ts"

const SEEN_STEP_MS = 20

type Outcome = Exit.Exit<Registered, RegisterError>

export class Registrar {
  readonly #core: Core
  readonly #recall: Recall
  readonly #reserved = new Map<string, { readonly reg: RegistrationId; readonly outcome: Deferred.Deferred<Outcome> }>()
  readonly #registrations: Registrations
  readonly #targets: Targets
  readonly #unanswered: UnansweredStarts
  #lastSeq = 0

  constructor(core: Core, registrations: Registrations, recall: Recall) {
    this.#recall = recall
    this.#core = core
    this.#registrations = registrations
    this.#targets = new Targets(core)
    this.#unanswered = new UnansweredStarts(core)
    const { requests } = core.parts
    requests.answer(Method.register, (_, body) => this.#registerAsked(body))
    requests.answer(Method.start, (_, body) => this.#startAsked(body))
    requests.answer(Method.reserved, (_, body) => this.#reservedAsked(body))
  }

  // ---- the caller's side

  register(registration: Registration): Effect.Effect<ProcessRef, RegisterError> {
    const { name, sworm } = registration
    const { node, nowMs, options } = this.#core.parts
    const invalid = checkName("name", name) ?? checkData(registration, options.deltaBytes)
    if (invalid !== undefined) return Effect.fail(invalid)
    const reg = registrationId(++this.#lastSeq, node.section)
    const operation = `register "${name}"`
    const doubts = new Doubts(this.#core, reg, registration)
    const sinceMs = nowMs()
    const attempt = () =>
      this.#attempt(reg, registration, doubts).pipe(
        Effect.catchTag("NameTaken", (error) => doubts.refused(error)),
        Effect.catchTag("NameTaken", (error) => this.#confirmed(error, sinceMs))
      )
    return retrying(this.#core, operation, registerMillis(registration.spec), attempt)
      .pipe(
        Effect.flatMap((made) =>
          kept(this.#core, made, operation).pipe(
            Effect.andThen(this.#seenHere(sworm, name)),
            Effect.andThen(this.#stillHere(sworm, name, operation)),
            Effect.as({ sworm, name, node: nodeOf(made.section), epoch: made.epoch })
          )
        )
      )
  }

  /** Where a store has the last word, that one says who has the name, if anybody: what a node knows may be over, or to come. */
  #confirmed(error: NameTaken, sinceMs: number): Effect.Effect<typeof AGAIN, NameTaken> {
    const { authority, nowMs } = this.#core.parts
    const { name, sworm } = error.ref
    if (authority === undefined) return Effect.fail(error)
    return Effect.matchEffect(authority.registered(sworm, name), {
      onFailure: () => again,
      onSuccess: (found): Effect.Effect<typeof AGAIN, NameTaken> => {
        if (found === undefined) return again
        if (!("waitsAt" in found)) return Effect.fail(new NameTaken({ ref: found }))
        // nobody has had it since the copy that is known here; or nobody can run it for a while
        const isLast = error.ref.epoch >= found.waitsAt || nowMs() - sinceMs > ASK_TIMEOUT_MS
        return isLast ? Effect.fail(error) : again
      }
    })
  }

  /**
   * Who registers finds the name. While a split heals, the copy that stands first may be on a node that is still thought
   * dead, which shows in a moment; a name that has ended meanwhile is not waited for.
   */
  #seenHere(sworm: string, name: string): Effect.Effect<void> {
    const { directory } = this.#core.parts
    const isSettled = (): boolean => directory.ref(sworm, name) !== undefined || !directory.isClaimed(sworm, name)
    return Effect.suspend(() =>
      isSettled() ? Effect.void : Effect.raceFirst(
        Effect.repeat(Effect.sleep(SEEN_STEP_MS), { until: isSettled }),
        Effect.sleep(ASK_TIMEOUT_MS)
      )
    )
  }

  /** A node that leaves has closed what it has just started: what it can't see it does not confirm. */
  #stillHere(sworm: string, name: string, operation: string): Effect.Effect<void, Unavailable> {
    const { directory, members } = this.#core.parts
    return Effect.suspend(() => {
      if (directory.ref(sworm, name) !== undefined || members.self().status === "alive") return Effect.void
      return Effect.fail(
        new Unavailable({ operation, detail: "this node is leaving the cluster, and does not see it" })
      )
    })
  }

  #attempt(
    reg: RegistrationId,
    registration: Registration,
    doubts: Doubts
  ): Effect.Effect<Registered | typeof AGAIN, RegisterError> {
    const { members, node, replication, requests } = this.#core.parts
    const { aliasOf, leaseMs, metadata, name, spec, sworm } = registration
    const registrar = replication.synced ? this.#core.placing.registrar(sworm, name) : undefined
    if (registrar === undefined) return again
    const view = members.view().hash
    if (registrar === node.id) return this.#serve(view, reg, registration, node.section)
    const plainSpec = spec === undefined ? null : encodeSpec(spec)
    const what = [sworm, name, plainSpec, metadata ?? null, leaseMs ?? null, aliasOf ?? null]
    const body = [view, reg, what, node.section, this.#seen(sworm, name)]
    return requests.ask(registrar, Method.register, body, registerMillis(spec)).pipe(
      Effect.flatMap((reply) => readOutcome(reply)),
      Effect.catchTag("NoAnswer", () => {
        doubts.noAnswer(registrar)
        return again
      })
    )
  }

  // ---- the registrar's side

  #registerAsked(body: unknown): Effect.Effect<unknown> {
    const [view, reg, what, caller, seen] = asArray(body, 5)
    const registration = readRegistration(what)
    const served = Effect.suspend(() => this.#serve(asCount(view), asText(reg), registration, asText(caller)))
    return Effect.map(Effect.exit(Effect.andThen(this.#catchUp(registration.name, seen), served)), writeOutcome)
  }

  /** What the caller knows of the name: a registration that it saw ended must not stand in its way here. */
  #seen(sworm: string, name: string): ReadonlyArray<readonly [SectionId, number]> {
    const { directory, replication } = this.#core.parts
    return (directory.slot(sworm, name)?.entries ?? [])
      .map(([section]) => [section, replication.replica.versionOf(section, nameKey(sworm, name))])
  }

  /** Waits, within limits, until this node knows what the caller knows. */
  #catchUp(name: string, seen: unknown): Effect.Effect<void> {
    const { node, replication } = this.#core.parts
    return Effect.forEach(asArray(seen), (item) => {
      const [section, version] = asArray(item, 2)
      if (section === node.section) return Effect.void
      return Effect.ignore(replication.have(asText(section), asCount(version), `register "${name}"`))
    }, { discard: true })
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
      if (this.#isAboutToEnd(sworm, name)) return again
      const known = this.#known(sworm, name, reg, registration.aliasOf)
      if (known !== undefined) return known
      const key = keyOf(sworm, name)
      const reserved = this.#reserved.get(key)
      if (reserved !== undefined) return this.#afterReserved(reserved, viewHash, reg, registration, caller)
      const unanswered = this.#unanswered.of(sworm, name)
      if (unanswered !== undefined && unanswered.reg !== reg) {
        return Effect.andThen(this.#unanswered.resolve(sworm, name, unanswered), again)
      }
      const outcome = Deferred.makeUnsafe<Outcome>()
      this.#reserved.set(key, { reg, outcome })
      return this.#askPrevious(reg, registration).pipe(
        Effect.flatMap((before) => before === undefined ? this.#place(reg, registration, caller) : before),
        // the name stays reserved until this node sees the claim, so that nobody else gets it in between
        Effect.tap((made) => made === AGAIN ? Effect.void : Effect.ignore(this.#stored(made, name))),
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

  #stored({ section, version }: Registered, name: string): Effect.Effect<void, Unavailable> {
    const { node, replication } = this.#core.parts
    return section === node.section ? Effect.void : replication.have(section, version, `register "${name}"`)
  }

  /** What was registered by hand has gone with its node; that is written in a moment (R4). */
  #isAboutToEnd(sworm: string, name: string): boolean {
    const { directory } = this.#core.parts
    const { claims } = directory.view(sworm, name)
    return claims.length > 0 &&
      claims.every(({ claim, section }) => claim.mode === "adopted" && directory.isGone(section))
  }

  #known(
    sworm: string,
    name: string,
    reg: RegistrationId,
    aliasOf?: string
  ): Effect.Effect<Registered, RegisterError> | undefined {
    const { directory, replication } = this.#core.parts
    const view = directory.view(sworm, name)
    if (view.tombed.includes(reg)) return Effect.fail(new Unregistered({ sworm, name }))
    const slot = view.claims.length > 0 ? undefined : directory.bestOf(sworm, name)
    const top = view.claims[0] ?? slot?.view.claims[0]
    if (top === undefined) return undefined
    const mine = slot === undefined
      ? view.claims.some(({ claim }) => claim.registrations.includes(reg))
      : slot.name === aliasOf
    if (!mine) {
      const ref = { sworm, name: slot?.name ?? name, node: nodeOf(top.section), epoch: top.claim.epoch }
      return Effect.fail(new NameTaken({ ref }))
    }
    const version = replication.replica.version(top.section)
    return Effect.succeed({ section: top.section, version, epoch: top.claim.epoch })
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

  /**
   * Just after a change of members a registrar before may have given the name away, or be about to (H15); also to this
   * very registration, whose caller asks again (H12).
   */
  readonly #askPrevious = Effect.fnUntraced({ self: this }, function* (
    this: Registrar,
    reg: RegistrationId,
    { name, sworm }: Registration
  ): Effect.fn.Return<Outcome | undefined> {
    const { members, node, requests } = this.#core.parts
    const present = new Set(members.view().present.map(({ id }) => id))
    const asked = new Set([node.id])
    for (const view of members.previous()) {
      const before = this.#core.placing.registrar(sworm, name, view.active)
      if (before === undefined || asked.has(before) || !present.has(before)) continue
      asked.add(before)
      const reply = yield* Effect.orElseSucceed(
        requests.ask(before, Method.reserved, [sworm, name, reg], ASK_TIMEOUT_MS),
        () => null
      )
      if (reply === null || reply === false) continue
      const [sectionField, versionField, epochField, isSame] = asArray(reply, 4)
      const [section, version, epoch] = [asText(sectionField), asCount(versionField), asCount(epochField)]
      return asFlag(isSame)
        ? Exit.succeed({ section, version, epoch })
        : Exit.fail(new NameTaken({ ref: { sworm, name, node: nodeOf(section), epoch } }))
    }
    return undefined
  })

  /**
   * Who has the name as far as this node knows, and whether by the registration that is asked about. No: that one may
   * have been made, on a node that has not answered, or is gone.
   */
  #reservedAsked(body: unknown): Effect.Effect<unknown> {
    const [sworm, name, reg] = asTexts(body)
    const holder = (): unknown => {
      const { directory, replication } = this.#core.parts
      const top = directory.slot(sworm!, name!)?.top
      const isSame = top?.claim.registrations.includes(reg!) === true
      if (top === undefined || directory.isGone(top.section)) {
        return isSame || this.#unanswered.of(sworm!, name!)?.reg === reg ? false : null
      }
      const { claim, section } = top
      return [section, replication.replica.version(section), claim.epoch, isSame]
    }
    const reserved = this.#reserved.get(keyOf(sworm!, name!))
    if (reserved === undefined) return Effect.sync(holder)
    return Effect.map(Deferred.await(reserved.outcome), (outcome) => {
      if (outcome._tag === "Failure") return holder()
      const { epoch, section, version } = outcome.value
      return [section, version, epoch, reserved.reg === reg]
    })
  }

  /** Picks the node and starts it there. */
  readonly #place = Effect.fnUntraced({ self: this }, function* (
    this: Registrar,
    reg: RegistrationId,
    registration: Registration,
    caller: SectionId
  ): Effect.fn.Return<Registered | typeof AGAIN, RegisterError> {
    const { aliasOf, leaseMs, metadata, name, spec, sworm } = registration
    const core = this.#core
    const { members, node, nowMs, requests, stamps, wallMs } = core.parts
    if (aliasOf !== undefined) return yield* this.#alias(sworm, name, aliasOf)
    const before = this.#unanswered.of(sworm, name)
    const target = before !== undefined
      ? nodeOf(before.section)
      : spec === undefined
      ? nodeOf(caller)
      : yield* this.#targets.of(sworm, name, spec.type, nodeOf(caller))
    if (target === AGAIN) return AGAIN
    if (target === undefined) {
      return yield* Effect.fail(
        new Unavailable({ operation: `register "${name}"`, detail: this.#targets.whyNowhere(sworm, spec?.type) })
      )
    }
    const epoch = core.nextEpoch(sworm, name)
    const start = stamps.next(wallMs())
    const member = members.member(target)
    if (member === undefined) return AGAIN
    const section = sectionOf(member)
    const begun = target === node.id ? this.#start(reg, registration, epoch, start) : requests.ask(
      target,
      Method.start,
      [sworm, name, reg, epoch, start, spec === undefined ? null : encodeSpec(spec), metadata ?? null, leaseMs ?? null],
      startMillis(spec)
    ).pipe(
      Effect.tap(() => Effect.sync(() => this.#unanswered.answered(sworm, name))),
      Effect.flatMap((reply) => readOutcome(reply)),
      Effect.catchTag("NoAnswer", () => {
        this.#unanswered.note(sworm, name, { reg, section, untilMs: nowMs() + startMillis(spec) })
        return again
      })
    )
    return yield* core.placing.starting(sworm, section, begun)
  })

  /** The process's holder writes the name into its claim: so it goes wherever the process goes. */
  #alias(sworm: string, alias: string, name: string): Effect.Effect<Registered, RegisterError> {
    return this.#registrations.changed(sworm, name, { _tag: "Alias", alias }).pipe(
      Effect.map((change) => ({ ...change, epoch: this.#core.parts.directory.ref(sworm, alias)?.epoch ?? 0 })),
      Effect.catchTag("NotRegistered", () => Effect.fail(new Unregistered({ sworm, name })))
    )
  }

  // ---- the node that is to run it

  #startAsked(body: unknown): Effect.Effect<unknown> {
    const [sworm, name, reg, epoch, start, spec, metadata, leaseMs] = asArray(body, 8)
    const registration = readRegistration([sworm, name, spec, metadata, leaseMs, null])
    const started = this.#start(asText(reg), registration, asCount(epoch), asCount(start))
    return Effect.map(Effect.exit(started), writeOutcome)
  }

  /** What is registered by hand has no process to start: where a store has the last word, its name is taken all the same. */
  #taken(
    sworm: string,
    name: string,
    above: () => number,
    claimed: (least: number) => Registered
  ): Effect.Effect<Registered | typeof AGAIN, RegisterError> {
    const { authority } = this.#core.parts
    if (authority === undefined) return Effect.sync(() => claimed(0))
    return Effect.suspend(() => authority.acquire(sworm, name, above())).pipe(
      Effect.map(({ epoch }): Registered | typeof AGAIN => claimed(epoch)),
      Effect.catchTag("Refused", ({ ref }) => ref === undefined ? again : Effect.fail(new NameTaken({ ref })))
    )
  }

  #start(
    reg: RegistrationId,
    { leaseMs, metadata, name, spec, sworm }: Registration,
    asked: number,
    start: number
  ): Effect.Effect<Registered | typeof AGAIN, RegisterError> {
    const core = this.#core
    const { node, stamps, wallMs } = core.parts
    // the registrar may not know yet what has ended here, nor this node before `init` what ends meanwhile
    const above = (): number => Math.max(asked, core.nextEpoch(sworm, name))
    const claimed = (process: LocalProcess | undefined, stored?: StoredState, least = 0): Registered => {
      const epoch = Math.max(above(), (stored?.epoch ?? 0) + 1, process?.epoch ?? least)
      const claim: Claim = {
        epoch,
        start,
        registrations: [reg],
        mode: process === undefined ? "adopted" : "live",
        merged: [],
        continuity: stamps.next(wallMs()),
        spec,
        metadata,
        groups: [],
        extras: leaseMs === undefined ? undefined : { ...NO_EXTRAS, leaseMs }
      }
      const version = process === undefined ? core.writeClaim(sworm, name, claim) : core.writeFirstClaim(process, claim)
      process?.serve(epoch)
      const ref = { sworm, name, node: node.id, epoch }
      core.emit({ _tag: "Started", ref })
      const recalled = stored?.recalled
      if (recalled !== undefined) core.emit({ _tag: "Restored", ref, ageMs: recalled.ageMs })
      return { section: node.section, version, epoch }
    }
    const operation = Effect.suspend((): Effect.Effect<Registered | typeof AGAIN, RegisterError> => {
      stamps.observe(start, wallMs())
      if (this.#isAboutToEnd(sworm, name)) return again
      const known = this.#known(sworm, name, reg)
      if (known !== undefined) return known
      if (spec === undefined) return this.#taken(sworm, name, above, (least) => claimed(undefined, undefined, least))
      // it has just ended to host the sworm, which the registrar knows by the time that it hears this
      if (core.parts.processes.hosted(sworm) === undefined) return again
      const startFrom = (stored?: StoredState): Effect.Effect<Registered | typeof AGAIN, RegisterError> =>
        Effect.flatMap(core.startProcess(sworm, name, spec, above(), stored?.recalled), (process) => {
          const taken = this.#known(sworm, name, reg)
          if (taken === undefined) return Effect.sync(() => claimed(process, stored))
          return Effect.andThen(core.abandon(process), taken)
        }).pipe(
          Effect.catchTag("Refused", ({ ref }) => ref === undefined ? again : Effect.fail(new NameTaken({ ref }))),
          // this node has lost its lease meanwhile: that says nothing of the process
          Effect.catchTag(
            "StartFailed",
            (error) => core.parts.authority?.holds() === false ? again : Effect.fail(error)
          )
        )
      return this.#recall.mayBeStored(sworm, spec)
        ? Effect.flatMap(this.#recall.stored(sworm, name, spec), startFrom)
        : startFrom()
    })
    const accepted = Effect.flatMap(
      operation,
      (made) => made === AGAIN ? again : Effect.map(core.accepted(made.version), (is) => is ? made : AGAIN)
    )
    return Effect.suspend((): Effect.Effect<Registered | typeof AGAIN, RegisterError> =>
      core.exclusively(sworm, name, accepted) ?? again
    )
  }
}
