/** Puts one node's parts together: what each needs of the others, and what drives them. */
import { Clock, Effect, PubSub, type Scope } from "effect"
import { Discovery } from "../../src/Discovery.ts"
import * as Dispatching from "../../src/Dispatch.ts"
import type { Move } from "../../src/Handoff.ts"
import { Node } from "../../src/Node.ts"
import { HybridClock } from "../../src/protocol/stamp.ts"
import { isGone, type Member } from "../../src/protocol/swim.ts"
import { Channel } from "../../src/protocol/wire.ts"
import type { RegistryChange } from "../../src/Registry.ts"
import type { LocalProcess, ProcessOwner } from "../../src/runtime/LocalProcess.ts"
import { LocalProcesses } from "../../src/runtime/LocalProcesses.ts"
import type { SupervisorEvent } from "../../src/Supervisor.ts"
import type { ProcessRef } from "../../src/SwormError.ts"
import { Transport } from "../../src/Transport.ts"
import { Caretaker } from "./caretaker.ts"
import { Core } from "./core.ts"
import { Directory } from "./directory.ts"
import * as Joiner from "./joiner.ts"
import * as MembershipDriving from "./membership.ts"
import { Mover } from "./mover.ts"
import { type GossipOptions, resolve } from "./Options.ts"
import * as Rebalancing from "./rebalancer.ts"
import { Registrar } from "./registrar.ts"
import { Registrations } from "./registrations.ts"
import { Replication } from "./replication.ts"
import * as Requesting from "./requests.ts"

/** The parts that the services are made of. */
export interface Backend {
  readonly core: Core
  readonly mover: Mover
  readonly registrar: Registrar
  readonly registrations: Registrations
  readonly rebalancer: Rebalancing.Rebalancer
  readonly leave: Effect.Effect<void>
}

export const makeBackend = Effect.fnUntraced(function* (
  given: GossipOptions
): Effect.fn.Return<Backend, never, Node | Transport | Discovery | Scope.Scope> {
  const node = yield* Node
  const transport = yield* Transport
  const clock = yield* Clock.Clock
  const scope = yield* Effect.scope
  const context = yield* Effect.context<never>()
  const options = resolve(given, transport.maxFrameBytes)
  const nowMs = (): number => clock.currentTimeMillisUnsafe()
  const stamps = new HybridClock()
  const processes = new LocalProcesses()
  /** Made last, told from the first: they decide when something is known, and nothing is known before they are there. */
  const late: { caretaker?: Caretaker; rebalancer?: Rebalancing.Rebalancer } = {}
  const lookAtAll = (): void => {
    late.caretaker?.lookAtAll()
    late.rebalancer?.look()
  }

  const directory: Directory = new Directory({
    isGone: (section) => members.isGone(section),
    onName: (slot) => late.caretaker?.look(slot),
    onHosts: lookAtAll
  }, yield* PubSub.sliding<RegistryChange>(4096))
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
  let deaths = 0
  const members = yield* MembershipDriving.make(node, transport, yield* Discovery, options, {
    onChange: (member, before) => {
      if (late.caretaker !== undefined && members.deaths() > deaths) {
        deaths = members.deaths()
        late.caretaker.mayTakeOver = false
      }
      if (!matters(member, before)) return
      lookAtAll()
      replication.wake()
    }
  })
  const dispatch = yield* Dispatching.make(node, transport, processes, {
    find: (sworm, name) => directory.find(sworm, name),
    locate: (sworm, name) => registrations.locate(sworm, name),
    changed: (sworm, name) => directory.changed(sworm, name)
  })
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
    owner: ownerOf(() => core, () => registrations),
    events: yield* PubSub.sliding<SupervisorEvent>(4096),
    moves: yield* PubSub.sliding<Move>(4096),
    fork: (effect) => void Effect.runForkWith(context)(Effect.forkIn(effect, scope, { startImmediately: true }))
  })
  const mover = new Mover(core)
  const registrar = new Registrar(core)
  const registrations: Registrations = new Registrations(core)
  const caretaker = late.caretaker = new Caretaker(core, mover)
  const rebalancer = late.rebalancer = yield* Rebalancing.make(core, mover)
  replication.onCaughtUp = () => {
    replication.synced = true
    if (caretaker.mayTakeOver) return
    caretaker.mayTakeOver = true
    caretaker.lookAtAll()
  }
  yield* drive(transport, replication, caretaker, options.syncIntervalMs, nowMs)
  yield* Effect.forkScoped(Joiner.join(members, replication, options))
  const leave = makeLeave(core, rebalancer)
  yield* Effect.addFinalizer(() => leave)
  return { core, mover, registrar, registrations, rebalancer, leave }
})

/** Does a change of a member change where anything belongs, or who is asked? */
const matters = (member: Member, before: Member | undefined): boolean =>
  before === undefined || before.boot !== member.boot || before.synced !== member.synced ||
  isGone(before.status) !== isGone(member.status) || (before.status === "leaving") !== (member.status === "leaving")

/** Hands everything over, sees that what it wrote is kept by somebody, says goodbye; once. */
const makeLeave = ({ parts }: Core, rebalancer: Rebalancing.Rebalancer): Effect.Effect<void> => {
  const { members, options, replication } = parts
  let leaving = false
  return Effect.suspend(() => {
    if (leaving) return Effect.void
    leaving = true
    members.announce({ status: "leaving" })
    return rebalancer.giveAway().pipe(
      Effect.andThen(Effect.suspend(() => {
        const version = replication.replica.version(replication.replica.own)
        return Effect.ignore(replication.stored(version, "leave"))
      })),
      Effect.timeoutOrElse({ duration: options.shutdownTimeoutMs, orElse: () => Effect.void }),
      Effect.andThen(Effect.sync(() => members.announce({ status: "left" })))
    )
  })
}

/** What becomes of a process that crashed or ended: its claim is written here, and nowhere else. */
const ownerOf = (core: () => Core, registrations: () => Registrations): ProcessOwner => ({
  get node() {
    return core().parts.node
  },
  nowMs: () => core().parts.nowMs(),
  renew: (process) => {
    const { name, sworm } = process
    const { nowMs, processes, stamps } = core().parts
    const claim = core().entry(sworm, name)?.claim
    if (claim?.mode !== "live" || processes.get(sworm, name) !== process) return undefined
    const epoch = core().nextEpoch(sworm, name)
    core().writeClaim(sworm, name, { ...claim, epoch, continuity: stamps.next(nowMs()) })
    return epoch
  },
  crashed: (process, detail) => core().emit({ _tag: "Crashed", ref: refOf(process), detail }),
  ended: (process, how, detail) => {
    const { name, sworm } = process
    const { fork, processes } = core().parts
    if (processes.get(sworm, name) !== process) return
    registrations().entomb(sworm, name)
    processes.remove(process)
    const ref = refOf(process)
    core().emit(how === "GivenUp" ? { _tag: "GivenUp", ref, detail } : { _tag: "Stopped", ref })
    fork(process.close(how === "Ended" ? "Ended" : "Crashed"))
  }
})

export const refOf = ({ epoch, name, node, sworm }: LocalProcess): ProcessRef => ({ sworm, name, node, epoch })

/** Feeds replication from its channel and its links, and compares copies with a random peer again and again. */
const drive = Effect.fnUntraced(function* (
  transport: Transport,
  replication: Replication,
  caretaker: Caretaker,
  syncIntervalMs: number,
  nowMs: () => number
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
      replication.sweep(nowMs())
    })
  )))
})
