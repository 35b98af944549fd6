// `npm run sim:mutants`: puts small faults into the protocol, one at a time, in temporary copies of the project, and
// shows that each is caught: by a simulated history, else by a test. The last line is `N passed, N failed`; passed is
// caught. docs/mutants.md says why.
//   --list         what there is            --only A,B  these only
//   --jobs N       at a time (default 2)    --write     writes the table into docs/mutants.md
//   --search N     where the seeds known show nothing, N others are tried before the test
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import process from "node:process"
import { parseArgs } from "node:util"
import { mutants as all } from "./mutants/all.ts"
import { removeCopies } from "./mutants/copy.ts"
import { endChildren, Judge, type Verdict } from "./mutants/judge.ts"
import type { Mutant } from "./mutants/mutant.ts"
import { root } from "./run.ts"

const { values } = parseArgs({
  options: {
    list: { type: "boolean", default: false },
    only: { type: "string" },
    jobs: { type: "string", default: "2" },
    search: { type: "string", default: "0" },
    write: { type: "boolean", default: false }
  }
})

const stop = (message: string): never => {
  console.error(`mutants: ${message}`)
  return process.exit(2)
}

const count = (text: string, what: string): number => {
  const number = Number(text)
  return Number.isSafeInteger(number) && number >= 0 ? number : stop(`--${what} takes a whole number, not "${text}"`)
}

const chosen = (): ReadonlyArray<Mutant> => {
  const wanted = values.only?.split(",")
  const unknown = wanted?.find((id) => !all.some((mutant) => mutant.id === id))
  if (unknown !== undefined) return stop(`there is no mutant "${unknown}"; --list says what there is`)
  return wanted === undefined ? all : all.filter(({ id }) => wanted.includes(id))
}

const width = Math.max(...all.map(({ id }) => id.length))
const ruleWidth = Math.max(...all.map(({ rule }) => rule.length))

interface Judged {
  readonly mutant: Mutant
  readonly verdict: Verdict
}

const caughtBy = (verdict: Verdict): string => {
  switch (verdict._tag) {
    case "Simulation":
      return `simulation, ${verdict.repeat}: ${verdict.violation.split(":")[0]}`
    case "Test":
      return `${verdict.file}: ${verdict.title}`
    case "Missed":
      return `NOT CAUGHT: ${verdict.detail}`
  }
}

const judgeAll = async (mutants: ReadonlyArray<Mutant>): Promise<ReadonlyArray<Judged>> => {
  const judge = new Judge({ search: count(values.search, "search") })
  const judged = new Map<string, Judged>()
  const waiting = [...mutants]
  const work = async (): Promise<void> => {
    for (let mutant = waiting.shift(); mutant !== undefined; mutant = waiting.shift()) {
      const since = performance.now()
      const verdict = await judge.judge(mutant)
      judged.set(mutant.id, { mutant, verdict })
      const seconds = ((performance.now() - since) / 1000).toFixed(1)
      const sign = verdict._tag === "Missed" ? "MISSED" : "caught"
      console.log(`${sign}  ${mutant.id.padEnd(width)}  ${seconds.padStart(5)} s  ${caughtBy(verdict)}`)
    }
  }
  try {
    const jobs = Math.max(1, Math.min(mutants.length, count(values.jobs, "jobs")))
    await Promise.all(Array.from({ length: jobs }, work))
  } finally {
    judge.close()
  }
  return mutants.map(({ id }) => judged.get(id)!)
}

const cell = (text: string): string => text.replaceAll("|", "\\|").replaceAll("<", "&lt;").replaceAll("{{", "{ {")

const MARKS = ["<!-- written by scripts/mutants.ts -->", "<!-- end -->"] as const

/** Puts the table in place of the one between the marks. */
const write = (judged: ReadonlyArray<Judged>): void => {
  const path = join(root, "docs", "mutants.md")
  const page = readFileSync(path, "utf8")
  const [from, to] = [page.indexOf(MARKS[0]), page.indexOf(MARKS[1])]
  if (from < 0 || to < from) return stop("docs/mutants.md has lost the marks that its table stands between")
  const rows = judged.map(({ mutant: { id, rule, what }, verdict }) =>
    `| \`${id}\` | ${cell(what)} | ${rule} | ${cell(caughtBy(verdict))} |`
  )
  const table = ["| mutant | what is broken | rule, hole | caught by |", "| --- | --- | --- | --- |", ...rows]
  writeFileSync(path, `${page.slice(0, from + MARKS[0].length)}\n\n${table.join("\n")}\n\n${page.slice(to)}`)
}

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => {
    endChildren()
    removeCopies()
    process.exit(1)
  })
}

const mutants = chosen()
if (values.list) {
  for (const { id, rule, what } of mutants) console.log(`${id.padEnd(width)}  ${rule.padEnd(ruleWidth)}  ${what}`)
} else {
  const judged = await judgeAll(mutants)
  console.log()
  for (const { mutant: { id, rule, what }, verdict } of judged) {
    console.log(`${id.padEnd(width)}  ${rule.padEnd(ruleWidth)}  ${what}\n${" ".repeat(width + 2)}${caughtBy(verdict)}`)
  }
  if (values.write && values.only === undefined) write(judged)
  const passed = judged.filter(({ verdict }) => verdict._tag !== "Missed").length
  console.log(`\n${passed} passed, ${judged.length - passed} failed`)
  process.exitCode = passed < judged.length || judged.length === 0 ? 1 : 0
}
