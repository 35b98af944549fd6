/** The sender's side of casts: to the process at once when it is here, by a numbered frame when it is elsewhere. */
import { Effect, type Exit } from "effect"
import { type CastNumber, CastNumbers } from "../protocol/casts.ts"
import { nodeOf, type SectionId } from "../protocol/ids.ts"
import type { CallError } from "../SwormError.ts"
import { type Forwarded, MAX_HOPS, type Numbered } from "./callFrames.ts"
import type { Caller } from "./Caller.ts"
import type { CastReceiver } from "./CastReceiver.ts"
import type { Directory, Location } from "./Directory.ts"
import type { Message } from "./Hosted.ts"
import type { LocalProcess } from "./LocalProcess.ts"
import type { LocalProcesses } from "./LocalProcesses.ts"
import { isOpen, NO_CHAIN } from "./Mailbox.ts"

const SENT = Effect.succeed(true)
const UNSENT = Effect.succeed(false)

export interface CasterParts {
  readonly node: { readonly id: string; readonly section: SectionId }
  readonly processes: LocalProcesses
  readonly directory: Directory
  readonly nowMs: () => number
  readonly caller: Pick<Caller, "encode" | "news">
  /** Where this node's own casts go that are numbered. */
  readonly receiver: CastReceiver
}

export class Caster {
  readonly #parts: CasterParts
  readonly #numbers = new CastNumbers()

  constructor(parts: CasterParts) {
    this.#parts = parts
  }

  /** Where it can be sent on at once, as nearly always, that takes no steps between. */
  cast(
    sworm: string,
    name: string,
    message: Message,
    payload: unknown,
    timeoutMs: number
  ): Effect.Effect<boolean, CallError> {
    return Effect.suspend((): Effect.Effect<boolean, CallError> => {
      const encoded = this.#parts.caller.encode(name, message, payload)
      if (encoded._tag === "Failure") return encoded
      const now = this.#parts.nowMs()
      const known = this.#parts.directory.find(sworm, name)
      const isSent = timeoutMs <= 0 ? undefined : this.#send(sworm, name, known, message, payload, encoded.value, now)
      if (isSent !== undefined) return isSent ? SENT : UNSENT
      return this.#await(sworm, name, message, payload, encoded.value, now + timeoutMs)
    })
  }

  /** To where the name is known to be; `undefined`: that is not known just now. */
  #send(
    sworm: string,
    name: string,
    at: Location | undefined,
    message: Message,
    payload: unknown,
    encoded: unknown,
    now: number
  ): boolean | undefined {
    const process = this.#parts.processes.get(sworm, at?.name ?? name)
    if (process !== undefined && isOpen(process)) {
      this.#here(process, message, payload, encoded, now)
      return true
    }
    if (at === undefined) return undefined
    if (at.isAdopted) return false
    return at.section === this.#parts.node.section ? undefined : this.#there(sworm, at, message, encoded, now)
  }

  readonly #await = Effect.fnUntraced({ self: this }, function* (
    this: Caster,
    sworm: string,
    name: string,
    message: Message,
    payload: unknown,
    encoded: unknown,
    deadline: number
  ): Effect.fn.Return<boolean> {
    const { caller, directory, nowMs } = this.#parts
    for (let now = nowMs(); now < deadline; now = nowMs()) {
      const known = directory.find(sworm, name)
      const isSent = this.#send(sworm, name, known, message, payload, encoded, now)
      if (isSent !== undefined) return isSent
      const at = known ?? (yield* directory.locate(sworm, name))
      if (at === undefined) return false
      const isFound = at === "moving" ? undefined : this.#send(sworm, name, at, message, payload, encoded, nowMs())
      if (isFound !== undefined) return isFound
      yield* caller.news(sworm, name)
    }
    return false
  })

  #here(process: LocalProcess, message: Message, payload: unknown, encoded: unknown, now: number): void {
    const { nowMs, receiver } = this.#parts
    const { name, sworm } = process
    // while an earlier one may be on its way from elsewhere, this one is handled in its turn
    const cast = this.#numbers.nextHere(sworm, name, now)
    if (cast !== undefined) return receiver.arrive(process, this.#numbered(message, encoded, cast))
    // numbered when it leaves: here it overtakes nothing
    const forward = (): Forwarded => this.#numbered(message, encoded, this.#numbers.next(sworm, name, nowMs()))
    process.receive({
      message,
      payload,
      from: undefined,
      chain: NO_CHAIN,
      answer: (exit: Exit.Exit<unknown, unknown>) => receiver.answered(process, exit, forward),
      forward
    })
  }

  #there(sworm: string, at: Location, message: Message, encoded: unknown, now: number): boolean {
    const { name, section } = at
    const cast = this.#numbers.next(sworm, name, now, at.continuity)
    const forwarded = this.#numbered(message, encoded, cast)
    if (this.#parts.receiver.send(nodeOf(section), MAX_HOPS, sworm, name, forwarded)) return true
    this.#numbers.takeBack(sworm, name)
    return false
  }

  #numbered({ tag, type }: Message, payload: unknown, cast: CastNumber): Numbered {
    return { caller: this.#parts.node.section, seq: undefined, type, tag, payload, deadlineMs: 0, cast }
  }

  /** Forgets names that nothing is under way to; called now and then. */
  expire(nowMs: number): void {
    this.#numbers.expire(nowMs)
  }
}
