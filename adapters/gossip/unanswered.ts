/**
 * Starts that a registrar asked for and got no answer to: the node may be at them, and will claim the name when it is
 * done. Until that is known, the name is given to nobody else, and the same registration is started nowhere else (H14).
 */
import { Effect } from "effect"
import { nodeOf, type RegistrationId, type SectionId } from "../../src/protocol/ids.ts"
import { asTexts } from "../../src/protocol/wire.ts"
import { ASK_TIMEOUT_MS } from "./attempts.ts"
import type { Core } from "./core.ts"
import { keyOf } from "./keyOf.ts"
import { Method } from "./requests.ts"

interface Unanswered {
  readonly reg: RegistrationId
  /** Where it was to be started. */
  readonly section: SectionId
  /** By then it has ended, one way or the other. */
  readonly untilMs: number
}

export class UnansweredStarts {
  readonly #core: Core
  readonly #starts = new Map<string, Unanswered>()

  constructor(core: Core) {
    this.#core = core
    core.parts.requests.answer(Method.starting, (_, body) => this.#startingAsked(body))
  }

  note(sworm: string, name: string, start: Unanswered): void {
    this.#starts.set(keyOf(sworm, name), start)
  }

  answered(sworm: string, name: string): void {
    this.#starts.delete(keyOf(sworm, name))
  }

  /** The start of a name that may be under way somewhere. */
  of(sworm: string, name: string): Unanswered | undefined {
    const key = keyOf(sworm, name)
    const start = this.#starts.get(key)
    if (start === undefined) return undefined
    const { directory, members, nowMs } = this.#core.parts
    const { claims, tombed } = directory.view(sworm, name)
    const isKnown = tombed.includes(start.reg) ||
      claims.some(({ claim }) => claim.registrations.includes(start.reg))
    if (!isKnown && !members.isGone(start.section) && nowMs() < start.untilMs) return start
    this.#starts.delete(key)
    return undefined
  }

  /** Asks the node whether it is still at it; when it isn't, and claims nothing, the name is free. */
  resolve(sworm: string, name: string, { section }: Unanswered): Effect.Effect<void> {
    return Effect.map(
      Effect.orElseSucceed(
        this.#core.parts.requests.ask(nodeOf(section), Method.starting, [sworm, name], ASK_TIMEOUT_MS),
        () => true
      ),
      (isStarting) => {
        if (isStarting === false) this.answered(sworm, name)
      }
    )
  }

  #startingAsked(body: unknown): Effect.Effect<boolean> {
    const [sworm, name] = asTexts(body)
    return Effect.sync(() => this.#core.isBusy(sworm!, name!) || this.#core.entry(sworm!, name!)?.claim !== undefined)
  }
}
