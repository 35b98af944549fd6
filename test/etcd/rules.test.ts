// Who may take a name in etcd: every wish against every record; and random histories of nodes whose news is late.
import { assert, describe, it } from "@effect/vitest"
import { Layout, type NameRecord } from "../../adapters/etcd/ground/layout.ts"
import { EPOCHS_PER_REVISION, type Known, type Plan, planFor, type Wish } from "../../adapters/etcd/ground/rules.ts"
import { randomOf } from "../model/explore.ts"
import { Etcd, type ModelNode, type Started } from "./rules-model.ts"

const SELF = "1/a"
const OTHER = "1/b"
const GONE = "1/gone"
const NAME = "Things\nx"
const AT = 70

const layout = new Layout("p/")

const held = (holder: string, isNew = false, epoch = 10): NameRecord => ({ _tag: "Held", holder, epoch, isNew })
const aliasOf = (of: string): NameRecord => ({ _tag: "Alias", of })

/** What this node knows; two further names stand for those that are there and have ended. */
const plan = (record: NameRecord | undefined, wish: Wish): Plan =>
  planFor(
    {
      layout,
      self: SELF,
      isLiving: (section) => section !== GONE,
      known: (name): Known | undefined => {
        if (name === "Things\nthere") return { record: held(OTHER), revision: 1 }
        return name === NAME && record !== undefined ? { record, revision: AT } : undefined
      },
      revision: () => 100
    },
    NAME,
    wish
  )

const records = {
  nobody: undefined,
  mine: held(SELF),
  mineAndNew: held(SELF, true),
  given: held(""),
  another: held(OTHER),
  gone: held(GONE),
  goneAndNew: held(GONE, true),
  alias: aliasOf("Things\nthere"),
  leftAlias: aliasOf("Things\nended")
} as const

type Kind = keyof typeof records
type Outcome = "nothing" | "refused" | NameRecord | "removed"

const outcomeOf = (of: Plan): Outcome =>
  of._tag === "Nothing" ? "nothing" : of._tag === "Refused" ? "refused" : of.becomes ?? "removed"

const TAKEN = 10 + 1024
const FRESH = 100 * EPOCHS_PER_REVISION

const table: ReadonlyArray<readonly [what: string, wish: Wish, expected: Readonly<Record<Kind, Outcome>>]> = [
  ["to start a process", { _tag: "Hold", epoch: 5, isNew: true }, {
    nobody: held(SELF, true, FRESH),
    mine: held(SELF, false, 10),
    mineAndNew: held(SELF, true, 10),
    given: held(SELF, false, TAKEN),
    another: "refused",
    gone: held(SELF, false, TAKEN),
    goneAndNew: held(SELF, true, TAKEN),
    alias: "refused",
    leftAlias: held(SELF, true, AT * EPOCHS_PER_REVISION)
  }],
  ["to say that it runs", { _tag: "Hold", epoch: 2000, isNew: false }, {
    nobody: held(SELF, false, 2000),
    mine: held(SELF, false, 2000),
    mineAndNew: held(SELF, false, 2000),
    given: held(SELF, false, 2000),
    another: "refused",
    gone: held(SELF, false, 2000),
    goneAndNew: held(SELF, false, 2000),
    alias: "refused",
    leftAlias: held(SELF, false, AT * EPOCHS_PER_REVISION)
  }],
  ["to pass it to a node", { _tag: "Pass", to: OTHER, epoch: 7 }, {
    nobody: "nothing",
    mine: held(OTHER, false, 11),
    mineAndNew: held(OTHER, false, 11),
    given: "nothing",
    another: "nothing",
    gone: "nothing",
    goneAndNew: "nothing",
    alias: "nothing",
    leftAlias: "nothing"
  }],
  ["to give it up", { _tag: "Pass", to: "", epoch: 12 }, {
    nobody: "nothing",
    mine: held("", false, 12),
    mineAndNew: held("", false, 12),
    given: "nothing",
    another: "nothing",
    gone: "nothing",
    goneAndNew: "nothing",
    alias: "nothing",
    leftAlias: "nothing"
  }],
  ["to end it", { _tag: "Free" }, {
    nobody: "nothing",
    mine: "removed",
    mineAndNew: "removed",
    given: "removed",
    another: "refused",
    gone: "removed",
    goneAndNew: "removed",
    alias: "nothing",
    leftAlias: "nothing"
  }],
  ["to make it another name", { _tag: "Alias", of: "Things\nmine" }, {
    nobody: aliasOf("Things\nmine"),
    mine: "refused",
    mineAndNew: "refused",
    given: "refused",
    another: "refused",
    gone: "refused",
    goneAndNew: "refused",
    alias: "refused",
    leftAlias: aliasOf("Things\nmine")
  }],
  ["to make it what it is", { _tag: "Alias", of: "Things\nthere" }, {
    nobody: aliasOf("Things\nthere"),
    mine: "refused",
    mineAndNew: "refused",
    given: "refused",
    another: "refused",
    gone: "refused",
    goneAndNew: "refused",
    alias: "nothing",
    leftAlias: aliasOf("Things\nthere")
  }],
  ["to end another name", { _tag: "Unalias", of: "Things\nthere" }, {
    nobody: "nothing",
    mine: "nothing",
    mineAndNew: "nothing",
    given: "nothing",
    another: "nothing",
    gone: "nothing",
    goneAndNew: "nothing",
    alias: "removed",
    leftAlias: "nothing"
  }]
]

/** What has to be true in the store, besides that the record is as it was. */
const conditions = (of: Plan): ReadonlyArray<string> =>
  of._tag === "Write"
    ? of.when.map((compare) =>
      compare.key === layout.name(NAME) && "modRevision" in compare
        ? `same as at ${compare.modRevision}`
        : compare.key === layout.ended && "modRevision" in compare
        ? `nothing ended ${compare.is === "<" ? "from" : "?"} ${compare.modRevision} on`
        : `no ${compare.key}${"createRevision" in compare && compare.createRevision === 0 ? "" : "?"}`
    )
    : []

describe("planFor", () => {
  for (const [what, wish, expected] of table) {
    for (const [kind, record] of Object.entries(records)) {
      it(`${what}, when it is: ${kind}`, () => {
        assert.deepStrictEqual(outcomeOf(plan(record, wish)), expected[kind as Kind])
      })
    }
  }

  it("what is written depends on what was known, or on that there is nothing", () => {
    const start: Wish = { _tag: "Hold", epoch: 5, isNew: true }
    const name = layout.name(NAME)
    assert.deepStrictEqual(conditions(plan(undefined, start)), [`no ${name}`, "nothing ended from 101 on"])
    assert.deepStrictEqual(conditions(plan(held(""), start)), ["same as at 70"])
    assert.deepStrictEqual(conditions(plan(held(GONE), start)), ["same as at 70", `no ${layout.member(GONE)}`])
    const left = ["same as at 70", `no ${layout.name("Things\nended")}`]
    assert.deepStrictEqual(conditions(plan(records.leftAlias, start)), left)
    for (const wish of table.map(([, one]) => one)) {
      for (const record of Object.values(records)) {
        const made = plan(record, wish)
        if (made._tag !== "Write") continue
        const first = record === undefined ? `no ${name}` : "same as at 70"
        assert.strictEqual(conditions(made)[0], first, JSON.stringify([wish, record]))
      }
    }
  })

  it("one that says too little of its epoch has to prove that nothing has ended since", () => {
    const low = plan(undefined, { _tag: "Hold", epoch: 3 * EPOCHS_PER_REVISION + 1, isNew: false })
    assert.deepStrictEqual(conditions(low).slice(1), ["nothing ended from 4 on"])
  })

  it("what is so already is compared, and not written", () => {
    const again = plan(held(SELF), { _tag: "Hold", epoch: 10, isNew: false })
    assert.deepStrictEqual(again._tag === "Write" && again.then, [])
    assert.deepStrictEqual(conditions(again), ["same as at 70"])
  })

  it("who refuses is told", () => {
    const refused = plan(held(OTHER), { _tag: "Hold", epoch: 5, isNew: true })
    assert.deepStrictEqual(refused, { _tag: "Refused", by: held(OTHER) })
  })
})

const STEPS = 400
const SEEDS = 150

/** One node does one thing, or hears of one. */
const step = (etcd: Etcd, node: ModelNode, random: () => number): void => {
  const dice = Math.floor(random() * 16)
  if (dice < 5) return node.hear(1 + Math.floor(random() * 4))
  if (dice === 5) return void (random() < 0.5 ? node.lose() : node.join())
  if (dice < 9) return void node.send(random() < 0.15)
  if (dice === 9) return node.crashAndRestart(random)
  node.ask(random, random() < 0.5 ? 1 : etcd.revision * EPOCHS_PER_REVISION + 1)
}

const play = (seed: number): Etcd => {
  const random = randomOf(seed)
  const etcd = new Etcd(["a", "b", "c"], ["x", "y"])
  for (let at = 0; at < STEPS; at++) {
    step(etcd, etcd.nodes[Math.floor(random() * etcd.nodes.length)]!, random)
    for (const name of etcd.names) {
      const runners = etcd.nodes.filter((node) => node.runs.has(name)).map(({ section }) => section)
      assert.isAtMost(runners.length, 1, `seed ${seed}, step ${at}: ${name} runs on ${runners.join(" and ")}`)
    }
  }
  return etcd
}

/** Each start against all that the name had before it. */
const wentBack = (starts: ReadonlyArray<Started>): ReadonlyArray<Started> =>
  starts.filter(({ before, epoch }) => epoch <= before)

describe("random histories of three nodes whose news is late", () => {
  it("a name never runs twice, and each start of it has a higher epoch than all before", () => {
    const seen = { starts: 0, takeovers: 0, ends: 0, refused: 0, answersLost: 0 }
    for (let seed = 1; seed <= SEEDS; seed++) {
      const etcd = play(seed)
      assert.deepStrictEqual(wentBack(etcd.starts), [], `seed ${seed}`)
      for (const key of Object.keys(seen) as Array<keyof typeof seen>) seen[key] += etcd.seen[key]
    }
    // a history in which nothing happens would keep every promise
    for (const [what, times] of Object.entries(seen)) assert.isAbove(times, SEEDS / 4, what)
  })

  it("afterwards, when all have heard all: what a living node holds is refused, the rest can be had", () => {
    let [taken, refused] = [0, 0]
    for (let seed = 1; seed <= SEEDS; seed++) {
      const etcd = play(seed)
      const asking = etcd.nodes[0]!
      asking.lose()
      asking.join()
      for (const name of etcd.names) {
        const record = asking.recordOf(name)
        if (record?._tag === "Alias") continue
        const isHeld = record !== undefined &&
          etcd.nodes.some((one) => one !== asking && one.isStanding && one.section === record.holder)
        const outcome = asking.settle(name, { _tag: "Hold", epoch: 1, isNew: true })
        assert.strictEqual(outcome, isHeld ? "refused" : "done", `seed ${seed}: ${JSON.stringify(record)}`)
        if (isHeld) refused++
        else taken++
      }
    }
    assert.isAbove(taken, SEEDS / 4)
    assert.isAbove(refused, SEEDS / 4)
  })
})
