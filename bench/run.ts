/**
 * `npm run bench`: figures of the hot paths, one JSON line each on stdout. `--only ID[,ID]` picks some, `--runtime NAME`
 * runs them on one runtime instead of all that are found.
 */
import { spawnSync } from "node:child_process"
import process from "node:process"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { findRuntimes, runtimeNames } from "../scripts/runtimes.ts"

const { values: flags } = parseArgs({
  options: { only: { type: "string" }, runtime: { type: "string" }, json: { type: "boolean" } }
})

const figures = fileURLToPath(new URL("./figures.ts", import.meta.url))
const runtimes = findRuntimes()
let failed = false
for (const name of runtimeNames) {
  const runtime = runtimes[name]
  if (flags.runtime !== undefined && flags.runtime !== name) continue
  if (runtime === undefined) {
    process.stderr.write(`${name} is missing: its figures are left out\n`)
    continue
  }
  const args = flags.only === undefined ? [] : ["--only", flags.only]
  const { status } = spawnSync(runtime.command, runtime.argsFor(figures, args), {
    stdio: ["ignore", "inherit", "inherit"]
  })
  failed ||= status !== 0
}
process.exit(failed ? 1 : 0)
