// Measurements by hand of what tests don't judge: time. Nodes are operating-system processes with the `lan` preset on
// loopback. The last line is one JSON object.
//   node_modules/.bin/node test/cluster/soak.ts failover --runs 20      a node is killed: its 1,000 processes answer again
//   node_modules/.bin/node test/cluster/soak.ts silent --runs 20        a node is frozen: the same
//   node_modules/.bin/node test/cluster/soak.ts quiet --minutes 10      busy cores, blocked event loops: nobody is given up
//   node_modules/.bin/node test/cluster/soak.ts faults --runs 20        each test of a real fault, so many times
//   node_modules/.bin/node test/cluster/soak.ts etcd --runs 200         histories on etcd, checked; --real: on servers
import { Effect, type Scope } from "effect"
import { spawn } from "node:child_process"
import { readFileSync, rmSync } from "node:fs"
import process from "node:process"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import {
  type CommandFailed,
  type NeverCame,
  type NodeGone,
  note,
  seeEachOther,
  startThree,
  type TestNode
} from "./harness.ts"
import { named } from "./load.ts"
import type { MemberChanged } from "./protocol.ts"
import { waitUntil } from "./wait.ts"
import { soak as histories } from "../etcd/soak.ts"

const { positionals: [kind], values: flags } = parseArgs({
  allowPositionals: true,
  options: {
    runs: { type: "string", default: "5" },
    minutes: { type: "string", default: "10" },
    processes: { type: "string", default: "1000" },
    from: { type: "string", default: "1" },
    parallel: { type: "string", default: "4" },
    real: { type: "boolean", default: false }
  }
})
const runs = Number(flags.runs)
const processes = Number(flags.processes)
const GOAL_MS = { failover: 500, silent: 3000 } as const
const BLOCK_MS = 300
const REPORT_EVERY = "10 seconds"

type Failed = NeverCame | NodeGone | CommandFailed
type Fault = keyof typeof GOAL_MS

/** When each thing happened, in ms since the fault. */
interface Timeline {
  /** The operating system has told this program that the process has ended; of a frozen one: nothing. */
  readonly ended: number | null
  readonly suspected: number | null
  /** The first of the others believed it, then the last. */
  readonly dead: number
  readonly deadAtAll: number
  /** The first name had a new holder, then the last did, as another node saw it. */
  readonly firstTaken: number
  readonly lastTaken: number
  readonly firstAnswered: number
  readonly lastAnswered: number
}

/** A victim with exactly so many processes, and two others. */
const prepare = Effect.fnUntraced(function* (run: number) {
  const nodes = yield* startThree(`run${run}`)
  const victim = nodes[run % 3]!
  const others = nodes.filter((node) => node !== victim)
  const mine: Array<string> = []
  for (let batch = 0; mine.length < processes; batch++) {
    const refs = yield* others[0]!.ask("register", { names: named(`p${batch}`, processes), start: 0 })
    for (const { name, node } of refs) if (node === victim.id && mine.length < processes) mine.push(name)
  }
  for (const other of others) {
    yield* waitUntil(
      `"${other.id}" knows all names`,
      Effect.map(other.ask("whereis", { names: mine }), (refs) => refs.every((ref) => ref !== null))
    )
    // every code path has been walked once: a cluster in use is not a cold one
    yield* other.ask("totals", { names: mine })
  }
  yield* seeEachOther(nodes)
  return { victim, others, mine }
})

const measure = (fault: Fault, run: number): Effect.Effect<Timeline, Failed, Scope.Scope> =>
  Effect.gen(function* () {
    const { mine, others, victim } = yield* prepare(run)
    const [asker, watcher] = others as [TestNode, TestNode]
    const asked = { names: mine, notOn: victim.id }
    const changesOf = (node: TestNode) =>
      Effect.map(node.ask("changes", {}), (changes) =>
        changes.filter(({ atMs, id }) => id === victim.id && atMs >= sinceMs))
    const sinceMs = Date.now()
    let endedAtMs: number | null = null
    if (fault === "silent") {
      yield* victim.freeze
    } else {
      yield* victim.kill
      endedAtMs = Date.now()
    }
    const [answered, taken] = yield* Effect.all([asker.ask("answered", asked), watcher.ask("taken", asked)], {
      concurrency: "unbounded"
    }).pipe(Effect.timeout("60 seconds"), Effect.orDie)
    const changes = yield* Effect.all(others.map(changesOf))
    const firstOf = (all: ReadonlyArray<MemberChanged>, status: string): number | undefined =>
      all.find((change) =>
        change.status === status
      )?.atMs
    const deaths = changes.map((all) => firstOf(all, "dead") ?? Number.NaN)
    const suspicions = changes.flatMap((all) => firstOf(all, "suspect") ?? [])
    const at = (time: number): number => time - sinceMs
    return {
      ended: endedAtMs === null ? null : at(endedAtMs),
      suspected: suspicions.length === 0 ? null : at(Math.min(...suspicions)),
      dead: at(Math.min(...deaths)),
      deadAtAll: at(Math.max(...deaths)),
      firstTaken: at(taken.firstAtMs),
      lastTaken: at(taken.lastAtMs),
      firstAnswered: at(answered.firstAtMs),
      lastAnswered: at(answered.lastAtMs)
    }
  })

const figures = (values: ReadonlyArray<number>) => {
  const sorted = [...values].sort((a, b) => a - b)
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!
  return { median: at(0.5), min: sorted[0], max: sorted.at(-1), p90: at(0.9) }
}

const failovers = (fault: Fault) =>
  Effect.gen(function* () {
    const timelines: Array<Timeline> = []
    for (let run = 0; run < runs; run++) {
      const timeline = yield* Effect.scoped(measure(fault, run))
      timelines.push(timeline)
      console.error(`run ${run + 1} of ${runs}: ${JSON.stringify(timeline)}`)
    }
    const keys = Object.keys(timelines[0]!) as ReadonlyArray<keyof Timeline>
    const all = keys.flatMap((key) => {
      const values = timelines.map((timeline) => timeline[key]).filter((value) => value !== null)
      return values.length === 0 ? [] : [[key, figures(values)] as const]
    })
    return { kind: fault, runs, processes, goal_ms: GOAL_MS[fault], ms: Object.fromEntries(all) }
  })

/** A program that does nothing but compute, for each core. */
const burner = Effect.acquireRelease(
  Effect.sync(() => {
    const child = spawn(process.execPath, ["-e", "for (;;);"], { stdio: "ignore" })
    note(child.pid!)
    return child
  }),
  (child) => Effect.sync(() => void child.kill("SIGKILL"))
)

const quiet = Effect.gen(function* () {
  const minutes = Number(flags.minutes)
  const nodes = yield* startThree("quiet")
  yield* nodes[0].ask("register", { names: named("name", 300), start: 0 })
  const sinceMs = Date.now()
  yield* burner
  yield* burner
  for (const node of nodes) yield* node.ask("block", { upToMs: BLOCK_MS })
  const count = Effect.gen(function* () {
    const changes = (yield* Effect.all(nodes.map((node) => node.ask("changes", {})))).flat()
    const of = (status: string): number => changes.filter((one) => one.status === status && one.atMs >= sinceMs).length
    return { suspect: of("suspect"), dead: of("dead") }
  })
  while (Date.now() - sinceMs < minutes * 60_000) {
    yield* Effect.sleep(REPORT_EVERY)
    console.error(`${Math.round((Date.now() - sinceMs) / 1000)} s: ${JSON.stringify(yield* count)}`)
  }
  return { kind: "quiet", minutes, blocked_up_to_ms: BLOCK_MS, busy_cores: 2, changes: yield* count }
})

const FAULTS = ["faults", "kills", "cuts", "disk", "merge", "rolling", "split"] as const

interface Report {
  readonly testResults: ReadonlyArray<{
    readonly assertionResults: ReadonlyArray<{
      readonly fullName: string
      readonly status: string
      readonly duration?: number
    }>
  }>
}

/** Runs the tests of one file in a process of its own, and reads its report. */
const runTests = (file: string, report: string): Effect.Effect<Report> =>
  Effect.callback((resume) => {
    rmSync(report, { force: true })
    const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url))
    const args = ["run", path(`./${file}.test.ts`), "--reporter=json", `--outputFile.json=${report}`]
    const child = spawn(process.execPath, [path("../../node_modules/vitest/vitest.mjs"), ...args], {
      stdio: ["ignore", "ignore", "inherit"],
      cwd: path("../../")
    })
    note(child.pid!)
    child.on("close", () => resume(Effect.sync(() => JSON.parse(readFileSync(report, "utf8")) as Report)))
  })

const faults = Effect.gen(function* () {
  const outcomes = new Map<string, { passed: number; failed: number; skipped: number; tookMs: Array<number> }>()
  for (let run = 0; run < runs; run++) {
    for (const file of FAULTS) {
      const report = fileURLToPath(new URL(`../../.reports/soak-${file}.json`, import.meta.url))
      const { testResults } = yield* runTests(file, report)
      for (const { duration = 0, fullName, status } of testResults.flatMap((one) => one.assertionResults)) {
        const outcome = outcomes.get(fullName) ?? { passed: 0, failed: 0, skipped: 0, tookMs: [] }
        outcomes.set(fullName, outcome)
        if (status === "passed") {
          outcome.passed++
          outcome.tookMs.push(Math.round(duration))
        } else if (status === "failed") {
          outcome.failed++
          console.error(`run ${run + 1}: failed: ${fullName}`)
        } else outcome.skipped++
      }
    }
    console.error(`run ${run + 1} of ${runs} done`)
  }
  const tests = [...outcomes].map(([name, { tookMs, ...counts }]) => ({ name, ...counts, ms: figures(tookMs) }))
  return { kind: "faults", runs, failed: tests.reduce((sum, { failed }) => sum + failed, 0), tests }
})

const etcd = histories({
  ...{ runs, from: Number(flags.from), parallel: Number(flags.parallel) },
  isReal: flags.real
})

const kinds = { failover: failovers("failover"), silent: failovers("silent"), quiet, faults, etcd } as const

if (kind === undefined || !(kind in kinds)) {
  console.error(
    `Usage: soak.ts ${
      Object.keys(kinds).join(" | ")
    } [--runs N] [--minutes N] [--processes N] [--from SEED] [--parallel N] [--real]`
  )
  process.exit(2)
}
const result = await Effect.runPromise(Effect.scoped<object, Failed, Scope.Scope>(kinds[kind as keyof typeof kinds]))
console.log(JSON.stringify(result))
process.exit("failed" in result && result.failed !== 0 ? 1 : 0)
