import { type Effect, Exit } from "effect"

/** Has it succeeded already? Then whoever goes on with it needs no fiber for that. */
export const isDone = <A, E>(effect: Effect.Effect<A, E>): effect is Exit.Success<A, E> =>
  Exit.isExit(effect) && Exit.isSuccess(effect)
