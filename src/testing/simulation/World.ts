/** Nodes on machines, on a network, in one program, under one seed: the same history each time, on every runtime. */
import { Cause, Context, Effect, Exit, Layer, Scope } from "effect"
import { mix32 } from "../../protocol/hash.ts"
import { seededRandom } from "../../protocol/random.ts"
import * as VirtualNetwork from "../VirtualNetwork.ts"
import { Machine } from "./Machine.ts"
import { Timeline } from "./Timeline.ts"
import { Trace } from "./Trace.ts"

export interface WorldOptions<A, E> {
  /** Everything that chance decides comes from it. */
  readonly seed: number
  /** A node: what runs on it, over the network given. `seeds` are ids of nodes to join through. */
  readonly node: (
    id: string,
    seeds: ReadonlyArray<string>,
    machine: Machine
  ) => Layer.Layer<A, E, VirtualNetwork.VirtualNetwork>
  /** How the network behaves at first. Default: frames take 0.2 to 2 ms, and all arrive. */
  readonly weather?: VirtualNetwork.Weather | undefined
}

/** What was asked of a node, and how it ended, if it did. */
export interface Running<A, E> {
  readonly node: string
  readonly sinceMs: number
  endedMs: number | undefined
  exit: Exit.Exit<A, E> | undefined
}

/** One run of a node, from its start to its end. */
export interface NodeRun<A> {
  readonly id: string
  readonly machine: Machine
  readonly scope: Scope.Closeable
  /** What its layer made, once it has. */
  services: Context.Context<A> | undefined
  /** How its graceful end goes on, once it was asked to leave. */
  leaving: Running<void, never> | undefined
}

export const FAIR: VirtualNetwork.Weather = { delay: { minMs: 0.2, maxMs: 2 } }

export class World<A, E = never> {
  readonly timeline: Timeline
  readonly trace: Trace = new Trace()
  readonly network: VirtualNetwork.VirtualNetwork
  /** The present run of each node that was ever started. */
  readonly nodes: Map<string, NodeRun<A>> = new Map()
  readonly #options: WorldOptions<A, E>
  readonly #random: () => number

  constructor(options: WorldOptions<A, E>) {
    const { seed } = options
    this.#options = options
    this.#random = seededRandom(mix32(seed ^ 0x51ab))
    this.timeline = new Timeline(mix32(seed ^ 0x7133))
    const machineOf = (node: string): Machine | undefined => this.nodes.get(node)?.machine
    this.network = Effect.runSync(VirtualNetwork.make({
      ...options.weather ?? FAIR,
      seed: mix32(seed ^ 0x2e77),
      pace: {
        nowMs: () => this.timeline.nowMs,
        later: (node, millis, run) =>
          void this.timeline.at(this.timeline.nowMs + millis, () => machineOf(node)?.soon(run)),
        tell: (node, run) => machineOf(node)?.soon(run)
      }
    }))
    this.network.trace((delivery) => this.trace.delivered(this.timeline.nowMs, delivery))
  }

  // ---- nodes

  /** Nodes that run, held up or not, and don't leave. */
  get running(): ReadonlyArray<NodeRun<A>> {
    return [...this.nodes.values()].filter((node) => !node.machine.isDead && node.leaving === undefined)
  }

  /** Nodes whose services are there. */
  get ready(): ReadonlyArray<NodeRun<A>> {
    return this.running.filter((node) => node.services !== undefined)
  }

  /** Starts a node, or a new run of one that has ended. */
  start(id: string, seeds: ReadonlyArray<string>): NodeRun<A> {
    this.#retire(id)
    this.trace.note(this.timeline.nowMs, `start ${id}`)
    const machine = new Machine(id, this.timeline, Math.floor(this.#random() * 0x7fffffff))
    const scope = Effect.runSync(Scope.make())
    const run: NodeRun<A> = { id, machine, scope, services: undefined, leaving: undefined }
    this.timeline.machines.push(machine)
    this.nodes.set(id, run)
    const layer = Layer.fresh(this.#options.node(id, seeds, machine)).pipe(
      Layer.provide(Layer.succeed(VirtualNetwork.VirtualNetwork)(this.network))
    )
    const build = Effect.matchCauseEffect(Layer.buildWithScope(layer, scope), {
      onFailure: (cause) => Effect.sync(() => void machine.warnings.push(`did not start: ${Cause.pretty(cause)}`)),
      onSuccess: (services) => Effect.sync(() => void (run.services = services))
    })
    machine.soon(() => void Effect.runForkWith(machine.context)(build))
    return run
  }

  #retire(id: string): void {
    const before = this.nodes.get(id)
    if (before === undefined) return
    before.machine.die()
    const { machines } = this.timeline
    machines.splice(machines.indexOf(before.machine), 1)
  }

  /** SIGKILL: nothing of it goes on; its connections break where the network lets others see it. */
  crash(id: string): void {
    const node = this.nodes.get(id)
    if (node === undefined || node.machine.isDead) return
    this.trace.note(this.timeline.nowMs, `crash ${id}`)
    node.machine.die()
    this.network.stall(id, false)
    this.network.kill(id)
  }

  /** SIGSTOP, SIGCONT. */
  hold(id: string, isHeld: boolean): void {
    const node = this.nodes.get(id)
    if (node === undefined || node.machine.isDead) return
    this.trace.note(this.timeline.nowMs, `${isHeld ? "hold" : "release"} ${id}`)
    node.machine.hold(isHeld)
    this.network.stall(id, isHeld)
  }

  /** SIGTERM: its scope closes. */
  leave(id: string): Running<void, never> | undefined {
    const node = this.nodes.get(id)
    if (node === undefined || node.machine.isDead) return undefined
    this.trace.note(this.timeline.nowMs, `leave ${id}`)
    node.leaving ??= this.#run(node, Context.empty() as Context.Context<A>, Scope.close(node.scope, Exit.void))
    return node.leaving
  }

  // ---- what runs on them

  /** Runs an effect on a node, with its services; `undefined` when it has none. */
  run<B, F>(id: string, effect: Effect.Effect<B, F, A>): Running<B, F> | undefined {
    const node = this.nodes.get(id)
    if (node?.services === undefined || node.machine.isDead || node.leaving !== undefined) return undefined
    return this.#run(node, node.services, effect)
  }

  /** What a node knows at this moment, asked without a step of its time. */
  look<B>(node: NodeRun<A>, effect: Effect.Effect<B, unknown, A>): B | undefined {
    if (node.services === undefined) return undefined
    const exit = Effect.runSyncExit(Effect.provideContext(effect, node.services))
    return Exit.isSuccess(exit) ? exit.value : undefined
  }

  #run<B, F>(node: NodeRun<A>, services: Context.Context<A>, effect: Effect.Effect<B, F, A>): Running<B, F> {
    const running: Running<B, F> = {
      node: node.id,
      sinceMs: this.timeline.nowMs,
      endedMs: undefined,
      exit: undefined
    }
    const noted = Effect.onExit(effect, (exit) =>
      Effect.sync(() => {
        running.exit = exit
        running.endedMs = this.timeline.nowMs
      }))
    const context = Context.merge(node.machine.context, services) as Context.Context<A>
    node.machine.soon(() => void Effect.runForkWith(context)(noted))
    return running
  }
}
