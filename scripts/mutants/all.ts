/** Every mutant, in the order of the table. */
import { callMutants } from "./calls.ts"
import { castMutants } from "./casts.ts"
import { claimMutants } from "./claims.ts"
import { membershipMutants } from "./membership.ts"
import { moveMutants } from "./moves.ts"
import type { Mutant } from "./mutant.ts"
import { registrationMutants } from "./registration.ts"
import { replicationMutants } from "./replication.ts"
import { snapshotMutants } from "./snapshots.ts"

export const mutants: ReadonlyArray<Mutant> = [
  ...registrationMutants,
  ...claimMutants,
  ...moveMutants,
  ...replicationMutants,
  ...membershipMutants,
  ...callMutants,
  ...castMutants,
  ...snapshotMutants
]
