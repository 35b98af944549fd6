/** The operating-system processes of the demo: started on a runtime each, and never left behind. */
import { Deferred, Effect, type Scope } from "effect"
import { type ChildProcess, spawn } from "node:child_process"
import process from "node:process"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import type { Runtime } from "../../scripts/runtimes.ts"

export interface Child {
  readonly id: string
  readonly runtime: Runtime
  readonly address: string
  /** How many processes it has given away so far, and how many of them with their state. */
  readonly moved: () => { readonly all: number; readonly withState: number }
  /** What it has sent to other nodes so far, for them to keep. */
  readonly snapshots: () => { readonly count: number; readonly bytes: number }
  /** Sends a signal and waits for the end, at most 30 seconds; then it is killed. */
  readonly end: (signal: "SIGTERM" | "SIGKILL") => Effect.Effect<void>
}

export class ChildFailed extends Error {
  readonly _tag = "ChildFailed"
}

const program = fileURLToPath(new URL("./node.ts", import.meta.url))
const READY_TIMEOUT = "60 seconds"

export const start = (
  runtime: Runtime,
  options: {
    readonly id: string
    readonly secret: string
    readonly join?: string | undefined
    readonly env?: Readonly<Record<string, string>> | undefined
  }
): Effect.Effect<Child, ChildFailed, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const { env, id, join, secret } = options
      const args = [
        "--id",
        id,
        "--listen",
        "127.0.0.1:0",
        "--lifeline",
        ...(join === undefined ? [] : ["--join", join])
      ]
      const child = spawn(runtime.command, runtime.argsFor(program, args), {
        stdio: ["pipe", "pipe", "inherit"],
        env: { ...process.env, ...env, SWORM_SECRET: secret }
      })
      return { child, ended: ended(child) }
    }),
    // the show is over: nothing to hand over to anybody
    ({ child, ended }) => end(child, ended, "SIGKILL")
  ).pipe(Effect.flatMap(({ child, ended }) => {
    let all = 0
    let withState = 0
    let snapshots = { count: 0, bytes: 0 }
    const ready = Deferred.makeUnsafe<string, ChildFailed>()
    createInterface({ input: child.stdout! }).on("line", (line) => {
      const said = parse(line)
      if (said["moved"] !== undefined) {
        all++
        if (said["withState"] === true) withState++
      }
      if (said["snapshots"] !== undefined) {
        snapshots = { count: Number(said["snapshots"]), bytes: Number(said["snapshotBytes"]) }
      }
      if (said["ready"] === true) Deferred.doneUnsafe(ready, Effect.succeed(String(said["address"])))
    })
    const gone = Effect.andThen(
      ended,
      Effect.fail(new ChildFailed(`The node "${options.id}" on ${runtime.name} ended before it was ready`))
    )
    return Effect.raceFirst(Deferred.await(ready), gone).pipe(
      Effect.timeoutOrElse({
        duration: READY_TIMEOUT,
        orElse: () => Effect.fail(new ChildFailed(`The node "${options.id}" was not ready within ${READY_TIMEOUT}`))
      }),
      Effect.map((address): Child => ({
        id: options.id,
        runtime,
        address,
        moved: () => ({ all, withState }),
        snapshots: () => snapshots,
        end: (signal) => end(child, ended, signal)
      }))
    )
  }))

const ended = (child: ChildProcess): Effect.Effect<void> => {
  const done = Deferred.makeUnsafe<void>()
  // "close", not "exit": what it said last has been read by then
  child.once("close", () => Deferred.doneUnsafe(done, Effect.void))
  child.once("error", () => Deferred.doneUnsafe(done, Effect.void))
  child.stdin!.on("error", () => {})
  return Deferred.await(done)
}

const end = (child: ChildProcess, ended: Effect.Effect<void>, signal: "SIGTERM" | "SIGKILL"): Effect.Effect<void> =>
  Effect.suspend(() => {
    child.kill(signal)
    return Effect.timeoutOrElse(ended, {
      duration: "30 seconds",
      orElse: () => Effect.andThen(Effect.sync(() => child.kill("SIGKILL")), ended)
    })
  })

const parse = (line: string): Record<string, unknown> => {
  try {
    return JSON.parse(line)
  } catch {
    return {}
  }
}
