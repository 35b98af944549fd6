/** Histories that failed once, the same history on every runtime, and that the simulation can fail at all. */
import { assert, describe, it } from "@effect/vitest"
import { readFileSync } from "node:fs"
import { report } from "./report.ts"
import { type Plan, planOf, simulate } from "./simulate.ts"
import { regressions } from "./seeds.ts"

const TIMEOUT_MS = 60_000

const hashes = JSON.parse(readFileSync(new URL("hashes.json", import.meta.url), "utf8")) as Record<string, string>

describe("one seed, one history", () => {
  it("the same again, in the same program", async () => {
    const plan = planOf(7)
    assert.strictEqual((await simulate(plan)).hash, (await simulate(plan)).hash)
  }, TIMEOUT_MS)

  // what nodes say to each other changes with the protocol: `npm run sim -- --hashes` writes the file anew
  it.each(Object.entries(hashes))("seed %s has the trace %s on every runtime", async (seed, hash) => {
    assert.strictEqual((await simulate(planOf(Number(seed)))).hash, hash)
  }, TIMEOUT_MS)
})

describe("histories that failed once", () => {
  it.each(regressions)("$what", async ({ what: _, ...plan }) => {
    assert.deepStrictEqual((await simulate(plan)).violations, [])
  }, TIMEOUT_MS)
})

describe("a history that breaks a promise", () => {
  /** A name that was registered does not run in the end, and nobody was told why. */
  const broken = (): Plan => {
    const nodes = ["n1", "n2"]
    return {
      seed: 1,
      nodes,
      script: [
        { atMs: 0, fault: { _tag: "Start", node: "n1" } },
        { atMs: 0, fault: { _tag: "Start", node: "n2" } },
        { atMs: 3000, node: "n1", operation: { _tag: "Register", sworm: "Cells", name: "ant" } },
        { atMs: 4000, node: "n1", operation: { _tag: "Forget", sworm: "Cells", name: "ant" } },
        { atMs: 5000, node: "n2", operation: { _tag: "Put", sworm: "Cells", name: "dog", value: 1 } }
      ]
    }
  }

  it("is found, and reported with its seed, the shortest script and the command to see it again", async () => {
    const plan = broken()
    const result = await simulate(plan)
    assert.isAbove(result.violations.length, 0)
    const text = await report(plan, result, {})
    assert.include(text, "FAILED seed 1")
    assert.include(text, "npm run sim -- --from 1 --seeds 1")
    assert.notInclude(text, '"Put"', "what does not matter is left out")
  }, TIMEOUT_MS)
})
