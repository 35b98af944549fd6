import { calls } from "./calls.ts"
import { casts } from "./casts.ts"
import type { Checker } from "./checker.ts"
import { closing } from "./closing.ts"
import { collected } from "./collected.ts"
import { deadlines } from "./deadlines.ts"
import { epochs } from "./epochs.ts"
import { guarded } from "./guarded.ts"
import { holders } from "./holders.ts"
import { kept } from "./kept.ts"
import { registrations } from "./registrations.ts"
import { single } from "./single.ts"
import { views } from "./views.ts"
import { winners } from "./winners.ts"

export const checkers: ReadonlyArray<Checker> = [
  views,
  holders,
  registrations,
  calls,
  casts,
  deadlines,
  epochs,
  collected,
  guarded,
  winners,
  single,
  kept,
  closing
]
