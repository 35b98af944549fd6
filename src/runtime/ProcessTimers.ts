/** What a process's own code sets timers with. */
import { DateTime, Duration, Effect } from "effect"
import { SHORTEST_PERIOD_MS, type Timer } from "../protocol/extras.ts"
import type { TimerOptions, Timers } from "../Process.ts"
import { InvalidInput } from "../SwormError.ts"
import { describe } from "./Hosted.ts"
import type { LocalProcess } from "./LocalProcess.ts"

type When = (wallMs: number) => { readonly atMs: number; readonly everyMs: number | undefined }

export class ProcessTimers implements Timers<never> {
  readonly #process: LocalProcess

  constructor(process: LocalProcess) {
    this.#process = process
  }

  readonly after = (
    tag: string,
    delay: Duration.Input,
    payload?: unknown,
    options?: TimerOptions
  ): Effect.Effect<void> =>
    this.#set(tag, payload, options, (wallMs) => ({ atMs: wallMs + millis(delay), everyMs: undefined }))

  readonly every = (
    tag: string,
    period: Duration.Input,
    payload?: unknown,
    options?: TimerOptions
  ): Effect.Effect<void> =>
    this.#set(tag, payload, options, (wallMs) => {
      const everyMs = millis(period)
      if (everyMs < SHORTEST_PERIOD_MS || everyMs === Infinity) {
        throw new InvalidInput({
          what: "period",
          detail: `${everyMs} ms; at least ${SHORTEST_PERIOD_MS} ms, and finite`
        })
      }
      return { atMs: wallMs + everyMs, everyMs }
    })

  readonly at = (
    tag: string,
    when: Date | DateTime.DateTime | number,
    payload?: unknown,
    options?: TimerOptions
  ): Effect.Effect<void> =>
    this.#set(tag, payload, options, () => ({
      atMs: Math.max(
        0,
        typeof when === "number" ? when : when instanceof Date ? when.getTime() : DateTime.toEpochMillis(when)
      ),
      everyMs: undefined
    }))

  readonly cancel = (id: string): Effect.Effect<void> => Effect.sync(() => this.#process.clearTimer(id))

  /** What can't be set is a mistake in the program: it dies, with the reason. */
  #set(tag: string, input: unknown, options: TimerOptions | undefined, when: When): Effect.Effect<void> {
    return Effect.sync(() => {
      const process = this.#process
      const message = process.type.messages.get(tag)
      if (message === undefined) {
        throw new InvalidInput({ what: "timer", detail: `"${process.type.name}" has no message "${tag}"` })
      }
      const encoded = message.payload.encode(message.make(input))
      if (encoded._tag === "Failure") {
        throw new InvalidInput({ what: `payload of "${tag}"`, detail: describe(encoded) })
      }
      const { atMs, everyMs } = when(process.wallMs())
      if (!Number.isFinite(atMs)) throw new InvalidInput({ what: "time", detail: String(atMs) })
      const timer: Timer = { id: options?.id ?? tag, atMs, everyMs, tag, payload: encoded.value }
      process.setTimer(timer)
    })
  }
}

const millis = (input: Duration.Input): number => Math.max(0, Duration.toMillis(Duration.fromInputUnsafe(input)))
