/**
 * Settling (PROTOCOL R7): of two copies of a process one stays. The loser is frozen and sends its state to the winner,
 * which takes it in once per claim of the other's; the loser closes when the winner's claim lists it as merged.
 */
import { Effect, Ref } from "effect"
import { type Claim, compareClaims, type Held, union } from "../../src/protocol/claims.ts"
import { extrasOf, withExtras } from "../../src/protocol/extras.ts"
import { claimId, nodeOf, type SectionId } from "../../src/protocol/ids.ts"
import { isIn } from "../../src/protocol/snapshots.ts"
import { asArray, asCount, asFlag, asText, decodeClaim, encodeClaim } from "../../src/protocol/wire.ts"
import type { LocalProcess } from "../../src/runtime/LocalProcess.ts"
import type { Peer } from "../../src/Transport.ts"
import type { Core } from "./core.ts"
import { absorbLedger, ledgerOf } from "./ledger.ts"
import { mergeStates } from "./merging.ts"
import { bytesAbove, isFrozen } from "./moveFrames.ts"
import { Method, type NoAnswer } from "./requests.ts"
import type { Slot } from "./slot.ts"

const RETRY_MS = 200
/** Losers have read of their merger and closed long before so many others were merged. */
const MAX_MERGED = 64

export class Settler {
  readonly #core: Core
  /** Since when the state of a copy here could not be handed to the winner. */
  readonly #since = new Map<LocalProcess, number>()

  constructor(core: Core) {
    this.#core = core
    core.parts.requests.answer(Method.settle, (from, body) => this.#merge(from, body))
    core.parts.requests.answer(Method.relaySettle, (_, body) => this.#relay(body))
  }

  /** For a loser that has no way to the winner itself (H18). */
  #relay(body: unknown): Effect.Effect<unknown> {
    const [winner, ...asked] = asArray(body)
    const { options, requests } = this.#core.parts
    return Effect.orElseSucceed(
      requests.ask(asText(winner), Method.settle, asked, options.handoffTimeoutMs),
      () => null
    )
  }

  /** Directly; where that fails, through one of the others. */
  #ask(winner: string, body: ReadonlyArray<unknown>): Effect.Effect<unknown, NoAnswer> {
    const { members, node, options, random, requests } = this.#core.parts
    return Effect.catchTag(
      requests.ask(winner, Method.settle, body, options.handoffTimeoutMs / 3),
      "NoAnswer",
      (error): Effect.Effect<unknown, NoAnswer> => {
        const others = members.view().present.filter(({ id }) => id !== node.id && id !== winner)
        const other = others[Math.floor(random() * others.length)]
        if (other === undefined) return Effect.fail(error)
        return Effect.flatMap(
          requests.ask(other.id, Method.relaySettle, [winner, ...body], options.handoffTimeoutMs / 2),
          (reply) => reply === null ? Effect.fail(error) : Effect.succeed(reply)
        )
      }
    )
  }

  /** After `settleTimeout` the copy ends without its state: that is said, and nothing is kept for ever. */
  #isGivenUp(process: LocalProcess | undefined): boolean {
    if (process === undefined) return false
    const { nowMs, options } = this.#core.parts
    const sinceMs = this.#since.get(process)
    if (sinceMs === undefined) this.#since.set(process, nowMs())
    return sinceMs !== undefined && nowMs() - sinceMs >= options.settleTimeoutMs
  }

  #settled(process: LocalProcess, isGivenUp: boolean): void {
    this.#since.delete(process)
    if (!isGivenUp) return
    const { epoch, name, node, sworm } = process
    this.#core.emit({
      _tag: "StateLost",
      ref: { sworm, name, node, epoch },
      detail: "its state did not reach the copy that stays within settleTimeout"
    })
  }

  /** This node's copy loses: its state goes to the winner; the copy closes once the winner's claim lists it as merged. */
  settle(slot: Slot, winner: Held, process: LocalProcess | undefined): Effect.Effect<void> {
    const core = this.#core
    const { dispatch, node, options } = core.parts
    const { name, sworm } = slot
    const isGivenUp = this.#isGivenUp(process)
    const freeze = process === undefined ? Effect.void : process.freeze()
    return freeze.pipe(
      Effect.andThen(Effect.suspend(() => {
        const claim = core.entry(sworm, name)?.claim
        if (claim === undefined) return Effect.succeed([false, 0])
        // it starts again, or wakes, just now: its state is not what it will be
        if (process !== undefined && !isFrozen(process)) return Effect.succeed([false, 0])
        const state = process?.type.hasState === true ? Ref.getUnsafe(process.state) : undefined
        const encoded = process?.type.state.encode(state)
        if (
          !isGivenUp && encoded?._tag === "Success" && bytesAbove(encoded.value, options.maxStateBytes) !== undefined
        ) {
          return Effect.succeed([false, 0])
        }
        const packed = !isGivenUp && encoded?._tag === "Success" && process?.type.hasState === true
          ? [true, encoded.value]
          : [false, null]
        const ledger = ledgerOf(core, sworm, name, process, { floors: [...dispatch.calls.floors()] })
        const kept = process?.snapshots?.current
        const body = [sworm, name, node.section, encodeClaim(claim), ...packed, ledger]
        return this.#ask(nodeOf(winner.section), [...body, kept === undefined ? null : [kept.epoch, kept.seq]])
      })),
      Effect.flatMap((reply) => {
        const [ok, version] = asArray(reply)
        if (!asFlag(ok)) return Effect.sleep(RETRY_MS)
        if (process !== undefined) this.#settled(process, isGivenUp)
        return core.parts.replication.have(winner.section, asCount(version), `settle "${name}"`)
      }),
      Effect.catchCause(() => Effect.sleep(RETRY_MS)),
      Effect.timeoutOrElse({ duration: options.handoffTimeoutMs, orElse: () => Effect.void })
    )
  }

  /** This node's copy wins: it takes the other's state in, once per claim of the other's. */
  #merge(_from: Peer, body: unknown): Effect.Effect<unknown> {
    const [swormField, nameField, section, claimField, withState, state, ledger, kept] = asArray(body, 8)
    const sworm = asText(swormField)
    const name = asText(nameField)
    const theirs: Held = { section: asText(section), claim: decodeClaim(claimField) }
    const core = this.#core
    const operation = Effect.suspend((): Effect.Effect<readonly [ok: boolean, version: number]> => {
      const claim = core.entry(sworm, name)?.claim
      const process = core.parts.processes.get(sworm, name)
      const id = claimId(theirs.claim.epoch, theirs.section)
      if (claim === undefined || (claim.mode !== "adopted" && process === undefined)) return Effect.succeed([false, 0])
      const mayFreeze = process === undefined || ["running", "passive", "frozen"].includes(process.status)
      if (!mayFreeze) return Effect.succeed([false, 0])
      if (claim.merged.includes(id)) return this.#kept(process)
      if (compareClaims({ section: core.parts.node.section, claim }, theirs) > 0) return Effect.succeed([false, 0])
      const freeze = process === undefined ? Effect.void : process.freeze()
      return Effect.flatMap(freeze, (): Effect.Effect<readonly [ok: boolean, version: number]> => {
        // read now: the message at hand may have changed it, or ended it
        const claim = core.entry(sworm, name)?.claim
        if (claim === undefined || (process !== undefined && !isFrozen(process))) return Effect.succeed([false, 0])
        const isWithState = asFlag(withState)
        const merged = isWithState && process !== undefined && !isKnown(process, claim, theirs.section, kept)
          ? this.#mergeStates(process, claim, theirs, state)
          : "mine"
        process?.snapshots?.follow(theirs.section, theirs.claim)
        // what was answered over there is in the state from now on, or it is done again; casts are not, whichever stays
        absorbLedger(core, sworm, name, process, ledger, { isAll: false, withAnswers: merged !== "mine" })
        const epoch = Math.max(core.nextEpoch(sworm, name), theirs.claim.epoch + 1)
        core.writeClaim(sworm, name, {
          ...claim,
          epoch,
          mode: claim.mode === "adopted" ? "adopted" : "live",
          registrations: union(claim.registrations, theirs.claim.registrations),
          groups: union(claim.groups, theirs.claim.groups),
          extras: mergeExtras(claim, theirs.claim),
          continuity: merged === "theirs" ? theirs.claim.continuity : claim.continuity,
          // what had gone into the other's state is in this one now
          merged: union(isWithState ? theirs.claim.merged : [], claim.merged, [id]).slice(-MAX_MERGED)
        })
        process?.serve(epoch)
        return this.#kept(process)
      })
    })
    return core.exclusively(sworm, name, operation) ?? Effect.succeed([false, 0])
  }

  /** The other copy may end: also the loss of this node would not lose what it had. */
  #kept(process: LocalProcess | undefined): Effect.Effect<readonly [ok: boolean, version: number]> {
    const { replica } = this.#core.parts.replication
    const keeping = process?.snapshots?.keep ?? Effect.succeed("kept" as const)
    return Effect.map(keeping, (kept) => kept === "kept" ? [true, replica.version(replica.own)] : [false, 0])
  }

  /** Answers whose the state is now; the other's has its unbroken life with it. */
  #mergeStates(process: LocalProcess, mine: Claim, theirs: Held, encoded: unknown): "mine" | "theirs" | "both" {
    const { name, sworm, type } = process
    const decoded = type.state.decode(encoded)
    if (decoded._tag === "Failure") return "mine"
    const state = Ref.getUnsafe(process.state)
    const own = { section: this.#core.parts.node.section, epoch: mine.epoch, continuity: mine.continuity, state }
    const { continuity, epoch } = theirs.claim
    const other = { section: theirs.section, epoch, continuity, state: decoded.value }
    const merged = mergeStates(this.#core, type, sworm, name, own, other)
    Effect.runSync(Ref.set(process.state, merged.state))
    return merged === other ? "theirs" : merged === own ? "mine" : "both"
  }
}

/** Has the state gone into this one already, from those who had kept it, while its node was thought gone? */
const isKnown = ({ snapshots }: LocalProcess, { merged }: Claim, holder: SectionId, kept: unknown): boolean => {
  if (snapshots === undefined || kept === null) return false
  const [epoch, seq] = asArray(kept, 2)
  return isIn([...snapshots.after, ...merged], { holder, epoch: asCount(epoch), seq: asCount(seq) })
}

/** The winner's, with the other's names besides. */
const mergeExtras = (mine: Claim, theirs: Claim): Claim["extras"] => {
  const { aliases } = extrasOf(theirs)
  return aliases.length === 0
    ? mine.extras
    : withExtras(mine, { aliases: union(extrasOf(mine).aliases, aliases) }).extras
}
