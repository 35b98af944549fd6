// The rules of names in etcd, one by one.
import { assert, describe, it } from "@effect/vitest"
import { Layout } from "../../adapters/etcd/ground/layout.ts"
import { type Known, type Plan, planFor, type Wish } from "../../adapters/etcd/ground/rules.ts"

const layout = new Layout("test/")
const EPOCH = 7_000_000

const held = (holder: string, isNew = false): Known => ({
  record: { _tag: "Held", holder, epoch: EPOCH, isNew },
  revision: 5
})

const plan = (known: Known | undefined, wish: Wish): Plan =>
  planFor(
    {
      layout,
      self: "a#1",
      isLiving: (section) => section !== "gone#1",
      known: (name) => name === "ant" ? known : undefined,
      revision: () => 6
    },
    "ant",
    wish
  )

const becomes = (made: Plan) => made._tag === "Write" ? made.becomes : made._tag

describe("the rules of names", () => {
  it("a name that is passed on is another copy's from then on, at another epoch", () => {
    const passed = plan(held("a#1"), { _tag: "Pass", to: "b#1", epoch: EPOCH })
    assert.deepStrictEqual(becomes(passed), { _tag: "Held", holder: "b#1", epoch: EPOCH + 1, isNew: false })
  })

  it("a name that is given up waits at its epoch", () => {
    const given = plan(held("a#1"), { _tag: "Pass", to: "", epoch: EPOCH })
    assert.deepStrictEqual(becomes(given), { _tag: "Held", holder: "", epoch: EPOCH, isNew: false })
  })

  it("only who has a name passes it on", () => {
    assert.strictEqual(becomes(plan(held("b#1"), { _tag: "Pass", to: "c#1", epoch: EPOCH })), "Nothing")
  })

  it("a living node's name is not taken, a lost one's is, above all epochs that it may have had", () => {
    const wish = { _tag: "Hold", epoch: EPOCH, isNew: true } as const
    assert.strictEqual(becomes(plan(held("b#1"), wish)), "Refused")
    const taken = becomes(plan(held("gone#1"), wish))
    assert.isTrue(typeof taken === "object" && taken._tag === "Held" && taken.epoch > EPOCH + 1)
  })
})
