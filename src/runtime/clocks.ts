/**
 * Two clocks: one for how long something takes, which never jumps; the wall clock for when something was, which may be set
 * at any time, and which nothing waits by.
 */
import type { Clock } from "effect"

/** Whole ms since some moment, never going back. */
export const steadyMs = (clock: Clock.Clock) => (): number => Number(clock.monotonicTimeNanosUnsafe() / 1_000_000n)

/** Ms since 1970. */
export const wallMs = (clock: Clock.Clock) => (): number => clock.currentTimeMillisUnsafe()
