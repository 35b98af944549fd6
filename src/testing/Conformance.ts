/**
 * What a backend must keep, as cases without a test runner: give a harness that starts its nodes, and run each case with
 * the runner you like.
 */
import { cases as calls } from "./conformance/calls.ts"
import { cases as failures } from "./conformance/failures.ts"
import { cases as groups } from "./conformance/groups.ts"
import type { ConformanceCase } from "./conformance/Harness.ts"
import { cases as membership } from "./conformance/membership.ts"
import { cases as moves } from "./conformance/moves.ts"
import { cases as registration } from "./conformance/registration.ts"
import { cases as restarts } from "./conformance/restarts.ts"

export { ConformanceFailure } from "./conformance/check.ts"
export {
  type BackendNode,
  type BackendServices,
  type Capability,
  type ConformanceCase,
  type Harness,
  type Missing,
  skipReason,
  type StartOptions
} from "./conformance/Harness.ts"

/** Every case; those with `slow` take many seconds each. */
export const cases: ReadonlyArray<ConformanceCase> = [
  ...membership,
  ...registration,
  ...calls,
  ...restarts,
  ...groups,
  ...moves,
  ...failures
]
