/**
 * Runs of a few nodes in one program, in real time: clients register, unregister and look up a few names while nodes
 * lose etcd, each other, or their lives, and the store its leader. What is done comes from a seed; when each thing
 * happens among the others does not.
 */
import { Effect, Exit, Fiber, Layer, Option, Scope, Stream } from "effect"
import { Node } from "@sworm/sworm"
import * as Etcd from "@sworm/sworm/etcd"
import { type Simulation, VirtualNetwork } from "@sworm/sworm/testing"
import { msgpack } from "../../src/protocol/codec.ts"
import { waitUntil } from "../cluster/wait.ts"
import type { EtcdClient } from "../../adapters/etcd/client.ts"
import type { Asked } from "../linearizability/history.ts"
import { diceOf } from "../linearizability/support.ts"
import type { Bed, ClientFault } from "./beds.ts"
import { Record, seed as seedCounters, Writer, Writers, writersOf } from "./fenced.ts"
import { type Incident, type Script, scriptOf } from "./incidents.ts"

/** What became of a run. */
export interface Outcome {
  readonly findings: ReadonlyArray<string>
  readonly operations: number
  /** Of those, the ones whose result is unknown. */
  readonly unknown: number
  readonly copies: number
  readonly writes: number
  readonly refusedWrites: number
  readonly handled: number
  readonly incidents: ReadonlyArray<string>
  /** All that happened. */
  readonly lines: ReadonlyArray<string>
}

const CLIENTS = 5
const OPERATION_LIMIT = "8 seconds"

export interface Running {
  readonly scope: Scope.Closeable
  /** The name of its client of etcd. */
  readonly client: string
  readonly run: <A, E>(effect: Effect.Effect<A, E, Writers>) => Effect.Effect<A, E>
}

interface Stage {
  readonly bed: Bed
  readonly network: VirtualNetwork.VirtualNetwork
  readonly record: Record
  readonly script: Script
  readonly prefix: string
  readonly start: (id: string) => Effect.Effect<Running, unknown>
  /** By id, those that run. */
  readonly nodes: Map<string, Running>
  /** The clients of those that were killed. */
  readonly dead: Set<string>
}

/** Plays the history of a seed, then puts everything right, and checks it all. */
export const play = (seed: number, bed: Bed): Effect.Effect<Outcome, unknown, Scope.Scope> =>
  Effect.gen(function* () {
    const prefix = `history ${seed}/`
    const script = scriptOf(seed, Object.keys(bed.troubles))
    const record = new Record()
    const witness = yield* bed.witness
    yield* seedCounters(witness, `${prefix}counter/`, script.names)
    const network = yield* VirtualNetwork.make({ seed, delay: { minMs: 0, maxMs: 5 } })
    const writers = writersOf(record, witness, `${prefix}counter/`)
    yield* observe(witness, record, `${prefix}sworm/`)
    const start = yield* starter(bed, network, writers, `${prefix}sworm/`)
    const stage: Stage = { bed, network, record, script, prefix, start, nodes: new Map(), dead: new Set() }
    yield* Effect.forEach(script.nodes, (id) => begin(stage, id), { concurrency: "unbounded", discard: true })
    const clients = yield* Effect.forkScoped(
      Effect.forEach(
        Array.from({ length: CLIENTS }, (_, at) => `client${at}`),
        (name, at) => Effect.timeoutOption(ask(stage, name, diceOf(seed * 100 + at)), script.forMs),
        { concurrency: "unbounded", discard: true }
      )
    )
    yield* Effect.forEach(script.incidents, (incident) => happen(stage, incident), {
      concurrency: "unbounded",
      discard: true
    })
    yield* Fiber.join(clients)
    yield* heal(stage)
    const unsettled = yield* settle(stage)
    if (unsettled.length > 0) yield* dump(stage)
    yield* Effect.forEach([...stage.nodes.values()], ({ scope }) => Scope.close(scope, Exit.void), {
      concurrency: "unbounded",
      discard: true
    })
    return outcomeOf(record, script, unsettled)
  })

const outcomeOf = (record: Record, { incidents }: Script, unsettled: ReadonlyArray<string>): Outcome => ({
  findings: [...unsettled, ...record.findings()],
  operations: record.operations.length,
  unknown: record.operations.filter(({ result }) => result._tag === "Unknown").length,
  copies: record.copies.filter(({ op }) => op === "started").length,
  writes: record.writes.length,
  refusedWrites: record.writes.filter(({ isRefused }) => isRefused).length,
  handled: record.handled.length,
  incidents: incidents.map(({ atMs, forMs, kind, node }) => `${kind} ${node} ${atMs}+${forMs}`),
  lines: record.lines()
})

// ---- nodes

/** Starts nodes that host the writers, each on a client of its own. */
export const starter = (
  bed: Bed,
  network: VirtualNetwork.VirtualNetwork,
  writers: ReturnType<typeof writersOf>,
  prefix: string
): Effect.Effect<Stage["start"], never, Scope.Scope> =>
  Effect.map(Effect.scope, (parent) => {
    let runs = 0
    return (id) =>
      Effect.gen(function* () {
        const scope = yield* Scope.fork(parent)
        const client = `${prefix}${id} ${++runs}`
        const backend = Etcd.layerClient({ leaseTtl: "2 seconds", shutdownTimeout: "1 second", prefix }).pipe(
          Layer.provide([VirtualNetwork.layerTransport, Layer.effect(Etcd.EtcdClient)(bed.client(client))]),
          Layer.provideMerge(Node.layer({ id })),
          Layer.provide(Layer.succeed(VirtualNetwork.VirtualNetwork)(network))
        )
        const context = yield* Writers.layer.pipe(
          Layer.provide(writers),
          Layer.provide(backend),
          Layer.fresh,
          Layer.buildWithScope(scope)
        )
        return { scope, client, run: (effect) => Effect.provideContext(effect, context) } satisfies Running
      })
  })

const begin = (stage: Stage, id: string): Effect.Effect<void, unknown> =>
  Effect.map(stage.start(id), (node) => void stage.nodes.set(id, node))

/** The client's fault, of the run that is there now, and its end. */
const faulting = ({ bed, dead }: Stage, { client }: Running, fault: ClientFault) =>
  // the dead stay so
  Effect.as(
    bed.fault(fault, client),
    Effect.suspend(() => dead.has(client) ? Effect.void : bed.fault(undefined, client))
  )

/** Begins an incident; answers what ends it. */
const strike = (
  stage: Stage,
  { kind, node: id, others }: Incident
): Effect.Effect<Effect.Effect<void, unknown>, unknown> =>
  Effect.suspend((): Effect.Effect<Effect.Effect<void, unknown>, unknown> => {
    const { bed, dead, network, nodes } = stage
    const trouble = bed.troubles[kind]
    if (trouble !== undefined) return trouble
    const node = nodes.get(id)
    if (node === undefined) return Effect.succeed(Effect.void)
    switch (kind) {
      case "unreachable":
      case "silent":
      case "answerLost":
        return faulting(stage, node, kind)
      case "slow":
        return faulting(stage, node, { slow: "300 millis" })
      case "cut":
        network.partition([id], others)
        return Effect.succeed(Effect.sync(() => network.heal()))
      case "paused":
        network.stall(id, true)
        return Effect.map(
          faulting(stage, node, "silent"),
          (over) => Effect.andThen(Effect.sync(() => network.stall(id, false)), over)
        )
      case "killed":
        // what it runs goes on, alone, for as long as its lease lets it
        nodes.delete(id)
        dead.add(node.client)
        network.kill(id)
        return Effect.as(bed.fault("unreachable", node.client), begin(stage, id))
      case "left":
        nodes.delete(id)
        return Effect.as(Scope.close(node.scope, Exit.void), begin(stage, id))
      default:
        return Effect.die(new Error(`There is no incident "${kind}"`))
    }
  })

const happen = (stage: Stage, incident: Incident): Effect.Effect<void, unknown> =>
  Effect.gen(function* () {
    yield* Effect.sleep(incident.atMs)
    const { kind, node, others } = incident
    stage.record.note(`${kind} ${node} (${others.join(" ")})`)
    const over = yield* strike(stage, incident)
    yield* Effect.sleep(incident.forMs)
    yield* over
    stage.record.note(`over: ${kind} ${node}`)
  })

const heal = (stage: Stage): Effect.Effect<void, unknown> =>
  Effect.gen(function* () {
    const { bed, network, nodes, script } = stage
    yield* bed.ready
    network.heal()
    for (const id of script.nodes) {
      network.stall(id, false)
      const node = nodes.get(id)
      if (node === undefined) yield* begin(stage, id)
      else yield* bed.fault(undefined, node.client)
    }
  })

// ---- clients

const asked: {
  readonly [Op in Asked["op"]]: (name: string) => Effect.Effect<Extract<Asked, { op: Op }>["result"], never, Writers>
} = {
  register: (name) =>
    Effect.flatMap(Writers, (writers) => writers.register(name, Writer, {})).pipe(
      Effect.map(({ epoch, node }) => ({ _tag: "Ok", ref: { epoch, node } }) as const),
      Effect.catchTag("NameTaken", ({ ref: { epoch, node } }) =>
        Effect.succeed({ _tag: "Taken", ref: epoch > 0 ? { epoch, node } : undefined } as const)),
      Effect.orElseSucceed(() =>
        ({ _tag: "Unknown" }) as const
      )
    ),
  unregister: (name) =>
    Effect.flatMap(Writers, (writers) => writers.unregister(name)).pipe(
      Effect.as({ _tag: "Ok" } as const),
      Effect.catchTag("NotRegistered", () => Effect.succeed({ _tag: "NotRegistered" } as const)),
      Effect.orElseSucceed(() => ({ _tag: "Unknown" }) as const)
    ),
  whereis: (name) =>
    Effect.flatMap(Writers, (writers) => writers.whereis(name, "linearizable")).pipe(
      Effect.map(({ ref }) =>
        Option.isNone(ref)
          ? { _tag: "None" } as const
          : { _tag: "At", ref: { node: ref.value.node, epoch: ref.value.epoch } } as const
      ),
      Effect.orElseSucceed(() => ({ _tag: "Unknown" }) as const)
    )
}

const operate = ({ record }: Stage, node: Running, client: string, name: string, op: Asked["op"]) =>
  Effect.timeoutOption(
    record.operation(client, name, op, node.run<Asked["result"], never>(asked[op](name))),
    OPERATION_LIMIT
  )

/** One thing after the other, each of a node that runs. */
const ask = (stage: Stage, client: string, dice: Simulation.Dice): Effect.Effect<never> =>
  Effect.forever(Effect.gen(function* () {
    const running = [...stage.nodes.values()]
    yield* Effect.sleep(dice.between(0, 120))
    if (running.length === 0) return
    const node = dice.pick(running)
    const name = dice.pick(stage.script.names)
    if (dice.chance(0.2)) {
      return yield* Effect.ignore(
        node.run(
          Effect.flatMap(Writers, (writers) => writers.call(Writer, name, "Write", undefined, { timeout: "1 second" }))
        )
      )
    }
    const op = dice.chance(0.4) ? "register" : dice.chance(0.4) ? "unregister" : "whereis"
    yield* operate(stage, node, client, name, op)
  }))

const describe = (key: string, revision: number, value: Uint8Array): string => {
  const said = (): string => {
    try {
      return JSON.stringify(msgpack.decode(value))
    } catch {
      return new TextDecoder().decode(value)
    }
  }
  return `${JSON.stringify(key)} (${revision}): ${said()}`
}

/** What nodes write into the store, for whoever looks for the cause of something. */
const observe = (witness: EtcdClient, record: Record, prefix: string) =>
  Stream.runForEach(witness.watch({ prefix }), ({ events }) =>
    Effect.sync(() => {
      for (const event of events) {
        if (event.type === "delete") record.note(`deleted ${JSON.stringify(event.key)} (${event.revision})`)
        else record.note(`put ${describe(event.kv.key, event.kv.modRevision, event.kv.value)}`)
      }
    })).pipe(Effect.ignore, Effect.forkScoped)

/** What the store has, for whoever looks for why something has not settled. */
const dump = ({ bed, prefix, record }: Stage): Effect.Effect<void, unknown, Scope.Scope> =>
  Effect.gen(function* () {
    const { kvs } = yield* (yield* bed.witness).range({ prefix: `${prefix}sworm/` })
    for (const { key, modRevision, value } of kvs) {
      record.note(`there is ${describe(key, modRevision, value)}`)
    }
  })

/** With everything put right every node answers, and each name that is registered does so from everywhere. */
const settle = (stage: Stage): Effect.Effect<ReadonlyArray<string>> =>
  Effect.map(
    Effect.forEach(
      stage.script.names.flatMap((name) => [...stage.nodes].map(([id, node]) => ({ name, id, node }))),
      ({ id, name, node }) => {
        let last = ""
        const answers = Effect.gen(function* () {
          const found = Option.getOrUndefined(yield* operate(stage, node, `last ${id} ${name}`, name, "whereis"))
          last = JSON.stringify(found)
          if (found === undefined || found._tag === "Unknown") return false
          if (found._tag !== "At") return true
          const writers = Effect.flatMap(Writers, (all) => all.call(Writer, name, "Write", undefined))
          const answer = yield* Effect.result(node.run(writers))
          if (answer._tag === "Failure") last += `, and a call of it fails: ${answer.failure.message}`
          return answer._tag === "Success"
        })
        return Effect.match(waitUntil("", answers), {
          onSuccess: () => [],
          onFailure: ({ _tag }) => [`${_tag}: "${id}" on "${name}": ${last}`]
        })
      },
      { concurrency: "unbounded" }
    ),
    (all) => all.flat()
  )
