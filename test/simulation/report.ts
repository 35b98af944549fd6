/** What is said of a failing seed: what broke, the shortest script that still breaks it, how to see it again. */
import { Simulation } from "@sworm/sworm/testing"
import type { Operation } from "./operations.ts"
import { type Plan, type Result, type Script, type Shape, simulate } from "./simulate.ts"

const kindOf = (violation: string | undefined): string => violation?.split(":")[0] ?? ""

export const lineOf = (step: Simulation.Step<Operation>): string =>
  `  ${step.atMs} ms  ${
    "fault" in step ? JSON.stringify(step.fault) : `${step.node}: ${JSON.stringify(step.operation)}`
  }`

/** The shortest script found that breaks the same promise. */
export const shortest = async (plan: Plan, result: Result): Promise<readonly [Script, Result]> => {
  const kind = kindOf(result.violations[0])
  let last = result
  const script = await Simulation.shrink(plan.script, async (shorter) => {
    const again = await simulate({ ...plan, script: shorter })
    const fails = again.violations.some((violation) => kindOf(violation) === kind)
    if (fails) last = again
    return fails
  })
  return [script, last]
}

export const report = async (plan: Plan, result: Result, { nodes = 5, steps = 60 }: Shape): Promise<string> => {
  const [script, last] = await shortest(plan, result)
  return [
    `FAILED seed ${plan.seed}`,
    ...result.violations.slice(0, 5).map((violation) => `  ${violation}`),
    `the shortest script found that fails, ${script.length} of ${plan.script.length} steps:`,
    ...script.map(lineOf),
    ...last.violations.slice(0, 3).map((violation) => `  => ${violation}`),
    `the whole again:     npm run sim -- --from ${plan.seed} --seeds 1 --nodes ${nodes} --steps ${steps}`,
    `the shortest, traced: npm run sim -- --from ${plan.seed} --seeds 1 --nodes ${nodes} --steps ${steps} --trace --only ${
      script.map((step) => plan.script.indexOf(step)).join()
    }`,
    ""
  ].join("\n")
}
