/** The ground of the gossip backend: SWIM membership, and sections that nodes tell each other. */
import { Clock, Effect, type Scope } from "effect"
import { Discovery } from "../../src/Discovery.ts"
import { Node } from "../../src/Node.ts"
import { nodeOf } from "../../src/protocol/ids.ts"
import { Channel } from "../../src/protocol/wire.ts"
import { steadyMs } from "../../src/runtime/clocks.ts"
import { Transport } from "../../src/Transport.ts"
import type { Ground, GroundHooks } from "./ground.ts"
import * as Joiner from "./joiner.ts"
import * as MembershipDriving from "./membership.ts"
import type { ResolvedGossipOptions } from "./Options.ts"
import { Replication } from "./replication.ts"

export const makeGround = Effect.fnUntraced(function* (
  options: ResolvedGossipOptions,
  hooks: GroundHooks
): Effect.fn.Return<Ground, never, Node | Transport | Discovery | Scope.Scope> {
  const node = yield* Node
  const transport = yield* Transport
  const clock = yield* Clock.Clock
  const replication: Replication = new Replication(
    node.section,
    transport,
    {
      others: () => members.view().present.filter(({ id }) => id !== node.id).map(({ id }) => id),
      // whoever has said goodbye never comes back in that run
      everyone: () =>
        members.everyone().filter(({ id, status }) => id !== node.id && status !== "left").map(({ id }) => id),
      isSyncedPeer: (id) => members.member(id)?.synced ?? false,
      isMember: (section) => members.member(nodeOf(section)) !== undefined,
      isForgotten: (section) => members.isForgotten(section)
    },
    options.deltaBytes,
    steadyMs(clock),
    (section, key, _before, after) => hooks.onEntry(section, key, after)
  )
  replication.onNews = hooks.onNews
  replication.onCaughtUp = hooks.onCaughtUp
  const members = yield* MembershipDriving.make(node, transport, yield* Discovery, options, hooks)
  return {
    members,
    replication,
    authority: undefined,
    catchUp: Joiner.catchUp(members, replication, options, clock),
    begin: (_, tend) =>
      Effect.andThen(
        drive(replication, transport, options, tend),
        Effect.asVoid(Effect.forkScoped(Joiner.join(members, replication, options)))
      )
  }
})

/** Feeds replication from its channel and its links, and compares copies with a random peer again and again. */
const drive = Effect.fnUntraced(function* (
  replication: Replication,
  transport: Transport,
  options: ResolvedGossipOptions,
  tend: () => void
) {
  const nowMs = steadyMs(yield* Clock.Clock)
  const endReceive = transport.receive(Channel.sync, (from, body) => replication.receive(from, body))
  const endEvents = transport.subscribe({
    up: (peer) => replication.linkUp(peer),
    down: (peer) => replication.linkDown(peer),
    unreachable: () => {}
  })
  for (const peer of transport.peers()) replication.linkUp(peer)
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      endReceive()
      endEvents()
    })
  )
  let turn = 0
  yield* Effect.forkScoped(Effect.forever(Effect.andThen(
    Effect.sleep(options.syncIntervalMs),
    Effect.sync(() => {
      const linked = replication.linked()
      const peer = linked[turn++ % Math.max(1, linked.length)]
      if (peer !== undefined) replication.compareWith(peer)
      replication.sweep(nowMs())
      replication.prune()
      tend()
    })
  )))
})
