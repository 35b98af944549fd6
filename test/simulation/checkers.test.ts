/** Checkers that no history breaks any more can fail all the same. */
import { assert, describe, it } from "@effect/vitest"
import { winners } from "./checkers/winners.ts"
import { Oracle, type Settled } from "./oracle.ts"
import { planOf, simulate } from "./simulate.ts"

const TIMEOUT_MS = 60_000

const settledOf = (winnerEpoch: number, loserEpoch: number): Settled => ({
  sworm: "Cells",
  name: "ant",
  winner: { node: "n1", epoch: winnerEpoch, asked: 0 },
  loser: { node: "n2", epoch: loserEpoch, asked: 1 },
  atMs: 0
})

const found = (settled: Settled): number => {
  const oracle = new Oracle(2)
  oracle.settled.push(settled)
  // the checker reads the oracle alone
  return winners.end?.(undefined as never, oracle).length ?? 0
}

describe("the documented winner", () => {
  it("is the copy with the higher epoch", () => {
    assert.strictEqual(found(settledOf(3, 2)), 0)
    assert.strictEqual(found(settledOf(2, 3)), 1)
  })
})

describe("a seed without faults", () => {
  it("has rivals for each registration, and one of two is registered", async () => {
    const plan = planOf(8)
    assert.isTrue(plan.script.every((step) => !("fault" in step) || step.fault._tag === "Start"))
    const registers = plan.script.filter((step) => "operation" in step && step.operation._tag === "Register")
    assert.isAbove(registers.length, 1)
    assert.strictEqual(registers.length % 2, 0)
    assert.deepStrictEqual((await simulate(plan)).violations, [])
  }, TIMEOUT_MS)
})
