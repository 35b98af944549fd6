/**
 * A node that a test drives: commands come as JSON lines on stdin, answers, log lines and its start go out as JSON lines on
 * stdout. It leaves on SIGTERM, handing its processes over, and when its stdin ends, so that it never outlives its test.
 */
import { Cause, Effect, Exit, Layer, Logger, Option, Stream } from "effect"
import process from "node:process"
import { createInterface } from "node:readline"
import { parseArgs } from "node:util"
import { Discovery, Handoff, Membership, Transport } from "@sworm/sworm"
import * as Gossip from "@sworm/sworm/gossip"
import * as WebSocketTransport from "@sworm/sworm/websocket"
import { Counter, CounterLayer, Counters } from "./counter.ts"
import { Journals, JournalsLayer, typeOf } from "./journal.ts"
import type { CommandError, CommandName, Commands, MemberChanged, Outcome, RaceResult, Ref, Said } from "./protocol.ts"

const { values: flags } = parseArgs({
  options: {
    id: { type: "string" },
    listen: { type: "string", default: "127.0.0.1:0" },
    advertise: { type: "string" },
    join: { type: "string", multiple: true, default: [] },
    cluster: { type: "string" },
    preset: { type: "string", default: "lan" },
    // "console": logs as any program does, and says nothing to its test
    logs: { type: "string", default: "test" },
    redialMs: { type: "string", default: "1000" },
    handshakeMs: { type: "string", default: "2000" },
    maxBufferedBytes: { type: "string", default: String(64 * 1024 * 1024) }
  }
})

const isMute = flags.logs === "console"

// Node ends a program whose stdout fails, unless it listens for that
if (isMute) { for (const output of [process.stdout, process.stderr]) output.on("error", () => {}) }

const say = (line: Said): void => {
  if (!isMute) process.stdout.write(JSON.stringify(line) + "\n")
}

const ToTest = isMute ? Layer.empty : Logger.layer([
  Logger.make(({ cause, logLevel, message }) =>
    say({ log: [message, ...cause.reasons].flat().map(String).join(" "), level: logLevel })
  )
])

const Backend = Gossip.layer({
  preset: flags.preset as "lan" | "wan" | "local",
  redialInterval: Number(flags.redialMs)
}).pipe(
  Layer.provideMerge(WebSocketTransport.layer({
    id: flags.id,
    cluster: flags.cluster,
    listen: flags.listen,
    advertise: flags.advertise,
    secret: process.env["SWORM_SECRET"],
    handshakeTimeout: Number(flags.handshakeMs),
    maxBufferedBytes: Number(flags.maxBufferedBytes),
    discovery: Discovery.seeds(flags.join)
  }))
)

const App = Counters.layer.pipe(
  Layer.provide(CounterLayer),
  Layer.merge(JournalsLayer),
  Layer.provideMerge(Backend),
  Layer.provideMerge(ToTest)
)

const refOf = ({ epoch, name, node }: Ref): Ref => ({ name, node, epoch })

const describe = (error: unknown): CommandError => {
  const { _tag, message, reason } = (error ?? {}) as Record<string, unknown>
  return {
    tag: typeof _tag === "string" ? _tag : "Defect",
    reason: typeof reason === "string" ? reason : null,
    message: typeof message === "string" ? message : String(error)
  }
}

const describeExit = (exit: Exit.Failure<unknown, unknown>): CommandError => describe(Cause.squash(exit.cause))

const unserialisable = (kind: Commands["registerWithMetadata"]["takes"]["kind"]): unknown => {
  switch (kind) {
    case "symbol":
      return { s: Symbol("s") }
    case "huge":
      return "x".repeat(2 * 1024 * 1024)
    case "cyclic": {
      const loop: Record<string, unknown> = {}
      loop["loop"] = loop
      return loop
    }
    case "deep": {
      let nested: unknown = 1
      for (let i = 0; i < 200_000; i++) nested = [nested]
      return nested
    }
  }
}

/** Tries each, and how each ended. */
const attemptEach = <A, R>(
  names: ReadonlyArray<string>,
  attempt: (name: string) => Effect.Effect<A, unknown, R>
): Effect.Effect<ReadonlyArray<Outcome<A>>, never, R> =>
  Effect.forEach(names, (name) =>
    Effect.suspend(() => {
      const since = performance.now()
      return Effect.map(Effect.exit(attempt(name)), (exit): Outcome<A> => ({
        name,
        tookMs: Math.round(performance.now() - since),
        ...(Exit.isSuccess(exit) ? { ok: exit.value } : { error: describeExit(exit) })
      }))
    }), { concurrency: 64 })

/**
 * Looks at each name again and again until there is something to see; when the first and the last was seen. Between the
 * looks is a pause: what measures must not be what is measured.
 */
const lookEvery = <R>(
  names: ReadonlyArray<string>,
  look: (name: string) => Effect.Effect<boolean, never, R>
): Effect.Effect<{ readonly firstAtMs: number; readonly lastAtMs: number }, never, R> =>
  Effect.gen(function* () {
    const times: Array<number> = []
    let left = names
    while (true) {
      const seen = new Set<string>()
      yield* Effect.forEach(left, (name) =>
        Effect.map(look(name), (is) => {
          if (!is) return
          times.push(Date.now())
          seen.add(name)
        }), { concurrency: 64, discard: true })
      left = left.filter((name) => !seen.has(name))
      if (left.length === 0) return { firstAtMs: Math.min(...times), lastAtMs: Math.max(...times) }
      yield* Effect.sleep(5)
    }
  })

const MAX_CHANGES = 10_000
const BLOCK_EVERY_MS = 1000

/** Keeps the event loop busy for a while, now and then, as programs do that compute much. */
let blockUpToMs = 0
const blockNowAndThen = (): void => {
  if (blockUpToMs === 0) return
  const until = performance.now() + Math.random() * blockUpToMs
  while (performance.now() < until);
  setTimeout(blockNowAndThen, Math.random() * BLOCK_EVERY_MS)
}

type Handlers = {
  readonly [C in CommandName]: (takes: Commands[C]["takes"]) => Effect.Effect<Commands[C]["answers"], unknown>
}

const main = Effect.gen(function* () {
  const membership = yield* Membership.Membership
  const counters = yield* Counters
  const journals = yield* Journals
  const handoff = yield* Handoff.Handoff
  const transport = yield* Transport.Transport
  const all = { concurrency: "unbounded" } as const
  const changes: Array<MemberChanged> = []
  yield* Effect.forkScoped(
    Stream.runForEach(membership.changes, ({ member: { id, status }, before }) =>
      Effect.sync(() => {
        if (status === before?.status) return
        changes.push({ id, status, atMs: Date.now() })
        if (changes.length > MAX_CHANGES) changes.shift()
      }))
  )

  const isElsewhere = (name: string, node: string): Effect.Effect<boolean> =>
    Effect.map(counters.whereis(name), (found) => Option.isSome(found) && found.value.node !== node)

  const ownOf = ({ which }: Pick<typeof counters | typeof journals, "which">) =>
    Effect.flatMap(
      membership.self,
      ({ id }) =>
        Effect.map(which(id), (own) => own.map(({ ref: { epoch, name }, status }) => ({ name, epoch, status })))
    )

  const race = (name: string, racers: number): Effect.Effect<RaceResult> =>
    Effect.map(
      Effect.all(
        Array.from({ length: racers }, () => Effect.exit(counters.register(name, Counter, { start: 0 }))),
        all
      ),
      (exits) => {
        const taken = new Map<string, Ref>()
        const successes: Array<Ref> = []
        const others: Array<string> = []
        let takenCount = 0
        for (const exit of exits) {
          if (Exit.isSuccess(exit)) {
            successes.push(refOf(exit.value))
            continue
          }
          const error = Option.getOrUndefined(Cause.findErrorOption(exit.cause))
          if (error?._tag === "NameTaken") {
            takenCount++
            taken.set(`${error.ref.node}@${error.ref.epoch}`, refOf(error.ref))
          } else others.push(describeExit(exit).message)
        }
        return { name, successes, taken: [...taken.values()], takenCount, others }
      }
    )

  const handlers: Handlers = {
    register: ({ names, start }) =>
      Effect.forEach(names, (name) => Effect.map(counters.register(name, Counter, { start }), refOf), {
        concurrency: 64
      }),
    unregister: ({ name }) => Effect.as(counters.unregister(name), null),
    whereis: ({ names }) =>
      Effect.forEach(
        names,
        (name) => Effect.map(counters.whereis(name), (found) => Option.isSome(found) ? refOf(found.value) : null)
      ),
    registered: () => Effect.map(counters.registered, (refs) => refs.map(refOf)),
    increment: ({ by, names }) =>
      Effect.forEach(names, (name) => counters.client(Counter, name).Increment({ by }), { concurrency: 64 }),
    totals: ({ names }) =>
      Effect.forEach(names, (name) => {
        const client = counters.client(Counter, name)
        return Effect.all({ total: client.Get(), node: client.Where() }).pipe(
          Effect.catch((error) => Effect.succeed(error.message))
        )
      }, { concurrency: 64 }),
    attempt: ({ by, names }) => attemptEach(names, (name) => counters.client(Counter, name).Increment({ by })),
    tryRegister: ({ names, start }) =>
      attemptEach(names, (name) => Effect.map(counters.register(name, Counter, { start }), refOf)),
    hosts: () => Effect.map(counters.explain("nobody"), ({ candidates }) => candidates.map(({ node }) => node)),
    own: () => ownOf(counters),
    open: ({ names }) =>
      Effect.as(Effect.forEach(names, (name) => journals.register(name, typeOf(name), {}), { concurrency: 64 }), null),
    write: ({ line, names }) => attemptEach(names, (name) => journals.call(typeOf(name), name, "Write", { line })),
    read: ({ names }) =>
      Effect.forEach(names, (name) =>
        journals.call(typeOf(name), name, "Read", undefined).pipe(
          Effect.catch((error) => Effect.succeed(error.message))
        ), { concurrency: 64 }),
    journals: () => ownOf(journals),
    listed: () => Effect.map(journals.registered, (refs) => refs.map(refOf)),
    move: ({ name, to }) => Effect.map(handoff.move(Journals.key, name, to), refOf),
    chat: ({ lines, names }) =>
      Effect.forEach(names, (name) => counters.client(Counter, name).Chat({ lines }), { concurrency: 64 }),
    answered: ({ names, notOn }) =>
      lookEvery(
        names,
        (name) =>
          Effect.flatMap(isElsewhere(name, notOn), (is) =>
            is ? Effect.isSuccess(counters.client(Counter, name).Where()) : Effect.succeed(false))
      ),
    taken: ({ names, notOn }) => lookEvery(names, (name) => isElsewhere(name, notOn)),
    changes: () => Effect.sync(() => changes),
    block: ({ upToMs }) =>
      Effect.sync(() => {
        const begins = blockUpToMs === 0
        blockUpToMs = upToMs
        if (begins) blockNowAndThen()
        return null
      }),
    membership: () =>
      Effect.map(membership.members, (members) => members.map(({ id, status, synced }) => ({ id, status, synced }))),
    join: ({ group, name }) => Effect.as(counters.join(group, name), null),
    members: ({ group }) => Effect.map(counters.members(group), (refs) => refs.map(refOf)),
    race: ({ names, racers }) => Effect.forEach(names, (name) => race(name, racers), all),
    connect: ({ address }) => Effect.map(transport.connect(address), ({ id }) => id),
    peers: () => Effect.sync(() => transport.peers().map(({ id }) => id)),
    registerWithMetadata: ({ kind, name }) =>
      Effect.map(counters.register(name, Counter, { start: 0 }, { metadata: unserialisable(kind) }), refOf)
  }

  const execute = (line: string): Effect.Effect<void> =>
    Effect.suspend(() => {
      const { do: command, id, takes } = JSON.parse(line) as { id: number; do: CommandName; takes: never }
      const handle: (takes: never) => Effect.Effect<unknown, unknown> = handlers[command]
      return Effect.map(Effect.exit(Effect.suspend(() => handle(takes))), (exit) =>
        say(Exit.isSuccess(exit) ? { id, ok: exit.value } : { id, error: describeExit(exit) }))
    })

  const context = yield* Effect.context<never>()
  yield* membership.awaitSynced
  const { address, id } = yield* membership.self
  createInterface({ input: process.stdin }).on("line", (line) => void Effect.runForkWith(context)(execute(line)))
  say({ ready: true, id, address })
  yield* Effect.never
})

const fiber = Effect.runFork(Effect.scoped(main).pipe(Effect.provide(App)))
const leave = (): void => fiber.interruptUnsafe()
process.on("SIGTERM", leave)
process.on("SIGINT", leave)
process.stdin.on("end", leave).on("error", leave).resume()
fiber.addObserver((exit) => {
  const failed = Exit.isFailure(exit) && !Exit.hasInterrupts(exit)
  if (failed) {
    const error = describeExit(exit)
    const { address } = Cause.squash(exit.cause) as { readonly address?: string }
    say({ failed: error, address: address ?? null })
  }
  if (isMute) process.exit(failed ? 1 : 0)
  // what was said last is written before it ends
  process.stdout.write("", () => process.exit(failed ? 1 : 0))
})
