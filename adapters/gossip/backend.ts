/** Puts one node's parts together: what each needs of the others, and what drives them. */
import { Clock, Effect, Option, PubSub, Random, type Scope } from "effect"
import * as Dispatching from "../../src/Dispatch.ts"
import type { Move } from "../../src/Handoff.ts"
import { Node } from "../../src/Node.ts"
import { seededRandom } from "../../src/protocol/random.ts"
import { HybridClock } from "../../src/protocol/stamp.ts"
import { isGone, type Member } from "../../src/protocol/swim.ts"
import type { RegistryChange } from "../../src/Registry.ts"
import { steadyMs, wallMs } from "../../src/runtime/clocks.ts"
import { LocalProcesses } from "../../src/runtime/LocalProcesses.ts"
import * as Residencies from "../../src/runtime/Residency.ts"
import * as SnapshotQueues from "../../src/runtime/Snapshots.ts"
import * as TimerQueues from "../../src/runtime/TimerQueue.ts"
import { SnapshotStore } from "../../src/SnapshotStore.ts"
import type { SupervisorEvent } from "../../src/Supervisor.ts"
import { Transport } from "../../src/Transport.ts"
import { Budget } from "./budget.ts"
import { Caretaker } from "./caretaker.ts"
import { Collector } from "./collector.ts"
import { Core } from "./core.ts"
import { Damping } from "./damping.ts"
import { Directory } from "./directory.ts"
import { Draining } from "./draining.ts"
import { Estates } from "./estates.ts"
import { GivenUps } from "./givenups.ts"
import type { Ground, GroundHooks } from "./ground.ts"
import * as Leasing from "./leases.ts"
import { Links } from "./links.ts"
import { sectionOf } from "./views.ts"
import { Mover } from "./mover.ts"
import { type GossipOptions, resolve, type ResolvedGossipOptions } from "./Options.ts"
import { ownerOf, type OwnerParts, refOf } from "./owner.ts"
import * as Rebalancing from "./rebalancer.ts"
import { Registrar } from "./registrar.ts"
import { Ends } from "./ends.ts"
import { Registrations } from "./registrations.ts"
import { comeBack } from "./returning.ts"
import { Recall } from "./recall.ts"
import { Settler } from "./settler.ts"
import { Snapshots } from "./snapshots.ts"
import { Stored } from "./storing.ts"
import * as Requesting from "./requests.ts"

/** The parts that the services are made of. */
export interface Backend {
  readonly core: Core
  readonly mover: Mover
  readonly registrar: Registrar
  readonly registrations: Registrations
  readonly ends: Ends
  readonly snapshots: Snapshots
  readonly rebalancer: Rebalancing.Rebalancer
  readonly budget: Budget
  readonly draining: Draining
  readonly givenUps: GivenUps
  readonly leave: Effect.Effect<void>
}

export const makeBackend = Effect.fnUntraced(function* <E, R>(
  given: GossipOptions,
  makeGround: (options: ResolvedGossipOptions, hooks: GroundHooks) => Effect.Effect<Ground, E, R>
): Effect.fn.Return<Backend, E, R | Node | Transport | Scope.Scope> {
  const node = yield* Node
  const transport = yield* Transport
  const clock = yield* Clock.Clock
  const scope = yield* Effect.scope
  const context = yield* Effect.context<never>()
  const options = resolve(given, transport.maxFrameBytes)
  const nowMs = steadyMs(clock)
  const stamps = new HybridClock()
  const processes = new LocalProcesses()
  /** Made last, told from the first: they decide when something is known, and nothing is known before they are there. */
  const late: { caretaker?: Caretaker; rebalancer?: Rebalancing.Rebalancer } = {}
  const lookAtAll = (): void => {
    late.caretaker?.lookAtAll()
    late.rebalancer?.look()
    directory.watches.membersChanged()
  }

  const directory: Directory = new Directory({
    isGone: (section) => members.isGone(section),
    wallMs: wallMs(clock),
    onName: (slot) => {
      late.caretaker?.look(slot)
      if (slot.view.claims[0]?.claim.extras !== undefined) owned.links.look(slot)
      owned.givenUps.look(slot)
      snapshots.lookAt(slot)
    },
    onHosts: (sworm) => {
      lookAtAll()
      core.fence.hurry()
      warnOfPlacements(core, sworm)
    },
    onGivenUp: (sworm, name) => owned.links.givenUp(sworm, name)
  }, yield* PubSub.sliding<RegistryChange>(4096))
  const inScope = (effect: Effect.Effect<unknown>): void =>
    void Effect.runForkWith(context)(Effect.forkIn(effect, scope, { startImmediately: true }))
  const after = (millis: number, run: () => void): void =>
    inScope(Effect.andThen(Effect.sleep(millis), Effect.sync(run)))
  const damping = new Damping(() => members, nowMs, inScope)
  let deaths = 0
  const ground = yield* makeGround(options, {
    fork: inScope,
    onEntry: (section, key, value) => directory.apply(section, key, value),
    onNews: () => estates.look(),
    onCaughtUp: () => {
      replication.synced = true
      const { caretaker } = late
      if (caretaker === undefined || caretaker.mayTakeOver) return
      caretaker.mayTakeOver = true
      caretaker.lookAtAll()
    },
    onForgotten: () => inScope(comeBack(core, ground.catchUp, options.onReturn)),
    onChange: (member, before) => {
      if (late.caretaker !== undefined && members.deaths() > deaths) {
        deaths = members.deaths()
        late.caretaker.mayTakeOver = false
        damping.died()
      }
      if (!isGone(member.status)) replication.replica.exhume(sectionOf(member))
      else if (before !== undefined && !isGone(before.status)) estates.open(sectionOf(member))
      if (!matters(member, before)) return
      estates.look()
      lookAtAll()
      snapshots.look()
      replication.wake()
      core.fence.hurry()
    }
  })
  const { authority, members, replication } = ground
  const estates = new Estates(replication, nowMs, after)
  estates.onSettled = lookAtAll
  const plainRequests = yield* Requesting.make(
    transport,
    { frameBytes: options.deltaBytes, partsBytes: 2 * options.maxStateBytes },
    () => replication.flush()
  )
  const requests = ground.requests?.(plainRequests) ?? plainRequests
  const dispatch = yield* Dispatching.make(node, transport, processes, {
    find: (sworm, name) => directory.find(sworm, name),
    locate: (sworm, name) => registrations.locate(sworm, name),
    changed: (sworm, name) => directory.changed(sworm, name)
  })
  const core: Core = new Core({
    node,
    options,
    nowMs,
    wallMs: wallMs(clock),
    stamps,
    replication,
    authority,
    directory,
    members,
    estates,
    requests,
    processes,
    dispatch,
    owner: ownerOf(() => owned),
    events: yield* PubSub.sliding<SupervisorEvent>(4096),
    moves: yield* PubSub.sliding<Move>(4096),
    random: seededRandom(yield* Random.nextIntBetween(1, 0x7fffffff)),
    fork: inScope
  })
  const registrations = new Registrations(core)
  const ends = new Ends(core, registrations)
  const stored = new Stored(core, Option.getOrUndefined(yield* Effect.serviceOption(SnapshotStore)))
  core.onEnded = (sworm, name, epoch) => stored.remove(sworm, name, epoch)
  const snapshots = new Snapshots(core, stored, options.snapshotBytes)
  const recall = new Recall(core, snapshots.table, stored)
  const owned: OwnerParts = {
    core,
    ends,
    links: new Links(core),
    givenUps: new GivenUps(core),
    timers: yield* TimerQueues.make,
    snapshots,
    snapshotQueue: yield* SnapshotQueues.makeQueue,
    residency: yield* Residencies.make(nowMs, (process) => core.emit({ _tag: "Passivated", ref: refOf(process) }))
  }
  const leases = new Leasing.Leases(nowMs)
  core.onClaim = (sworm, name, claim) => leases.note(sworm, name, claim)
  registrations.onRenewed = (sworm, name) => leases.renew(sworm, name)
  yield* Leasing.drive(core, leases, (sworm, name) => ends.expire(sworm, name))
  const mover = new Mover(core, snapshots)
  const budget = new Budget(core)
  const registrar = new Registrar(core, registrations, recall)
  const caretaker = late.caretaker = new Caretaker(core, new Settler(core), recall)
  const rebalancer = late.rebalancer = yield* Rebalancing.make(core, mover, budget)
  const collector = new Collector(core, options.tombAgeMs)
  core.fence.onChange = lookAtAll
  yield* core.fence.drive
  yield* ground.begin(core, () => {
    caretaker.lookAtReleased()
    collector.collect()
  })
  const leave = makeLeave(core, rebalancer, snapshots)
  yield* Effect.addFinalizer(() => leave)
  const draining = new Draining(core, mover)
  const { givenUps } = owned
  return { core, mover, registrar, registrations, ends, snapshots, rebalancer, budget, draining, givenUps, leave }
})

/** Nodes that place differently can't agree on homes: that is a mistake in how they were deployed. */
const warnOfPlacements = (core: Core, sworm: string): void => {
  const { directory, members, processes } = core.parts
  const own = processes.hosted(sworm)?.placement.name
  if (own === undefined) return
  for (const member of members.view().present) {
    const other = directory.offer(sworm, sectionOf(member))?.placement
    if (other === undefined || other === own) continue
    return core.warn(`"${member.id}" places "${sworm}" by "${other}", this node by "${own}": give both the same`)
  }
}

/** Does a change of a member change where anything belongs, or who is asked? */
const matters = (member: Member, before: Member | undefined): boolean =>
  before === undefined || before.boot !== member.boot || before.synced !== member.synced ||
  (before.cordoned === true) !== (member.cordoned === true) || !haveSameLabels(before, member) ||
  isGone(before.status) !== isGone(member.status) || (before.status === "leaving") !== (member.status === "leaving")

const haveSameLabels = (a: Member, b: Member): boolean => {
  const labels = Object.entries(a.labels)
  return labels.length === Object.keys(b.labels).length && labels.every(([key, value]) => b.labels[key] === value)
}

/** Hands everything over, sees that what it wrote is kept by somebody, says goodbye; once. */
const makeLeave = (
  { parts }: Core,
  rebalancer: Rebalancing.Rebalancer,
  snapshots: Snapshots
): Effect.Effect<void> => {
  const { members, options, replication } = parts
  let leaving = false
  return Effect.suspend(() => {
    if (leaving) return Effect.void
    leaving = true
    members.announce({ status: "leaving" })
    return rebalancer.giveAway().pipe(
      Effect.andThen(snapshots.passOn),
      Effect.andThen(Effect.suspend(() => {
        const version = replication.replica.version(replication.replica.own)
        return Effect.ignore(replication.stored(version, "leave"))
      })),
      Effect.timeoutOrElse({ duration: options.shutdownTimeoutMs, orElse: () => Effect.void }),
      Effect.andThen(Effect.sync(() => members.announce({ status: "left" })))
    )
  })
}
