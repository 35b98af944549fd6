// Everything that can be known without running the tests. All steps run, each failure is shown, one line per step.
import { mkdirSync, readdirSync, rmSync } from "node:fs"
import { join } from "node:path"
import process from "node:process"
import { readTree, violations } from "./architecture.ts"
import { type Outcome, root, run, runScript, runTool } from "./run.ts"
import { findRuntime } from "./runtimes.ts"
import { checkSnippets } from "./snippets.ts"

const quiet = { capture: true } as const
const packed = join(root, ".reports/package")

const deno = (args: ReadonlyArray<string>): Promise<Outcome> => {
  const runtime = findRuntime("deno")
  if (runtime === undefined) return Promise.resolve({ code: 1, output: "Deno was not found\n" })
  return run(runtime.command, args, { ...quiet, env: { NO_COLOR: "1" } })
}

const architecture = (): Promise<Outcome> => {
  const found = violations(readTree(root))
  return Promise.resolve({ code: found.length, output: found.map((violation) => `${violation}\n`).join("") })
}

/** The package as npm would upload it. */
const pack = async (): Promise<Outcome> => {
  rmSync(packed, { recursive: true, force: true })
  mkdirSync(packed, { recursive: true })
  return await run("npm", ["pack", "./dist", "--pack-destination", packed, "--silent"], quiet)
}

const attw = (): Promise<Outcome> => {
  const archive = readdirSync(packed).find((name) => name.endsWith(".tgz")) ?? "missing.tgz"
  return runTool(
    "@arethetypeswrong/cli/dist/index.js",
    [join(packed, archive), "--profile", "esm-only", "--no-color"],
    quiet
  )
}

const steps: ReadonlyArray<readonly [name: string, step: () => Promise<Outcome>]> = [
  ["types", () => runTool("ts7/bin/tsc", ["--noEmit"], quiet)],
  ["types of the examples in the docs", () => checkSnippets()],
  ["deno lint", () => deno(["lint"])],
  ["deno fmt --check", () => deno(["fmt", "--check"])],
  ["architecture", architecture],
  ["JSR package (dry run)", () => deno(["publish", "--dry-run", "--allow-dirty"])],
  ["build", () => runScript("scripts/build.ts", [], quiet)],
  ["publint", () => runTool("publint/src/cli.js", ["run", "dist", "--strict"], quiet)],
  ["npm pack", pack],
  ["are the types wrong?", attw]
]

const failed: Array<string> = []
for (const [name, step] of steps) {
  const start = Date.now()
  const { code, output } = await step()
  const seconds = ((Date.now() - start) / 1000).toFixed(1)
  console.log(`${code === 0 ? "ok    " : "FAILED"} ${name} (${seconds} s)`)
  if (code === 0) continue
  console.log(output)
  failed.push(name)
}
console.log(
  failed.length === 0 ? "All checks passed" : `${failed.length} of ${steps.length} failed: ${failed.join(", ")}`
)
process.exitCode = failed.length === 0 ? 0 : 1
