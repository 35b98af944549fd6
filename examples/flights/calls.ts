/** The driver's calls: numbered, and repeated under their number while nobody knows whether they were counted. */
import { type Cause, Effect, Exit } from "effect"
import process from "node:process"
import { SwormError } from "@sworm/sworm"

/** What a process needs to count a repeated call once. */
export interface CallNumber {
  readonly call: number
  /** All calls below it are answered: none of them is repeated any more. */
  readonly settled: number
}

export class Calls {
  readonly #repeats: number
  /** Begun and not ended; numbers rise, so the lowest stands first. */
  readonly #open = new Set<number>()
  #last = 0
  repeated = 0
  failed = 0

  /** A call without a known outcome is repeated at most so often; each time it has the client's whole time limit. */
  constructor(repeats: number) {
    this.#repeats = repeats
  }

  /** Makes a call until it is answered, or fails otherwise, or was repeated often enough; that counts as failed. */
  make<E>(request: (number: CallNumber) => Effect.Effect<unknown, E>): Effect.Effect<void> {
    return Effect.suspend(() => {
      const call = ++this.#last
      this.#open.add(call)
      const attempt = (left: number): Effect.Effect<unknown, E> =>
        Effect.catchIf(
          Effect.suspend(() => request({ call, settled: this.#settled })),
          (error) => left > 0 && isUnknown(error),
          () => {
            this.repeated++
            return attempt(left - 1)
          }
        )
      return Effect.map(Effect.exit(attempt(this.#repeats)), (exit) => {
        this.#open.delete(call)
        if (Exit.isFailure(exit)) this.#fail(exit.cause)
      })
    })
  }

  get #settled(): number {
    for (const call of this.#open) return call
    return this.#last + 1
  }

  #fail(cause: Cause.Cause<unknown>): void {
    this.failed++
    if (this.failed > 3) return
    const reason = cause.reasons[0]
    process.stderr.write(`A call failed: ${String(reason?._tag === "Fail" ? reason.error : cause)}\n`)
  }
}

/** It was counted, or it was not. */
const isUnknown = (error: unknown): boolean =>
  error instanceof SwormError.CallError && (error.reason === "OutcomeUnknown" || error.reason === "Timeout")
