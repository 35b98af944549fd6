/** Nodes that are operating-system processes: started, killed, frozen and thawed by tests, and never left behind. */
import { Deferred, Effect, type Scope } from "effect"
import { type ChildProcess, spawn as spawnProcess } from "node:child_process"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import process from "node:process"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import {
  currentRuntimeName,
  findRuntimes,
  type Runtime,
  type RuntimeName,
  runtimeNames
} from "../../scripts/runtimes.ts"
import type { CommandError, CommandName, Commands, MemberSeen, Said } from "./protocol.ts"
import { NeverCame, waitUntil } from "./wait.ts"

export { NeverCame, waitUntil } from "./wait.ts"

export interface NodeOptions {
  readonly id: string
  readonly listen?: string
  readonly advertise?: string
  readonly join?: ReadonlyArray<string>
  readonly cluster?: string
  readonly secret?: string
  readonly redialMs?: number
  readonly handshakeMs?: number
  readonly maxBufferedBytes?: number
  readonly preset?: "lan" | "wan" | "local"
  /** `"console"`: logs as any program does, and says nothing to its test. */
  readonly logs?: "console"
}

/** How the operating system starts a node. */
export interface Spawning {
  /** A command that runs it, as `ip netns exec`. */
  readonly via?: ReadonlyArray<string>
  /** Where stdout and stderr go: a file's descriptor, or a pipe to its test. Default: pipes. */
  readonly output?: number | "pipe"
}

/** How an operating-system process ended. */
export interface Ended {
  readonly code: number | null
  readonly signal: string | null
}

/** A node under test. */
export interface TestNode {
  readonly id: string
  readonly runtime: Runtime
  readonly pid: number
  /** Where it listens; empty before it is ready. */
  readonly address: () => string
  readonly ask: <C extends CommandName>(
    command: C,
    takes: Commands[C]["takes"]
  ) => Effect.Effect<Commands[C]["answers"], CommandFailed | NodeGone>
  /** SIGKILL: no goodbye. */
  readonly kill: Effect.Effect<Ended>
  /** SIGTERM: it hands its processes over and ends by itself. */
  readonly terminate: Effect.Effect<Ended, NeverCame>
  /** SIGSTOP: it keeps its connections and does nothing. */
  readonly freeze: Effect.Effect<void>
  /** SIGCONT: it goes on as if nothing had happened. */
  readonly thaw: Effect.Effect<void>
  /** Nobody reads what it writes any more: its stdout and stderr are closed pipes. */
  readonly closePipes: Effect.Effect<void>
  readonly ended: Effect.Effect<Ended>
  /** Its log so far, warnings and worse. */
  readonly warnings: () => ReadonlyArray<string>
  /** Why it could not start, if it couldn't. */
  readonly failure: () => { readonly error: CommandError; readonly address: string | null } | undefined
  /** What it wrote on stderr so far. */
  readonly stderr: () => string
}

/** The node answered a command with an error. */
export class CommandFailed extends Error {
  readonly _tag = "CommandFailed"
  readonly error: CommandError
  constructor(node: string, command: string, error: CommandError) {
    super(`${command} on "${node}" failed: ${error.tag}: ${error.message}`)
    this.error = error
  }
}

/** The node ended, by itself or by a signal, where it was needed. */
export class NodeGone extends Error {
  readonly _tag = "NodeGone"
}

export const SECRET = "the secret of these tests"

const found = findRuntimes()
const present = runtimeNames.flatMap((name) => found[name] ?? [])

/** The runtimes for three nodes: Deno, Bun and Node; one that this machine lacks is replaced by another. */
export const three: readonly [Runtime, Runtime, Runtime] = (() => {
  const wanted: ReadonlyArray<RuntimeName> = ["deno", "bun", "node"]
  const [a, b, c] = wanted.map((name, index) => found[name] ?? present[index % present.length]!)
  return [a!, b!, c!]
})()

/** The runtime that runs the test. */
export const same: Runtime = found[currentRuntimeName] ?? three[2]

// ---- no process survives

const started = new Set<number>()

/** Does a process with this id run? One that has ended and that nobody has waited for yet does not. */
export const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
  } catch {
    return false
  }
  return statOf(pid)?.state !== "Z"
}

/** Where processes can be looked up by their parent. */
export const hasProc: boolean = existsSync("/proc/self/stat")

const statOf = (pid: number): { readonly state: string; readonly parent: number } | undefined => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8")
    // the name, in brackets, may hold anything
    const [state, parent] = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
    return { state: state!, parent: Number(parent) }
  } catch {
    return undefined
  }
}

/** The running processes that a process has started. */
export const childrenOf = (parent: number): ReadonlyArray<number> =>
  readdirSync("/proc").map(Number).filter((pid) => {
    const stat = pid > 0 ? statOf(pid) : undefined
    return stat?.parent === parent && stat.state !== "Z"
  })

/** The processes that tests of this file started and that still run. */
export const survivors = (): ReadonlyArray<number> => [...started].filter(isAlive)

/** Notes a process, so that `survivors` looks for it and the end of this program takes it along. */
export const note = (pid: number): void => void started.add(pid)

process.once("exit", () => {
  for (const pid of survivors()) signal(pid, "SIGKILL")
})

const signal = (pid: number, name: "SIGKILL" | "SIGTERM" | "SIGSTOP" | "SIGCONT" | "SIGINT"): void => {
  try {
    process.kill(pid, name)
  } catch {
    // it has ended
  }
}

// ---- starting

const program = fileURLToPath(new URL("./program.ts", import.meta.url))

const argsOf = ({ join = [], secret: _, ...rest }: NodeOptions): Array<string> => [
  ...Object.entries(rest).flatMap(([flag, value]) => [`--${flag}`, String(value)]),
  ...join.flatMap((address) => ["--join", address])
]

interface Waiter {
  readonly command: string
  readonly resume: (answer: Effect.Effect<never, CommandFailed | NodeGone> | Effect.Effect<unknown>) => void
}

/** Starts a node without waiting for it; killed with the scope at the latest. */
export const launch = (
  runtime: Runtime,
  options: NodeOptions,
  { output = "pipe", via = [] }: Spawning = {}
): Effect.Effect<TestNode, NodeGone, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.suspend(() => {
      const [command, ...args] = [...via, runtime.command, ...runtime.argsFor(program, argsOf(options))]
      const child = spawnProcess(command!, args, {
        stdio: ["pipe", output, output],
        env: { ...process.env, SWORM_SECRET: options.secret ?? SECRET }
      })
      if (child.pid === undefined) return Effect.fail(new NodeGone(`Cannot start ${runtime.command}`))
      note(child.pid)
      return Effect.succeed(nodeOf(runtime, options.id, child, child.pid))
    }),
    (node) => Effect.asVoid(node.kill)
  )

/** Starts a node and waits until it is ready: synced with its cluster, or alone in one of its own. */
export const start = (
  runtime: Runtime,
  options: NodeOptions,
  spawning: Spawning = {}
): Effect.Effect<TestNode, NodeGone | NeverCame, Scope.Scope> =>
  Effect.flatMap(launch(runtime, options, spawning), (node) => {
    const gone = Effect.flatMap(node.ended, ({ code, signal }) =>
      Effect.fail(
        new NodeGone(
          `"${options.id}" on ${runtime.name} ended (${code ?? signal}) before it was ready: ` +
            `${node.failure()?.error.message ?? ""} ${node.stderr()}`
        )
      ))
    const ready = waitUntil(`"${options.id}" on ${runtime.name} is ready`, () => node.address() !== "", "60 seconds")
    return Effect.as(Effect.raceFirst(ready, gone), node)
  })

const nodeOf = (runtime: Runtime, id: string, child: ChildProcess, pid: number): TestNode => {
  const waiting = new Map<number, Waiter>()
  const warnings: Array<string> = []
  const end = Deferred.makeUnsafe<Ended>()
  let stderr = ""
  let address = ""
  let failure: { readonly error: CommandError; readonly address: string | null } | undefined
  let over: Ended | undefined
  let lastId = 0

  const take = (line: string): void => {
    const said = parse(line)
    if (said === undefined) stderr += `(on stdout) ${line}\n`
    else if ("ready" in said) address = said.address
    else if ("failed" in said) failure = { error: said.failed, address: said.address }
    else if ("log" in said) {
      if (said.level !== "Info" && said.level !== "Debug" && said.level !== "Trace") warnings.push(said.log)
    } else {
      const waiter = waiting.get(said.id)
      waiting.delete(said.id)
      waiter?.resume(
        "ok" in said ? Effect.succeed(said.ok) : Effect.fail(new CommandFailed(id, waiter.command, said.error))
      )
    }
  }
  if (child.stdout !== null) createInterface({ input: child.stdout }).on("line", take)
  child.stderr?.setEncoding("utf8").on("data", (text: string) => void (stderr += text))
  child.stdin!.on("error", () => {})
  // "close", not "exit": all that it said has been read by then
  child.once("close", (code, signal) => {
    over = { code, signal }
    Deferred.doneUnsafe(end, Effect.succeed(over))
    for (const { command, resume } of waiting.values()) {
      resume(Effect.fail(new NodeGone(`"${id}" ended (${code ?? signal}) before it answered ${command}: ${stderr}`)))
    }
    waiting.clear()
  })
  const ended = Deferred.await(end)

  return {
    id,
    runtime,
    pid,
    address: () => address,
    ask: (command, takes) =>
      Effect.callback((resume) => {
        if (over !== undefined) return resume(Effect.fail(new NodeGone(`"${id}" has ended: ${stderr}`)))
        const commandId = ++lastId
        waiting.set(commandId, { command, resume: resume as Waiter["resume"] })
        child.stdin!.write(JSON.stringify({ id: commandId, do: command, takes }) + "\n")
        return Effect.sync(() => void waiting.delete(commandId))
      }),
    kill: Effect.suspend(() => {
      if (over === undefined) signal(pid, "SIGKILL")
      return ended
    }),
    terminate: Effect.suspend(() => {
      signal(pid, "SIGTERM")
      return waitUntil(`"${id}" on ${runtime.name} has left`, () => over, "30 seconds")
    }),
    freeze: Effect.sync(() => signal(pid, "SIGSTOP")),
    thaw: Effect.sync(() => signal(pid, "SIGCONT")),
    closePipes: Effect.sync(() => {
      child.stdout?.destroy()
      child.stderr?.destroy()
    }),
    ended,
    warnings: () => warnings,
    failure: () => failure,
    stderr: () => stderr
  }
}

const parse = (line: string): Said | undefined => {
  try {
    return JSON.parse(line) as Said
  } catch {
    return undefined
  }
}

// ---- clusters

/** A node on each of the three runtimes, in one cluster that all of them see complete. */
export const startThree = (
  prefix: string
): Effect.Effect<readonly [TestNode, TestNode, TestNode], NodeGone | NeverCame | CommandFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const [deno, bun, node] = three
    const idOf = (index: number): string => `${prefix}-${index + 1}-${three[index]!.name}`
    const first = yield* start(node, { id: idOf(2) })
    const [a, b] = yield* Effect.all([
      start(deno, { id: idOf(0), join: [first.address()] }),
      start(bun, { id: idOf(1), join: [first.address()] })
    ], { concurrency: "unbounded" })
    const nodes = [a, b, first] as const
    yield* seeEachOther(nodes)
    return nodes
  })

/** So many nodes in one cluster, on the three runtimes in turn. */
export const startMany = (
  prefix: string,
  count: number
): Effect.Effect<ReadonlyArray<TestNode>, NodeGone | NeverCame | CommandFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const startAt = (index: number, join: ReadonlyArray<string>) => {
      const runtime = three[(index + 2) % 3]!
      return start(runtime, { id: `${prefix}-${index + 1}-${runtime.name}`, join })
    }
    const first = yield* startAt(0, [])
    const rest = Array.from({ length: count - 1 }, (_, index) => startAt(index + 1, [first.address()]))
    const nodes = [first, ...yield* Effect.all(rest, { concurrency: "unbounded" })]
    yield* seeEachOther(nodes)
    return nodes
  })

const isActive = ({ status, synced }: MemberSeen): boolean => status === "alive" && synced

/** Waits until every one of these nodes sees exactly these nodes alive and synced, and knows that they host the sworm. */
export const seeEachOther = (
  nodes: ReadonlyArray<TestNode>
): Effect.Effect<true, NeverCame | CommandFailed | NodeGone> => {
  const ids = nodes.map(({ id }) => id).sort().join()
  const seenBy = (node: TestNode) =>
    Effect.map(
      Effect.all([node.ask("membership", {}), node.ask("hosts", {})]),
      ([members, hosts]) =>
        members.filter(isActive).map(({ id }) => id).sort().join() === ids && [...hosts].sort().join() === ids
    )
  return waitUntil(
    `${ids} see each other`,
    Effect.map(Effect.all(nodes.map(seenBy)), (views) => views.every((isSeen) => isSeen))
  )
}
