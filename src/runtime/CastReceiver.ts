/**
 * The holder's side of casts: they reach a process in the order in which each sender numbered them, and at most once;
 * what comes to a node without the process is sent on to where it is (PROTOCOL H22).
 */
import { Effect, type Exit, Metric } from "effect"
import { CastLog, type CastNumber, type CastProgress } from "../protocol/casts.ts"
import { msgpack } from "../protocol/codec.ts"
import { nodeOf, type SectionId } from "../protocol/ids.ts"
import { asCount, asText, Channel, optional } from "../protocol/wire.ts"
import { CallError } from "../SwormError.ts"
import type { Transport } from "../Transport.ts"
import { CAST, type Forwarded, isNumbered, MAX_HOPS, type Numbered } from "./callFrames.ts"
import type { Directory } from "./Directory.ts"
import type { LocalProcess } from "./LocalProcess.ts"
import type { LocalProcesses } from "./LocalProcesses.ts"
import { isOpen } from "./Mailbox.ts"

export const dropped = Metric.counter("sworm_casts_dropped", {
  description:
    "Casts that reached a node without their process, which knew of no other to send them on to; or a process " +
    "whose mailbox was full"
})

export const lost = Metric.counter("sworm_casts_lost", {
  description: "Casts that were waited for in vain: later ones of the same sender were handled without them"
})

/** Senders that were silent for long are looked for this often. */
const SWEEP_MS = 15_000

export interface CastReceiverParts {
  readonly node: { readonly id: string; readonly section: SectionId }
  readonly transport: Transport
  readonly processes: LocalProcesses
  readonly directory: Directory
  readonly nowMs: () => number
  /** Runs something later, as long as the node lives. */
  readonly after: (millis: number, run: () => void) => void
  /** Hands a message to its process. */
  readonly hand: (process: LocalProcess, cast: Numbered) => void
}

export class CastReceiver {
  readonly #parts: CastReceiverParts
  /** Processes that have a log. */
  readonly #logged = new Set<LocalProcess>()
  /** Processes with casts that wait for others before them. */
  readonly #gaps = new Set<LocalProcess>()
  #timerRuns = false
  #sweptAtMs = 0

  constructor(parts: CastReceiverParts) {
    this.#parts = parts
  }

  // ---- arriving

  /** A cast of another node, or one that it sends on. */
  take(from: SectionId, frame: ReadonlyArray<unknown>): void {
    this.#route(asText(frame[2]), asText(frame[3]), asCount(frame[1]), {
      caller: optional(frame[7], asText) ?? from,
      seq: undefined,
      type: asText(frame[4]),
      tag: asText(frame[5]),
      payload: frame[6],
      deadlineMs: 0,
      cast: { series: asCount(frame[8]), number: asCount(frame[9]), first: asCount(frame[10]) }
    })
  }

  /** To its process; where that has moved on since the sender looked, so does the message. */
  #route(sworm: string, name: string, hops: number, message: Numbered): void {
    const { directory, node, processes } = this.#parts
    const process = processes.get(sworm, name)
    if (process !== undefined && isOpen(process)) return this.arrive(process, message)
    const at = directory.find(sworm, name)
    const onward = at === undefined || at.section === node.section || hops === 0 ? undefined : nodeOf(at.section)
    if (onward === undefined || !this.send(onward, hops - 1, sworm, name, message)) count(dropped, 1)
  }

  /** Sends a cast to the node of its process; `false` when it did not leave. */
  send(to: string, hops: number, sworm: string, name: string, { caller, cast, payload, tag, type }: Numbered): boolean {
    const { node, transport } = this.#parts
    const sender = caller === node.section ? null : caller
    const { first, number, series } = cast
    const frame = [CAST, hops, sworm, name, type, tag, payload, sender, series, number, first]
    return transport.send(to, Channel.call, msgpack.encode(frame), "user")
  }

  /** A cast reaches its process: handled in its turn. */
  arrive(process: LocalProcess, message: Numbered): void {
    const log = this.#log(process)
    const now = this.#parts.nowMs()
    if (isHeld(process, now)) log.hold(now)
    this.#handAll(process, log, log.receive(message.caller, message.cast, message, now), now, message.caller)
  }

  /** One that a move brought, from the mailbox of the process or from before it. */
  adopt(process: LocalProcess, message: Numbered): void {
    if (message.isHanded !== true) return this.arrive(process, message)
    const log = this.#log(process)
    const now = this.#parts.nowMs()
    log.hold(now)
    this.#handAll(process, log, log.adopt(message.caller, message.cast, message, now), now, message.caller)
  }

  /** One at a time: what is handled at once may send more, which must not get before those that wait. */
  #handAll(
    process: LocalProcess,
    log: CastLog<Numbered>,
    first: Numbered | undefined,
    nowMs: number,
    sender?: SectionId
  ): void {
    for (let message = first; message !== undefined; message = log.next(nowMs, sender)) {
      this.#parts.hand(process, message)
    }
    if (log.lost > 0) count(lost, log.takeLost())
    if (!log.hasEarly) return
    this.#gaps.add(process)
    this.#arm()
  }

  #log(process: LocalProcess): CastLog<Numbered> {
    if (process.casts === undefined) {
      process.casts = new CastLog<Numbered>()
      this.#logged.add(process)
    }
    return process.casts
  }

  /**
   * How a waiting cast ended. One that its process did not take up, because it ended here, goes where the name is now:
   * to the copy that stays, or to the source of a move that was called off.
   */
  answered(process: LocalProcess, exit: Exit.Exit<unknown, unknown>, forward: () => Forwarded): void {
    if (exit._tag === "Success") return
    const reason = exit.cause.reasons[0]
    const error = reason?._tag === "Fail" ? reason.error : undefined
    if (!(error instanceof CallError) || error.name !== process.name) return
    if (error.reason === "MailboxFull") return count(dropped, 1)
    if (error.reason !== "Stopped") return
    const message = forward()
    if (isOpen(process) || !isNumbered(message)) return count(dropped, 1)
    this.#route(process.sworm, process.name, MAX_HOPS, message)
  }

  // ---- waiting

  #arm(): void {
    if (this.#timerRuns) return
    let due = Infinity
    for (const { casts } of this.#gaps) due = Math.min(due, casts?.dueMs ?? Infinity)
    if (due === Infinity) return
    this.#timerRuns = true
    this.#parts.after(Math.max(1, due - this.#parts.nowMs()), () => {
      this.#timerRuns = false
      this.#lookAtGaps()
      this.#arm()
    })
  }

  #lookAtGaps(): void {
    const now = this.#parts.nowMs()
    for (const process of [...this.#gaps]) {
      const log = process.casts
      if (log !== undefined && isHeld(process, now)) {
        log.hold(now)
        continue
      }
      this.#gaps.delete(process)
      if (log === undefined) continue
      if (isOpen(process)) this.#handAll(process, log, log.next(now), now)
      else for (const message of log.takeEarly()) this.#route(process.sworm, process.name, MAX_HOPS, message)
    }
  }

  /** Forgets senders that have been silent for long; called now and then. */
  expire(nowMs: number): void {
    if (nowMs - this.#sweptAtMs < SWEEP_MS) return
    this.#sweptAtMs = nowMs
    for (const process of this.#logged) {
      if (process.casts?.expire(nowMs) === true) process.casts = undefined
      if (process.casts === undefined || process.status === "closed") this.#logged.delete(process)
    }
  }

  // ---- moving

  /** How far a frozen process has come: what waits in its mailbox it has not handled. */
  progress(process: LocalProcess): ReadonlyArray<CastProgress> {
    return process.casts?.progress(process.queued.flatMap(({ cast }) => cast ?? []).map(senderOf)) ?? []
  }

  /** Takes over how far another copy has come; `isAll` when this one goes on from it. */
  absorb(process: LocalProcess, progress: ReadonlyArray<CastProgress>, isAll: boolean): void {
    if (progress.length > 0 || isAll) this.#log(process).absorb(progress, isAll, this.#parts.nowMs())
  }

  /** The casts that wait for others before them, taken out, for whoever has the process next. */
  takeEarly(process: LocalProcess): ReadonlyArray<Forwarded> {
    return process.casts?.takeEarly() ?? []
  }
}

/** What is missing here comes with the commit of a move. */
const isHeld = ({ commitUntilMs, status }: LocalProcess, nowMs: number): boolean =>
  status === "prepared" || commitUntilMs > nowMs

const senderOf = ({ caller, cast }: Numbered): readonly [SectionId, CastNumber] => [caller, cast]

const count = (metric: typeof dropped, by: number): void => void Effect.runFork(Metric.update(metric, by))
