/**
 * Several nodes of one cluster in one program, on a network inside it: what this example and those beside it run on,
 * with one command. On real machines each node is a program of its own, as in examples/flights/node.ts, and only the
 * backend's layer is another.
 */
import { Console, type Context, Effect, Exit, Layer, References, Scope } from "effect"
import { Membership, Memory, Supervisor } from "@sworm/sworm"
import { VirtualNetwork } from "@sworm/sworm/testing"

/** A running node that has the services `S` besides those of the backend. */
export interface RunningNode<S> {
  readonly id: string
  /** Runs an effect with the node's services, as the program on that node would. */
  readonly run: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, Exclude<R, S | Memory.Services>>
  /** What SIGTERM does to a program: the node hands its processes over, then says goodbye. */
  readonly leave: Effect.Effect<void>
  /** What a power cut does: the node is gone without a word, and its processes with it. */
  readonly kill: Effect.Effect<void>
}

/**
 * Starts a node with an application on it: the layers of the sworms that it hosts or uses. It leaves with the scope, if
 * not before. `through` names a node to join through; the first node has none and forms the cluster.
 */
export const startNode = Effect.fnUntraced(function* <S>(
  id: string,
  app: Layer.Layer<S, never, Memory.Services>,
  through?: string
) {
  const scope = yield* Scope.fork(yield* Effect.scope)
  // `local` finds a dead neighbour in a moment; a healed network should merge as fast
  const backend = Memory.layerNode({
    id,
    seeds: through === undefined ? [] : [through],
    preset: "local",
    redialInterval: "200 millis"
  })
  // each line says which node prints it; a killed node prints nothing, although its program is still in this one
  const console = yield* Console.Console
  let isAlive = true
  const voice: Console.Console = Object.assign(Object.create(console), {
    log: (...words: ReadonlyArray<unknown>) => isAlive && console.log(`  [${id}]`, ...words)
  })
  // fresh: layers are shared within a program, and these are several nodes
  const context: Context.Context<S | Memory.Services> = yield* app.pipe(
    Layer.provideMerge(backend),
    Layer.provide(Layer.succeed(Console.Console)(voice)),
    Layer.fresh,
    Layer.buildWithScope(scope)
  )
  const run: RunningNode<S>["run"] = (effect) => Effect.provideContext(effect, context)
  yield* run(Effect.flatMap(Membership.Membership, ({ awaitSynced }) => awaitSynced))
  const network = yield* VirtualNetwork.VirtualNetwork
  const leave = Scope.close(scope, Exit.void)
  const kill = Effect.suspend(() => {
    network.kill(id)
    isAlive = false
    return leave
  })
  const node: RunningNode<S> = { id, run, leave, kill }
  return node
})

/** Waits for what will be, instead of for a while. What fails in the midst of a change is looked at again. */
export const until = <E, R>(what: string, condition: Effect.Effect<boolean, E, R>): Effect.Effect<void, never, R> =>
  Effect.gen(function* () {
    while (!(yield* Effect.orElseSucceed(condition, () => false))) yield* Effect.sleep("10 millis")
  }).pipe(Effect.timeoutOrElse({ duration: "20 seconds", orElse: () => Effect.die(new Error(`never: ${what}`)) }))

/** Waits until a node knows of so many nodes that may run the sworm's processes. */
export const untilHosts = <S>(node: RunningNode<S>, sworm: { readonly key: string }, count: number) =>
  until(
    `${node.id} knows ${count} nodes that host ${sworm.key}`,
    node.run(Effect.map(
      Effect.flatMap(Supervisor.Supervisor, ({ explain }) => explain(sworm.key, "any")),
      ({ candidates }) => candidates.length === count
    ))
  )

/**
 * Runs a story on a network of its own; the nodes it has started leave at its end. What they log is no part of the
 * story: that a neighbour which has left cannot be reached any more, for instance.
 */
export const tell = <A, E>(story: Effect.Effect<A, E, Scope.Scope | VirtualNetwork.VirtualNetwork>): Promise<A> =>
  Effect.runPromise(
    Effect.scoped(story).pipe(
      Effect.provide(VirtualNetwork.layer()),
      Effect.provideService(References.MinimumLogLevel, "Error")
    )
  )
