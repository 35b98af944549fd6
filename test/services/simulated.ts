/** A cluster in simulated time, on machines and a network that do as a test says: whatever it takes, no test waits. */
import { assert } from "@effect/vitest"
import { Context, Effect, Exit, Layer, Option } from "effect"
import { Discovery, Handoff, Membership, type Memory, Node, Registry, SnapshotStore, Supervisor } from "@sworm/sworm"
import * as Gossip from "@sworm/sworm/gossip"
import { Simulation, VirtualNetwork } from "@sworm/sworm/testing"
import type { App, ThingsClient } from "./support.ts"

export type NodeSettings = Gossip.GossipOptions & Omit<Node.NodeOptions, "id">

export interface TownOptions {
  /** Default 1. */
  readonly seed?: number
  /** What the nodes are told besides who they are. */
  readonly settings?: NodeSettings | ((id: string) => NodeSettings)
  /** Where a node looks for others. Default: at every node that was ever named in this town. */
  readonly discovery?: (id: string) => Discovery.Discovery
  readonly weather?: VirtualNetwork.Weather
  /** Where all nodes store snapshots. */
  readonly store?: SnapshotStore.SnapshotStore
}

const STEP_MS = 10
/** Above all that a test waits for; simulated time costs little. */
const LIMIT_MS = 60_000

/** Nodes that run an app, the same on all or each its own. */
export class Town<Self, Client = ThingsClient> {
  readonly world: Simulation.World<Memory.Services | Self, unknown>
  readonly ids = new Set<string>()
  readonly #appOf: (id: string) => App<Self, Client>

  constructor(app: App<Self, Client> | ((id: string) => App<Self, Client>), options: TownOptions = {}) {
    this.#appOf = typeof app === "function" ? app : () => app
    const addresses = Effect.sync(() => [...this.ids].map(VirtualNetwork.addressOf))
    const discovery = options.discovery ?? (() => ({ addresses }))
    const store = options.store === undefined ? Layer.empty : Layer.succeed(SnapshotStore.SnapshotStore)(options.store)
    const settingsOf = (id: string): NodeSettings => {
      const { settings } = options
      const own = typeof settings === "function" ? settings(id) : settings
      return { redialInterval: "2 seconds", shutdownTimeout: "5 seconds", ...own }
    }
    const node = (id: string): Layer.Layer<Memory.Services | Self, unknown, VirtualNetwork.VirtualNetwork> => {
      const settings = settingsOf(id)
      return this.#appOf(id).layer.pipe(
        Layer.provideMerge(
          Gossip.layer(settings).pipe(
            Layer.provide([VirtualNetwork.layerTransport, Discovery.layer(discovery(id)), store]),
            Layer.provideMerge(Node.layer({ ...settings, id }))
          )
        )
      )
    }
    this.world = new Simulation.World({ seed: options.seed ?? 1, node, weather: options.weather })
  }

  // ---- time

  get nowMs(): number {
    return this.world.timeline.nowMs
  }

  pass(millis: number): Promise<void> {
    return this.world.timeline.pass(this.nowMs + millis)
  }

  /** Lets time pass until it holds; how long that took. */
  async until(what: string, holds: () => boolean, withinMs = LIMIT_MS): Promise<number> {
    const since = this.nowMs
    while (!holds()) {
      if (this.nowMs - since > withinMs) throw new Error(`not within ${withinMs} ms: ${what}; ${this.#told()}`)
      await this.pass(STEP_MS)
    }
    return this.nowMs - since
  }

  /** Lets time pass until it has held for as long as this. */
  async untilLasting(what: string, holds: () => boolean, forMs = 2000): Promise<void> {
    let since = this.nowMs
    await this.until(what, () => {
      if (!holds()) since = this.nowMs
      return this.nowMs - since >= forMs
    })
  }

  /** It holds now, and for as long as this. */
  async always(what: string, holds: () => boolean, forMs: number): Promise<void> {
    for (const end = this.nowMs + forMs; this.nowMs < end;) {
      if (!holds()) throw new Error(`no longer, at ${this.nowMs} ms: ${what}; ${this.#told()}`)
      await this.pass(Math.max(STEP_MS, forMs / 100))
    }
  }

  #told(): string {
    return JSON.stringify(
      this.world.ready.map(({ id }) => [id, this.running(id), this.statuses(id), this.candidates(id)])
    )
  }

  // ---- nodes

  /** Starts nodes, all at once. */
  start(...ids: ReadonlyArray<string>): void {
    for (const id of ids) this.ids.add(id)
    for (const id of ids) this.world.start(id, [])
  }

  /** Starts nodes; done when all that run are one cluster. */
  async form(...ids: ReadonlyArray<string>): Promise<void> {
    this.start(...ids)
    await this.together()
  }

  /** Each node that runs thinks each alive and synced, and knows that it hosts the app. */
  together(withinMs?: number): Promise<number> {
    return this.until("they are one cluster", () => this.isTogether(), withinMs)
  }

  isTogether(ids: ReadonlyArray<string> = this.world.running.map(({ id }) => id)): boolean {
    const all = [...ids].sort()
    const hosting = (sworm: string): string => all.filter((id) => this.#sworm(id) === sworm).join()
    return all.every((id) =>
      this.syncedOn(id).join() === all.join() && this.candidates(id).join() === hosting(this.#sworm(id))
    )
  }

  #sworm(id: string): string {
    return this.#appOf(id).service.key
  }

  /** What a node knows now; `fallback` while it has no services. */
  look<A>(id: string, effect: Effect.Effect<A, unknown, Memory.Services | Self>, fallback: A): A {
    const node = this.world.nodes.get(id)
    return node === undefined || node.machine.isDead ? fallback : this.world.look(node, effect) ?? fallback
  }

  members(id: string): ReadonlyArray<Membership.Member> {
    return this.look(id, Effect.flatMap(Membership.Membership, ({ members }) => members), [])
  }

  /** Who is synced and alive, as a node knows. */
  syncedOn(id: string): ReadonlyArray<string> {
    return this.members(id).filter(({ status, synced }) => synced && status === "alive").map((member) => member.id)
      .sort()
  }

  /** As `b alive`, others only. */
  statuses(id: string): ReadonlyArray<string> {
    return this.members(id).filter((member) => member.id !== id).map((member) => `${member.id} ${member.status}`).sort()
  }

  status(id: string, of: string): string | undefined {
    return this.members(id).find((member) => member.id === of)?.status
  }

  /** Which nodes host the node's sworm, or another, as it knows. */
  candidates(id: string, sworm: string = this.#sworm(id)): ReadonlyArray<string> {
    const explain = Effect.flatMap(Supervisor.Supervisor, (supervisor) => supervisor.explain(sworm, "nobody"))
    return this.look(id, Effect.map(explain, ({ candidates }) => candidates.map(({ node }) => node).sort()), [])
  }

  /** Which node serialises the registrations of a name, as a node thinks. */
  registrar(id: string, name: string): string | undefined {
    const sworm = this.#sworm(id)
    const explain = Effect.flatMap(Supervisor.Supervisor, (supervisor) => supervisor.explain(sworm, name))
    return this.look(id, Effect.map(explain, ({ registrar }) => registrar), undefined)
  }

  /** A name like this one whose registrations that node serialises. */
  nameAt(id: string, like: (n: number) => string): string {
    for (let n = 0; n < 1000; n++) {
      if (this.registrar(id, like(n)) === id) return like(n)
    }
    throw new Error(`no name is serialised at "${id}"`)
  }

  /** What nodes run themselves, as `one@a on a`, in order; the settled only: what starts or closes is not there. */
  running(...ids: ReadonlyArray<string>): ReadonlyArray<string> {
    const nodes = ids.length === 0 ? this.world.ready.map(({ id }) => id) : ids
    const all = nodes.flatMap((id) => {
      const which = Effect.flatMap(Supervisor.Supervisor, (supervisor) => supervisor.which(this.#sworm(id), id))
      return this.look(id, which, []).filter(({ status }) => status !== "moving")
    })
    return all.map(({ ref }) => `${ref.name} on ${ref.node}`).sort()
  }

  /** Where a name is, as a node knows. */
  whereis(id: string, name: string): string | undefined {
    const whereis = Effect.flatMap(Registry.Registry, (registry) => registry.whereis(this.#sworm(id), name))
    return Option.getOrUndefined(this.look(id, whereis, Option.none()))?.node
  }

  epoch(id: string, name: string): number | undefined {
    const whereis = Effect.flatMap(Registry.Registry, (registry) => registry.whereis(this.#sworm(id), name))
    return Option.getOrUndefined(this.look(id, whereis, Option.none()))?.epoch
  }

  names(id: string): ReadonlyArray<string> {
    const all = Effect.flatMap(Registry.Registry, (registry) => registry.registered(this.#sworm(id)))
    return this.look(id, all, []).map(({ name }) => name)
  }

  /** Do all nodes that run agree on who has which name? */
  isAgreed(): boolean {
    const known = this.world.ready.map(({ id }) => {
      const all = Effect.flatMap(Registry.Registry, (registry) => registry.registered(this.#sworm(id)))
      return JSON.stringify(this.look(id, all, []))
    })
    return known.length > 0 && known.every((one) => one === known[0])
  }

  // ---- asking

  /** Asks on a node, without waiting. */
  begin<A, E>(id: string, ask: (things: Client) => Effect.Effect<A, E, Memory.Services>): Simulation.Running<A, E> {
    const app = this.#appOf(id)
    const running = this.world.run(
      id,
      Effect.flatMap(
        Effect.context<Memory.Services | Self>(),
        (context) => ask(Context.get(context, app.service))
      ) as Effect.Effect<A, E, Memory.Services | Self>
    )
    if (running === undefined) throw new Error(`node "${id}" does not run`)
    return running
  }

  async ended<A, E>(running: Simulation.Running<A, E>): Promise<Exit.Exit<A, E>> {
    await this.world.timeline.pass(this.nowMs + LIMIT_MS, () => running.exit !== undefined)
    if (running.exit === undefined) throw new Error(`what node "${running.node}" was asked for never ended`)
    return running.exit
  }

  /** Asks on a node; how it ended. */
  ask<A, E>(id: string, ask: (things: Client) => Effect.Effect<A, E, Memory.Services>): Promise<Exit.Exit<A, E>> {
    return this.ended(this.begin(id, ask))
  }

  /** Asks on a node, for what can't fail. */
  async get<A, E>(id: string, ask: (things: Client) => Effect.Effect<A, E, Memory.Services>): Promise<A> {
    const exit = await this.ask(id, ask)
    if (Exit.isFailure(exit)) throw new Error(`asked of "${id}": ${String(exit.cause)}`)
    return exit.value
  }

  /** Begins a move of a name. */
  moving(name: string, to: string, asked: string): Simulation.Running<unknown, unknown> {
    const sworm = this.#sworm(asked)
    return this.begin(asked, () => Effect.flatMap(Handoff.Handoff, (handoff) => handoff.move(sworm, name, to)))
  }

  /** Cuts every link between two sides, until each node thinks the other side's dead. */
  async part(one: ReadonlyArray<string>, other: ReadonlyArray<string>): Promise<void> {
    this.world.network.partition(one, other)
    await this.until(
      "each side thinks the other dead",
      () => one.every((a) => other.every((b) => this.status(a, b) === "dead" && this.status(b, a) === "dead"))
    )
  }

  async heal(): Promise<void> {
    this.world.network.heal()
    await this.together()
  }

  /** Closes a node's scope, and waits for that. */
  async leave(id: string): Promise<void> {
    const leaving = this.world.leave(id)!
    await this.until(`"${id}" has left`, () => leaving.exit !== undefined)
  }
}

/** The tag of an expected failure. */
export const failureOf = (exit: Exit.Exit<unknown, { readonly _tag: string }>): string | undefined =>
  Option.getOrUndefined(Exit.findErrorOption(exit))?._tag

export const sameNames = (actual: ReadonlyArray<string>, expected: ReadonlyArray<string>): void =>
  assert.deepStrictEqual([...actual].sort(), [...expected].sort())
