/** The few assertions that the cases use, and waiting for a condition. */
import { Cause, Clock, Duration, Effect, Equal, Exit } from "effect"

/** A case found that the backend does not keep a promise. */
export class ConformanceFailure extends Error {
  override readonly name = "ConformanceFailure"
}

export const failure = (message: string): Effect.Effect<never, ConformanceFailure> =>
  Effect.suspend(() => Effect.fail(new ConformanceFailure(message)))

export const show = (value: unknown): string => {
  if (Exit.isExit(value)) {
    return value._tag === "Success" ? `success ${show(value.value)}` : `failure ${Cause.pretty(value.cause)}`
  }
  if (value instanceof Error) return `${value.name}: ${value.message}`
  if (value instanceof Map) return show([...value])
  const text = JSON.stringify(value) ?? String(value)
  return text.length > 600 ? `${text.slice(0, 600)}…` : text
}

export const check = (condition: boolean, message: string): Effect.Effect<void, ConformanceFailure> =>
  condition ? Effect.void : failure(message)

/** Structural equality. */
export const equal = <A>(actual: A, expected: A, what: string): Effect.Effect<void, ConformanceFailure> =>
  Equal.equals(actual, expected) ? Effect.void : failure(`${what}: expected ${show(expected)}, got ${show(actual)}`)

/** The effect fails with an error that has these properties, for instance `{ _tag: "NameTaken" }`. */
export const fails = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  expected: Readonly<Record<string, unknown>>,
  what: string
): Effect.Effect<E, ConformanceFailure, R> =>
  Effect.flatMap(Effect.exit(effect), (exit) => {
    const reason = exit._tag === "Failure" ? exit.cause.reasons[0] : undefined
    if (reason?._tag !== "Fail") return failure(`${what}: expected the error ${show(expected)}, got ${show(exit)}`)
    const error = reason.error as Readonly<Record<string, unknown>>
    const wrong = Object.keys(expected).filter((key) => !Equal.equals(error[key], expected[key]))
    return wrong.length === 0
      ? Effect.succeed(reason.error)
      : failure(`${what}: expected the error ${show(expected)}, got ${show(reason.error)} ${show({ ...error })}`)
  })

const POLL_MIN_MS = 2
const POLL_MAX_MS = 25
const LIMIT: Duration.Input = "20 seconds"

/** Waits until the condition holds; a failure of the effect counts as "not yet" and is told when the limit is over. */
export const eventually = <E, R>(
  effect: Effect.Effect<boolean, E, R>,
  what: string,
  limit: Duration.Input = LIMIT
): Effect.Effect<void, ConformanceFailure, R> =>
  Effect.gen(function* () {
    const deadline = (yield* Clock.currentTimeMillis) + Duration.toMillis(Duration.fromInputUnsafe(limit))
    for (let wait = POLL_MIN_MS;; wait = Math.min(POLL_MAX_MS, wait * 1.5)) {
      const exit = yield* Effect.exit(effect)
      if (exit._tag === "Success" && exit.value) return
      if ((yield* Clock.currentTimeMillis) > deadline) {
        const last = exit._tag === "Failure" ? `; at last: ${show(exit)}` : ""
        return yield* failure(`never within ${Duration.format(Duration.fromInputUnsafe(limit))}: ${what}${last}`)
      }
      yield* Effect.sleep(wait)
    }
  })

/** As `eventually`, until the value is the expected one; the failure shows the last one seen. */
export const eventuallyEqual = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  expected: A,
  what: string
): Effect.Effect<void, ConformanceFailure, R> => {
  let last: unknown = "nothing"
  const matches = Effect.map(effect, (value) => {
    last = value
    return Equal.equals(value, expected)
  })
  return Effect.catch(
    eventually(matches, what),
    ({ message }) => failure(`${message}; expected ${show(expected)}, last seen ${show(last)}`)
  )
}
