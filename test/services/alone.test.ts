// Each service can be used by itself, without a sworm declared anywhere.
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Option, Ref, Schema, Scope, Stream } from "effect"
import { Rpc } from "effect/rpc"
import { Handoff, Membership, Memory, Placement, Process, Registry, Supervisor } from "@sworm/sworm"
import { VirtualNetwork } from "@sworm/sworm/testing"
import { compileType, type Hosted } from "../../src/runtime/Hosted.ts"

/** Nodes a, b, … of one cluster, each synced and seen by all. */
const cluster = (...ids: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const network = yield* VirtualNetwork.make()
    const nodes: Array<Context.Context<Memory.Services>> = []
    for (const [i, id] of ids.entries()) {
      const layer = Memory.layerNode({ id, seeds: ids.slice(0, i), formDelay: i === 0 ? 0 : "200 millis" })
      nodes.push(
        yield* Layer.build(
          Layer.fresh(layer).pipe(Layer.provide(Layer.succeed(VirtualNetwork.VirtualNetwork)(network)))
        )
      )
      yield* Context.get(nodes[i]!, Membership.Membership).awaitSynced
    }
    for (const node of nodes) {
      yield* until(Effect.map(Context.get(node, Membership.Membership).members, (members) =>
        members.filter(({ status, synced }) =>
          status === "alive" && synced
        ).length === ids.length))
    }
    return nodes as [Context.Context<Memory.Services>, ...Array<Context.Context<Memory.Services>>]
  })

const until = <E>(condition: Effect.Effect<boolean, E>): Effect.Effect<void, E | Error> =>
  condition.pipe(
    Effect.tap((holds) => holds ? Effect.void : Effect.sleep(2)),
    Effect.repeat({ until: (holds) => holds }),
    Effect.timeoutOrElse({ duration: "15 seconds", orElse: () => Effect.fail(new Error("the condition never held")) }),
    Effect.asVoid
  )

/** A process type with a number as its state, started at what its args say, as a backend is given it. */
const Tally = Process.make("Tally", {
  args: { start: Schema.Int },
  state: Schema.Int,
  protocol: [Rpc.make("Get", { success: Schema.Int })]
})

/** The states of the processes on one node, by name: what a test reads and writes. */
type States = Map<string, Ref.Ref<number>>

const hosted = (states: States, placement: Placement.Placement): Hosted => ({
  id: "numbers",
  placement,
  redistribution: "passive",
  maxChildren: Infinity,
  maxResident: Infinity,
  types: new Map([[
    "Tally",
    compileType(Tally, {}, {
      init: ({ args, handoff }) => Effect.succeed(handoff ?? (args as { start: number }).start),
      handlers: { Get: (_, { state }) => Ref.get(state) },
      beginHandoff: ({ name, state }) =>
        Effect.sync(() => {
          const known = states.get(name)
          return Handoff.resume(known === undefined ? Ref.getUnsafe(state) : Ref.getUnsafe(known))
        }),
      run: undefined,
      resolveConflict: undefined,
      stop: undefined
    })
  ]])
})

/** Every name at the first of the candidates, in order of id. */
const first = Placement.make(
  "first",
  (_, candidates) => [...candidates].sort((one, other) => one.id < other.id ? -1 : 1)[0]
)

const request = (name: string, start = 0) => ({ sworm: "numbers", name, type: "Tally", args: { start } })

describe("the registry alone", () => {
  it.live("adopts, finds, groups and forgets, under ids that scope the names", () =>
    Effect.scoped(Effect.gen(function* () {
      const [a, b] = yield* cluster("a", "b")
      const here = Context.get(a, Registry.Registry)
      const there = Context.get(b!, Registry.Registry)
      const changes = yield* Ref.make<ReadonlyArray<string>>([])
      yield* Effect.forkScoped(
        Stream.runForEach(
          there.changes,
          ({ name, ref, sworm }) => Ref.update(changes, (all) => [...all, `${sworm}/${name}: ${ref?.node ?? "nobody"}`])
        ),
        { startImmediately: true }
      )
      const owner = yield* Scope.make()
      const ref = yield* Scope.provide(here.adopt("things", "one", { metadata: { port: 80 } }), owner)
      assert.deepStrictEqual(yield* here.whereis("things", "one"), Option.some(ref))
      yield* until(Effect.map(there.whereis("things", "one"), Option.isSome))
      assert.deepStrictEqual(yield* there.whereis("others", "one"), Option.none())
      const taken = yield* Effect.flip(Effect.scoped(there.adopt("things", "one")))
      assert.strictEqual(taken._tag, "NameTaken")
      yield* Effect.scoped(there.adopt("others", "one"))
      yield* there.join("things", "group", "one")
      yield* until(Effect.map(here.members("things", "group"), (members) => members.length === 1))
      assert.deepStrictEqual(yield* there.members("things", "group"), [ref])
      yield* there.leave("things", "group", "one")
      yield* until(Effect.map(here.members("things", "group"), (members) => members.length === 0))
      yield* Scope.close(owner, yield* Effect.exit(Effect.void))
      assert.deepStrictEqual(yield* here.registered("things"), [])
      yield* until(Effect.map(there.registered("things"), (refs) => refs.length === 0))
      const missing = yield* Effect.flip(there.unregister("things", "one"))
      assert.strictEqual(missing._tag, "NotRegistered")
      const told = (yield* Ref.get(changes)).filter((line) => line.startsWith("things"))
      assert.deepStrictEqual([told[0], told.at(-1)], ["things/one: a", "things/one: nobody"])
    })))
})

describe("membership alone", () => {
  it.live("tells who is there, who comes and who leaves", () =>
    Effect.scoped(Effect.gen(function* () {
      const [a, b] = yield* cluster("a", "b")
      const membership = Context.get(a, Membership.Membership)
      assert.strictEqual((yield* membership.self).id, "a")
      assert.deepStrictEqual((yield* membership.members).map(({ id, status }) => [id, status]), [
        ["a", "alive"],
        ["b", "alive"]
      ])
      yield* Context.get(b!, Membership.Membership).leave
      yield* until(Effect.map(membership.members, (members) => members[1]?.status === "left"))
    })))
})

describe("the supervisor alone", () => {
  it.live("hosts, starts, counts and terminates, and refuses what it does not host", () =>
    Effect.scoped(Effect.gen(function* () {
      const [a, b] = yield* cluster("a", "b")
      const here = Context.get(a, Supervisor.Supervisor)
      const there = Context.get(b!, Supervisor.Supervisor)
      const unhosted = yield* Effect.flip(here.start(request("early")))
      assert.strictEqual(unhosted._tag, "Unavailable")
      yield* here.host(hosted(new Map(), first))
      yield* until(
        Effect.as(there.start(request("probe")), true).pipe(
          Effect.catchTag("Unavailable", () => Effect.succeed(false))
        )
      )
      const ref = yield* there.start(request("one", 5))
      assert.strictEqual(ref.node, "a")
      const taken = yield* Effect.flip(here.start(request("one")))
      assert.strictEqual(taken._tag, "NameTaken")
      const which = yield* here.which("numbers")
      assert.deepStrictEqual(
        which.map(({ ref: { name }, status, type }) => [name, type, status]).sort(),
        [["one", "Tally", "running"], ["probe", "Tally", "running"]]
      )
      yield* until(Effect.map(there.countChildren("numbers"), (counts) => counts.get("a") === 2))
      const bad = yield* Effect.flip(there.start({ ...request("bad"), args: { start: "five" } }))
      assert.strictEqual(bad._tag, "StartFailed")
      yield* there.terminate("numbers", "one")
      assert.deepStrictEqual((yield* here.which("numbers", "a")).map(({ ref: { name } }) => name), ["probe"])
      const gone = yield* Effect.flip(there.terminate("numbers", "one"))
      assert.strictEqual(gone._tag, "NotRegistered")
    })))

  it.live("gives a sworm's processes to the other hosts when the scope of `host` closes", () =>
    Effect.scoped(Effect.gen(function* () {
      const [a, b] = yield* cluster("a", "b")
      const here = Context.get(a, Supervisor.Supervisor)
      const there = Context.get(b!, Supervisor.Supervisor)
      const hosting = yield* Scope.make()
      yield* Scope.provide(here.host(hosted(new Map([["one", yield* Ref.make(41)]]), first)), hosting)
      const { node } = yield* here.start(request("one"))
      assert.strictEqual(node, "a")
      yield* there.host(hosted(new Map(), first))
      yield* until(
        Effect.map(there.start(request("probe")), () => true).pipe(
          Effect.catchTag("Unavailable", () => Effect.succeed(false))
        )
      )
      yield* Scope.close(hosting, yield* Effect.exit(Effect.void))
      assert.deepStrictEqual(yield* here.which("numbers", "a"), [])
      yield* until(
        Effect.map(
          there.which("numbers", "b"),
          (children) => children.filter(({ status }) => status === "running").length === 2
        )
      )
    })))
})

describe("handoff alone", () => {
  it.live("moves a named process to a chosen node, with its state, and tells of it", () =>
    Effect.scoped(Effect.gen(function* () {
      const [a, b, c] = yield* cluster("a", "b", "c")
      const moved = yield* Ref.make<ReadonlyArray<Handoff.Move>>([])
      yield* Effect.forkScoped(
        Stream.runForEach(Context.get(a, Handoff.Handoff).moves, (move) => Ref.update(moved, (all) => [...all, move])),
        { startImmediately: true }
      )
      const arrived = new Map<string, unknown>()
      for (const [id, node] of [["a", a], ["b", b!], ["c", c!]] as const) {
        const own = hosted(new Map([["one", yield* Ref.make(77)]]), first)
        const type = own.types.get("Tally")!
        const implementation = type.implementation!
        const watched = {
          ...implementation,
          init: (context: Parameters<typeof implementation.init>[0]) => {
            arrived.set(id, context.handoff)
            return implementation.init(context)
          }
        }
        yield* Context.get(node, Supervisor.Supervisor).host({
          ...own,
          types: new Map([["Tally", { ...type, implementation: watched }]])
        })
      }
      const ref = yield* Context.get(a, Supervisor.Supervisor).start(request("one", 1))
      assert.strictEqual(ref.node, "a")
      const registry = Context.get(c!, Registry.Registry)
      yield* until(Effect.map(registry.whereis("numbers", "one"), Option.isSome))
      const sent = yield* Context.get(c!, Handoff.Handoff).move("numbers", "one", "b")
      assert.strictEqual(sent.node, "b")
      assert.isAbove(sent.epoch, ref.epoch)
      assert.strictEqual(arrived.get("b"), 77)
      yield* until(
        Effect.map(
          registry.whereis("numbers", "one"),
          (found) => Option.isSome(found) && found.value.node === "b" && found.value.epoch === sent.epoch
        )
      )
      yield* until(Effect.map(Ref.get(moved), (moves) => moves.length === 1))
      assert.deepInclude((yield* Ref.get(moved))[0], { name: "one", from: "a", to: "b", withState: true })
      const nobody = yield* Effect.flip(Context.get(a, Handoff.Handoff).move("numbers", "nobody", "b"))
      assert.strictEqual(nobody._tag, "NotRegistered")
    })))
})
