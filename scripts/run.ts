// Starting a tool of the project and waiting for it.
import { spawn } from "node:child_process"
import { dirname, join } from "node:path"
import process from "node:process"
import { fileURLToPath } from "node:url"
import { currentRuntimeName, findRuntime, type Runtime } from "./runtimes.ts"

/** The folder of the repository. */
export const root: string = dirname(dirname(fileURLToPath(import.meta.url)))

/** The runtime for tools written for Node: Node where it is installed, else the one that runs this. */
export const toolRuntime = (): Runtime => {
  const runtime = findRuntime("node") ?? findRuntime(currentRuntimeName)
  if (runtime === undefined) throw new Error(`Cannot start a ${currentRuntimeName} process from ${process.execPath}`)
  return runtime
}

/** How a process ended. */
export interface Outcome {
  /** The exit code; 1 when it could not start or was killed. */
  readonly code: number
  /** What it printed on stdout and stderr, in order, if captured. */
  readonly output: string
  /** What it printed on stdout alone, if captured. */
  readonly stdout?: string
}

/** Starts a process in the repository; `capture` keeps stdout and stderr, in order, instead of showing them. */
export const run = (
  command: string,
  args: ReadonlyArray<string>,
  options: { readonly capture?: boolean; readonly timeout?: number; readonly env?: Record<string, string> } = {}
): Promise<Outcome> =>
  new Promise((resolve) => {
    const child = spawn(command, [...args], {
      cwd: root,
      stdio: options.capture ? ["ignore", "pipe", "pipe"] : "inherit",
      ...(options.timeout === undefined ? {} : { timeout: options.timeout, killSignal: "SIGKILL" as const }),
      ...(options.env === undefined ? {} : { env: { ...process.env, ...options.env } })
    })
    const chunks: Array<string> = []
    const printed: Array<string> = []
    child.stdout?.setEncoding("utf8").on("data", (chunk: string) => void (chunks.push(chunk), printed.push(chunk)))
    child.stderr?.setEncoding("utf8").on("data", (chunk: string) => void chunks.push(chunk))
    child.on("error", (error) => resolve({ code: 1, output: `Cannot start ${command}: ${error.message}\n` }))
    child.on("close", (code, signal) => {
      if (signal !== null) chunks.push(`${command} was ended by ${signal}\n`)
      resolve({ code: code ?? 1, output: chunks.join(""), stdout: printed.join("") })
    })
  })

/** Runs a script of the repository, such as `runScript("scripts/build.ts", [])`. */
export const runScript = (
  path: string,
  args: ReadonlyArray<string>,
  options?: Parameters<typeof run>[2]
): Promise<Outcome> => {
  const runtime = toolRuntime()
  return run(runtime.command, runtime.argsFor(join(root, path), args), options)
}

/** Runs a script of a package in node_modules, such as `runTool("vitest/vitest.mjs", ["run"])`. */
export const runTool: typeof runScript = (path, args, options) => runScript(`node_modules/${path}`, args, options)
