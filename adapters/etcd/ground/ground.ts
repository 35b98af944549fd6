/** The ground of the etcd backend: members by leases, sections by a watch, and names that etcd gives to one node each. */
import { Clock, Effect, PubSub, type Scope } from "effect"
import type { MemberChange } from "../../../src/Membership.ts"
import { Node } from "../../../src/Node.ts"
import { Replica } from "../../../src/protocol/replica.ts"
import { parseKey } from "../../../src/protocol/wire.ts"
import { steadyMs, wallMs } from "../../../src/runtime/clocks.ts"
import { warn } from "../../../src/runtime/log.ts"
import { Transport } from "../../../src/Transport.ts"
import type { Core } from "../../gossip/core.ts"
import { keyOf } from "../../gossip/keyOf.ts"
import type { Ground, GroundHooks } from "../../gossip/ground.ts"
import type { ResolvedGossipOptions } from "../../gossip/Options.ts"
import { EtcdClient } from "../client.ts"
import type { EtcdError } from "../EtcdError.ts"
import type { ResolvedBackend } from "../Options.ts"
import { causal } from "./causality.ts"
import { Commits } from "./Commits.ts"
import { Layout } from "./layout.ts"
import { Members } from "./Members.ts"
import { Mirror } from "./mirror.ts"
import { Names } from "./Names.ts"
import { Sections } from "./Sections.ts"
import { Stay } from "./Stay.ts"
import { Tenure } from "./Tenure.ts"

const WARN_EVERY_MS = 10_000
const REDIAL_MS = 1000
const DIAL_TIMEOUT_MS = 2000

export const makeGround = (backend: ResolvedBackend) =>
  Effect.fnUntraced(function* (
    options: ResolvedGossipOptions,
    hooks: GroundHooks
  ): Effect.fn.Return<Ground, never, Node | Transport | EtcdClient | Scope.Scope> {
    const { boot, id, labels, section } = yield* Node
    const transport = yield* Transport
    const client = yield* EtcdClient
    const clock = yield* Clock.Clock
    const nowMs = steadyMs(clock)
    const layout = new Layout(backend.prefix)
    const tenure = new Tenure(nowMs, wallMs(clock))
    const replica = new Replica(section, (of, key, _before, after) => hooks.onEntry(of, key, after))
    const { address } = transport
    let warnedAt = -Infinity
    const trouble = (error: EtcdError): void => {
      if (nowMs() - warnedAt < WARN_EVERY_MS) return
      warnedAt = nowMs()
      hooks.fork(warn(error.message))
    }
    const members = new Members({
      self: { id, boot, incarnation: 0, status: "alive", address, synced: false, labels, cordoned: options.cordoned },
      joinGraceMs: options.joinGraceMs,
      nowMs,
      hooks,
      changes: yield* PubSub.sliding<MemberChange>(1024),
      onAnnounced: () => stay.announce()
    })
    const mirror = new Mirror(layout, replica, {
      onMember: (of, member) => {
        if (member !== undefined && member.address !== "") transport.learn(member.id, member.address)
        members.told(of, member)
      },
      onName: (name) => names.changed(name),
      onArrived: () => sections.wake()
    })
    const commits: Commits = new Commits({
      client,
      layout,
      mirror,
      self: section,
      standing: () => stay.standing,
      onLost: () => stay.lose(),
      onTrouble: trouble
    })
    const sections: Sections = new Sections({
      replica,
      layout,
      mirror,
      commits,
      onClaimed: (name) => names.claimed(name),
      onRefused: (name) => {
        names.lost(name)
        lost(name)
      }
    })
    const names: Names = new Names({
      client,
      layout,
      mirror,
      commits,
      sections,
      tenure,
      maxKeptBytes: backend.maxKeptBytes
    })
    let core: Core | undefined
    /** A process whose name is another node's ends. */
    const lost = (key: string): void => {
      const parsed = parseKey(key)
      if (core === undefined || parsed?._tag !== "Name") return
      core.adopted.get(keyOf(parsed.sworm, parsed.name))?.()
      const process = core.parts.processes.get(parsed.sworm, parsed.name)
      if (process === undefined) return
      core.parts.processes.remove(process)
      const { epoch, name, node, sworm } = process
      core.emit({ _tag: "Stopped", ref: { sworm, name, node, epoch } })
      hooks.fork(process.close("Superseded"))
    }
    const stay: Stay = new Stay({
      client,
      layout,
      mirror,
      commits,
      sections,
      names,
      members,
      tenure,
      self: section,
      ttlSeconds: backend.ttlSeconds,
      onTrouble: trouble,
      onChange: () => core?.fence.onChange(),
      onCaughtUp: hooks.onCaughtUp
    })
    const dial = Effect.suspend(() => {
      const linked = new Set(transport.peers().map((peer) => peer.id))
      const missing = members.view().present.filter((one) => one.id !== id && one.address !== "" && !linked.has(one.id))
      return Effect.forEach(
        missing,
        (one) => Effect.ignore(Effect.timeout(transport.connect(one.address), DIAL_TIMEOUT_MS)),
        { concurrency: 16, discard: true }
      )
    })
    return {
      members,
      replication: sections,
      authority: names,
      requests: (requests) => causal(requests, mirror),
      catchUp: Effect.void,
      begin: (started, tend) =>
        Effect.gen(function* () {
          core = started
          yield* Effect.addFinalizer(() => stay.leave)
          yield* Effect.forkScoped(stay.drive)
          yield* Effect.forkScoped(Effect.forever(Effect.andThen(dial, Effect.sleep(REDIAL_MS))))
          yield* Effect.forkScoped(Effect.forever(Effect.andThen(
            Effect.sleep(options.syncIntervalMs),
            Effect.sync(() => {
              sections.sweep()
              names.sweep()
              tend()
            })
          )))
        })
    }
  })
