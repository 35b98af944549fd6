/** Logging that can't fail: a logger may throw (a full disk, a user's own), and nothing here must end for it. */
import { type Cause, Effect } from "effect"

export const warn = (text: string, cause?: Cause.Cause<unknown>): Effect.Effect<void> =>
  Effect.catchCause(cause === undefined ? Effect.logWarning(text) : Effect.logWarning(text, cause), () => Effect.void)

export const debug = (text: string): Effect.Effect<void> => Effect.catchCause(Effect.logDebug(text), () => Effect.void)
