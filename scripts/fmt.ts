// Formats the TypeScript and JavaScript of the repository; `--check` only tells what is not formatted.
import process from "node:process"
import { run } from "./run.ts"
import { findRuntime } from "./runtimes.ts"

const deno = findRuntime("deno")
if (deno === undefined) {
  console.error("fmt: needs Deno")
  process.exit(1)
}
const { code } = await run(deno.command, ["fmt", ...process.argv.slice(2)])
process.exitCode = code
