/**
 * What a backend must keep, as cases without a test runner: give a harness that starts its nodes, and run each case with
 * the runner you like.
 */
import { cases as calls } from "./conformance/calls.ts"
import { cases as crowds } from "./conformance/crowds.ts"
import { cases as daemons } from "./conformance/daemons.ts"
import { cases as failures } from "./conformance/failures.ts"
import { cases as groups } from "./conformance/groups.ts"
import type { ConformanceCase } from "./conformance/Harness.ts"
import { cases as links } from "./conformance/links.ts"
import { cases as membership } from "./conformance/membership.ts"
import { cases as messaging } from "./conformance/messaging.ts"
import { cases as metadata } from "./conformance/metadata.ts"
import { cases as moves } from "./conformance/moves.ts"
import { cases as names } from "./conformance/names.ts"
import { cases as placements } from "./conformance/placements.ts"
import { cases as quorums } from "./conformance/quorums.ts"
import { cases as readiness } from "./conformance/readiness.ts"
import { cases as redistribution } from "./conformance/redistribution.ts"
import { cases as registration } from "./conformance/registration.ts"
import { cases as residency } from "./conformance/residency.ts"
import { cases as restarts } from "./conformance/restarts.ts"
import { cases as shutdowns } from "./conformance/shutdowns.ts"
import { cases as storms } from "./conformance/storms.ts"
import { cases as streaming } from "./conformance/streaming.ts"
import { cases as supervision } from "./conformance/supervision.ts"
import { cases as timers } from "./conformance/timers.ts"
import { cases as watches } from "./conformance/watches.ts"

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
  ...names,
  ...metadata,
  ...watches,
  ...storms,
  ...readiness,
  ...calls,
  ...restarts,
  ...supervision,
  ...links,
  ...shutdowns,
  ...timers,
  ...residency,
  ...placements,
  ...redistribution,
  ...quorums,
  ...daemons,
  ...crowds,
  ...groups,
  ...messaging,
  ...streaming,
  ...moves,
  ...failures
]
