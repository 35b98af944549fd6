/** The Handoff service: moves on command, and what a node is told about moves by whoever runs it. */
import { Duration, Effect, Option, Stream } from "effect"
import type { DrainOptions, DrainProgress, Handoff } from "../../src/Handoff.ts"
import { asArray, asCount, asFlag, asText } from "../../src/protocol/wire.ts"
import { asHandoffFailure, HandoffError, NotRegistered, type ProcessRef, Unavailable } from "../../src/SwormError.ts"
import { ASK_TIMEOUT_MS } from "./attempts.ts"
import type { Backend } from "./backend.ts"
import { Method } from "./requests.ts"

/** A drain tells how far it is this often. */
const PROGRESS_MS = 200
const MAX_DEADLINE_MS = 86_400_000

export const handoffOf = (backend: Backend): Handoff => {
  const { moves, requests } = backend.core.parts
  requests.answer(Method.move, (_, body) => {
    const [sworm, name, target] = asArray(body, 3)
    return Effect.match(moveHere(backend, asText(sworm), asText(name), asText(target)), {
      onFailure: (error) =>
        error._tag === "HandoffError" ? [false, error.detail, error.reason] : [false, error.message, "NotRunning"],
      onSuccess: (ref) => [true, ref.epoch]
    })
  })
  requests.answer(Method.control, (_, body) => {
    const [command, deadlineMs] = asArray(body, 2)
    return Effect.map(obey(backend, asText(command), asCount(deadlineMs)), encodeProgress)
  })
  return {
    move: (sworm, name, target) => move(backend, sworm, name, target),
    moves: Stream.fromPubSub(moves),
    cordon: (node) => tell(backend, node, "cordon"),
    uncordon: (node) => tell(backend, node, "uncordon"),
    drain: (options) => drain(backend, options),
    pause: (node) => tell(backend, node, "pause"),
    resume: (node) => tell(backend, node, "resume")
  }
}

// ---- moves
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
  const known = directory.ref(sworm, name)
  const ref = known ?? Option.getOrUndefined((yield* backend.registrations.lookup(sworm, name)).ref)
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

// ---- commands

type Command = "cordon" | "uncordon" | "pause" | "resume" | "drain" | "drained"

/** Does what this node is told, by its own program or by another node; 0 stands for the default deadline. */
const obey = (
  { budget, core, draining, rebalancer }: Backend,
  command: string,
  deadlineMs: number
): Effect.Effect<DrainProgress | undefined> =>
  Effect.suspend(() => {
    const { members, options } = core.parts
    switch (command) {
      case "cordon":
      case "uncordon": {
        const cordoned = command === "cordon"
        if (!cordoned) draining.cancel()
        if ((members.self().cordoned === true) !== cordoned) members.announce({ cordoned })
        return Effect.undefined
      }
      case "pause":
      case "resume":
        budget.isPaused = command === "pause"
        rebalancer.look()
        return Effect.undefined
      case "drain":
        draining.begin(deadlineMs === 0 ? options.shutdownTimeoutMs : deadlineMs)
        return draining.progress(0)
      case "drained":
        return draining.progress(PROGRESS_MS)
      default:
        return Effect.die(new Error(`unknown command "${command}"`))
    }
  })

const told = (
  backend: Backend,
  node: string | undefined,
  command: Command,
  deadlineMs = 0
): Effect.Effect<DrainProgress | undefined, Unavailable> => {
  const { node: self, requests } = backend.core.parts
  if (node === undefined || node === self.id) return obey(backend, command, deadlineMs)
  const operation = `${command === "drained" ? "drain" : command} "${node}"`
  return requests.ask(node, Method.control, [command, deadlineMs], ASK_TIMEOUT_MS).pipe(
    Effect.mapError(({ detail }) => new Unavailable({ operation, detail })),
    Effect.flatMap((reply) =>
      Effect.try({
        try: () => decodeProgress(reply),
        catch: (error) => new Unavailable({ operation, detail: `its answer is none: ${String(error)}` })
      })
    )
  )
}

const tell = (backend: Backend, node: string | undefined, command: Command): Effect.Effect<void, Unavailable> =>
  Effect.asVoid(told(backend, node, command))

const drain = (
  backend: Backend,
  { deadline, node }: DrainOptions = {}
): Stream.Stream<DrainProgress, Unavailable> => {
  const millis = deadline === undefined ? 0 : Duration.toMillis(Duration.fromInputUnsafe(deadline))
  const deadlineMs = deadline === undefined ? 0 : Math.ceil(Math.min(MAX_DEADLINE_MS, Math.max(1, millis)))
  return Stream.paginate<Command, DrainProgress, Unavailable>(
    "drain",
    (command) =>
      Effect.flatMap(told(backend, node, command, deadlineMs), (progress) => {
        if (progress === undefined) {
          const detail = "it knows of none: it has been started anew since"
          return Effect.fail(new Unavailable({ operation: `drain "${node}"`, detail }))
        }
        const next: Option.Option<Command> = progress.isFinal ? Option.none() : Option.some("drained")
        return Effect.succeed([[progress], next] as const)
      })
  )
}

const encodeProgress = (progress: DrainProgress | undefined): unknown => {
  if (progress === undefined) return null
  const { failed, isFinal, left, moved, node, stays } = progress
  return [node, moved, left, failed, stays.map(({ detail, name, sworm }) => [sworm, name, detail]), isFinal]
}

const decodeProgress = (u: unknown): DrainProgress | undefined => {
  if (u === null) return undefined
  const [node, moved, left, failed, stays, isFinal] = asArray(u, 6)
  return {
    node: asText(node),
    moved: asCount(moved),
    left: asCount(left),
    failed: asCount(failed),
    stays: asArray(stays).map((stay) => {
      const [sworm, name, detail] = asArray(stay, 3)
      return { sworm: asText(sworm), name: asText(name), detail: asText(detail) }
    }),
    isFinal: asFlag(isFinal)
  }
}
