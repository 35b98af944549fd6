#!/usr/bin/env -S deno run -A
// Runs a task of the project: `node scripts/task.mjs demo`, the same with `bun`, or `./scripts/task.mjs demo` (Deno).
// It installs what is missing and then starts the task's script on a runtime that reads TypeScript.
// Plain JavaScript, because Node 20 is enough to start it.
//
// The tasks in deno.json call this file by its path: a task that says `deno …` or `node …` would run
// node_modules/.bin/deno, a native binary, as JavaScript once npm has installed the packages of those names.
import { spawn } from "node:child_process"
import { existsSync, realpathSync } from "node:fs"
import { constants } from "node:os"
import { dirname, join } from "node:path"
import process from "node:process"
import { fileURLToPath } from "node:url"
import { setup } from "./setup.mjs"

const root = dirname(dirname(fileURLToPath(import.meta.url)))

const tasks = {
  demo: ["examples/flights/demo.ts"],
  bench: ["bench/run.ts"],
  test: ["scripts/test.ts", "node", "deno", "bun"],
  "test:node": ["scripts/test.ts", "node"],
  "test:deno": ["scripts/test.ts", "deno"],
  "test:bun": ["scripts/test.ts", "bun"],
  "test:etcd": ["scripts/test.ts", "node", "deno", "bun", "test/etcd", "test/conformance/etcd"],
  sim: ["scripts/sim.ts"],
  "sim:mutants": ["scripts/mutants.ts"],
  soak: ["scripts/soak.ts"],
  check: ["scripts/check.ts"],
  fmt: ["scripts/fmt.ts"],
  build: ["scripts/build.ts"],
  docs: ["scripts/docs.ts", "build"],
  "docs:dev": ["scripts/docs.ts", "dev"]
}

/** The runtime the task was called with when it can read TypeScript, else the Node in node_modules. */
const runtime = () => {
  const self = realpathSync(process.execPath)
  if ("Deno" in globalThis) return [self, "run", "-A", "--quiet"]
  if ("Bun" in globalThis) return [self]
  // `bun run` calls a script's `node` with the Node on PATH, if there is one
  const packageManager = process.env.npm_config_user_agent ?? ""
  if (packageManager.startsWith("bun/") && process.env.npm_execpath) return [process.env.npm_execpath]
  const installed = join(root, "node_modules/node/bin", process.platform === "win32" ? "node.exe" : "node")
  if (existsSync(installed)) return [installed]
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number)
  if (major >= 24 || (major === 22 && minor >= 18)) return [self]
  console.error(`task: Node ${process.version} cannot run TypeScript; run \`npm ci\` without --ignore-scripts`)
  process.exit(1)
}

const [name = "", ...rest] = process.argv.slice(2)
const task = tasks[name]
if (task === undefined) {
  console.error(`task: there is no task "${name}": ${Object.keys(tasks).join(", ")}`)
  process.exit(1)
}

setup()
const [command, ...options] = runtime()
const [script, ...args] = task
// `deno task demo -- --json` hands over the `--` as well
const child = spawn(command, [...options, script, ...args, ...rest.filter((arg, at) => at > 0 || arg !== "--")], {
  cwd: root,
  stdio: "inherit"
})
for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"]) process.on(signal, () => child.kill(signal))
child.on("error", (error) => {
  console.error(`task: cannot start ${command}: ${error.message}`)
  process.exitCode = 1
})
child.on("exit", (code, signal) => {
  process.exitCode = code ?? 128 + (constants.signals[signal] ?? 0)
})
