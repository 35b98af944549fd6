/** The four services, as the rest of the program sees them, and dispatch. */
import { Context, Effect, Option, type Scope, Stream } from "effect"
import type { Discovery } from "../../src/Discovery.ts"
import { Dispatch } from "../../src/Dispatch.ts"
import { Handoff } from "../../src/Handoff.ts"
import { Membership } from "../../src/Membership.ts"
import type { Node } from "../../src/Node.ts"
import { asArray, asCount, asText, swormKey } from "../../src/protocol/wire.ts"
import { Registry } from "../../src/Registry.ts"
import type { LocalProcess } from "../../src/runtime/LocalProcess.ts"
import { type Child, Supervisor } from "../../src/Supervisor.ts"
import { HandoffError, NotRegistered, type ProcessRef, type RegisterError, Unavailable } from "../../src/SwormError.ts"
import type { Transport } from "../../src/Transport.ts"
import { type Backend, makeBackend, refOf } from "./backend.ts"
import { type Core, keyOf } from "./core.ts"
import { type MembershipDriver, publicMember } from "./membership.ts"
import type { GossipOptions } from "./Options.ts"
import type { Registrar } from "./registrar.ts"
import type { Registrations } from "./registrations.ts"
import { Method } from "./requests.ts"

const AWAIT_SYNCED_MS = 30_000

export const makeServices = Effect.fnUntraced(function* (
  options: GossipOptions
): Effect.fn.Return<
  Context.Context<Membership | Registry | Supervisor | Handoff | Dispatch>,
  never,
  Node | Transport | Discovery | Scope.Scope
> {
  const backend = yield* makeBackend(options)
  return Context.make(Membership, membershipOf(backend)).pipe(
    Context.add(Registry, registryOf(backend)),
    Context.add(Supervisor, supervisorOf(backend)),
    Context.add(Handoff, handoffOf(backend)),
    Context.add(Dispatch, backend.core.parts.dispatch)
  )
})

// ---- Membership

const membershipOf = ({ core, leave }: Backend): Membership => {
  const { members } = core.parts
  return {
    self: Effect.sync(() => publicMember(members.self())),
    members: Effect.sync(() => members.everyone().map(publicMember).sort((a, b) => a.id < b.id ? -1 : 1)),
    changes: members.changes,
    awaitSynced: awaitSynced(members),
    leave
  }
}

const awaitSynced = (members: MembershipDriver): Effect.Effect<void, Unavailable> =>
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

// ---- Registry

const registryOf = ({ core, registrar, registrations }: Backend): Registry => {
  const { directory } = core.parts
  return {
    whereis: (sworm, name) => Effect.sync(() => Option.fromUndefinedOr(directory.ref(sworm, name))),
    registered: (sworm) => Effect.sync(() => directory.refs(sworm)),
    adopt: (sworm, name, { metadata } = {}) => adopt(core, registrar, registrations, sworm, name, metadata),
    unregister: (sworm, name) => registrations.unregister(sworm, name),
    join: (sworm, group, name) => registrations.changeGroup(sworm, group, name, true),
    leave: (sworm, group, name) =>
      Effect.catchTag(registrations.changeGroup(sworm, group, name, false), "InvalidInput", () => Effect.void),
    members: (sworm, group) => Effect.sync(() => directory.group(sworm, group)),
    changes: Stream.fromPubSub(directory.changes)
  }
}

const adopt = (
  core: Core,
  registrar: Registrar,
  registrations: Registrations,
  sworm: string,
  name: string,
  metadata: unknown
): Effect.Effect<ProcessRef, RegisterError, Scope.Scope> => {
  const key = keyOf(sworm, name)
  const release = Effect.suspend(() => {
    if (!core.adopted.delete(key)) return Effect.void
    return Effect.ignore(registrations.unregister(sworm, name))
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

// ---- Supervisor

const supervisorOf = ({ core, rebalancer, registrar, registrations }: Backend): Supervisor => {
  const { directory, events, processes, replication } = core.parts
  return {
    start: ({ args, metadata, name, restart, sworm, type }) =>
      registrar.register({ sworm, name, spec: { type, args, restart: restart ?? "transient" }, metadata }),
    terminate: (sworm, name) => registrations.unregister(sworm, name),
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
            return Effect.ensuring(rebalancer.giveAway(hosted.id), Effect.sync(() => processes.unhost(hosted.id)))
          })
      ),
    events: Stream.fromPubSub(events)
  }
}

const childOf = (process: LocalProcess): Child => ({
  ref: refOf(process),
  type: process.type.name,
  status: process.status === "running" || process.status === "starting" || process.status === "restarting"
    ? process.status
    : "moving"
})

// ---- Handoff

const handoffOf = (backend: Backend): Handoff => {
  const { core, rebalancer } = backend
  const { moves, node, replication, requests } = core.parts
  requests.answer(Method.move, (_, body) => {
    const [sworm, name, target] = asArray(body, 3)
    return Effect.match(moveHere(backend, asText(sworm), asText(name), asText(target)), {
      onFailure: (error) => [false, error._tag === "HandoffError" ? error.detail : error.message],
      onSuccess: (ref) => [true, ref.epoch]
    })
  })
  return {
    move: (sworm, name, target) => move(backend, sworm, name, target),
    moves: Stream.fromPubSub(moves),
    drain: Effect.suspend(() => {
      for (const key of [...replication.replica.keysOf(node.section)]) {
        if (key.startsWith(swormKey(""))) replication.write(key, undefined)
      }
      return rebalancer.giveAway()
    })
  }
}

const moveHere = (
  { core, mover }: Backend,
  sworm: string,
  name: string,
  target: string
): Effect.Effect<ProcessRef, HandoffError | NotRegistered> => {
  const process = core.parts.processes.get(sworm, name)
  return process === undefined ? Effect.fail(new NotRegistered({ sworm, name })) : mover.move(process, target)
}

const move = Effect.fnUntraced(function* (
  backend: Backend,
  sworm: string,
  name: string,
  target: string
): Effect.fn.Return<ProcessRef, NotRegistered | HandoffError | Unavailable> {
  const { directory, node, options, requests } = backend.core.parts
  const ref = directory.ref(sworm, name)
  if (ref === undefined) return yield* Effect.fail(new NotRegistered({ sworm, name }))
  if (ref.node === target) return ref
  if (ref.node === node.id) return yield* moveHere(backend, sworm, name, target)
  const reply = yield* requests.ask(ref.node, Method.move, [sworm, name, target], 2 * options.handoffTimeoutMs).pipe(
    Effect.mapError((error) => new Unavailable({ operation: `move "${name}"`, detail: error.detail }))
  )
  const [ok, value] = asArray(reply, 2)
  if (ok !== true) return yield* Effect.fail(new HandoffError({ name, node: target, detail: asText(value) }))
  return { sworm, name, node: target, epoch: asCount(value) }
})
