/** What a client on a node does for each operation; what it sees at once is checked at once. */
import { Cause, Effect, Exit, Option, Stream } from "effect"
import { Handoff, Membership } from "@sworm/sworm"
import type { Simulation } from "@sworm/sworm/testing"
import { others } from "./expected.ts"
import { type Node, type Services, sworm, typeOf } from "./nodes.ts"
import type { Operation } from "./operations.ts"
import { type AnyError, type Asked, isUnknown, type Oracle, type Outcome } from "./oracle.ts"

type World = Simulation.World<Services, unknown>

/** How long the calls of clients may take. */
export const CALL_MS = 2000

/** Close enough to overtake each other, now and then so far apart that much happens to the process meanwhile. */
const pauseAfter = (message: number): number => message % 4 === 0 ? 100 : 2

const perform = (operation: Operation, oracle: Oracle, asked: Asked) =>
  Effect.gen(function* () {
    const client = yield* sworm(operation.sworm)
    const type = typeOf(operation.sworm)
    const { name } = operation
    switch (operation._tag) {
      case "Register": {
        const ref = yield* client.register(name, type, { asked: asked.id }, { metadata: asked.id })
        const seen = yield* client.whereis(name)
        if (Option.isNone(seen) && !isContested(oracle, asked)) {
          oracle.violation(`read-your-writes: "${name}" was registered at "${asked.node.id}", which does not find it`)
        }
        return ref.epoch
      }
      case "Unregister": {
        const entry = yield* client.entry(name)
        asked.ends = Option.getOrUndefined(entry)?.metadata as number | undefined
        yield* client.unregister(name)
        const seen = yield* client.whereis(name)
        if (Option.isSome(seen) && !isContested(oracle, asked)) {
          oracle.violation(`read-your-writes: "${name}" was unregistered at "${asked.node.id}", which still finds it`)
        }
        return undefined
      }
      case "Add":
        for (const message of operation.messages) {
          yield* client.client(type, name, { timeout: CALL_MS }).Add({ message })
        }
        return undefined
      case "Cast":
        for (const message of operation.messages) {
          const cast = oracle.casting(message, asked.node)
          yield* client.cast(type, name, "Add", { message })
          oracle.hasCast(cast)
          yield* Effect.sleep(pauseAfter(message))
        }
        return undefined
      case "Slow":
        return yield* client.client(type, name, { timeout: CALL_MS }).Slow({ message: operation.message })
      case "Crash":
        return yield* client.client(type, name, { timeout: CALL_MS }).Crash()
      case "Move": {
        const handoff = yield* Handoff.Handoff
        return yield* handoff.move(operation.sworm, name, operation.to)
      }
      case "Command": {
        const handoff = yield* Handoff.Handoff
        return operation.name === "drain"
          ? yield* Stream.runDrain(handoff.drain({ node: operation.to }))
          : yield* handoff[operation.name](operation.to)
      }
      case "Forget":
        return yield* client.unregister(name)
      case "Join":
        return yield* client.join(operation.group, name)
      case "Leave":
        return yield* client.leave(operation.group, name)
      case "Alias":
        return yield* client.alias(operation.alias, name)
      case "Put":
        return yield* client.putMeta(name, operation.value)
    }
  })

/** Did somebody ask for the opposite meanwhile, or stand two registrations side by side? Then either may be seen. */
const isContested = (oracle: Oracle, { ends, id, operation: { _tag: tag, name, sworm }, sinceMs }: Asked): boolean =>
  // without its quorum a name is registered, and runs when there is one again
  sworm === "Guarded" || (tag === "Unregister" && others(oracle, sworm, name, ends).length > 0) ||
  oracle.asked.some((other) =>
    other.id !== id && other.operation.sworm === sworm && other.operation.name === name &&
    (other.operation._tag === "Register" || other.operation._tag === "Unregister") &&
    (other.endedMs === undefined || other.endedMs >= sinceMs || isUnknown(other.outcome))
  )

const outcomeOf = (exit: Exit.Exit<unknown, AnyError>): Outcome => {
  if (Exit.isSuccess(exit)) return { _tag: "Done", value: exit.value }
  const error = Cause.findErrorOption(exit.cause)
  return Option.isSome(error)
    ? { _tag: "Failed", error: error.value }
    : { _tag: "Died", detail: Cause.pretty(exit.cause) }
}

/** Does a node see no other that is alive? */
export const isAlone = (world: World, node: Node): boolean => {
  const members = world.look(node, Effect.flatMap(Membership.Membership, ({ members }) => members)) ?? []
  return !members.some(({ id, status }) => id !== node.id && status !== "dead" && status !== "left")
}

/** Asks a node for something; nothing when the node does not run. */
export const ask = (world: World, oracle: Oracle, at: string, operation: Operation): void => {
  const node = world.nodes.get(at)
  if (node === undefined || node.machine.isDead || node.machine.isHeld || node.leaving !== undefined) return
  if (node.services === undefined) return
  const asked: Asked = {
    id: oracle.asked.length,
    node,
    operation,
    sinceMs: world.timeline.nowMs,
    endedMs: undefined,
    outcome: undefined,
    wasAlone: false,
    ends: undefined
  }
  oracle.asked.push(asked)
  world.trace.note(world.timeline.nowMs, `#${asked.id} ${at}: ${JSON.stringify(operation)}`)
  world.run(
    at,
    Effect.onExit(
      perform(operation, oracle, asked) as Effect.Effect<unknown, AnyError, Services>,
      (exit) =>
        Effect.sync(() => {
          asked.endedMs = world.timeline.nowMs
          asked.outcome = outcomeOf(exit)
          asked.wasAlone = isAlone(world, node)
          world.trace.note(world.timeline.nowMs, `#${asked.id} ${describe(asked.outcome)}`)
        })
    )
  )
}

export const describe = (outcome: Outcome): string =>
  outcome._tag === "Done"
    ? `done ${JSON.stringify(outcome.value ?? null)}`
    : outcome._tag === "Failed"
    ? `failed ${outcome.error._tag}: ${outcome.error.message}`
    : `died ${outcome.detail}`
