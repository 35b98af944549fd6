/** How a node comes into the cluster (PROTOCOL R13): it looks for others, exchanges fully with a synced one, or forms. */
import { Clock, Effect } from "effect"
import { compareText } from "../../src/protocol/ids.ts"
import { steadyMs } from "../../src/runtime/clocks.ts"
import { warn } from "../../src/runtime/log.ts"
import type { MembershipDriver } from "./ground.ts"
import type { Gossiping } from "./membership.ts"
import type { ResolvedGossipOptions } from "./Options.ts"
import type { Replication } from "./replication.ts"

const STEP_MS = 25
const WARMING_REDIAL_MS = 1000
const EXCHANGE_MS = 200

export const join = Effect.fnUntraced(function* (
  members: Gossiping,
  replication: Replication,
  options: ResolvedGossipOptions
) {
  const clock = yield* Clock.Clock
  let looked = false
  yield* Effect.forkScoped(
    Effect.gen(function* () {
      while (true) {
        // a discovery must not fail; one that does must not keep the node from trying again
        yield* Effect.catchCause(
          members.dial,
          (cause) => warn("Discovery failed, and is asked again", cause)
        )
        looked = true
        yield* Effect.sleep(replication.synced ? options.redialIntervalMs : WARMING_REDIAL_MS)
      }
    })
  )
  yield* catchUp(members, replication, options, clock, () => looked)
})

/** Exchanges fully with a synced node, or forms a cluster when there is none; then says so. */
export const catchUp = Effect.fnUntraced(function* (
  members: MembershipDriver,
  replication: Replication,
  options: ResolvedGossipOptions,
  clock: Clock.Clock,
  isLooked: () => boolean = () => true
) {
  const now = steadyMs(clock)
  let company = 0
  let since = now()
  let exchangedAt = 0
  let turn = 0
  while (!replication.synced) {
    const others = members.view().present.filter(({ id }) => id !== members.self().id)
    if (others.length !== company || !isLooked()) {
      company = others.length
      since = now()
    }
    const synced = others.filter((member) => member.synced)
    if (synced.length > 0) {
      if (now() - exchangedAt >= EXCHANGE_MS) {
        exchangedAt = now()
        // one at a time: each would send everything
        replication.catchUpWith(synced[turn++ % synced.length]!.id)
      }
    } else if (now() - since >= options.formDelayMs && isLowest(members)) {
      // nobody to learn from: epochs start at the wall clock, above any that an earlier cluster gave out
      replication.floor = Math.max(replication.floor, clock.currentTimeMillisUnsafe())
      replication.synced = true
      break
    }
    yield* Effect.sleep(STEP_MS)
  }
  members.announce({ synced: true })
})

const isLowest = (members: MembershipDriver): boolean => {
  const self = members.self().id
  return members.view().present.every(({ id }) => compareText(self, id) <= 0)
}
