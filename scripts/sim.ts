// `npm run sim -- --seeds N --from S`: simulates seeds one after the other, on all cores; the last line is
// `N passed, N failed`. A failure prints its seed, the shortest script that still fails, and how to see it again.
//   --seeds N   how many (default 100)     --from S   the first (default 1)
//   --nodes N   nodes of each (default 5)  --steps N  requests of clients in each (default 60)
//   --jobs N    processes (default 2)      --trace    prints the whole history; for one seed
//   --only A,B  of the script, only the steps of these numbers; for one seed
//   --hashes    writes the traces of the first 20 seeds for the tests, which compare them on every runtime
import { spawn } from "node:child_process"
import { writeFileSync } from "node:fs"
import process from "node:process"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { report } from "../test/simulation/report.ts"
import { type Plan, planOf, simulate } from "../test/simulation/simulate.ts"

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "100" },
    from: { type: "string", default: "1" },
    nodes: { type: "string", default: "5" },
    steps: { type: "string", default: "60" },
    jobs: { type: "string", default: "2" },
    only: { type: "string" },
    hashes: { type: "boolean", default: false },
    trace: { type: "boolean", default: false }
  }
})

const count = (text: string, what: string): number => {
  const number = Number(text)
  if (Number.isSafeInteger(number) && number >= 0) return number
  console.error(`--${what} takes a whole number, not "${text}"`)
  return process.exit(2)
}

const seeds = count(values.seeds, "seeds")
const from = count(values.from, "from")
const shape = { nodes: count(values.nodes, "nodes"), steps: count(values.steps, "steps") }
const jobs = values.trace ? 1 : Math.max(1, Math.min(seeds, count(values.jobs, "jobs")))

/** The plan with some steps of its script, by number. */
const cut = (plan: Plan): Plan => {
  if (values.only === undefined) return plan
  const wanted = new Set(values.only.split(",").map((number) => count(number, "only")))
  return { ...plan, script: plan.script.filter((_, index) => wanted.has(index)) }
}

const runHere = async (): Promise<{ passed: number; failed: number }> => {
  let passed = 0
  for (let seed = from; seed < from + seeds; seed++) {
    const plan = cut(planOf(seed, shape))
    const result = await simulate(plan, values.trace)
    if (values.trace) console.log(result.trace.join("\n"))
    if (seeds === 1) console.log(`seed ${seed}: trace ${result.hash}, settled after ${result.settledMs} ms`)
    if (result.violations.length === 0) passed++
    else console.log(await report(plan, result, shape))
  }
  return { passed, failed: seeds - passed }
}

/** A part of the seeds in a process of its own. */
const runApart = (first: number, many: number): Promise<{ passed: number; failed: number }> =>
  new Promise((resolve) => {
    const args = [fileURLToPath(import.meta.url), "--from", `${first}`, "--seeds", `${many}`, "--jobs", "1"]
    args.push("--nodes", values.nodes, "--steps", values.steps)
    const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] })
    let text = ""
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => void (text += chunk))
    child.on("close", () => {
      const found = /(\d+) passed, (\d+) failed\n$/.exec(text)
      process.stdout.write(found === null ? text : text.slice(0, found.index))
      resolve(found === null ? { passed: 0, failed: many } : { passed: Number(found[1]), failed: Number(found[2]) })
    })
  })

if (values.hashes) {
  const hashes: Record<number, string> = {}
  for (let seed = 1; seed <= 20; seed++) hashes[seed] = (await simulate(planOf(seed))).hash
  writeFileSync(new URL("../test/simulation/hashes.json", import.meta.url), `${JSON.stringify(hashes, null, 2)}\n`)
  process.exit(0)
}

const shares = Array.from({ length: jobs }, (_, job) => Math.floor((seeds * job) / jobs))
const parts = jobs === 1 ? [await runHere()] : await Promise.all(
  shares.map((start, job) => runApart(from + start, (shares[job + 1] ?? seeds) - start))
)
const total = (key: "passed" | "failed"): number => parts.reduce((sum, part) => sum + part[key], 0)
console.log(`${total("passed")} passed, ${total("failed")} failed`)
process.exitCode = total("failed") > 0 || seeds === 0 ? 1 : 0
