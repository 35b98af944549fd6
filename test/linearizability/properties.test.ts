// The checker on histories by chance: against every order there is, and on ones too long for that.
import { assert, describe, it } from "@effect/vitest"
import { int } from "../protocol/support.ts"
import { isLinearizable } from "./bruteforce.ts"
import { check } from "./checker.ts"
import { isUnknown, type Operation, show } from "./history.ts"
import { corrupted, generate, nonsense } from "./generate.ts"
import { balanced, isReading, shrink, until } from "./shrink.ts"
import { diceOf, lostRegister, lostUnregister, none, ok, seen } from "./support.ts"
import type { Simulation } from "@sworm/sworm/testing"

const TIMEOUT_MS = 120_000
const aSeed = int(0, 2 ** 31 - 1)
const runs = (count: number) => ({ arbitrary: { runs: count }, timeout: TIMEOUT_MS })

const listed = (history: ReadonlyArray<Operation>): string => history.map(show).join("\n")

const small = (dice: Simulation.Dice): ReadonlyArray<Operation> => {
  const operations = 1 + dice.below(6)
  return generate(dice, { operations, clients: 1 + dice.below(4), unknown: dice.below(3) })
}

const big = { operations: 200, clients: 8, unknown: 10 }

describe("histories of a few operations", () => {
  const agrees = (history: ReadonlyArray<Operation>): boolean => {
    const expected = isLinearizable(history)
    assert.strictEqual(check(history)._tag, expected ? "Linearizable" : "Violation", listed(history))
    return expected
  }

  it.prop("of a registry are accepted, also by brute force", [aSeed], ([seed]) => {
    assert.isTrue(agrees(small(diceOf(seed))))
  }, runs(1000))

  it.prop("with wrong answers get the verdict of brute force", [aSeed], ([seed]) => {
    const dice = diceOf(seed)
    let history = small(dice)
    for (let times = 1 + dice.below(3); times > 0; times--) history = corrupted(dice, history)
    agrees(history)
  }, runs(3000))

  it.prop("by mere chance get the verdict of brute force", [aSeed], ([seed]) => {
    const dice = diceOf(seed)
    agrees(nonsense(dice, 1 + dice.below(6)))
  }, runs(3000))

  it("are right often enough, and wrong often enough, for the comparison to mean something", () => {
    const share = (make: (dice: Simulation.Dice) => ReadonlyArray<Operation>): number =>
      Array.from({ length: 500 }, (_, seed) => agrees(make(diceOf(seed)))).filter((isRight) => isRight).length / 500
    for (const right of [share((dice) => corrupted(dice, small(dice))), share((dice) => nonsense(dice, 3))]) {
      assert.isAbove(right, 0.15)
      assert.isBelow(right, 0.85)
    }
  }, TIMEOUT_MS)
})

describe("histories of 200 operations", () => {
  it.prop("of a registry are accepted, with few states looked at", [aSeed], ([seed]) => {
    const dice = diceOf(seed)
    const history = generate(dice, { ...big, clients: 5 + dice.below(6), unknown: dice.below(20) })
    const verdict = check(history)
    assert.strictEqual(verdict._tag, "Linearizable", `seed ${seed}`)
    assert.isBelow(verdict.states, 20_000, `seed ${seed}`)
  }, runs(200))

  it("with one wrong answer are always decided, and the more often rejected the fewer explanations there are", () => {
    const rejected = (clients: number, unknown: number): number => {
      const verdicts = Array.from({ length: 200 }, (_, seed) => {
        const dice = diceOf(seed)
        return check(corrupted(dice, generate(dice, { operations: 200, clients, unknown })))._tag
      })
      assert.notInclude(verdicts, "Undecided")
      return verdicts.filter((tag) => tag === "Violation").length / verdicts.length
    }
    assert.isAbove(rejected(2, 0), 0.85)
    assert.isAbove(rejected(4, 2), 0.7)
    assert.isAbove(rejected(8, 10), 0.5)
  }, TIMEOUT_MS)
})

describe("shrink", () => {
  it.prop("makes no right history wrong, by any of its steps", [aSeed], ([seed]) => {
    const dice = diceOf(seed)
    const history = dice.chance(0.5)
      ? small(dice)
      : generate(dice, { operations: 12, clients: 3, unknown: dice.below(4) })
    if (check(history)._tag !== "Linearizable") assert.fail(listed(history))
    const times = history.map(({ returnedAt }) => returnedAt).filter((time) => time !== undefined)
    const smaller = [
      ...times.map((time) => until(history, time)),
      ...history.filter(isReading).map((reading) => history.filter((operation) => operation !== reading)),
      ...balanced(history).map((stretch) => history.filter((operation) => !stretch.has(operation)))
    ]
    for (const left of smaller) {
      assert.strictEqual(check(left)._tag, "Linearizable", `${listed(history)}\nbut not\n${listed(left)}`)
    }
  }, runs(1000))

  it.prop("leaves a part that is wrong, of which no reading is too much", [aSeed], ([seed]) => {
    const dice = diceOf(seed)
    const history = corrupted(dice, small(dice))
    const least = shrink(history)
    if (isLinearizable(history)) return assert.strictEqual(least, history)
    assert.isFalse(isLinearizable(least), listed(least))
    const names = new Set(history.map(({ client, invokedAt }) => `${client} ${invokedAt}`))
    for (const operation of least) assert.isTrue(names.has(`${operation.client} ${operation.invokedAt}`))
    for (const reading of least.filter((one) => isReading(one))) {
      assert.isTrue(isLinearizable(least.filter((one) => one !== reading)) || least.some(isUnknown), listed(least))
    }
  }, runs(500))

  it("leaves few of 200 operations", () => {
    const sizes = Array.from({ length: 40 }, (_, seed) => {
      const dice = diceOf(seed)
      const history = corrupted(dice, generate(dice, { ...big, unknown: 3 }))
      return check(history)._tag === "Violation" ? [shrink(history).length] : []
    }).flat().sort((a, b) => a - b)
    assert.isAbove(sizes.length, 20)
    assert.isAtMost(sizes[sizes.length >> 1]!, 20, sizes.join())
  }, TIMEOUT_MS)

  it("leaves a stale read and what makes it stale", () => {
    const [first, stale] = [seen(8, 9, "n2@3"), seen(10, 11, "n1@2")]
    const whole = [none(1, 2), ok(3, 4, "n1@1"), lostUnregister(5), seen(6, 7, "n1@2"), first, stale, none(12, 13)]
    assert.deepStrictEqual(shrink(whole), [ok(3, 4, "n1@1"), first, stale])
  })

  it("keeps what explains an answer that would be a riddle without it", () => {
    const [lost, end, stale] = [lostRegister(1), { ...ok(2, 3, "n1@1") }, none(6, 7)]
    assert.deepStrictEqual(shrink([lost, seen(4, 5, "n1@1"), stale]), [lost, seen(4, 5, "n1@1"), stale])
    assert.deepStrictEqual(shrink([lost, end, stale]), [end, stale])
  })
})
