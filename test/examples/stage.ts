/** Runs an example's pieces in a test: nodes on a network of their own, and what the nodes print, line by line. */
import { Console, Effect, References, type Scope } from "effect"
import { VirtualNetwork } from "@sworm/sworm/testing"
import { type RunningNode, startNode, untilHosts } from "../../examples/workers/nodes.ts"

type App<S> = Parameters<typeof startNode<S>>[1]

/** A cluster of nodes that all host the sworm and know it of each other. */
export const startNodes = <S>(app: App<S>, sworm: { readonly key: string }, ...ids: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const nodes: Array<RunningNode<S>> = []
    for (const id of ids) nodes.push(yield* startNode(id, app, nodes[0]?.id))
    for (const node of nodes) yield* untilHosts(node, sworm, ids.length)
    return nodes
  })

/** Plays a scene; `lines` are what has been printed so far. */
export const play = <E>(
  scene: (lines: ReadonlyArray<string>) => Effect.Effect<void, E, Scope.Scope | VirtualNetwork.VirtualNetwork>
): Effect.Effect<void, E> => {
  const lines: Array<string> = []
  const recorder: Console.Console = Object.assign(Object.create(console), {
    log: (...words: ReadonlyArray<unknown>) => void lines.push(words.join(" ").trim())
  })
  return Effect.scoped(scene(lines)).pipe(
    Effect.provide(VirtualNetwork.layer()),
    Effect.provideService(Console.Console, recorder),
    Effect.provideService(References.MinimumLogLevel, "None")
  )
}
