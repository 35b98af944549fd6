/** Cases whose nodes run one more sworm than Workers and Settled: built with each node, closed before it. */
import { Context, Effect, Layer, type Scope } from "effect"
import { Registry } from "../../Registry.ts"
import { type Define, group, type TestNode } from "./cluster.ts"
import type { BackendServices, Harness } from "./Harness.ts"

export interface Hosting<A> {
  readonly define: Define
  /** The node's client of the sworm. */
  readonly on: <I, Client>(node: TestNode, service: Context.Key<I, Client>) => Client
  /** Builds a layer on a node that runs already, until the scope closes. */
  readonly build: <B>(node: TestNode, layer: Layer.Layer<B, never, BackendServices>) => Effect.Effect<
    Context.Context<B>,
    never,
    Scope.Scope
  >
}

/** As `group`, with a layer on each node: the same on all, or as the node's id says. */
export const groupHosting = <A>(
  theme: string,
  layerFor: (node: string) => Layer.Layer<A, never, BackendServices>
): Hosting<A> => {
  const define = group(theme)
  // a node's registry is its own: so it tells which node a client belongs to
  const built = new WeakMap<Registry, Context.Context<A | BackendServices>>()
  const build = <B>(services: Context.Context<BackendServices>, layer: Layer.Layer<B, never, BackendServices>) =>
    Layer.build(Layer.fresh(layer).pipe(Layer.provide(Layer.succeedContext(services))))
  const hosting = (harness: Harness): Harness => ({
    ...harness,
    start: (options) =>
      Effect.gen(function* () {
        const backend = yield* harness.start(options)
        const context = yield* build(backend.services, layerFor(backend.id))
        built.set(Context.get(backend.services, Registry), Context.merge(backend.services, context))
        return backend
      })
  })
  return {
    define: (...definition) => {
      const one = define(...definition)
      return { ...one, effect: (harness) => one.effect(hosting(harness)) }
    },
    on: (node, service) => Context.getUnsafe(built.get(node.registry)!, service),
    build: (node, layer) => build(built.get(node.registry)!, layer)
  }
}
