/** The services, as the rest of the program sees them: Membership and Handoff here, the others beside. */
import { Context, Effect, type Scope, Stream } from "effect"
import type { Discovery } from "../../src/Discovery.ts"
import { Dispatch } from "../../src/Dispatch.ts"
import { Handoff } from "../../src/Handoff.ts"
import { Membership } from "../../src/Membership.ts"
import type { Node } from "../../src/Node.ts"
import { asArray, asCount, asText, swormKey } from "../../src/protocol/wire.ts"
import { Registry } from "../../src/Registry.ts"
import { Supervisor } from "../../src/Supervisor.ts"
import { asHandoffFailure, HandoffError, NotRegistered, type ProcessRef, Unavailable } from "../../src/SwormError.ts"
import type { Transport } from "../../src/Transport.ts"
import { type Backend, makeBackend } from "./backend.ts"
import { type MembershipDriver, publicMember } from "./membership.ts"
import type { GossipOptions } from "./Options.ts"
import { registryOf } from "./registry.ts"
import { Method } from "./requests.ts"
import { supervisorOf } from "./supervisor.ts"

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

// ---- Handoff

const handoffOf = (backend: Backend): Handoff => {
  const { core, rebalancer } = backend
  const { moves, node, replication, requests } = core.parts
  requests.answer(Method.move, (_, body) => {
    const [sworm, name, target] = asArray(body, 3)
    return Effect.match(moveHere(backend, asText(sworm), asText(name), asText(target)), {
      onFailure: (error) =>
        error._tag === "HandoffError" ? [false, error.detail, error.reason] : [false, error.message, "NotRunning"],
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
  const [ok, value, reason] = asArray(reply)
  if (ok !== true) {
    const why = { reason: asHandoffFailure(reason), detail: asText(value) }
    return yield* Effect.fail(new HandoffError({ name, node: target, ...why }))
  }
  return { sworm, name, node: target, epoch: asCount(value) }
})
