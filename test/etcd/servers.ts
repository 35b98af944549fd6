/** Real etcd servers for tests, each in a process of its own with a folder of its own. */
import { Effect, type Scope } from "effect"
import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import process from "node:process"
import { make } from "../../adapters/etcd/client.ts"
import { freePort } from "../cluster/proxy.ts"
import { waitUntil } from "../cluster/wait.ts"

const INSTALL_MS_MAX = 120_000

const works = (command: string): boolean => spawnSync(command, ["--version"], { timeout: 10_000 }).status === 0

const install = (): boolean => {
  if (process.getuid?.() !== 0 || !works("apt-get")) return false
  const timeout = INSTALL_MS_MAX / 2
  spawnSync("apt-get", ["update", "-q"], { timeout })
  // the package starts a server of its own where it can; these tests need none
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive", RUNLEVEL: "1" }
  spawnSync("apt-get", ["install", "-y", "-q", "etcd-server"], { timeout, env })
  return works("etcd")
}

/** Whether there is an `etcd` to start; on a Debian where this may install it, it does so once. */
export const hasEtcd: boolean = works("etcd") || install()

export const HOW_TO_GET_ETCD =
  `no "etcd" in PATH: install it ("apt-get install etcd-server", "brew install etcd"), or get it from its releases page`

export interface ServerOptions {
  /** Default 1. */
  readonly members?: number
  /** More of etcd's own options. */
  readonly flags?: ReadonlyArray<string>
  readonly isTls?: boolean
}

export interface Member {
  readonly endpoint: string
  /** Ends the process without a word; its data stay. */
  readonly kill: Effect.Effect<void>
  /** Starts it again, unless it runs; it may take a moment until it answers. */
  readonly start: Effect.Effect<void>
  /** Holds its process up, with all its connections. */
  readonly pause: Effect.Effect<void>
  readonly resume: Effect.Effect<void>
}

export interface Servers {
  readonly members: ReadonlyArray<Member>
  readonly endpoints: ReadonlyArray<string>
  /** It has a leader and answers. */
  readonly ready: Effect.Effect<void, unknown>
}

/** Starts members of a cluster and ends them with the scope. Heartbeats are short, so that elections and leases are. */
export const startServers = (options: ServerOptions = {}): Effect.Effect<Servers, unknown, Scope.Scope> =>
  Effect.gen(function* () {
    const directory = yield* Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "sworm-etcd-"))),
      (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
    )
    const names = Array.from({ length: options.members ?? 1 }, (_, at) => `m${at}`)
    const places = yield* Effect.forEach(
      names,
      (name) =>
        Effect.map(Effect.all([freePort, freePort]), ([client, peer]) => ({
          name,
          endpoint: `${options.isTls === true ? "https" : "http"}://127.0.0.1:${client}`,
          peer: `http://127.0.0.1:${peer}`
        }))
    )
    const cluster = places.map(({ name, peer }) => `${name}=${peer}`).join(",")
    const members = yield* Effect.forEach(places, ({ endpoint, name, peer }) =>
      makeMember(endpoint, [
        ...["--name", name, "--data-dir", join(directory, name), "--log-level", "fatal"],
        ...["--listen-client-urls", endpoint, "--advertise-client-urls", endpoint],
        ...["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", cluster],
        ...["--heartbeat-interval", "50", "--election-timeout", "250"],
        ...options.flags ?? []
      ]))
    yield* Effect.forEach(members, ({ start }) => start)
    const endpoints = members.map(({ endpoint }) => endpoint)
    const servers = { members, endpoints, ready: ready(endpoints) }
    if (options.isTls !== true) yield* servers.ready
    return servers
  })

const makeMember = (endpoint: string, args: ReadonlyArray<string>): Effect.Effect<Member, never, Scope.Scope> =>
  Effect.gen(function* () {
    let running: ChildProcess | undefined
    const kill = Effect.callback<void>((resume) => {
      const child = running
      running = undefined
      if (child === undefined || child.exitCode !== null || child.signalCode !== null) return resume(Effect.void)
      child.once("exit", () => resume(Effect.void))
      child.kill("SIGKILL")
    })
    const start = Effect.sync(() => {
      running ??= spawn("etcd", args, { stdio: "ignore" })
    })
    const tell = (signal: NodeJS.Signals) => Effect.sync(() => void running?.kill(signal))
    yield* Effect.addFinalizer(() => kill)
    return { endpoint, kill, start, pause: tell("SIGSTOP"), resume: tell("SIGCONT") }
  })

const ready = (endpoints: ReadonlyArray<string>): Effect.Effect<void, unknown> =>
  Effect.scoped(Effect.gen(function* () {
    for (const endpoint of endpoints) {
      const client = yield* make({ endpoints: [endpoint], retryFor: 0, requestTimeout: "1 second" })
      // without a user it is refused where users are asked for: then it answers, too
      const asked = Effect.map(
        Effect.result(client.range({ key: "ready" })),
        (result) =>
          result._tag === "Success" || result.failure.reason === "Unauthenticated" ||
          result.failure.reason === "Invalid"
      )
      yield* waitUntil(`${endpoint} answers`, asked)
    }
  }))
