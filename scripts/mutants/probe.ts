// Simulates seeds until one fails, in the copy that this file is part of; prints what it found as one line of JSON.
//   --seeds 3,17 or --from 1 --count 100     --nodes N  --steps N
import { parseArgs } from "node:util"
import { planOf, simulate } from "../../test/simulation/simulate.ts"

/** What a probe says: a failing seed and what it breaks, or that none fails. */
export interface Probed {
  readonly seed?: number
  readonly violation?: string
  readonly passed: number
}

const { values } = parseArgs({
  options: {
    seeds: { type: "string" },
    from: { type: "string", default: "1" },
    count: { type: "string", default: "0" },
    nodes: { type: "string", default: "5" },
    steps: { type: "string", default: "60" }
  }
})

const shape = { nodes: Number(values.nodes), steps: Number(values.steps) }
const seeds = values.seeds?.split(",").map(Number) ??
  Array.from({ length: Number(values.count) }, (_, index) => Number(values.from) + index)

const probe = async (): Promise<Probed> => {
  let passed = 0
  for (const seed of seeds) {
    const [violation] = (await simulate(planOf(seed, shape))).violations
    if (violation !== undefined) return { seed, violation, passed }
    passed++
  }
  return { passed }
}

console.log(JSON.stringify(await probe()))
