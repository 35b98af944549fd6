/** How what a process holds comes to its end: its scope, with a limit, and the streams that it has answered with. */
import { type Context, Deferred, Effect, Exit, Scope, Stream } from "effect"
import type { StopReason } from "../Process.ts"
import { CallError } from "../SwormError.ts"

/** A handler that can't be interrupted is not waited for longer. */
export const HANDLER_END_MS = 1000

/**
 * Runs the hook, then closes the scope: in a fiber of its own, so that finalizers that take too long, or for ever, go on
 * by themselves and hold nobody up. `closed` is done when they are; the effect when they are or when time is up.
 */
export const closeInTime = (
  context: Context.Context<never>,
  hook: Effect.Effect<unknown, unknown>,
  scope: Scope.Closeable,
  timeoutMs: number,
  closed: Deferred.Deferred<void>
): Effect.Effect<void> => {
  const closing = Effect.andThen(Effect.ignoreCause(hook), Effect.ignoreCause(Scope.close(scope, Exit.void)))
  Effect.runForkWith(context)(Effect.ensuring(closing, Deferred.succeed(closed, undefined)))
  return closedInTime(closed, timeoutMs)
}

export const closedInTime = (closed: Deferred.Deferred<void>, timeoutMs: number): Effect.Effect<void> =>
  Deferred.isDoneUnsafe(closed)
    ? Effect.void
    : timeoutMs === Infinity
    ? Deferred.await(closed)
    : Effect.timeoutOrElse(Deferred.await(closed), { duration: timeoutMs, orElse: () => Effect.void })

/** The streams of one process that somebody reads, or may yet read. They end with what the process holds. */
export class OpenStreams {
  readonly #ended = Deferred.makeUnsafe<never, CallError>()
  /** How many are being read. */
  count = 0

  open(
    name: string,
    context: Context.Context<never>,
    stream: Stream.Stream<unknown, unknown>
  ): Stream.Stream<unknown, unknown> {
    return Stream.suspend(() => {
      this.count++
      return stream.pipe(
        Stream.catchCause((cause) => {
          const reason = cause.reasons[0]
          // a stream that dies ends itself; the process, which runs beside it, goes on
          if (reason?._tag !== "Die") return Stream.failCause(cause)
          return Stream.fail(new CallError({ name, reason: "Crashed", detail: String(reason.defect) }))
        }),
        Stream.provideContext(context),
        Stream.interruptWhen(Deferred.await(this.#ended)),
        Stream.ensuring(Effect.sync(() => void this.count--))
      )
    })
  }

  end(name: string, reason: StopReason): void {
    const detail = `the stream's process was closed (${reason}): call again`
    Deferred.doneUnsafe(this.#ended, Exit.fail(new CallError({ name, reason: "Stopped", detail })))
  }
}
