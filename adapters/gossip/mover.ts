/**
 * Moves (PROTOCOL R6). The source freezes the process and offers its state under the next epoch; the target prepares a copy and says
 * so; the source closes its own, releases its claim and commits, sending along the messages that waited; the target
 * serves. The source keeps the state until the target holds it, and resumes above the offered epoch if the offer fails.
 */
import { Effect, Ref } from "effect"
import type { HandoffAnswer } from "../../src/Handoff.ts"
import type { Claim } from "../../src/protocol/claims.ts"
import type { SectionId } from "../../src/protocol/ids.ts"
import { asArray, asCount, asFlag, asText, decodeClaim, encodeClaim } from "../../src/protocol/wire.ts"
import { describe } from "../../src/runtime/Hosted.ts"
import type { LocalProcess } from "../../src/runtime/LocalProcess.ts"
import { HandoffError, type ProcessRef } from "../../src/SwormError.ts"
import type { Peer } from "../../src/Transport.ts"
import { type Core, keyOf } from "./core.ts"
import { publish } from "./events.ts"
import { Fence } from "./fence.ts"
import { sectionOf } from "./membership.ts"
import { absorb, decodeForwarded, encodeForwarded, inParts, isFrozen, movedCalls } from "./moveFrames.ts"
import { Method } from "./requests.ts"

const RETRY_MS = 200

interface Packed {
  readonly withState: boolean
  readonly state: unknown
}

export class Mover {
  readonly #core: Core

  constructor(core: Core) {
    this.#core = core
    core.parts.requests.answer(Method.offer, (from, body) => this.#offered(from, body))
    core.parts.requests.answer(Method.commit, (_, body) => this.#committed(body))
  }

  // ---- the source of a move

  /** Moves a process of this node. Whatever fails, it goes on here. */
  move(process: LocalProcess, target: string): Effect.Effect<ProcessRef, HandoffError> {
    const { name, sworm } = process
    const moved = this.#core.exclusively(sworm, name, this.#move(process, target))
    return moved ?? Effect.fail(this.#failed(process, target, "another change of it is under way"))
  }

  #failed({ name }: { readonly name: string }, node: string, detail: string): HandoffError {
    return new HandoffError({ name, node, detail })
  }

  readonly #move = Effect.fnUntraced({ self: this }, function* (
    this: Mover,
    process: LocalProcess,
    target: string
  ): Effect.fn.Return<ProcessRef, HandoffError> {
    const core = this.#core
    const { dispatch, members, node, nowMs, options, requests } = core.parts
    const { name, sworm } = process
    const member = members.member(target)
    if (
      core.entry(sworm, name)?.claim?.mode !== "live" || (process.status !== "running" && process.status !== "passive")
    ) {
      return yield* Effect.fail(this.#failed(process, target, "it is not running here"))
    }
    if (member === undefined || target === node.id) {
      return yield* Effect.fail(this.#failed(process, target, "there is no such other node"))
    }
    const packed = yield* this.#pack(process, target)
    // read now: the message at hand may have changed it until it was answered
    const claim = core.entry(sworm, name)?.claim
    if (claim?.mode !== "live") return yield* Effect.fail(this.#failed(process, target, "it was ended meanwhile"))
    const epoch = core.nextEpoch(sworm, name)
    const calls = movedCalls(dispatch.calls.extract(keyOf(sworm, name)), nowMs())
    const body = [sworm, name, epoch, encodeClaim(claim), packed.withState, packed.state ?? null, calls]
    const section = sectionOf(member)
    const prepared = yield* requests.ask(target, Method.offer, body, options.handoffTimeoutMs).pipe(
      Effect.flatMap((reply) => this.#preparedAt(process, target, section, reply)),
      Effect.mapError((error) => this.#failed(process, target, error.detail)),
      Effect.onError(() => Effect.sync(() => this.#resume(process, epoch)))
    )
    if (!isFrozen(process)) return yield* Effect.fail(this.#failed(process, target, "it was ended meanwhile"))
    // once the old copy is closed nothing may keep its claim from being released; each wait in it has a limit
    yield* Effect.uninterruptible(this.#handOver(process, claim, target, section, epoch))
    const withState = packed.withState
    publish(core.parts.moves, { sworm, name, from: node.id, to: target, epoch: prepared, withState })
    return { sworm, name, node: target, epoch: prepared }
  })

  /** Freezes the process and encodes what it takes along; on failure it serves again. */
  #pack(process: LocalProcess, target: string): Effect.Effect<Packed, HandoffError> {
    const { handoffTimeoutMs } = this.#core.parts.options
    return process.freeze().pipe(
      Effect.andThen(
        Effect.suspend((): Effect.Effect<HandoffAnswer<unknown>, HandoffError> =>
          !isFrozen(process)
            ? Effect.fail(this.#failed(process, target, "it crashed with the message at hand"))
            : process.isEnding
            ? Effect.fail(this.#failed(process, target, "it ends"))
            : this.#ask(process)
        )
      ),
      Effect.flatMap((answer): Effect.Effect<Packed, HandoffError> => {
        if (answer._tag === "Ignore") {
          this.#core.staying.add(process)
          return Effect.fail(this.#failed(process, target, "its process type answered ignore"))
        }
        if (answer._tag === "Restart") return Effect.succeed({ withState: false, state: undefined })
        const encoded = process.type.state.encode(answer.state)
        return encoded._tag === "Success"
          ? Effect.succeed({ withState: true, state: encoded.value })
          : Effect.fail(this.#failed(process, target, `its state does not encode: ${describe(encoded)}`))
      }),
      Effect.timeoutOrElse({
        duration: handoffTimeoutMs,
        orElse: () => Effect.fail(this.#failed(process, target, "the message at hand took too long"))
      }),
      // its process type's own code may die: that is no reason to lose the process
      Effect.catchDefect((defect) =>
        Effect.fail(this.#failed(process, target, `beginHandoff died: ${String(defect)}`))
      ),
      Effect.onError(() => Effect.sync(() => process.status === "frozen" && process.serve(process.epoch)))
    )
  }

  #ask(process: LocalProcess): Effect.Effect<HandoffAnswer<unknown>> {
    const ask = process.type.implementation?.beginHandoff
    if (ask !== undefined) return ask(process)
    return process.type.hasState && process.options.handoff
      ? Effect.map(Ref.get(process.state), (state) => ({ _tag: "Resume", state }))
      : Effect.succeed({ _tag: "Restart" })
  }

  /** The target has answered: this node must know its prepared claim before it lets go of its own. */
  #preparedAt(
    process: LocalProcess,
    target: string,
    section: SectionId,
    reply: unknown
  ): Effect.Effect<number, HandoffError> {
    const [ok, second, epoch] = asArray(reply)
    if (!asFlag(ok)) return Effect.fail(this.#failed(process, target, asText(second)))
    return this.#core.parts.replication.have(section, asCount(second), `move "${process.name}"`).pipe(
      Effect.mapError((error) => this.#failed(process, target, error.detail)),
      Effect.as(asCount(epoch))
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
    const { members, nowMs, options, processes, requests } = core.parts
    const { name, sworm } = process
    return Effect.suspend(() => {
      const waiting = process.takeWaiting()
      // what takes longer than a move may go on by itself
      return process.close("Moved", options.handoffTimeoutMs).pipe(
        Effect.andThen(Effect.suspend(() => {
          processes.remove(process)
          core.writeClaim(sworm, name, { ...claim, mode: "released", successor: section })
          const forwarded = waiting.map((envelope) => envelope.forward())
          const deadline = nowMs() + options.handoffTimeoutMs
          const commit = Effect.forEach(inParts(forwarded, options.deltaBytes), (part, index) => {
            const messages = part.messages.map((message) => encodeForwarded(message, nowMs()))
            const body = [sworm, name, epoch, index, part.isLast, messages]
            return requests.ask(target, Method.commit, body, options.handoffTimeoutMs)
          }, { discard: true })
          // a target that is gone needs no commit; one that is late goes live when it sees the released claim
          const again = (): boolean => !members.isGone(section) && nowMs() < deadline
          const retried = Effect.retry(commit, { while: () => Effect.as(Effect.sleep(RETRY_MS), again()) })
          return Effect.ignore(retried)
        }))
      )
    })
  }

  // ---- the target of a move

  readonly #offered = Effect.fnUntraced({ self: this }, function* (this: Mover, from: Peer, body: unknown) {
    const [swormField, nameField, epochField, claimField, withState, state, calls] = asArray(body, 7)
    const sworm = asText(swormField)
    const name = asText(nameField)
    const epoch = asCount(epochField)
    const claim = decodeClaim(claimField)
    const source: SectionId = `${from.boot}/${from.id}`
    const prepare = this.#prepare(source, sworm, name, epoch, claim, asFlag(withState), state)
    const prepared = this.#core.exclusively(sworm, name, prepare)
    if (prepared === undefined) return [false, "another change of it is under way there"]
    const answer = yield* prepared
    if (answer[0] === true) {
      absorb(this.#core, sworm, name, calls)
    }
    return answer
  })

  #prepare(
    source: SectionId,
    sworm: string,
    name: string,
    epoch: number,
    offered: Claim,
    withState: boolean,
    state: unknown
  ): Effect.Effect<readonly [ok: boolean, detail: unknown, epoch?: number]> {
    return Effect.suspend(() => {
      const core = this.#core
      const { directory, members, processes, stamps, wallMs } = core.parts
      const spec = offered.spec
      const view = directory.view(sworm, name)
      if (members.self().status !== "alive") return Effect.succeed([false, "that node is leaving"] as const)
      if (spec === undefined) return Effect.succeed([false, "it was registered by hand"] as const)
      const mine = core.entry(sworm, name)?.claim
      const heir = view.claims.find(({ section }) => section === mine?.successor)
      if (mine?.mode === "released" && heir?.claim.mode === "prepared" && !members.isGone(heir.section)) {
        return Effect.succeed(
          [false, "that node has just let go of it, and whoever follows does not serve yet"] as const
        )
      }
      if (view.highestEpoch >= epoch || processes.get(sworm, name) !== undefined) {
        return Effect.succeed([false, "that node knows a newer claim of the name"] as const)
      }
      const decoded = withState ? processes.hosted(sworm)?.types.get(spec.type)?.state.decode(state) : undefined
      if (decoded?._tag === "Failure") {
        return Effect.succeed([false, `its state does not decode there: ${describe(decoded)}`] as const)
      }
      const handoff = decoded === undefined ? undefined : { state: decoded.value }
      return core.startProcess(sworm, name, spec, epoch, handoff).pipe(
        Effect.match({
          onFailure: (error) => [false, error.message] as const,
          onSuccess: (process) => {
            process.status = "prepared"
            process.preparedFrom = source
            const continuity = handoff === undefined ? stamps.next(wallMs()) : offered.continuity
            const version = core.writeFirstClaim(process, { ...offered, epoch, mode: "prepared", continuity })
            return [true, version, epoch] as const
          }
        })
      )
    })
  }

  #committed(body: unknown): Effect.Effect<unknown> {
    return Effect.sync(() => {
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
      // what waited at the source came before what arrived here meanwhile
      const later = process.takeWaiting()
      dispatch.adopt(process, asArray(messages).map((message) => decodeForwarded(message, nowMs())))
      for (const envelope of later) process.receive(envelope)
      const claim = this.#core.entry(sworm, name)?.claim
      if (!asFlag(isLast)) return true
      if (process.status === "prepared" && claim?.mode === "prepared" && claim.epoch === epoch) {
        this.#core.writeClaim(sworm, name, { ...claim, mode: "live" })
        process.serve(epoch)
      }
      return true
    })
  }
}
