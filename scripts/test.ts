// Runs the tests on the runtimes named (`node deno bun`), one after the other; other arguments go to vitest.
// The last line of stdout is the sum over the runtimes: `N passed, N failed`, with `, N skipped` if any are.
import { mkdirSync, readFileSync, rmSync } from "node:fs"
import { join, relative } from "node:path"
import process from "node:process"
import { root, run } from "./run.ts"
import { findRuntime, type Runtime, type RuntimeName, runtimeNames } from "./runtimes.ts"

interface Counts {
  readonly passed: number
  readonly failed: number
  readonly skipped: number
}

/** The part of vitest's JSON report that is read. */
interface Report {
  readonly numPassedTests: number
  readonly numFailedTests: number
  readonly numPendingTests: number
  readonly numTodoTests: number
  readonly testResults: ReadonlyArray<FileReport>
}

interface FileReport {
  readonly name: string
  readonly status: string
  readonly message?: string
  readonly assertionResults: ReadonlyArray<{
    readonly status: string
    readonly fullName: string
    readonly failureMessages?: ReadonlyArray<string>
  }>
}

const FAILURE_CHARACTERS = 1_500

/** A file that fails outside of its tests, and a run that ends badly with no test failed, count as one failure each. */
const countsOf = (report: Report | undefined, exitCode: number): Counts => {
  if (report === undefined) return { passed: 0, failed: 1, skipped: 0 }
  const broken = report.testResults.filter((file) =>
    file.status === "failed" && !file.assertionResults.some((test) => test.status === "failed")
  )
  const failed = report.numFailedTests + broken.length
  return {
    passed: report.numPassedTests,
    failed: failed === 0 && exitCode !== 0 ? 1 : failed,
    skipped: report.numPendingTests + report.numTodoTests
  }
}

/** Said again after the sums: what a long output ends with is what is kept of it. */
const failuresOf = (report: Report): Array<string> =>
  report.testResults.filter((file) => file.status === "failed").flatMap((file) => {
    const name = relative(root, file.name)
    const failed = file.assertionResults.filter((test) => test.status === "failed")
    if (failed.length === 0) return [`${name}: ${file.message ?? "failed outside of its tests"}`]
    return failed.map((test) => `${name} > ${test.fullName}: ${test.failureMessages?.[0] ?? "no message"}`)
  }).map((failure) => failure.slice(0, FAILURE_CHARACTERS))

const readReport = (path: string): Report | undefined => {
  try {
    return JSON.parse(readFileSync(path, "utf8")) as Report
  } catch {
    return undefined
  }
}

const vitestArgs = (runtime: Runtime, args: ReadonlyArray<string>): Array<string> => {
  const all = runtime.argsFor(join(root, "node_modules/vitest/vitest.mjs"), ["run", ...args])
  return runtime.name === "bun" ? ["--bun", ...all] : all
}

interface Outcome extends Counts {
  readonly failures: ReadonlyArray<string>
}

const testOn = async (name: RuntimeName, args: ReadonlyArray<string>): Promise<Outcome> => {
  const runtime = findRuntime(name)
  if (runtime === undefined) {
    console.log(`\n=== ${name}: no executable that starts was found ===`)
    return { passed: 0, failed: 1, skipped: 0, failures: ["no executable that starts was found"] }
  }
  console.log(`\n=== ${name} ${runtime.version} ===`)
  const file = join(root, ".reports", `test-${name}.json`)
  rmSync(file, { force: true })
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${file}`]
  const { code } = await run(runtime.command, vitestArgs(runtime, [...reporters, ...args]), { timeout: 600_000 })
  const report = readReport(file)
  return { ...countsOf(report, code), failures: report === undefined ? ["ended without a report"] : failuresOf(report) }
}

const line = (counts: Counts): string =>
  `${counts.passed} passed, ${counts.failed} failed${counts.skipped > 0 ? `, ${counts.skipped} skipped` : ""}`

const isRuntimeName = (argument: string): argument is RuntimeName => runtimeNames.some((name) => name === argument)

const names = process.argv.slice(2).filter(isRuntimeName)
const args = process.argv.slice(2).filter((argument) => !isRuntimeName(argument))
mkdirSync(join(root, ".reports"), { recursive: true })
const results: Array<readonly [RuntimeName, Outcome]> = []
for (const name of names.length > 0 ? names : runtimeNames) results.push([name, await testOn(name, args)])

console.log()
for (const [name, { failures }] of results) {
  for (const failure of failures) console.log(`${name} failed: ${failure}\n`)
}
if (results.length > 1) { for (const [name, counts] of results) console.log(`${name.padEnd(5)} ${line(counts)}`) }
const total = results.reduce((sum, [, counts]) => ({
  passed: sum.passed + counts.passed,
  failed: sum.failed + counts.failed,
  skipped: sum.skipped + counts.skipped
}), { passed: 0, failed: 0, skipped: 0 })
console.log(line(total))
process.exitCode = total.failed > 0 || total.passed === 0 ? 1 : 0
