// What takes too long for every run of the tests: `npm run soak` does all of it (about an hour), `npm run soak -- sim quiet`
// some. Each prints what it found; `--write` puts the figures into docs/soak.md.
//   sim       10,000 seeds of the simulation
//   model     the model's random walks, for ten minutes
//   failover  a node is killed, 20 times: its 1,000 processes answer again
//   silent    a node is frozen, 20 times: the same
//   quiet     ten minutes with busy cores and blocked event loops: nobody is given up
//   faults    each test of a real fault, 20 times
//   etcd      200 histories of nodes on etcd in memory, under faults: linearizable, and fenced
import { readFileSync, writeFileSync } from "node:fs"
import { availableParallelism } from "node:os"
import { join } from "node:path"
import process from "node:process"
import { root, run, toolRuntime } from "./run.ts"

interface Part {
  readonly script: string
  readonly args: ReadonlyArray<string>
}

const SEEDS = 10_000
const FROM = 1_000_000

const parts: Readonly<Record<string, Part>> = {
  sim: { script: "scripts/sim.ts", args: ["--seeds", `${SEEDS}`, "--from", `${FROM}`] },
  model: { script: "test/model/walk.ts", args: ["walk", "--seconds", "600", "--seed", "1"] },
  failover: { script: "test/cluster/soak.ts", args: ["failover", "--runs", "20"] },
  silent: { script: "test/cluster/soak.ts", args: ["silent", "--runs", "20"] },
  quiet: { script: "test/cluster/soak.ts", args: ["quiet", "--minutes", "10"] },
  faults: { script: "test/cluster/soak.ts", args: ["faults", "--runs", "20"] },
  etcd: { script: "test/cluster/soak.ts", args: ["etcd", "--runs", "200"] }
}

const asked = process.argv.slice(2).filter((argument) => argument !== "--write")
const unknown = asked.filter((name) => !(name in parts))
if (unknown.length > 0) {
  console.error(`soak: there is no ${unknown.join(", ")}; there is ${Object.keys(parts).join(", ")}`)
  process.exit(2)
}

const file = join(root, "docs/soak.md")
const MARK = /<!-- (\w+) -->[\s\S]*?<!-- end -->/g

/** What it printed last, under what was run, when, and where. */
const write = (figures: ReadonlyMap<string, string>): void => {
  const text = readFileSync(file, "utf8").replace(MARK, (before, name: string) => {
    const figure = figures.get(name)
    return figure === undefined ? before : `<!-- ${name} -->\n${figure}\n<!-- end -->`
  })
  writeFileSync(file, text)
}

const figures = new Map<string, string>()
let failed = 0
for (const name of asked.length > 0 ? asked : Object.keys(parts)) {
  const { args, script } = parts[name]!
  console.log(`\n=== ${name}: ${script} ${args.join(" ")} ===`)
  const runtime = toolRuntime()
  const began = Date.now()
  const { code, output } = await run(runtime.command, runtime.argsFor(join(root, script), args), { capture: true })
  const last = output.trimEnd().split("\n").at(-1) ?? ""
  console.log(code === 0 ? last : output)
  if (code !== 0) failed++
  const minutes = ((Date.now() - began) / 60_000).toFixed(1)
  const day = new Date().toISOString().slice(0, 10)
  const where = `${day}, ${availableParallelism()} cores, ${runtime.name} ${runtime.version}, ${minutes} min`
  figures.set(name, `\`\`\`text\n${script} ${args.join(" ")}\n${last}\n\`\`\`\n\n${where}`)
}
if (process.argv.includes("--write")) write(figures)
console.log(`\n${figures.size - failed} passed, ${failed} failed`)
process.exitCode = failed > 0 ? 1 : 0
