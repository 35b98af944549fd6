/**
 * Moves (PROTOCOL R6) and settling (R7).
 *
 * A move: the source freezes the process and offers its state under the next epoch; the target prepares a copy and says
 * so; the source closes its own, releases its claim and commits, sending along the messages that waited; the target
 * serves. The source keeps the state until the target holds it, and resumes above the offered epoch if the offer fails.
 */
import { Effect, Ref } from "effect"
import type { HandoffAnswer } from "../../src/Handoff.ts"
import type { MovedCall } from "../../src/protocol/calls.ts"
import { type Claim, compareClaims, type Held, union } from "../../src/protocol/claims.ts"
import { extrasOf, withExtras } from "../../src/protocol/extras.ts"
import { claimId, nodeOf, type SectionId } from "../../src/protocol/ids.ts"
import { weigh } from "../../src/protocol/replica.ts"
import { asArray, asCount, asFlag, asText, decodeClaim, encodeClaim } from "../../src/protocol/wire.ts"
import { describe } from "../../src/runtime/Hosted.ts"
import { type Forwarded, STREAM } from "../../src/runtime/callFrames.ts"
import type { LocalProcess } from "../../src/runtime/LocalProcess.ts"
import { HandoffError, type ProcessRef } from "../../src/SwormError.ts"
import type { Peer } from "../../src/Transport.ts"
import { type Core, keyOf } from "./core.ts"
import type { Slot } from "./slot.ts"
import { publish } from "./events.ts"
import { sectionOf } from "./membership.ts"
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
    core.parts.requests.answer(Method.settle, (from, body) => this.#merge(from, body))
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

  /** The offer failed: serve again, above the epoch that was offered, so that a late prepared copy stands below. */
  #resume(process: LocalProcess, offered: number): void {
    const { name, sworm } = process
    const claim = this.#core.entry(sworm, name)?.claim
    if (claim === undefined || process.status !== "frozen") return
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
      this.#absorb(sworm, name, calls)
    }
    return answer
  })

  /** What was answered over there is answered again here. */
  #absorb(sworm: string, name: string, calls: unknown): void {
    const { dispatch, nowMs } = this.#core.parts
    dispatch.calls.absorb(keyOf(sworm, name), asArray(calls).map((call) => decodeMovedCall(call, nowMs())))
  }

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
      const { directory, members, nowMs, processes, stamps } = core.parts
      const spec = offered.spec
      const view = directory.view(sworm, name)
      if (members.self().status !== "alive") return Effect.succeed([false, "that node is leaving"] as const)
      if (spec === undefined) return Effect.succeed([false, "it was registered by hand"] as const)
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
            const continuity = handoff === undefined ? stamps.next(nowMs()) : offered.continuity
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

  // ---- settling

  /** This node's copy loses: its state goes to the winner; the copy closes once the winner's claim lists it as merged. */
  settle(slot: Slot, winner: Held, process: LocalProcess | undefined): Effect.Effect<void> {
    const core = this.#core
    const { dispatch, node, nowMs, options, requests } = core.parts
    const { name, sworm } = slot
    const freeze = process === undefined ? Effect.void : process.freeze()
    return freeze.pipe(
      Effect.andThen(Effect.suspend(() => {
        const claim = core.entry(sworm, name)?.claim
        if (claim === undefined) return Effect.succeed([false, 0])
        // it starts again, or wakes, just now: its state is not what it will be
        if (process !== undefined && !isFrozen(process)) return Effect.succeed([false, 0])
        const state = process?.type.hasState === true ? Ref.getUnsafe(process.state) : undefined
        const encoded = process?.type.state.encode(state)
        const packed = encoded?._tag === "Success" && process?.type.hasState === true
          ? [true, encoded.value]
          : [false, null]
        const calls = movedCalls(dispatch.calls.extract(keyOf(sworm, name)), nowMs())
        return requests.ask(
          nodeOf(winner.section),
          Method.settle,
          [sworm, name, node.section, encodeClaim(claim), ...packed, calls],
          options.handoffTimeoutMs
        )
      })),
      Effect.flatMap((reply) => {
        const [ok, version] = asArray(reply)
        if (!asFlag(ok)) return Effect.sleep(RETRY_MS)
        return core.parts.replication.have(winner.section, asCount(version), `settle "${name}"`)
      }),
      Effect.catchCause(() => Effect.sleep(RETRY_MS)),
      Effect.timeoutOrElse({ duration: options.handoffTimeoutMs, orElse: () => Effect.void })
    )
  }

  /** This node's copy wins: it takes the other's state in, once per claim of the other's. */
  #merge(_from: Peer, body: unknown): Effect.Effect<unknown> {
    const [swormField, nameField, section, claimField, withState, state, calls] = asArray(body, 7)
    const sworm = asText(swormField)
    const name = asText(nameField)
    const theirs: Held = { section: asText(section), claim: decodeClaim(claimField) }
    const core = this.#core
    const operation = Effect.suspend(() => {
      const claim = core.entry(sworm, name)?.claim
      const process = core.parts.processes.get(sworm, name)
      const { replication } = core.parts
      const id = claimId(theirs.claim.epoch, theirs.section)
      if (claim === undefined || (claim.mode !== "adopted" && process === undefined)) return Effect.succeed([false, 0])
      const mayFreeze = process === undefined || ["running", "passive", "frozen"].includes(process.status)
      if (!mayFreeze) return Effect.succeed([false, 0])
      if (claim.merged.includes(id)) return Effect.succeed([true, replication.replica.version(replication.replica.own)])
      if (compareClaims({ section: core.parts.node.section, claim }, theirs) > 0) return Effect.succeed([false, 0])
      const freeze = process === undefined ? Effect.void : process.freeze()
      return Effect.map(freeze, () => {
        // read now: the message at hand may have changed it, or ended it
        const claim = core.entry(sworm, name)?.claim
        if (claim === undefined || (process !== undefined && !isFrozen(process))) return [false, 0]
        const taken = asFlag(withState) && process !== undefined &&
          this.#mergeStates(process, claim, theirs.claim, state)
        if (taken) this.#absorb(sworm, name, calls)
        const epoch = Math.max(core.nextEpoch(sworm, name), theirs.claim.epoch + 1)
        const version = core.writeClaim(sworm, name, {
          ...claim,
          epoch,
          mode: claim.mode === "adopted" ? "adopted" : "live",
          registrations: union(claim.registrations, theirs.claim.registrations),
          groups: union(claim.groups, theirs.claim.groups),
          extras: mergeExtras(claim, theirs.claim),
          continuity: taken ? theirs.claim.continuity : claim.continuity,
          merged: [...claim.merged, id]
        })
        process?.serve(epoch)
        return [true, version]
      })
    })
    return core.exclusively(sworm, name, operation) ?? Effect.succeed([false, 0])
  }

  /** Answers whether the state is now the other's, and its unbroken life with it. */
  #mergeStates(process: LocalProcess, mine: Claim, theirs: Claim, encoded: unknown): boolean {
    const decoded = process.type.state.decode(encoded)
    if (decoded._tag === "Failure") return false
    const resolve = process.type.implementation?.resolveConflict
    if (resolve !== undefined) {
      try {
        const merged = resolve(Ref.getUnsafe(process.state), decoded.value)
        Effect.runSync(Ref.set(process.state, merged))
        return false
      } catch (error) {
        this.#core.warn(
          `resolveConflict died for "${process.name}": the state with the longer life stays: ${String(error)}`
        )
      }
    }
    if (theirs.continuity >= mine.continuity) return false
    Effect.runSync(Ref.set(process.state, decoded.value))
    return true
  }
}

/** The winner's, with the other's names besides. */
const mergeExtras = (mine: Claim, theirs: Claim): Claim["extras"] => {
  const { aliases } = extrasOf(theirs)
  return aliases.length === 0
    ? mine.extras
    : withExtras(mine, { aliases: union(extrasOf(mine).aliases, aliases) }).extras
}

/** Waiting messages in parts that fit a frame each; at least one part, so that there is a commit. */
const inParts = (
  messages: ReadonlyArray<Forwarded>,
  maxBytes: number
): Array<{ readonly messages: ReadonlyArray<Forwarded>; readonly isLast: boolean }> => {
  const parts: Array<Array<Forwarded>> = [[]]
  let bytes = 0
  for (const message of messages) {
    const size = weigh(message.payload) + 128
    if (bytes > 0 && bytes + size > maxBytes) {
      parts.push([])
      bytes = 0
    }
    parts[parts.length - 1]!.push(message)
    bytes += size
  }
  return parts.map((part, at) => ({ messages: part, isLast: at === parts.length - 1 }))
}

/** Asked anew: what was known before a wait is not known after it. */
const isFrozen = (process: LocalProcess): boolean => process.status === "frozen"

// ---- wire forms

/** What was answered; but no streams: those end with the old copy, and a repeated call begins a new one. */
const movedCalls = (calls: ReadonlyArray<MovedCall>, nowMs: number): ReadonlyArray<unknown> =>
  calls.filter(({ reply }) => (reply as readonly [number])[0] !== STREAM).map((call) => encodeMovedCall(call, nowMs))

const encodeMovedCall = (call: MovedCall, nowMs: number): ReadonlyArray<unknown> => [
  call.caller,
  call.seq,
  Math.max(0, Math.ceil(call.deadlineMs - nowMs)),
  call.reply
]

const decodeMovedCall = (u: unknown, nowMs: number): MovedCall => {
  const [caller, seq, remainingMs, reply] = asArray(u, 4)
  return { caller: asText(caller), seq: asCount(seq), deadlineMs: nowMs + asCount(remainingMs), reply }
}

const encodeForwarded = (message: Forwarded, nowMs: number): ReadonlyArray<unknown> => [
  message.caller,
  message.seq ?? null,
  message.type,
  message.tag,
  message.payload,
  Math.max(0, Math.ceil(message.deadlineMs - nowMs))
]

const decodeForwarded = (u: unknown, nowMs: number): Forwarded => {
  const [caller, seq, type, tag, payload, remainingMs] = asArray(u, 6)
  return {
    caller: asText(caller),
    seq: seq === null ? undefined : asCount(seq),
    type: asText(type),
    tag: asText(tag),
    payload,
    deadlineMs: nowMs + asCount(remainingMs)
  }
}
