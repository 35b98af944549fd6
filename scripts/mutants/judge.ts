/** Says whether a mutant is caught, and by what: simulations first, then tests. */
import { type ChildProcess, spawn } from "node:child_process"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { toolRuntime } from "../run.ts"
import { apply, type Copy, copyOf, whyNot } from "./copy.ts"
import type { Mutant } from "./mutant.ts"
import type { Probed } from "./probe.ts"

export type Verdict =
  | { readonly _tag: "Simulation"; readonly seed: number; readonly violation: string; readonly repeat: string }
  | { readonly _tag: "Test"; readonly file: string; readonly title: string }
  | { readonly _tag: "Missed"; readonly detail: string }

/** On a machine that is busy with other things. */
const LIMIT_MS = 120_000

/** Ended with this program. */
const children = new Set<ChildProcess>()

export const endChildren = (): void => {
  for (const child of children) child.kill("SIGKILL")
}

/** Runs a script of a copy there; `undefined` when it does not end. */
const runIn = (folder: string, script: string, args: ReadonlyArray<string>): Promise<string | undefined> =>
  new Promise((resolve) => {
    const { argsFor, command } = toolRuntime()
    const child = spawn(command, argsFor(join(folder, script), args), {
      cwd: folder,
      stdio: ["ignore", "pipe", "ignore"],
      timeout: LIMIT_MS,
      killSignal: "SIGKILL"
    })
    children.add(child)
    let text = ""
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => void (text += chunk))
    child.on("error", () => resolve(undefined))
    child.on("close", (_, signal) => {
      children.delete(child)
      resolve(signal === null ? text : undefined)
    })
  })

const parsed = <A>(text: string | undefined): A | undefined => {
  try {
    return JSON.parse(text ?? "") as A
  } catch {
    return undefined
  }
}

/** The part of vitest's JSON report that is read. */
interface Report {
  readonly testResults: ReadonlyArray<{
    readonly assertionResults: ReadonlyArray<{ readonly status: string; readonly title: string }>
  }>
}

interface Tested {
  readonly passed: number
  /** The title of the first that failed. */
  readonly failed: string | undefined
}

const REPORT = ".mutant-report.json"

/** The tests of a file with this in their titles. A file that does not even load has no tests: that catches nothing. */
const testIn = async (folder: string, file: string, title: string): Promise<Tested | undefined> => {
  const pattern = title.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")
  const reporters = ["--reporter=json", `--outputFile=${REPORT}`]
  await runIn(folder, "node_modules/vitest/vitest.mjs", ["run", file, "-t", pattern, ...reporters])
  let report: Report | undefined
  try {
    report = parsed<Report>(readFileSync(join(folder, REPORT), "utf8"))
  } catch {
    return undefined
  }
  const results = report?.testResults.flatMap(({ assertionResults }) => assertionResults) ?? []
  return {
    passed: results.filter(({ status }) => status === "passed").length,
    failed: results.find(({ status }) => status === "failed")?.title
  }
}

export interface JudgeOptions {
  /** Look for other seeds first where those known show nothing. */
  readonly search: number
}

export class Judge {
  /** The project as it is, taken once: it may be worked on while this runs. */
  readonly #pristine: Copy = copyOf()
  readonly #options: JudgeOptions
  readonly #sound = new Map<string, Promise<boolean>>()

  constructor(options: JudgeOptions) {
    this.#options = options
  }

  close(): void {
    this.#pristine.remove()
  }

  async judge(mutant: Mutant): Promise<Verdict> {
    const { edits, seeds = [], test } = mutant
    const obstacle = whyNot(this.#pristine.folder, edits)
    if (obstacle !== undefined) return { _tag: "Missed", detail: `does not apply: ${obstacle}` }
    const copy = copyOf(this.#pristine.folder)
    try {
      apply(copy.folder, edits)
      const { search } = this.#options
      const simulated = await this.#simulate(copy.folder, mutant, seeds) ??
        (search > 0 ? await this.#simulate(copy.folder, mutant, search) : undefined)
      if (simulated !== undefined) return simulated
      const tested: Verdict = test === undefined
        ? { _tag: "Missed", detail: "no simulation shows it, and no test is named" }
        : await this.#test(copy.folder, test)
      if (tested._tag === "Test") return tested
      return await this.#simulate(copy.folder, mutant, LAST_SEEDS) ?? tested
    } finally {
      copy.remove()
    }
  }

  /** Tries these seeds, or so many of them from the first. */
  async #simulate(
    folder: string,
    { shape }: Mutant,
    seeds: ReadonlyArray<number> | number
  ): Promise<Verdict | undefined> {
    if (typeof seeds === "object" && seeds.length === 0) return undefined
    const { nodes = USUAL.nodes, steps = USUAL.steps } = shape ?? {}
    const shaped = ["--nodes", `${nodes}`, "--steps", `${steps}`]
    const which = typeof seeds === "number" ? ["--from", "1", "--count", `${seeds}`] : ["--seeds", seeds.join()]
    const text = await runIn(folder, PROBE, [...which, ...shaped])
    const probed = parsed<Probed>(text)
    if (probed === undefined) {
      return {
        _tag: "Missed",
        detail: text === undefined ? "the simulation does not end" : "the simulation does not run"
      }
    }
    if (probed.seed === undefined) return undefined
    const { seed, violation = "" } = probed
    const isSound = await this.#once(`seed ${seed} ${shaped.join(" ")}`, async () => {
      const same = parsed<Probed>(await runIn(this.#pristine.folder, PROBE, ["--seeds", `${seed}`, ...shaped]))
      return same !== undefined && same.seed === undefined
    })
    if (!isSound) return { _tag: "Missed", detail: `seed ${seed} fails without it, too` }
    return {
      _tag: "Simulation",
      seed,
      violation,
      repeat: `seed ${seed}${shape === undefined ? "" : ` ${shaped.join(" ")}`}`
    }
  }

  async #test(folder: string, [file, title]: NonNullable<Mutant["test"]>): Promise<Verdict> {
    const tested = await testIn(folder, file, title)
    if (tested === undefined) return { _tag: "Missed", detail: `${file} does not end` }
    if (tested.failed === undefined) {
      return { _tag: "Missed", detail: `${tested.passed} tests of ${file} with "${title}" pass in spite of it` }
    }
    const isSound = await this.#once(`${file} ${title}`, async () => {
      const same = await testIn(this.#pristine.folder, file, title)
      return same !== undefined && same.failed === undefined && same.passed > 0
    })
    return isSound
      ? { _tag: "Test", file, title: tested.failed }
      : { _tag: "Missed", detail: `${file} fails without it, too` }
  }

  #once(key: string, check: () => Promise<boolean>): Promise<boolean> {
    const known = this.#sound.get(key) ?? check()
    this.#sound.set(key, known)
    return known
  }
}

/** Few nodes and much to do: more of it meets. */
const USUAL = { nodes: 4, steps: 100 }

const PROBE = "scripts/mutants/probe.ts"

/** Tried for a mutant that no seed and no test that is known shows. */
const LAST_SEEDS = 100
