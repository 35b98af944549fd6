// Placement through real nodes: labels, a split with a quorum, nodes that place differently.
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Layer, Logger, Option, Ref, Schema, Scope } from "effect"
import { Rpc } from "effect/rpc"
import { Membership, Memory, Placement, Process, Sworm } from "@sworm/sworm"
import { VirtualNetwork } from "@sworm/sworm/testing"

const Unit = Process.make("Unit", {
  args: { start: Schema.Int },
  state: Schema.Int,
  protocol: [
    Rpc.make("Add", { payload: { by: Schema.Int }, success: Schema.Int }),
    Rpc.make("Get", { success: Schema.Int }),
    Rpc.make("Where", { success: Schema.String })
  ]
})

interface Units {
  readonly "~test/Units": true
}

/** A sworm of units, placed by what a test is about. */
const units = (placement: Placement.Placement, redistribution: "active" | "passive" = "active") => {
  const service = Sworm.Service<Units>()("Units", { processes: [Unit], placement, redistribution })
  const implementation = service.toLayer(Unit, {
    init: ({ args }) => Effect.succeed(args.start),
    handlers: {
      Add: ({ by }, { state }) => Ref.updateAndGet(state, (n) => n + by),
      Get: (_, { state }) => Ref.get(state),
      Where: (_, { node }) => Effect.succeed(node)
    }
  })
  return { service, layer: service.layer.pipe(Layer.provide(implementation)) }
}

type Sworms = ReturnType<typeof units>

const until = <E>(what: string, condition: Effect.Effect<boolean, E>) =>
  Effect.gen(function* () {
    while (!(yield* condition)) yield* Effect.sleep(10)
  }).pipe(Effect.timeoutOrElse({ duration: "20 seconds", orElse: () => Effect.die(new Error(`never: ${what}`)) }))

interface Options {
  readonly id: string
  readonly seeds?: ReadonlyArray<string>
  readonly labels?: Readonly<Record<string, string>>
}

/** One node that hosts the sworm; it leaves when it is stopped, and with the test. */
const start = ({ layer, service }: Sworms, { id, labels, seeds = [] }: Options) =>
  Effect.gen(function* () {
    const scope = yield* Scope.fork(yield* Effect.scope)
    const node = Memory.layerNode({
      id,
      seeds,
      preset: "local",
      redialInterval: "200 millis",
      shutdownTimeout: "5 seconds",
      formDelay: seeds.length === 0 ? 0 : "500 millis",
      ...(labels === undefined ? {} : { labels })
    })
    const context = yield* Layer.buildWithScope(Layer.fresh(layer.pipe(Layer.provideMerge(node))), scope)
    yield* Context.get(context, Membership.Membership).awaitSynced
    const client = Context.get(context, service)
    return { id, client, context, stop: Scope.close(scope, Exit.void) }
  })

type Started = Effect.Success<ReturnType<typeof start>>

/** Nodes with these labels, each of which knows that all host the sworm. */
const cluster = (sworm: Sworms, labels: Readonly<Record<string, Readonly<Record<string, string>>>>) =>
  Effect.gen(function* () {
    const nodes: Array<Started> = []
    for (const [id, own] of Object.entries(labels)) {
      nodes.push(yield* start(sworm, { id, labels: own, seeds: nodes.slice(0, 1).map((node) => node.id) }))
    }
    yield* knowHosts(nodes, nodes.length)
    return nodes
  })

const knowHosts = (nodes: ReadonlyArray<Started>, count: number) =>
  Effect.forEach(nodes, ({ client, id }) =>
    until(
      `${id} knows of ${count} hosts`,
      Effect.map(client.explain("whatever"), ({ candidates }) => candidates.length === count)
    ), { discard: true })

const registerAll = ([one]: ReadonlyArray<Started>, count: number) =>
  Effect.forEach(
    Array.from({ length: count }, (_, i) => `unit-${i}`),
    (name, i) => Effect.map(one!.client.register(name, Unit, { start: i }), ({ node }) => node),
    { concurrency: 8 }
  )

const tally = (homes: ReadonlyArray<string>) => {
  const counts: Record<string, number> = {}
  for (const home of homes) counts[home] = (counts[home] ?? 0) + 1
  return counts
}

const homesOf = ({ client }: Started) => Effect.map(client.registered, (refs) => refs.map(({ node }) => node))

const onNetwork = <A, E>(effect: Effect.Effect<A, E, VirtualNetwork.VirtualNetwork | Scope.Scope>) =>
  Effect.provide(Effect.scoped(effect), VirtualNetwork.layer())

describe("by labels", () => {
  it.live(
    "[D18] processes run on nodes that have them, and wait when there is none",
    () =>
      onNetwork(Effect.gen(function* () {
        const sworm = units(Placement.labels({ role: ["worker", "both"] }))
        const nodes = yield* cluster(sworm, { a: { role: "web" }, b: { role: "worker" }, c: { role: "both" }, d: {} })
        const [a, b, c, d] = nodes as [Started, Started, Started, Started]
        assert.deepStrictEqual(Object.keys(tally(yield* registerAll(nodes, 30))).sort(), ["b", "c"])
        yield* b.stop
        for (const node of [a, c, d]) {
          yield* until("all are on c", Effect.map(homesOf(node), (all) => all.length === 30 && new Set(all).size === 1))
        }
        yield* c.stop
        yield* until("none runs", Effect.map(homesOf(a), (all) => all.length === 0))
        const { status, why } = yield* d.client.explain("unit-3")
        assert.strictEqual(status, "waiting")
        assert.include(why, "accepts none of the 2 nodes")
        assert.strictEqual((yield* Effect.flip(a.client.register("new", Unit, { start: 0 })))._tag, "Unavailable")
        const e = yield* start(sworm, { id: "e", seeds: ["a"], labels: { role: "worker" } })
        yield* until(
          "all are on e",
          Effect.map(homesOf(a), (all) => all.length === 30 && all.every((id) => id === "e"))
        )
        assert.strictEqual(yield* e.client.client(Unit, "unit-3").Get(), 3)
      })),
    60_000
  )

  it.live("[D18] [P85] nodes have names in proportion to their weight", () =>
    onNetwork(Effect.gen(function* () {
      const sworm = units(Placement.weighted())
      const nodes = yield* cluster(sworm, { a: { weight: "1" }, b: { weight: "3" }, c: { weight: "0" } })
      const counts = tally(yield* registerAll(nodes, 200))
      assert.strictEqual(counts["c"], undefined)
      assert.isAbove(counts["b"]!, 120)
      assert.isAbove(counts["a"]!, 25)
    })), 60_000)

  it.live(
    "[P85] nodes are allowed and denied by label, id and pattern, in one placement",
    () =>
      onNetwork(Effect.gen(function* () {
        const sworm = units(Placement.allow(["web-*", { disk: "fast" }], Placement.deny([/-2$/, { state: "old" }])))
        const nodes = yield* cluster(sworm, {
          "web-1": {},
          "web-2": {},
          "db-1": { disk: "fast" },
          "db-3": { disk: "fast", state: "old" },
          "db-4": { disk: "slow" }
        })
        assert.deepStrictEqual(Object.keys(tally(yield* registerAll(nodes, 40))).sort(), ["db-1", "web-1"])
      })),
    60_000
  )

  it.live(
    "[D18] replicas of one thing are spread over zones, also when a zone is lost",
    () =>
      onNetwork(Effect.gen(function* () {
        const of = (name: string) => ({ key: name.split("/")[0]!, index: Number(name.split("/")[1]) })
        const sworm = units(Placement.spread({ across: "zone", of }))
        const zones: Record<string, string> = { a: "one", b: "one", c: "two", d: "two", e: "three" }
        const nodes = yield* cluster(
          sworm,
          Object.fromEntries(Object.entries(zones).map(([id, zone]) => [id, { zone }]))
        )
        const names = [0, 1, 2, 3, 4].flatMap((key) => [0, 1, 2].map((index) => `doc${key}/${index}`))
        for (const name of names) yield* nodes[0]!.client.register(name, Unit, { start: 0 })
        const zonesOf = (key: number) =>
          Effect.map(
            nodes[0]!.client.select({ prefix: `doc${key}/` }),
            (entries) => entries.map(({ ref }) => zones[ref.node]!).sort()
          )
        for (const key of [0, 1, 2, 3, 4]) assert.deepStrictEqual(yield* zonesOf(key), ["one", "three", "two"])
        yield* nodes[4]!.stop
        for (const key of [0, 1, 2, 3, 4]) {
          yield* until(
            "three in two zones",
            Effect.map(zonesOf(key), (all) => all.length === 3 && all.includes("one") && all.includes("two"))
          )
        }
      })),
    60_000
  )
})

describe("with a quorum", () => {
  it.live(
    "[P89] [D1] five nodes split in three and two: all run on the three, none on the two, all again when healed",
    () =>
      onNetwork(Effect.gen(function* () {
        const network = yield* VirtualNetwork.VirtualNetwork
        const sworm = units(Placement.quorum(3))
        const nodes = yield* cluster(sworm, { a: {}, b: {}, c: {}, d: {}, e: {} })
        const [a, b, c, d, e] = nodes as [Started, Started, Started, Started, Started]
        yield* registerAll(nodes, 40)
        for (const { client } of nodes) yield* until("all know all", Effect.map(client.count(), (n) => n === 40))
        network.partition(["a", "b", "c"], ["d", "e"])
        for (const node of [a, b, c]) {
          yield* until(
            `${node.id} finds all on the side of three`,
            Effect.map(homesOf(node), (all) => all.length === 40 && all.every((id) => "abc".includes(id)))
          )
        }
        for (const { client, id } of [d, e]) {
          yield* until(`${id} finds none`, Effect.map(client.registered, (refs) => refs.length === 0))
          yield* until(`${id} runs none`, Effect.map(client.which(id), (all) => all.length === 0))
          assert.strictEqual((yield* Effect.flip(client.register("new", Unit, { start: 0 })))._tag, "Unavailable")
        }
        const epochs = yield* Effect.map(a.client.registered, (refs) => refs.map(({ epoch }) => epoch))
        assert.strictEqual(epochs.length, 40)
        yield* a.client.register("on three", Unit, { start: 7 })
        network.heal()
        yield* knowHosts(nodes, 5)
        for (const node of nodes) {
          yield* until(`${node.id} finds all`, Effect.map(homesOf(node), (all) => all.length === 41))
        }
        const running = Effect.map(
          Effect.forEach(nodes, ({ client, id }) => client.which(id)),
          (all) => all.flat().filter(({ status }) => status === "running").map(({ ref }) => ref.name)
        )
        yield* until("each runs once", Effect.map(running, (all) => all.length === 41 && new Set(all).size === 41))
        assert.strictEqual(yield* e.client.client(Unit, "on three").Get(), 7)
        assert.strictEqual(yield* d.client.client(Unit, "unit-9").Get(), 9)
      })),
    60_000
  )
})

describe("nodes that place differently", () => {
  /** Everything on one node. */
  const all = (id: string) =>
    Placement.make(`all on ${id}`, (_, candidates) => candidates.find((candidate) => candidate.id === id))

  const disagreeing = (redistribution: "active" | "passive") =>
    Effect.gen(function* () {
      const warnings: Array<string> = []
      const logger = Logger.make(({ logLevel, message }) => {
        if (logLevel === "Warn") warnings.push(String(message))
      })
      const a = yield* start(units(all("b"), redistribution), { id: "a" }).pipe(
        Effect.provide(Logger.layer([logger]))
      )
      const b = yield* start(units(all("a"), redistribution), { id: "b", seeds: ["a"] }).pipe(
        Effect.provide(Logger.layer([logger]))
      )
      yield* knowHosts([a, b], 2)
      return { a, b, warnings }
    })

  it.live(
    "[H14] [D16] [P101] say so, both placements named; each name is registered once, and calls are answered",
    () =>
      onNetwork(Effect.gen(function* () {
        const { a, b, warnings } = yield* disagreeing("passive")
        yield* until(
          "a warning",
          Effect.sync(() => warnings.some((text) => text.includes(`"all on a"`) && text.includes(`"all on b"`)))
        )
        for (let i = 0; i < 20; i++) {
          const { name, node } = yield* [a, b][i % 2]!.client.register(`unit-${i}`, Unit, { start: i })
          const taken = yield* Effect.flip([b, a][i % 2]!.client.register(name, Unit, { start: 0 }))
          assert.strictEqual(taken._tag, "NameTaken")
          for (const { client } of [a, b]) {
            assert.strictEqual(yield* client.client(Unit, name).Where(), node)
            assert.strictEqual(yield* client.client(Unit, name).Get(), i)
          }
          const explained = yield* Effect.forEach([a, b], ({ client }) => client.explain(name))
          assert.deepStrictEqual(explained.map(({ placement }) => placement), ["all on b", "all on a"])
        }
      })),
    60_000
  )

  it.live(
    "[D16] [P101] and redistribute: calls are answered once each, however their processes go to and fro",
    () =>
      onNetwork(Effect.gen(function* () {
        const { a, b } = yield* disagreeing("active")
        yield* a.client.register("torn", Unit, { start: 0 })
        for (let i = 0; i < 40; i++) {
          yield* [a, b][i % 2]!.client.client(Unit, "torn", { timeout: "20 seconds" }).Add({ by: 1 })
        }
        assert.strictEqual(yield* a.client.client(Unit, "torn", { timeout: "20 seconds" }).Get(), 40)
        assert.isTrue(Option.isSome(yield* b.client.entry("torn")))
      })),
    60_000
  )
})
