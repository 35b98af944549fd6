// Membership, one node at a time: what it does about each thing that it hears or doesn't hear.
import { assert, describe, it } from "@effect/vitest"
import { overrides, type Status } from "../../src/protocol/members.ts"
import { seededRandom } from "../../src/protocol/random.ts"
import { Swim, type SwimConfig, type SwimMessage, type SwimOutput, type Update } from "../../src/protocol/swim.ts"

const config: SwimConfig = {
  probeIntervalMs: 500,
  probeTimeoutMs: 300,
  indirectProbes: 3,
  suspicionMaxMs: 2000,
  suspicionMinMs: 1000,
  retransmit: 4,
  forgetAfterMs: 3_600_000
}
const TICK_MS = config.probeTimeoutMs / 2

const update = (id: string, change: Partial<Update> = {}): Update => ({
  id,
  boot: 1,
  incarnation: 0,
  status: "alive",
  address: `${id}:1`,
  synced: true,
  labels: {},
  ...change
})

/** A node that knows others, each as given; that of this state it has told all it will. */
const knowing = (...others: ReadonlyArray<Update>): Swim => {
  const a = new Swim(update("a"), config, seededRandom(1))
  for (const one of others) a.receive("b", { _tag: "Gossip", updates: [one] }, 0)
  return a
}

type Tagged<Tag extends SwimMessage["_tag"]> = SwimMessage & { readonly _tag: Tag }

const sent = <Tag extends SwimMessage["_tag"]>(
  outputs: ReadonlyArray<SwimOutput>,
  tag: Tag
): Array<readonly [to: string, message: Tagged<Tag>]> =>
  outputs.flatMap((output) =>
    output._tag === "Send" && output.message._tag === tag ? [[output.to, output.message as Tagged<Tag>] as const] : []
  )

const only = <Tag extends SwimMessage["_tag"]>(outputs: ReadonlyArray<SwimOutput>, tag: Tag): Tagged<Tag> => {
  const all = sent(outputs, tag)
  assert.strictEqual(all.length, 1, tag)
  return all[0]![1]
}

const changed = (outputs: ReadonlyArray<SwimOutput>): ReadonlyArray<string> =>
  outputs.flatMap((output) => output._tag === "Changed" ? [`${output.member.id} ${output.member.status}`] : [])

/** Lets time pass; everyone but the silent answers pings. Answers the first moment at which it holds. */
const pass = (
  a: Swim,
  { from = 0, ms, silent = [] }: {
    readonly from?: number
    readonly ms: number
    readonly silent?: ReadonlyArray<string>
  },
  seen: (now: number, outputs: ReadonlyArray<SwimOutput>) => boolean = () => false
): number | undefined => {
  for (let now = from; now <= from + ms; now += TICK_MS) {
    const outputs = a.tick(now)
    for (const [to, { seq }] of sent(outputs, "Ping")) {
      if (!silent.includes(to)) outputs.push(...a.receive(to, { _tag: "Ack", seq, updates: [] }, now))
    }
    if (seen(now, outputs)) return now
  }
  return undefined
}

const statusOf = (a: Swim, id: string): Status | undefined => a.members.get(id)?.status

describe("[P73] a member that is not ready", () => {
  it("[P73] is pinged, answers, is asked to look at others and looked at, as any; what it says of itself is passed on", () => {
    const a = knowing(update("b"), update("new", { synced: false }))
    const pinged = new Set<string>()
    pass(a, { ms: 5000 }, (_, outputs) => {
      for (const [to] of sent(outputs, "Ping")) pinged.add(to)
      return false
    })
    assert.deepStrictEqual([...pinged].sort(), ["b", "new"])
    assert.strictEqual(statusOf(a, "new"), "alive")
    const looked = a.receive("b", { _tag: "PingReq", seq: 7, target: "new" }, 5100)
    assert.deepStrictEqual(sent(looked, "Ping").map(([to]) => to), ["new"])
    assert.deepStrictEqual(
      sent(a.receive("new", { _tag: "PingReq", seq: 8, target: "b" }, 5100), "Ping").map(([to]) => to),
      ["b"]
    )
    const state = only(a.linkUp("b"), "State")
    assert.strictEqual(state.updates.find(({ id }) => id === "new")!.synced, false)
  })
})

describe("[P74] a ping that is not answered", () => {
  const asking = (others: number) => {
    const helpers = ["b", "c", "d", "e", "f"].slice(0, others)
    const a = knowing(update("x"), ...helpers.map((id) => update(id)))
    const { seq } = only(a.linkDown("x", 0), "Ping")
    const asked: Array<string> = []
    pass(a, { ms: config.probeTimeoutMs, silent: ["x"] }, (_, outputs) => {
      for (const [to, request] of sent(outputs, "PingReq")) {
        if (request.seq !== seq) continue
        assert.strictEqual(request.target, "x")
        asked.push(to)
      }
      return false
    })
    const answer = (from: string, outcome: "answered" | "refused" | "silent") =>
      a.receive(from, { _tag: "Nack", seq, outcome }, config.probeTimeoutMs)
    const end = () => {
      pass(a, { from: config.probeTimeoutMs + TICK_MS, ms: 2 * config.probeTimeoutMs, silent: ["x"] })
      return statusOf(a, "x")
    }
    return { a, asked, helpers, answer, end }
  }

  it.each([1, 2, 3, 5])("[P74] is repeated through others: %i of them, three at most, none twice", (others) => {
    const { asked, helpers } = asking(others)
    assert.strictEqual(asked.length, Math.min(3, others))
    assert.strictEqual(new Set(asked).size, asked.length)
    for (const id of asked) assert.include(helpers, id)
  })

  it("[P74] [P83] nobody else is there to ask: suspected", () => {
    assert.strictEqual(asking(0).end(), "suspect")
  })

  type Outcome = "answered" | "refused" | "silent"
  const outcomes: ReadonlyArray<readonly [string, ReadonlyArray<Outcome>, Status]> = [
    ["all find it silent: suspected", ["silent", "silent", "silent"], "suspect"],
    ["none says anything: suspected", [], "suspect"],
    ["one reaches it: alive", ["answered"], "alive"],
    ["two find it silent, one reaches it: alive", ["silent", "silent", "answered"], "alive"],
    ["one is refused, and it is silent here: suspected, not dead", ["refused", "silent"], "suspect"]
  ]
  it.each(outcomes)("[P74] [P83] others look: %s", (_, given, expected) => {
    const { answer, asked, end } = asking(3)
    for (const [i, outcome] of given.entries()) answer(asked[i]!, outcome)
    assert.strictEqual(end(), expected)
  })

  it("[P74] the answer of a helper that comes too late, or to another question, says nothing", () => {
    const { a, answer, asked, end } = asking(3)
    assert.strictEqual(end(), "suspect")
    assert.deepStrictEqual(changed(answer(asked[0]!, "answered")), [])
    assert.deepStrictEqual(changed(a.receive("c", { _tag: "Nack", seq: 999, outcome: "refused" }, 2000)), [])
    assert.strictEqual(statusOf(a, "x"), "suspect")
  })
})

describe("[P75] suspicions", () => {
  const suspected = (...later: ReadonlyArray<readonly [atMs: number, Update]>) => {
    const a = knowing(update("b"), update("c"), update("x"))
    a.receive("b", { _tag: "Gossip", updates: [update("x", { status: "suspect" })] }, 0)
    const at = (now: number): void => {
      for (const [atMs, one] of later) {
        if (atMs >= now && atMs < now + TICK_MS) a.receive("b", { _tag: "Gossip", updates: [one] }, now)
      }
    }
    return pass(a, { ms: 10_000, silent: ["x"] }, (now) => {
      at(now)
      return statusOf(a, "x") === "dead"
    })
  }
  const alone = suspected()!

  it("[P75] end in death when nobody speaks against them, not before the shortest time", () => {
    assert.isAtLeast(alone, config.suspicionMinMs)
    assert.isAtMost(alone, config.suspicionMaxMs + 6 * config.probeIntervalMs)
  })

  it("[P75] are of others, never of oneself: told of its own a node refutes it, and goes on", () => {
    const a = knowing(update("b"), update("c"))
    for (let incarnation = 0; incarnation < 5; incarnation++) {
      a.receive("b", { _tag: "Gossip", updates: [update("a", { status: "suspect", incarnation })] }, 0)
      assert.deepStrictEqual([a.self.status, a.self.incarnation], ["alive", incarnation + 1])
    }
    pass(a, { ms: 20_000 })
    assert.strictEqual(a.self.status, "alive")
    assert.deepStrictEqual([...a.members.values()].map(({ status }) => status), ["alive", "alive", "alive"])
  })

  it("[P75] told again they don't begin again", () => {
    const again = [450, 900, 1350].map((atMs) => [atMs, update("x", { status: "suspect" })] as const)
    assert.isAtMost(suspected(...again)!, alone)
  })

  it("[P75] refuted they are over; the next one begins anew", () => {
    const refuted = update("x", { incarnation: 1 })
    const again = update("x", { status: "suspect", incarnation: 1 })
    const died = suspected([900, refuted], [901, again])!
    assert.isAtLeast(died, 900 + config.suspicionMinMs)
  })

  it.each(["left", "dead"] as const)("[P75] it is %s: nothing is suspected any more", (status) => {
    const a = knowing(update("b"), update("x"))
    a.receive("b", { _tag: "Gossip", updates: [update("x", { status: "suspect" })] }, 0)
    a.receive("c", { _tag: "Gossip", updates: [update("x", { status })] }, 10)
    const said = new Set<string>()
    pass(a, { from: 20, ms: 20_000 }, (_, outputs) => {
      for (const line of changed(outputs)) said.add(line)
      return false
    })
    assert.deepStrictEqual([...said], [])
    assert.strictEqual(statusOf(a, "x"), status)
  })
})

describe("[P76] [P82] who is pinged", () => {
  const pingedAmong = (others: ReadonlyArray<Update>, periods: number): ReadonlyArray<string> => {
    const a = knowing(...others)
    const pinged: Array<string> = []
    for (let now = 0; pinged.length < periods && now < periods * 2000; now += TICK_MS) {
      for (const [to, { seq }] of sent(a.tick(now), "Ping")) {
        pinged.push(to)
        a.receive(to, { _tag: "Ack", seq, updates: [] }, now)
      }
    }
    return pinged
  }

  it.each([1, 2, 3, 7])("[P82] %i others: each once a round, nobody twice before all had their turn", (count) => {
    const ids = Array.from({ length: count }, (_, i) => `n${i}`)
    const pinged = pingedAmong(ids.map((id) => update(id)), 6 * count)
    assert.strictEqual(pinged.length, 6 * count)
    for (let round = 0; round < 6; round++) {
      assert.deepStrictEqual([...pinged.slice(round * count, (round + 1) * count)].sort(), ids)
    }
  })

  it("[P76] [P82] the alive, the suspected and the leaving; never the dead, the left, nor itself", () => {
    const members = (["alive", "suspect", "leaving", "dead", "left"] as const).map((status) =>
      update(status, { status })
    )
    const pinged = new Set(pingedAmong(members, 30))
    assert.deepStrictEqual([...pinged].sort(), ["alive", "leaving", "suspect"])
  })

  it("[P82] nobody, when there is nobody", () => {
    assert.deepStrictEqual(pingedAmong([], 3), [])
    assert.deepStrictEqual(pingedAmong([update("x", { status: "dead" })], 3), [])
  })
})

describe("[P77] what changes the members", () => {
  it("[P77] any order of the same news comes to the same members", () => {
    const news = [
      update("b"),
      update("c", { incarnation: 2 }),
      update("c", { incarnation: 1, status: "suspect" }),
      update("d", { boot: 2 }),
      update("d", { incarnation: 9, status: "dead" }),
      update("e", { status: "leaving", incarnation: 1 }),
      update("e", { status: "left", incarnation: 2 })
    ]
    const random = seededRandom(5)
    const told = (order: ReadonlyArray<Update>): string => {
      const a = knowing(...order)
      return JSON.stringify([...a.members.values()].sort((x, y) => x.id < y.id ? -1 : 1))
    }
    const expected = told(news)
    for (let i = 0; i < 50; i++) {
      const order = news.map((one) => [random(), one] as const).sort(([x], [y]) => x - y).map(([, one]) => one)
      assert.strictEqual(told(order), expected)
    }
  })

  const moves: ReadonlyArray<readonly [string, Partial<Update>, Partial<Update>, boolean]> = [
    ["leaving, then left", { status: "leaving" }, { status: "left" }, true],
    ["left, then leaving of before", { status: "left", incarnation: 2 }, { status: "leaving", incarnation: 1 }, false],
    ["alive, then left of a lower incarnation", { incarnation: 3 }, { status: "left", incarnation: 2 }, false],
    ["left, then left again", { status: "left" }, { status: "left" }, false],
    ["dead, then suspect at one incarnation", { status: "dead" }, { status: "suspect" }, false],
    ["left, then dead at one incarnation", { status: "left" }, { status: "dead" }, false]
  ]
  it("[P77] alive, then dead as one other says: a suspicion, until a second observer says so too (H19)", () => {
    const a = knowing(update("b"), update("c"), update("x"))
    a.receive("b", { _tag: "Gossip", updates: [update("x", { status: "dead" })] }, 0)
    assert.strictEqual(statusOf(a, "x"), "suspect")
    a.receive("b", { _tag: "Gossip", updates: [update("x", { status: "dead" })] }, 0)
    assert.strictEqual(statusOf(a, "x"), "suspect", "the same one again")
    a.receive("c", { _tag: "Gossip", updates: [update("x", { status: "dead" })] }, 0)
    assert.strictEqual(statusOf(a, "x"), "dead")
  })

  it.each(moves)("[P77] %s", (_, before, after, takes) => {
    const a = knowing(update("b"), update("c"), update("x", before))
    const outputs = ["b", "c"].flatMap((from) => a.receive(from, { _tag: "Gossip", updates: [update("x", after)] }, 0))
    assert.strictEqual(changed(outputs).length > 0, takes)
    assert.strictEqual(statusOf(a, "x"), takes ? after.status : before.status ?? "alive")
    assert.strictEqual(overrides(update("x", after), update("x", before)), takes)
  })

  it("[P77] [P78] a departure is not echoed for ever: it is passed on some times, then no more", () => {
    const a = knowing(update("b"), update("c"))
    a.receive("b", { _tag: "Gossip", updates: [update("x", { status: "left" })] }, 0)
    let last = 0
    let told = 0
    for (let i = 1; i <= 300; i++) {
      for (const [, { updates }] of sent(a.receive("b", { _tag: "Ping", seq: i, updates: [] }, i), "Ack")) {
        if (!updates.some(({ id }) => id === "x")) continue
        last = i
        told++
      }
    }
    assert.isAtLeast(told, 1)
    assert.isAtMost(told, config.retransmit * Math.ceil(Math.log2(5)))
    assert.isBelow(last, 100)
  })

  it("[P77] nobody takes itself off the list: only its own word does, and then for good", () => {
    const a = knowing(update("b"))
    for (const status of ["dead", "left"] as const) {
      a.receive("b", { _tag: "Gossip", updates: [update("a", { status, incarnation: a.self.incarnation })] }, 0)
      assert.strictEqual(a.self.status, "alive")
    }
    a.announce({ status: "left" })
    a.receive("b", { _tag: "Gossip", updates: [update("a", { incarnation: a.self.incarnation + 5 })] }, 0)
    assert.strictEqual(a.self.status, "left")
  })
})

describe("[P78] who is told what", () => {
  it("[P78] a newcomer: everything; of what it said itself nothing comes back as a change", () => {
    const a = knowing(update("b"), update("c", { status: "suspect" }), update("d", { status: "dead" }))
    const fresh = new Swim(update("n"), config, seededRandom(2))
    const state = only(a.linkUp("n"), "State")
    const outputs = fresh.receive("a", state, 0)
    assert.deepStrictEqual([...fresh.members.values()].map(({ id, status }) => `${id} ${status}`).sort(), [
      "a alive",
      "b alive",
      "c suspect",
      "d dead",
      "n alive"
    ])
    const answer = only(outputs, "State")
    assert.deepStrictEqual(changed(a.receive("n", answer, 0)), ["n alive"])
    assert.deepStrictEqual(sent(a.receive("n", answer, 0), "State"), [], "an answer isn't answered")
  })

  it("[P78] [P83] what a node finds out goes to all at once, and to the one it is about when that is its death", () => {
    const a = knowing(update("b"), update("c"), update("x"))
    const heard = new Map<string, Set<Status>>()
    pass(a, { ms: 20_000, silent: ["x"] }, (_, outputs) => {
      for (const [to, { updates }] of sent(outputs, "Gossip")) {
        for (const { id, status } of updates) {
          if (id === "x") heard.set(to, (heard.get(to) ?? new Set()).add(status))
        }
      }
      for (const [to, { seq, target }] of sent(outputs, "PingReq")) {
        if (target === "x") a.receive(to, { _tag: "Nack", seq, outcome: "silent" }, 0)
      }
      return statusOf(a, "x") === "dead"
    })
    assert.strictEqual(statusOf(a, "x"), "dead")
    for (const id of ["b", "c", "x"]) assert.deepStrictEqual([...heard.get(id) ?? []], ["suspect", "dead"], id)
  })
})

describe("[P83] news of each kind", () => {
  const kinds = ["alive", "suspect", "dead", "left"] as const
  const present = { boot: 3, incarnation: 5 }

  it.each(kinds)(
    "[P83] %s: new is taken and told, the same again and older ones are not, another boot's is its own",
    (status) => {
      const a = knowing(update("b"), update("x", { ...present, incarnation: 4 }))
      const tell = (change: Partial<Update>) =>
        changed(a.receive("b", { _tag: "Gossip", updates: [update("x", { status, ...change })] }, 0)).length
      assert.strictEqual(tell(present), 1, "new")
      assert.strictEqual(tell(present), 0, "the same again")
      assert.strictEqual(tell({ boot: 3, incarnation: 4 }), 0, "older")
      assert.strictEqual(tell({ boot: 2, incarnation: 99 }), 0, "of an earlier boot, replayed")
      assert.strictEqual(tell({ boot: 4, incarnation: 0 }), 1, "of a later boot")
      assert.strictEqual(tell(present), 0, "that one's is over")
    }
  )

  it.each(["suspect", "dead", "left"] as const)("[P83] %s, of itself: refuted above it, once for each", (status) => {
    const a = knowing(update("b"), update("c"))
    const tell = (incarnation: number) =>
      sent(a.receive("b", { _tag: "Gossip", updates: [update("a", { status, incarnation })] }, 0), "Gossip").length
    assert.isAbove(tell(0), 0)
    assert.strictEqual(tell(0), 0, "refuted already")
    assert.isAbove(tell(7), 0)
    assert.deepStrictEqual([a.self.status, a.self.incarnation], ["alive", 8])
    assert.strictEqual(
      changed(a.receive("b", { _tag: "Gossip", updates: [update("a", { status, boot: 0, incarnation: 9 })] }, 0))
        .length,
      0
    )
  })

  it("[P83] two runs of one id: the later boot's address and labels stand, whatever the earlier one says", () => {
    const a = knowing(update("b"), update("x", { boot: 2, address: "new:1", labels: { zone: "eu" } }))
    a.receive("b", { _tag: "Gossip", updates: [update("x", { boot: 1, incarnation: 50, address: "old:1" })] }, 0)
    assert.deepInclude(a.members.get("x"), { boot: 2, address: "new:1", labels: { zone: "eu" } })
  })

  it("[P83] a node that was held up doesn't blame others: deadlines move with its lag", () => {
    const a = knowing(update("b"), update("c"))
    pass(a, { ms: 3000 })
    // a ping is under way when it stops; its answer waits behind the first tick after it
    const under = a.linkDown("b", 3100)
    for (const late of [10_000, 100_000]) {
      const outputs = a.tick(late)
      assert.deepStrictEqual(changed(outputs), [])
      for (const [to, { seq }] of [...sent(under, "Ping"), ...sent(outputs, "Ping")]) {
        a.receive(to, { _tag: "Ack", seq, updates: [] }, late)
      }
      pass(a, { from: late + TICK_MS, ms: 3000 }, (_, outputs) => {
        assert.deepStrictEqual(changed(outputs), [])
        return false
      })
    }
  })
})

describe("[T1] no other way out of the members than a decided death", () => {
  it.each(["its connection ends", "dials fail", "it is not heard for long"])(
    "[T1] %s: it is a member until its death is decided, and known as dead after it",
    (what) => {
      const a = knowing(update("b"), update("c"), update("x"))
      const seen: Array<Status | undefined> = []
      const look = (): void => {
        const status = statusOf(a, "x")
        if (seen.at(-1) !== status) seen.push(status)
      }
      look()
      pass(a, { ms: 15_000, silent: ["x"] }, (now, outputs) => {
        if (what === "its connection ends") a.linkDown("x", now)
        if (what === "dials fail") a.dialFailed("x", false, now)
        for (const [to, { seq, target }] of sent(outputs, "PingReq")) {
          if (target === "x") a.receive(to, { _tag: "Nack", seq, outcome: "silent" }, now)
        }
        look()
        return false
      })
      assert.deepStrictEqual(seen, ["alive", "suspect", "dead"])
      assert.isFalse(a.present().some(({ id }) => id === "x"))
      assert.isTrue(a.members.has("x"), "remembered, so that its return is noticed")
    }
  )
})
