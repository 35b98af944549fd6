/**
 * Moves (PROTOCOL R6). The source freezes the process and offers its state under the next epoch; the target prepares a copy and says
 * so; the source closes its own, releases its claim and commits, sending along the messages that waited; the target
 * serves. The source keeps the state until the target holds it, and resumes above the offered epoch if the offer fails.
 */
import { Effect, Exit, Ref } from "effect"
import type { HandoffAnswer } from "../../src/Handoff.ts"
import type { Claim } from "../../src/protocol/claims.ts"
import type { SectionId } from "../../src/protocol/ids.ts"
import { weigh } from "../../src/protocol/replica.ts"
import { asArray, asCount, asFlag, asText, decodeClaim, encodeClaim } from "../../src/protocol/wire.ts"
import { isDone } from "../../src/runtime/done.ts"
import { describe } from "../../src/runtime/Hosted.ts"
import { COMMIT_MS, type LocalProcess } from "../../src/runtime/LocalProcess.ts"
import { asHandoffFailure, HandoffError, type HandoffFailure, type ProcessRef } from "../../src/SwormError.ts"
import type { Peer } from "../../src/Transport.ts"
import type { Core } from "./core.ts"
import { publish } from "./events.ts"
import { Fence } from "./fence.ts"
import { absorbLedger, ledgerOf, ToldFloors } from "./ledger.ts"
import { sectionOf } from "./views.ts"
import { bytesAbove, decodeForwarded, encodeForwarded, forwardedOf, inParts, isFrozen } from "./moveFrames.ts"
import { Method, type NoAnswer, type NoAnswerReason } from "./requests.ts"
import type { Snapshots } from "./snapshots.ts"

const RETRY_MS = 200

const failures: Readonly<Record<NoAnswerReason, HandoffFailure>> = {
  Unreachable: "Unreachable",
  TooLarge: "StateTooLarge",
  TooMuch: "Busy",
  Encoding: "Encoding",
  Died: "Refused"
}

/** What the target of an offer answers: the version and the epoch of its prepared claim, or why there is none. */
type Prepared =
  | readonly [ok: true, version: number, epoch: number]
  | readonly [ok: false, detail: string, reason: HandoffFailure]

const refused = (reason: HandoffFailure, detail: string): Prepared => [false, detail, reason]

interface Packed {
  readonly withState: boolean
  readonly state: unknown
}

export class Mover {
  readonly #core: Core
  readonly #snapshots: Snapshots
  readonly #told: ToldFloors

  constructor(core: Core, snapshots: Snapshots) {
    this.#snapshots = snapshots
    this.#core = core
    this.#told = new ToldFloors(core)
    core.parts.requests.answer(Method.offer, (from, body) => this.#offered(from, body))
    core.parts.requests.answer(Method.commit, (_, body) => this.#committed(body))
  }

  // ---- the source of a move

  /** Moves a process of this node. Whatever fails, it goes on here. */
  move(process: LocalProcess, target: string): Effect.Effect<ProcessRef, HandoffError> {
    const { name, sworm } = process
    const moved = this.#core.exclusively(sworm, name, this.#move(process, target))
    return moved ?? Effect.fail(this.#failed(process, target, "Busy", "another change of it is under way"))
  }

  /** Does its state take more than its share of what may be under way at a time? A guess: it is not encoded for that. */
  isLarge({ state, type }: LocalProcess): boolean {
    return type.hasState && weigh(Ref.getUnsafe(state)) > this.#core.parts.options.deltaBytes
  }

  #failed(
    { name }: { readonly name: string },
    node: string,
    reason: HandoffFailure,
    detail: string
  ): HandoffError {
    return new HandoffError({ name, node, reason, detail })
  }

  #unanswered(process: LocalProcess, { detail, node, reason }: NoAnswer): HandoffError {
    return this.#failed(process, node, failures[reason], detail)
  }

  /** Few effects where nothing is waited for but two answers: a node that leaves does this ten thousand times. */
  #move(process: LocalProcess, target: string): Effect.Effect<ProcessRef, HandoffError> {
    return Effect.suspend(() => {
      const { members, node } = this.#core.parts
      const member = members.member(target)
      const isRunning = process.status === "running" || process.status === "passive"
      if (this.#core.entry(process.sworm, process.name)?.claim?.mode !== "live" || !isRunning) {
        return Exit.fail(this.#failed(process, target, "NotRunning", "it is not running here"))
      }
      if (member === undefined || target === node.id) {
        return Exit.fail(this.#failed(process, target, "UnknownNode", "there is no such other node"))
      }
      const section = sectionOf(member)
      const packed = this.#pack(process, target)
      return isDone(packed)
        ? this.#offer(process, target, section, packed.value)
        : Effect.flatMap(packed, (packed) => this.#offer(process, target, section, packed))
    })
  }

  #offer(
    process: LocalProcess,
    target: string,
    section: SectionId,
    { state, withState }: Packed
  ): Effect.Effect<ProcessRef, HandoffError> {
    const core = this.#core
    const { moves, node, options, requests } = core.parts
    const { name, sworm } = process
    const ended = (): Exit.Exit<never, HandoffError> =>
      Exit.fail(this.#failed(process, target, "NotRunning", "it was ended meanwhile"))
    // read now: the message at hand may have changed it until it was answered
    const claim = core.entry(sworm, name)?.claim
    if (claim?.mode !== "live") return ended()
    const epoch = core.nextEpoch(sworm, name)
    const floors = this.#told.newsFor(section)
    const ledger = ledgerOf(core, sworm, name, process, { floors })
    const body = [sworm, name, epoch, encodeClaim(claim), withState, state ?? null, ledger]
    const prepared = Effect.matchEffect(requests.ask(target, Method.offer, body, options.handoffTimeoutMs), {
      onFailure: (error) => Exit.fail(this.#unanswered(process, error)),
      onSuccess: (reply) => this.#preparedAt(process, target, section, reply)
    })
    const { authority } = core.parts
    const safe = authority === undefined || !withState ? prepared : Effect.tap(prepared, () =>
      Effect.mapError(
        authority.keep(sworm, name, epoch, state),
        ({ detail, reason }) => this.#failed(process, target, reason, detail)
      ))
    const offered = Effect.onExit(safe, (exit) => {
      if (exit._tag === "Failure") this.#resume(process, epoch)
      return Effect.void
    })
    return Effect.flatMap(offered, (prepared) => {
      if (!isFrozen(process)) return ended()
      this.#told.know(section, floors)
      if (withState) this.#snapshots.retain(process, section, epoch, state)
      // once the old copy is closed nothing may keep its claim from being released; each wait in it has a limit
      return Effect.map(Effect.uninterruptible(this.#handOver(process, claim, target, section, epoch)), () => {
        authority?.forget(sworm, name)
        publish(moves, { sworm, name, from: node.id, to: target, epoch: prepared, withState })
        return { sworm, name, node: target, epoch: prepared }
      })
    })
  }

  /** Freezes the process and encodes what it takes along; on failure it serves again. */
  #pack(process: LocalProcess, target: string): Effect.Effect<Packed, HandoffError> {
    const { handoffTimeoutMs } = this.#core.parts.options
    // mostly no message is at hand, and its type has nothing to say: that needs no timer, and no steps
    if (process.freezesAtOnce && process.type.implementation?.beginHandoff === undefined) {
      return this.#packAtOnce(process, target)
    }
    const packing = Effect.andThen(
      process.freeze(),
      Effect.suspend((): Effect.Effect<Packed, HandoffError> => {
        if (!isFrozen(process) || process.isEnding) return this.#notPacked(process, target)
        return Effect.flatMap(this.#ask(process), (answer) => this.#encode(process, target, answer))
      })
    )
    return packing.pipe(
      Effect.timeoutOrElse({
        duration: handoffTimeoutMs,
        orElse: () => Effect.fail(this.#failed(process, target, "Busy", "the message at hand took too long"))
      }),
      // its process type's own code may die: that is no reason to lose the process
      Effect.catchDefect((defect) =>
        Effect.fail(this.#failed(process, target, "Died", `beginHandoff died: ${String(defect)}`))
      ),
      Effect.onError(() => Effect.sync(() => process.status === "frozen" && process.serve(process.epoch)))
    )
  }

  #packAtOnce(process: LocalProcess, target: string): Exit.Exit<Packed, HandoffError> {
    process.freezeNow()
    let packed: Exit.Exit<Packed, HandoffError>
    try {
      packed = !isFrozen(process) || process.isEnding
        ? this.#notPacked(process, target)
        : this.#encode(process, target, usualAnswer(process))
    } catch (defect) {
      packed = Exit.fail(this.#failed(process, target, "Died", `its state died on the way: ${String(defect)}`))
    }
    if (packed._tag === "Failure" && isFrozen(process)) process.serve(process.epoch)
    return packed
  }

  #notPacked(process: LocalProcess, target: string): Exit.Exit<never, HandoffError> {
    const gone = isFrozen(process) ? "it ends" : "it crashed with the message at hand"
    return Exit.fail(this.#failed(process, target, "NotRunning", gone))
  }

  #encode(
    process: LocalProcess,
    target: string,
    answer: HandoffAnswer<unknown>
  ): Exit.Exit<Packed, HandoffError> {
    const { maxStateBytes } = this.#core.parts.options
    if (answer._tag === "Ignore") {
      this.#core.staying.add(process)
      return Exit.fail(this.#failed(process, target, "Ignored", "its process type answered ignore"))
    }
    if (answer._tag === "Restart") return Exit.succeed({ withState: false, state: undefined })
    const encoded = process.type.state.encode(answer.state)
    if (encoded._tag === "Failure") {
      const detail = `its state does not encode: ${describe(encoded)}`
      return Exit.fail(this.#failed(process, target, "Encoding", detail))
    }
    const bytes = bytesAbove(encoded.value, maxStateBytes)
    if (bytes !== undefined) {
      const detail = `its state takes ${bytes} bytes, maxStateBytes is ${maxStateBytes}`
      return Exit.fail(this.#failed(process, target, "StateTooLarge", detail))
    }
    return Exit.succeed({ withState: true, state: encoded.value })
  }

  #ask(process: LocalProcess): Effect.Effect<HandoffAnswer<unknown>> {
    const ask = process.type.implementation?.beginHandoff
    return ask === undefined ? Effect.sync(() => usualAnswer(process)) : ask(process)
  }

  /** The target has answered: this node must know its prepared claim before it lets go of its own. */
  #preparedAt(
    process: LocalProcess,
    target: string,
    section: SectionId,
    reply: unknown
  ): Effect.Effect<number, HandoffError> {
    const [ok, second, third] = asArray(reply, 3)
    if (!asFlag(ok)) return Exit.fail(this.#failed(process, target, asHandoffFailure(third), asText(second)))
    // most often it is told before the answer is
    const { replica } = this.#core.parts.replication
    if (replica.version(section) >= asCount(second)) return Exit.succeed(asCount(third))
    return this.#core.parts.replication.have(section, asCount(second), `move "${process.name}"`).pipe(
      Effect.mapError((error) => this.#failed(process, target, "Unreachable", error.detail)),
      Effect.as(asCount(third))
    )
  }

  /**
   * The offer failed: serve again, above the epoch that was offered, so that a late prepared copy stands below. Where a
   * placement says which side of a split goes on, nobody else may know that epoch when this node has to stop, and who
   * goes on would stand below it: so it stays at its own until it hears of the prepared copy, which waits for that (H20).
   */
  #resume(process: LocalProcess, offered: number): void {
    const { name, sworm } = process
    const claim = this.#core.entry(sworm, name)?.claim
    if (claim === undefined || process.status !== "frozen") return
    const hosted = this.#core.parts.processes.hosted(sworm)
    if (hosted !== undefined && Fence.isAsked(hosted)) return process.serve(claim.epoch)
    const epoch = Math.max(this.#core.nextEpoch(sworm, name), offered + 1)
    this.#core.writeClaim(sworm, name, { ...claim, epoch })
    process.serve(epoch)
  }

  #handOver(
    process: LocalProcess,
    claim: Claim,
    target: string,
    section: SectionId,
    epoch: number
  ): Effect.Effect<void> {
    const core = this.#core
    const { dispatch, members, nowMs, options, processes, requests } = core.parts
    const { name, sworm } = process
    return Effect.suspend(() => {
      const waiting = process.takeWaiting()
      // numbered before anything else can be cast to where it goes
      const forwarded = forwardedOf(waiting, dispatch.casts.takeEarly(process))
      // what takes longer than a move may go on by itself
      return process.close("Moved", options.handoffTimeoutMs).pipe(
        Effect.andThen(Effect.suspend(() => {
          processes.remove(process)
          const released = core.writeClaim(sworm, name, { ...claim, mode: "released", successor: section })
          const deadline = nowMs() + options.handoffTimeoutMs
          const parts = inParts(forwarded, options.deltaBytes)
          const commitPart = (part: (typeof parts)[number], index: number): Effect.Effect<unknown, NoAnswer> => {
            const messages = part.messages.map((message) => encodeForwarded(message, nowMs()))
            const body = [sworm, name, epoch, index, part.isLast, messages]
            return requests.ask(target, Method.commit, body, options.handoffTimeoutMs)
          }
          // nearly always it is one
          const told = parts.length === 1
            ? Effect.suspend(() => commitPart(parts[0]!, 0))
            : Effect.forEach(parts, commitPart, { discard: true })
          // before a store has heard of it the target may not serve; without that it is told by the store, or starts anew
          const commit = core.parts.authority === undefined
            ? told
            : Effect.flatMap(core.accepted(released), (is) => is ? told : Effect.void)
          // a target that is gone needs no commit; one that is late goes live when it sees the released claim
          const again = (): boolean => !members.isGone(section) && nowMs() < deadline
          const retry = (): Effect.Effect<unknown, NoAnswer> =>
            Effect.retry(commit, { while: () => Effect.as(Effect.sleep(RETRY_MS), again()) })
          return Effect.matchEffect(commit, {
            onFailure: () => again() ? Effect.ignore(retry()) : Effect.void,
            onSuccess: () => Effect.void
          })
        }))
      )
    })
  }

  // ---- the target of a move

  /** Begun at once, like what it goes on with: where nothing is waited for it is an exit, and needs no fiber. */
  #offered(from: Peer, body: unknown): Effect.Effect<Prepared> {
    const [swormField, nameField, epochField, claimField, withState, state, ledger] = asArray(body, 7)
    const sworm = asText(swormField)
    const name = asText(nameField)
    const epoch = asCount(epochField)
    const claim = decodeClaim(claimField)
    const source: SectionId = `${from.boot}/${from.id}`
    const prepare = (): Effect.Effect<Prepared> =>
      this.#prepare(source, sworm, name, epoch, claim, asFlag(withState), state, ledger)
    return this.#core.exclusivelyNow(sworm, name, prepare) ??
      Exit.succeed(refused("Busy", "another change of it is under way there"))
  }

  #prepare(
    source: SectionId,
    sworm: string,
    name: string,
    epoch: number,
    offered: Claim,
    withState: boolean,
    state: unknown,
    ledger: unknown
  ): Effect.Effect<Prepared> {
    const core = this.#core
    const { directory, members, processes, stamps, wallMs } = core.parts
    const spec = offered.spec
    const view = directory.view(sworm, name)
    if (members.self().status !== "alive") return Exit.succeed(refused("Refused", "that node is leaving"))
    if (spec === undefined) return Exit.succeed(refused("NotRunning", "it was registered by hand"))
    if (core.placing.isClosedTo(sworm, name, spec.type)) {
      return Exit.succeed(refused("Refused", "that node is cordoned: uncordon it first"))
    }
    const mine = core.entry(sworm, name)?.claim
    const heir = view.claims.find(({ section }) => section === mine?.successor)
    if (mine?.mode === "released" && heir?.claim.mode === "prepared" && !members.isGone(heir.section)) {
      const detail = "that node has just let go of it, and whoever follows does not serve yet"
      return Exit.succeed(refused("Busy", detail))
    }
    if (view.highestEpoch >= epoch || processes.get(sworm, name) !== undefined) {
      return Exit.succeed(refused("Refused", "that node knows a newer claim of the name"))
    }
    const decoded = withState ? processes.hosted(sworm)?.types.get(spec.type)?.state.decode(state) : undefined
    if (decoded?._tag === "Failure") {
      return Exit.succeed(refused("Encoding", `its state does not decode there: ${describe(decoded)}`))
    }
    const handoff = decoded === undefined ? undefined : { state: decoded.value }
    const prepared = (process: LocalProcess): Prepared => {
      process.status = "prepared"
      process.preparedFrom = source
      process.snapshots?.follow(source, offered)
      absorbLedger(core, sworm, name, process, ledger, { isAll: true })
      const continuity = handoff === undefined ? stamps.next(wallMs()) : offered.continuity
      const version = core.writeFirstClaim(process, { ...offered, epoch, mode: "prepared", continuity })
      return [true, version, epoch]
    }
    const started = core.startProcessNow(sworm, name, spec, epoch, handoff)
    if (isDone(started)) return Exit.succeed(prepared(started.value))
    return Effect.match(started, { onFailure: (error) => refused("Refused", error.message), onSuccess: prepared })
  }

  #committed(body: unknown): Effect.Effect<unknown> {
    const { authority, replication: { replica } } = this.#core.parts
    const done = Exit.succeed(this.#commit(body))
    // whoever has asked for the move is told when it serves
    return authority === undefined ? done : Effect.andThen(authority.accepted(replica.version(replica.own)), done)
  }

  #commit(body: unknown): true {
    const [swormField, nameField, epochField, indexField, isLast, messages] = asArray(body, 6)
    const sworm = asText(swormField)
    const name = asText(nameField)
    const epoch = asCount(epochField)
    const part = asCount(indexField) + 1
    const { dispatch, nowMs, processes } = this.#core.parts
    const process = processes.get(sworm, name)
    if (process === undefined || process.committedEpoch > epoch) return true
    if (process.committedEpoch === epoch && process.committedParts >= part) return true
    process.committedEpoch = epoch
    process.committedParts = part
    dispatch.adopt(process, asArray(messages).map((message) => decodeForwarded(message, nowMs())))
    const claim = this.#core.entry(sworm, name)?.claim
    process.commitUntilMs = asFlag(isLast) ? 0 : nowMs() + COMMIT_MS
    if (!asFlag(isLast)) return true
    if (process.status === "prepared" && claim?.mode === "prepared" && claim.epoch === epoch) {
      this.#core.writeClaim(sworm, name, { ...claim, mode: "live" })
      process.serve(epoch)
      process.commitUntilMs = 0
    }
    return true
  }
}

/** Of a type that has nothing to say about it. */
const usualAnswer = ({ options, state, type }: LocalProcess): HandoffAnswer<unknown> =>
  type.hasState && options.handoff ? { _tag: "Resume", state: Ref.getUnsafe(state) } : { _tag: "Restart" }
