/** Effects that run for as long as the cluster does: once in it, a number of times, or once on each node. */
import { Cause, Clock, type Duration, Effect, Layer, Option, Schedule, Schema, type Scope, Stream } from "effect"
import { Node } from "./Node.ts"
import * as Placement from "./Placement.ts"
import * as Process from "./Process.ts"
import { Registry } from "./Registry.ts"
import { compileType, type ErasedImplementation } from "./runtime/Hosted.ts"
import { Supervisor } from "./Supervisor.ts"
import { warn } from "./runtime/log.ts"

export interface DaemonOptions {
  /** Which nodes may run it. Default: every node that has the layer, by rendezvous hashing. */
  readonly placement?: Placement.Placement | undefined
  /**
   * The wait before it is begun again after a failure or its end. Default: 100 ms, doubled each time up to 10 seconds;
   * a run of more than a minute begins anew with 100 ms.
   */
  readonly backoff?: Schedule.Schedule<unknown> | undefined
}

/** Which one of several it is. */
export interface Daemon {
  /** From 0; on each node 0 where there is one per node. */
  readonly index: number
  /** The node that it runs on. */
  readonly node: string
}

export interface DaemonsOptions extends DaemonOptions {
  /** How many there are, on different nodes as long as there are enough; or one on every node that has the layer. */
  readonly size: number | "each node"
}

/** A registration that was lost, or could not be made, is made again after this long. */
const LOOK_EVERY: Duration.Input = "1 second"

const defaultBackoff: Schedule.Schedule<unknown> = Schedule.min([
  Schedule.exponential("100 millis"),
  Schedule.spaced("10 seconds")
])

const DaemonType = Process.make("Daemon", {
  args: { index: Schema.Int },
  protocol: [],
  restart: "permanent",
  restartLimit: { max: Infinity, within: "1 minute" }
})

type Backend = Registry | Supervisor | Node

/**
 * Runs an effect on exactly one of the nodes that have this layer. When its node leaves or dies, another begins it; when
 * it fails or ends, it is begun again after a back-off. It is interrupted where it no longer belongs. Its registration
 * is the name `0` of the sworm `singleton/<name>`.
 *
 * @example
 * ```ts
 * import { Deferred, Effect, Layer } from "effect"
 * import { Memory, Sworm } from "@sworm/sworm"
 *
 * const program = Effect.gen(function*() {
 *   const ran = yield* Deferred.make<void>()
 *   const janitor = Sworm.singleton("janitor", Effect.andThen(Deferred.succeed(ran, undefined), Effect.never))
 *   yield* Layer.build(janitor)
 *   yield* Deferred.await(ran)
 *   console.log("clean")
 * })
 *
 * await Effect.runPromise(Effect.provide(Effect.scoped(program), Memory.layer))
 * // prints: clean
 * ```
 */
export const singleton = <E, R>(
  name: string,
  run: Effect.Effect<unknown, E, R>,
  options: DaemonOptions = {}
): Layer.Layer<never, never, Exclude<R, Scope.Scope> | Backend> =>
  pool(`singleton/${name}`, 1, options.placement ?? Placement.rendezvous, () => run, options)

/**
 * Runs an effect several times over the cluster: `size` of them, on different nodes as long as there are enough, or one
 * on every node that has this layer. Otherwise as `singleton`; their registrations are the names `0` to `size - 1`, or
 * the nodes' ids, of the sworm `daemons/<name>`.
 *
 * @example
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { Sworm } from "@sworm/sworm"
 *
 * export const Importers = Sworm.daemons("importers", { size: 4 }, ({ index }) =>
 *   Effect.forever(Effect.andThen(Effect.log(`shard ${index}`), Effect.sleep("1 minute"))))
 *
 * export const Metrics = Sworm.daemons("metrics", { size: "each node" }, ({ node }) =>
 *   Effect.forever(Effect.andThen(Effect.log(`load of ${node}`), Effect.sleep("10 seconds"))))
 *
 * export const Daemons = Layer.merge(Importers, Metrics)
 * ```
 */
export const daemons = <E, R>(
  name: string,
  options: DaemonsOptions,
  run: (daemon: Daemon) => Effect.Effect<unknown, E, R>
): Layer.Layer<never, never, Exclude<R, Scope.Scope> | Backend> => {
  const { placement, size } = options
  const sworm = `daemons/${name}`
  if (size === "each node") return onEachNode(sworm, run, options)
  if (!Number.isSafeInteger(size) || size < 1) {
    throw new RangeError(`Sworm.daemons: a size of ${String(size)}: give a number of at least 1, or "each node"`)
  }
  const spread = Placement.spread({ of: (index) => ({ key: sworm, index: Number(index) }) }, placement)
  return pool(sworm, size, spread, run, options)
}

/** So many processes of a sworm of its own; every node that has the layer sees that they are there. */
const pool = <E, R>(
  sworm: string,
  size: number,
  placement: Placement.Placement,
  run: (daemon: Daemon) => Effect.Effect<unknown, E, R>,
  { backoff = defaultBackoff }: DaemonOptions
): Layer.Layer<never, never, Exclude<R, Scope.Scope> | Backend> =>
  Layer.effectDiscard(Effect.gen(function* () {
    const registry = yield* Registry
    const supervisor = yield* Supervisor
    const context = yield* Effect.context<Exclude<R, Scope.Scope>>()
    const implementation: ErasedImplementation = {
      init: ({ args }) => Effect.succeed(args),
      handlers: {},
      // its end is one like any other: it is begun again
      run: (self) => {
        const index = Number(self.name)
        // more than there should be: from nodes that still had a larger size
        if (index >= size) return registry.unregister(sworm, self.name)
        const daemon = run({ index, node: self.node }) as Effect.Effect<unknown, unknown>
        return Effect.andThen(daemon, self.stop)
      },
      beginHandoff: undefined,
      resolveConflict: undefined,
      stop: undefined
    }
    const type = compileType(DaemonType, { backoff }, implementation, context)
    yield* supervisor.host({
      id: sworm,
      types: new Map([[type.name, type]]),
      placement,
      redistribution: "active",
      maxChildren: Infinity,
      maxResident: Infinity
    })
    const keep = Effect.forEach(Array.from({ length: size }, (_, index) => index), (index) =>
      Effect.flatMap(registry.whereis(sworm, String(index)), (found) =>
        Option.isSome(found) ? Effect.void : Effect.ignore(
          supervisor.start({ sworm, name: String(index), type: type.name, args: { index }, restart: "permanent" })
        )), { concurrency: 16, discard: true })
    yield* Effect.forkScoped(Effect.forever(Effect.andThen(keep, Effect.sleep(LOOK_EVERY))))
  }))

const LONG_RUN_NANOS = 60_000_000_000n

/** Supervised here, and registered by hand: it goes with its node, and nobody takes it over. */
const onEachNode = <E, R>(
  sworm: string,
  run: (daemon: Daemon) => Effect.Effect<unknown, E, R>,
  { backoff = defaultBackoff, placement }: DaemonOptions
): Layer.Layer<never, never, Exclude<R, Scope.Scope> | Backend> =>
  Layer.effectDiscard(Effect.gen(function* () {
    const registry = yield* Registry
    const { id, labels } = yield* Node
    if (placement?.allows?.(id, { id, labels, hash: 0, load: 0 }) === false) return
    const once = Effect.scoped(Effect.gen(function* () {
      yield* registry.adopt(sworm, id)
      const begun = yield* Clock.monotonicTimeNanos
      // without its name it is nobody's: it begins again with it
      const isGone = registry.watch(sworm, { name: id }).pipe(
        Stream.filter(({ _tag }) => _tag === "Unregistered"),
        Stream.take(1),
        Stream.runDrain
      )
      yield* Effect.catchCause(
        Effect.raceFirst(run({ index: 0, node: id }), isGone),
        (cause) => Cause.hasInterruptsOnly(cause) ? Effect.failCause(cause) : warn(`"${sworm}" failed`, cause)
      )
      return (yield* Clock.monotonicTimeNanos) - begun > LONG_RUN_NANOS
    }))
    const loop = Effect.gen(function* () {
      while (true) {
        const wait = yield* Schedule.toStepWithSleep(backoff)
        for (let isLong = false; !isLong;) {
          isLong = yield* Effect.orElseSucceed(once, () => false)
          yield* Effect.ignore(wait(undefined))
        }
      }
    })
    yield* Effect.forkScoped(loop)
  })) as Layer.Layer<never, never, Exclude<R, Scope.Scope> | Backend>
