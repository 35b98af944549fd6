/** Waiting for what will be, instead of for a while. */
import { Effect } from "effect"

const POLL = "15 millis"

export class NeverCame extends Error {
  readonly _tag = "NeverCame"
}

/**
 * Looks again and again until there is something to see (anything but `undefined` and `false`) and answers it; fails after
 * the limit, saying what was waited for.
 */
export const waitUntil = <A, E = never, R = never>(
  what: string,
  look: Effect.Effect<A | undefined | false, E, R> | (() => A | undefined | false),
  limit: `${number} seconds` = "20 seconds"
): Effect.Effect<A, E | NeverCame, R> => {
  const looking: Effect.Effect<A | undefined | false, E, R> = Effect.isEffect(look) ? look : Effect.sync(look)
  const loop: Effect.Effect<A, E, R> = Effect.flatMap(
    looking,
    (seen) =>
      seen === undefined || seen === false ? Effect.andThen(Effect.sleep(POLL), loop) : Effect.succeed(seen as A)
  )
  return Effect.timeoutOrElse(loop, {
    duration: limit,
    orElse: () => Effect.fail(new NeverCame(`Waited ${limit} in vain until ${what}`))
  })
}
