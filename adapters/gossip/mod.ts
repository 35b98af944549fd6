/**
 * The available backend: SWIM membership, a replicated registry and direct handoff, over any transport. Both sides of a
 * split go on; after it heals each name is settled to one copy.
 *
 * @module gossip
 */
import { Clock, Context, Effect, Layer, Option, PubSub, type Scope, Stream } from "effect"
import { Discovery } from "../../src/Discovery.ts"
import * as Dispatching from "../../src/Dispatch.ts"
import { Dispatch } from "../../src/Dispatch.ts"
import { Handoff, type Move } from "../../src/Handoff.ts"
import { Membership } from "../../src/Membership.ts"
import { Node } from "../../src/Node.ts"
import { isGone as isGoneStatus } from "../../src/protocol/swim.ts"
import { asArray, asCount, asText, Channel, swormKey } from "../../src/protocol/wire.ts"
import { HybridClock } from "../../src/protocol/stamp.ts"
import { Registry, type RegistryChange } from "../../src/Registry.ts"
import type { LocalProcess, ProcessOwner } from "../../src/runtime/LocalProcess.ts"
import { LocalProcesses } from "../../src/runtime/LocalProcesses.ts"
import { type Child, Supervisor, type SupervisorEvent } from "../../src/Supervisor.ts"
import { HandoffError, NotRegistered, type ProcessRef, Unavailable } from "../../src/SwormError.ts"
import { Transport } from "../../src/Transport.ts"
import { Caretaker } from "./caretaker.ts"
import { Core, keyOf } from "./core.ts"
import { Directory } from "./directory.ts"
import * as Joiner from "./joiner.ts"
import * as MembershipDriving from "./membership.ts"
import { Mover } from "./mover.ts"
import { type GossipOptions, resolve } from "./Options.ts"
import * as Rebalancing from "./rebalancer.ts"
import { Registrar } from "./registrar.ts"
import { Replication } from "./replication.ts"
import * as Requesting from "./requests.ts"
import { Method } from "./requests.ts"

export { type GossipOptions, type Preset } from "./Options.ts"

/** What a backend provides. */
export type Services = Membership | Registry | Supervisor | Handoff | Dispatch

/**
 * The four services on one node. Closing the scope leaves the cluster: every process is handed over first.
 *
 * @example
 * ```ts
 * import { Layer } from "effect"
 * import { Discovery } from "@sworm/sworm"
 * import * as Gossip from "@sworm/sworm/gossip"
 * import * as WebSocketTransport from "@sworm/sworm/websocket"
 *
 * export const backend = Gossip.layer({ preset: "lan" }).pipe(Layer.provide(
 *   WebSocketTransport.layer({ listen: "127.0.0.1:4100", discovery: Discovery.seeds(["127.0.0.1:4101"]) })
 * ))
 * ```
 */
export const layer = (
  options: GossipOptions = {}
): Layer.Layer<Services, never, Node | Transport | Discovery> => Layer.effectContext(make(options))

const AWAIT_SYNCED_MS = 30_000

const make = Effect.fnUntraced(function* (
  given: GossipOptions
): Effect.fn.Return<Context.Context<Services>, never, Node | Transport | Discovery | Scope.Scope> {
  const node = yield* Node
  const transport = yield* Transport
  const discovery = yield* Discovery
  const clock = yield* Clock.Clock
  const scope = yield* Effect.scope
  const context = yield* Effect.context<never>()
  const options = resolve(given, transport.maxFrameBytes)
  const nowMs = (): number => clock.currentTimeMillisUnsafe()
  const registryChanges = yield* PubSub.sliding<RegistryChange>(4096)
  const events = yield* PubSub.sliding<SupervisorEvent>(4096)
  const moves = yield* PubSub.sliding<Move>(4096)
  const processes = new LocalProcesses()
  const fork = (effect: Effect.Effect<unknown>): void => {
    Effect.runForkWith(context)(Effect.forkIn(effect, scope, { startImmediately: true }))
  }

  const directory: Directory = new Directory({
    isGone: (section) => members.isGone(section),
    onName: (slot) => caretaker?.look(slot),
    onHosts: () => lookAtAll()
  }, registryChanges)
  const replication: Replication = new Replication(
    node.section,
    transport,
    {
      others: () => members.view().present.filter(({ id }) => id !== node.id).map(({ id }) => id),
      everyone: () => members.everyone().filter(({ id }) => id !== node.id).map(({ id }) => id),
      isSyncedPeer: (id) => members.member(id)?.synced ?? false
    },
    options.deltaBytes,
    (section, key, _before, after) => directory.apply(section, key, after)
  )
  const requests = yield* Requesting.make(transport, () => replication.flush())

  let caretaker: Caretaker | undefined
  let rebalancer: Rebalancing.Rebalancer | undefined
  const lookAtAll = (): void => {
    caretaker?.lookAtAll()
    rebalancer?.look()
  }
  let deaths = 0
  const members = yield* MembershipDriving.make(node, transport, discovery, options, {
    onChange: (member, before) => {
      if (caretaker !== undefined && members.deaths() > deaths) {
        deaths = members.deaths()
        caretaker.mayTakeOver = false
      }
      if (
        before === undefined || before.boot !== member.boot || before.synced !== member.synced ||
        isGoneStatus(before.status) !== isGoneStatus(member.status) ||
        (before.status === "leaving") !== (member.status === "leaving")
      ) {
        lookAtAll()
        replication.wake()
      }
    }
  })
  const dispatch = yield* Dispatching.make(node, transport, processes, {
    find: (sworm, name) => directory.find(sworm, name),
    locate: (sworm, name) => registrar.locate(sworm, name),
    changed: (sworm, name) => directory.changed(sworm, name)
  })

  const owner: ProcessOwner = {
    node,
    nowMs,
    renew: (process) => {
      const claim = core.entry(process.sworm, process.name)?.claim
      if (claim?.mode !== "live" || processes.get(process.sworm, process.name) !== process) return undefined
      const epoch = core.nextEpoch(process.sworm, process.name)
      core.writeClaim(process.sworm, process.name, { ...claim, epoch, continuity: stamps.next(nowMs()) })
      return epoch
    },
    crashed: (process, detail) => core.emit({ _tag: "Crashed", ref: refOf(process), detail }),
    ended: (process, how, detail) => {
      const { name, sworm } = process
      if (processes.get(sworm, name) !== process) return
      registrar.entomb(sworm, name)
      processes.remove(process)
      core.emit(
        how === "GivenUp" ? { _tag: "GivenUp", ref: refOf(process), detail } : { _tag: "Stopped", ref: refOf(process) }
      )
      fork(process.close(how === "Ended" ? "Ended" : "Crashed"))
    }
  }
  const stamps = new HybridClock()
  const core: Core = new Core({
    node,
    options,
    nowMs,
    stamps,
    replication,
    directory,
    members,
    requests,
    processes,
    dispatch,
    owner,
    events,
    moves,
    fork,
    scope
  })
  const mover = new Mover(core)
  const registrar: Registrar = new Registrar(core)
  caretaker = new Caretaker(core, mover)
  rebalancer = yield* Rebalancing.make(core, mover)
  const balance = rebalancer
  const care = caretaker
  replication.onCaughtUp = () => {
    replication.synced = true
    if (!care.mayTakeOver) {
      care.mayTakeOver = true
      care.lookAtAll()
    }
  }

  yield* drive(transport, replication, care, options.syncIntervalMs)
  yield* Effect.forkScoped(Joiner.join(members, replication, options))

  let leaving = false
  const leave = Effect.suspend(() => {
    if (leaving) return Effect.void
    leaving = true
    members.announce({ status: "leaving" })
    const version = replication.replica.version(replication.replica.own)
    return balance.giveAway().pipe(
      Effect.andThen(Effect.ignore(replication.stored(version, "leave"))),
      Effect.timeoutOrElse({ duration: options.shutdownTimeoutMs, orElse: () => Effect.void }),
      Effect.andThen(Effect.sync(() => members.announce({ status: "left" })))
    )
  })
  yield* Effect.addFinalizer(() => leave)

  requests.answer(Method.move, (_, body) => {
    const [sworm, name, target] = asArray(body, 3)
    return Effect.match(moveHere(asText(sworm), asText(name), asText(target)), {
      onFailure: (error) => [false, error._tag === "HandoffError" ? error.detail : error.message],
      onSuccess: (ref) => [true, ref.epoch]
    })
  })
  const moveHere = (
    sworm: string,
    name: string,
    target: string
  ): Effect.Effect<ProcessRef, HandoffError | NotRegistered> => {
    const process = processes.get(sworm, name)
    return process === undefined ? Effect.fail(new NotRegistered({ sworm, name })) : mover.move(process, target)
  }

  return Context.make(Membership, {
    self: Effect.sync(() => MembershipDriving.publicMember(members.self())),
    members: Effect.sync(() =>
      members.everyone().map(MembershipDriving.publicMember).sort((a, b) => a.id < b.id ? -1 : 1)
    ),
    changes: members.changes,
    awaitSynced: awaitSynced(members),
    leave
  }).pipe(
    Context.add(Registry, {
      whereis: (sworm, name) => Effect.sync(() => Option.fromUndefinedOr(directory.ref(sworm, name))),
      registered: (sworm) => Effect.sync(() => directory.refs(sworm)),
      adopt: (sworm, name, { metadata } = {}) => adopt(core, registrar, sworm, name, metadata),
      unregister: (sworm, name) => registrar.unregister(sworm, name),
      join: (sworm, group, name) => registrar.changeGroup(sworm, group, name, true),
      leave: (sworm, group, name) =>
        Effect.catchTag(
          registrar.changeGroup(sworm, group, name, false),
          "InvalidInput",
          () => Effect.void
        ),
      members: (sworm, group) => Effect.sync(() => directory.group(sworm, group)),
      changes: Stream.fromPubSub(registryChanges)
    }),
    Context.add(Supervisor, {
      start: ({ args, metadata, name, restart, sworm, type }) =>
        registrar.register({ sworm, name, spec: { type, args, restart: restart ?? "transient" }, metadata }),
      terminate: (sworm, name) => registrar.unregister(sworm, name),
      which: (sworm) => Effect.sync(() => [...processes.of(sworm)].map(childOf)),
      countChildren: (sworm) =>
        Effect.sync(() => {
          const counts = new Map<string, number>()
          for (const { node } of directory.refs(sworm)) counts.set(node, (counts.get(node) ?? 0) + 1)
          return counts
        }),
      host: (hosted) =>
        Effect.acquireRelease(
          Effect.sync(() => {
            processes.host(hosted)
            replication.write(swormKey(hosted.id), [...hosted.types.keys()])
          }),
          () =>
            Effect.suspend(() => {
              replication.write(swormKey(hosted.id), undefined)
              return Effect.ensuring(balance.giveAway(hosted.id), Effect.sync(() => processes.unhost(hosted.id)))
            })
        ),
      events: Stream.fromPubSub(events)
    }),
    Context.add(Handoff, {
      move: (sworm, name, target) => move(core, moveHere, sworm, name, target),
      moves: Stream.fromPubSub(moves),
      drain: Effect.suspend(() => {
        for (const key of [...replication.replica.keysOf(node.section)]) {
          if (key.startsWith(swormKey(""))) replication.write(key, undefined)
        }
        return balance.giveAway()
      })
    }),
    Context.add(Dispatch, dispatch)
  )
})

/** Feeds replication from its channel and its links, and compares copies with a random peer again and again. */
const drive = Effect.fnUntraced(function* (
  transport: Transport,
  replication: Replication,
  caretaker: Caretaker,
  syncIntervalMs: number
) {
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
    Effect.sleep(syncIntervalMs),
    Effect.sync(() => {
      const linked = replication.linked()
      const peer = linked[turn++ % Math.max(1, linked.length)]
      if (peer !== undefined) replication.compareWith(peer)
      caretaker.lookAtReleased()
    })
  )))
})

const awaitSynced = (members: MembershipDriving.MembershipDriver): Effect.Effect<void, Unavailable> =>
  Stream.fromEffect(Effect.void).pipe(
    Stream.merge(Stream.map(members.changes, () => undefined)),
    Stream.filter(() => members.self().synced),
    Stream.take(1),
    Stream.runDrain,
    Effect.timeoutOrElse({
      duration: AWAIT_SYNCED_MS,
      orElse: () =>
        Effect.fail(
          new Unavailable({ operation: "join the cluster", detail: `not synced within ${AWAIT_SYNCED_MS} ms` })
        )
    })
  )

const adopt = (
  core: Core,
  registrar: Registrar,
  sworm: string,
  name: string,
  metadata: unknown
) => {
  const key = keyOf(sworm, name)
  const release = Effect.suspend(() => {
    if (!core.adopted.delete(key)) return Effect.void
    return Effect.ignore(registrar.unregister(sworm, name))
  })
  return Effect.acquireRelease(
    Effect.suspend(() => {
      const before = core.adopted.has(key)
      if (!before) core.adopted.set(key, () => void core.adopted.delete(key))
      return Effect.onError(
        registrar.register({ sworm, name, spec: undefined, metadata }),
        () => Effect.sync(() => before || core.adopted.delete(key))
      )
    }),
    () => release
  )
}

const move = Effect.fnUntraced(function* (
  core: Core,
  here: (sworm: string, name: string, target: string) => Effect.Effect<ProcessRef, HandoffError | NotRegistered>,
  sworm: string,
  name: string,
  target: string
): Effect.fn.Return<ProcessRef, NotRegistered | HandoffError | Unavailable> {
  const { directory, node, options, requests } = core.parts
  const ref = directory.ref(sworm, name)
  if (ref === undefined) return yield* Effect.fail(new NotRegistered({ sworm, name }))
  if (ref.node === target) return ref
  if (ref.node === node.id) return yield* here(sworm, name, target)
  const reply = yield* requests.ask(ref.node, Method.move, [sworm, name, target], 2 * options.handoffTimeoutMs).pipe(
    Effect.mapError((error) => new Unavailable({ operation: `move "${name}"`, detail: error.detail }))
  )
  const [ok, value] = asArray(reply, 2)
  if (ok !== true) return yield* Effect.fail(new HandoffError({ name, node: target, detail: asText(value) }))
  return { sworm, name, node: target, epoch: asCount(value) }
})

const refOf = ({ epoch, name, node, sworm }: LocalProcess): ProcessRef => ({ sworm, name, node, epoch })

const childOf = (process: LocalProcess): Child => ({
  ref: refOf(process),
  type: process.type.name,
  status: process.status === "running" || process.status === "starting" || process.status === "restarting"
    ? process.status
    : "moving"
})
