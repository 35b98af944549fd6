// Membership without sockets or timers: real `Swim` instances over a table of links, in virtual time.
import { assert, describe, it } from "@effect/vitest"
import { seededRandom } from "../../src/protocol/random.ts"
import {
  isGone,
  type Member,
  overrides,
  type Status,
  Swim,
  type SwimConfig,
  type SwimMessage,
  type SwimOutput,
  type Update
} from "../../src/protocol/swim.ts"
import { decodeSwim, encodeSwim } from "../../src/protocol/wire.ts"
import { int } from "./support.ts"

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
const STEP_MS = 10

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

const make = (id: string, change: Partial<Update> = {}, seed = 1): Swim =>
  new Swim(update(id, change), config, seededRandom(seed))

const statuses: ReadonlyArray<Status> = ["alive", "leaving", "suspect", "dead", "left"]

interface Change {
  readonly at: number
  readonly seenBy: string
  readonly id: string
  readonly boot: number
  readonly status: Status
}

/** What a node's address does with a message: takes it, loses it, or refuses the connection. */
type Link = "open" | "silent" | "refused"

class Cluster {
  now = 0
  readonly swims = new Map<string, Swim>()
  /** Neither ticks nor takes messages; what is sent to it waits. */
  readonly frozen = new Set<string>()
  readonly changes: Array<Change> = []
  readonly sent: Array<readonly [at: number, from: string, to: string, message: SwimMessage]> = []
  link: (from: string, to: string) => Link = () => "open"
  readonly #connected = new Set<string>()
  readonly #nextTick = new Map<string, number>()
  #flights: Array<{ readonly at: number; readonly to: string; readonly run: () => void }> = []
  readonly #random: () => number

  constructor(seed: number, ...ids: ReadonlyArray<string>) {
    this.#random = seededRandom(seed)
    for (const id of ids) this.add(id)
  }

  add(id: string, boot = 1): Swim {
    const swim = new Swim(update(id, { boot }), config, seededRandom(Math.floor(this.#random() * 0x7fffffff)))
    this.swims.set(id, swim)
    this.#nextTick.set(id, this.now + Math.floor(this.#random() * TICK_MS))
    return swim
  }

  /** The process is gone: connections to it end, and nobody listens at its address. */
  crash(id: string, announced = true): void {
    this.swims.delete(id)
    for (const pair of [...this.#connected]) {
      const [from, to] = pair.split(" ") as [string, string]
      if (from !== id && to !== id) continue
      this.#connected.delete(pair)
      const other = from === id ? to : from
      if (announced) this.#later(other, () => this.perform(other, this.swims.get(other)?.linkDown(id, this.now) ?? []))
    }
  }

  connect(from: string, to: string): void {
    const pair = [from, to].sort().join(" ")
    const both = this.swims.has(from) && this.swims.has(to)
    if (!both || this.#connected.has(pair) || this.link(from, to) !== "open" || this.link(to, from) !== "open") return
    this.#connected.add(pair)
    for (const [one, other] of [[from, to], [to, from]] as const) {
      this.perform(one, this.swims.get(one)?.linkUp(other) ?? [])
    }
  }

  /** As a node does every so often: dials all that it knows and isn't connected to. */
  redial(): void {
    this.#connected.clear()
    for (const from of this.swims.keys()) for (const to of this.swims.keys()) if (from < to) this.connect(from, to)
  }

  join(): void {
    const [seed] = this.swims.keys()
    for (const id of this.swims.keys()) if (id !== seed) this.connect(id, seed!)
  }

  perform(id: string, outputs: ReadonlyArray<SwimOutput>): void {
    for (const output of outputs) {
      if (output._tag === "Changed") {
        const { boot, id: of, status } = output.member
        this.changes.push({ at: this.now, seenBy: id, id: of, boot, status })
      } else if (output._tag === "Send") this.#send(id, output.to, decodeSwim(encodeSwim(output.message)))
    }
  }

  #send(from: string, to: string, message: SwimMessage): void {
    this.sent.push([this.now, from, to, message])
    const link = this.swims.has(to) ? this.link(from, to) : "refused"
    if (link === "refused") {
      this.#later(from, () => this.perform(from, this.swims.get(from)?.dialFailed(to, true, this.now) ?? []))
    } else if (link === "open") {
      this.#later(to, () => {
        this.connect(from, to)
        this.perform(to, this.swims.get(to)?.receive(from, message, this.now) ?? [])
      })
    }
  }

  #later(to: string, run: () => void): void {
    this.#flights.push({ at: this.now + STEP_MS + Math.floor(this.#random() * 2) * STEP_MS, to, run })
  }

  run(ms: number, each: () => void = () => {}): void {
    for (const end = this.now + ms; this.now < end;) {
      this.now += STEP_MS
      for (const [id, swim] of this.swims) {
        if (this.frozen.has(id) || this.now < this.#nextTick.get(id)!) continue
        this.#nextTick.set(id, this.now + TICK_MS)
        this.perform(id, swim.tick(this.now))
      }
      const due = this.#flights.filter((flight) => flight.at <= this.now && !this.frozen.has(flight.to))
      this.#flights = this.#flights.filter((flight) => !due.includes(flight))
      for (const { run } of due) run()
      each()
    }
  }

  /** Runs until it holds; the time that took. */
  until(what: string, holds: () => boolean, withinMs: number): number {
    const start = this.now
    while (!holds()) {
      assert.isAtMost(this.now - start, withinMs, `${what}: ${JSON.stringify(this.view())}`)
      this.run(STEP_MS)
    }
    return this.now - start
  }

  status(seenBy: string, of: string): Status | undefined {
    return this.swims.get(seenBy)?.members.get(of)?.status
  }

  everyoneSees(of: string, status: Status): boolean {
    return [...this.swims.keys()].every((id) => id === of || this.status(id, of) === status)
  }

  allAlive(): boolean {
    return [...this.swims.keys()].every((id) => [...this.swims.keys()].every((of) => this.status(id, of) === "alive"))
  }

  view(): unknown {
    return [...this.swims].map((
      [id, swim]
    ) => [id, [...swim.members.values()].map(({ id, status }) => `${id} ${status}`)])
  }

  ever(status: Status, of: string, since = 0): ReadonlyArray<Change> {
    return this.changes.filter((change) => change.at >= since && change.id === of && change.status === status)
  }
}

const formed = (seed: number, ...ids: ReadonlyArray<string>): Cluster => {
  const cluster = new Cluster(seed, ...ids)
  cluster.join()
  cluster.until("everyone sees everyone", () => cluster.allAlive(), 5000)
  return cluster
}

const three = ["a", "b", "c"] as const
const five = ["a", "b", "c", "d", "e"] as const
const seeds = [1, 2, 3, 4, 5]

describe("overrides: what is newer about a member", () => {
  it("[P76] at equal incarnations alive < leaving < suspect < dead < left", () => {
    for (const [i, before] of statuses.entries()) {
      for (const [j, after] of statuses.entries()) {
        assert.strictEqual(overrides(update("x", { status: after }), update("x", { status: before })), j > i)
      }
    }
  })

  it("[P76] a higher incarnation wins over any status, a lower one over none", () => {
    for (const before of statuses) {
      for (const after of statuses) {
        assert.isTrue(
          overrides(update("x", { status: after, incarnation: 3 }), update("x", { status: before, incarnation: 2 }))
        )
        assert.isFalse(
          overrides(update("x", { status: after, incarnation: 1 }), update("x", { status: before, incarnation: 2 }))
        )
      }
    }
  })

  it("[H8] [H9] a later boot wins over any status and incarnation, an earlier one over none", () => {
    for (const before of statuses) {
      for (const after of statuses) {
        assert.isTrue(
          overrides(update("x", { status: after, boot: 2 }), update("x", { status: before, incarnation: 9 }))
        )
        assert.isFalse(
          overrides(update("x", { status: after, incarnation: 9 }), update("x", { status: before, boot: 2 }))
        )
      }
    }
  })
})

describe("joining", () => {
  it("a node alone sees itself and sends nothing", () => {
    const cluster = new Cluster(1, "a")
    cluster.run(10_000)
    assert.deepStrictEqual(cluster.sent, [])
    assert.isTrue(cluster.allAlive())
  })

  it.each(seeds.flatMap((seed) => [[seed, three], [seed, five]] as const))(
    "seed %i: %j that know one address see all alive, and nobody is ever suspected",
    (seed, ids) => {
      const cluster = new Cluster(seed, ...ids)
      cluster.join()
      cluster.until("everyone sees everyone", () => cluster.allAlive(), 4 * config.probeIntervalMs)
      cluster.run(30_000)
      assert.isTrue(cluster.allAlive())
      assert.deepStrictEqual(cluster.changes.filter(({ status }) => status !== "alive"), [])
    }
  )

  it("tells of members with all that they say of themselves", () => {
    const a = make("a", { labels: { zone: "eu" }, address: "10.0.0.1:4100", synced: false, boot: 7 })
    const b = make("b")
    const [state] = a.linkUp("b")
    assert.isTrue(state?._tag === "Send" && state.message._tag === "State" && !state.message.answer)
    const answers = b.receive("a", (state as SwimOutput & { _tag: "Send" }).message, 0)
    const { hash: _, ...known } = b.members.get("a")!
    assert.deepStrictEqual(known, {
      ...update("a"),
      labels: { zone: "eu" },
      address: "10.0.0.1:4100",
      synced: false,
      boot: 7
    })
    const answer = answers.find((output) => output._tag === "Send")
    assert.isTrue(answer?.message._tag === "State" && answer.message.answer, "answered, and that is not answered again")
    assert.deepStrictEqual(a.receive("b", answer!.message, 0).filter(({ _tag }) => _tag === "Send"), [])
    assert.deepStrictEqual(a.present().map(({ id }) => id), ["a", "b"])
  })

  it("announces what changes of itself to everyone", () => {
    const cluster = formed(1, ...three)
    cluster.perform("b", cluster.swims.get("b")!.announce({ synced: false }))
    cluster.run(100)
    for (const id of three) assert.isFalse(cluster.swims.get(id)!.members.get("b")!.synced)
  })
})

describe("a node that falls silent", () => {
  it.each(seeds.flatMap((seed) => [[seed, three], [seed, five]] as const))(
    "seed %i: %j, is suspected, then dead everywhere, and not before the least suspicion",
    (seed, ids) => {
      const cluster = formed(seed, ...ids)
      cluster.run(2000 + 70 * seed)
      const silent = ids[1]
      const since = cluster.now
      cluster.link = (from, to) => from === silent || to === silent ? "silent" : "open"
      const others = ids.filter((id) => id !== silent)
      const dead = (): boolean => others.every((id) => cluster.status(id, silent) === "dead")
      cluster.until("dead everywhere", dead, config.suspicionMaxMs + 6 * config.probeIntervalMs)
      for (const id of others) {
        const mine = cluster.changes.filter((change) =>
          change.seenBy === id && change.id === silent && change.at >= since
        )
        assert.deepStrictEqual(mine.map(({ status }) => status), ["suspect", "dead"])
      }
      const suspected = cluster.ever("suspect", silent, since)[0]!.at
      const died = cluster.ever("dead", silent, since)[0]!.at
      assert.isAtLeast(died - suspected, config.suspicionMinMs)
      for (const id of others) for (const other of others) assert.strictEqual(cluster.status(id, other), "alive")
      // the silent one takes it the other way round, and is no longer spoken to
      cluster.run(config.probeIntervalMs)
      const before = cluster.sent.length
      cluster.run(5000)
      const toDead = cluster.sent.slice(before).filter(([, from, to]) => from !== silent && to === silent)
      assert.deepStrictEqual(toDead, [])
    }
  )

  it("[P83] the more confirm it, the sooner it is dead", () => {
    const deathAfter = (confirmations: number): number => {
      const a = deaf()
      a.receive("b", { _tag: "State", updates: ["x", "b", "c", "d", "e"].map((id) => update(id)), answer: true }, 0)
      a.receive("b", { _tag: "Gossip", updates: [update("x", { status: "suspect" })] }, 0)
      for (const id of ["c", "d", "e"].slice(0, confirmations)) {
        a.receive(id, { _tag: "Gossip", updates: [update("x", { status: "suspect" })] }, 0)
      }
      return alone(a, 10_000, (now) => isGone(a.members.get("x")!.status) ? now : undefined) ?? Infinity
    }
    const after = [0, 1, 2, 3].map(deathAfter)
    assert.strictEqual(after[0], Infinity, "[H19] the word of one is no proof")
    assert.isBelow(after[1]!, config.suspicionMaxMs)
    assert.isTrue(after[2]! < after[1]! && after[3]! <= after[2]!, `${after}`)
    assert.isAtLeast(after[3]!, config.suspicionMinMs)
  })

  it("[H19] one observer's repeated word counts once", () => {
    const a = deaf()
    a.receive("b", { _tag: "State", updates: ["x", "b", "c", "d"].map((id) => update(id)), answer: true }, 0)
    for (let i = 0; i < 5; i++) a.receive("b", { _tag: "Gossip", updates: [update("x", { status: "suspect" })] }, 0)
    const died = alone(a, 60_000, (now) => isGone(a.members.get("x")!.status) ? now : undefined)
    assert.isUndefined(died)
    assert.strictEqual(a.members.get("x")!.status, "suspect")
  })

  it("[H19] one observer's word and this node's own failed probe are two", () => {
    const a = make("a")
    a.receive("b", { _tag: "State", updates: ["x", "b", "c", "d"].map((id) => update(id)), answer: true }, 0)
    a.receive("b", { _tag: "Gossip", updates: [update("x", { status: "suspect" })] }, 0)
    const died = alone(a, 60_000, (now) => isGone(a.members.get("x")!.status) ? now : undefined)
    assert.isAtLeast(died!, config.suspicionMinMs)
    // it takes a probe of its own: one a period, of four
    assert.isAtMost(died!, config.suspicionMaxMs + 5 * config.probeIntervalMs)
  })
})

/** A node that sees nothing itself: all it knows is hearsay. */
const deaf = (): Swim => new Swim(update("a"), { ...config, probeIntervalMs: 1e9 }, seededRandom(1))

/** One node whose pings to everyone but "x" are answered, whose requests to look at "x" are not. */
const alone = <A>(swim: Swim, ms: number, look: (now: number) => A | undefined): A | undefined => {
  for (let now = 0; now <= ms; now += TICK_MS) {
    const answer = (outputs: ReadonlyArray<SwimOutput>): void => {
      for (const output of outputs) {
        if (output._tag !== "Send" || output.to === "x" || output.message._tag !== "Ping") continue
        answer(swim.receive(output.to, { _tag: "Ack", seq: output.message.seq, updates: [] }, now))
      }
    }
    answer(swim.tick(now))
    const found = look(now)
    if (found !== undefined) return found
  }
  return undefined
}

describe("a second observer", () => {
  it("[H19] is needed where there is one: unconfirmed, a silent member stays suspect", () => {
    const a = make("a")
    a.receive("b", { _tag: "State", updates: [update("x"), update("b")], answer: true }, 0)
    alone(a, 60_000, () => {
      assert.notStrictEqual(a.members.get("x")!.status, "dead")
      return undefined
    })
    assert.strictEqual(a.members.get("x")!.status, "suspect")
    assert.strictEqual(a.members.get("b")!.status, "alive")
  })

  it("[H19] isn't needed where there is none", () => {
    const a = make("a")
    a.receive("x", { _tag: "State", updates: [update("x")], answer: true }, 0)
    const died = alone(a, 60_000, (now) => a.members.get("x")!.status === "dead" ? now : undefined)
    assert.isAtMost(died!, config.suspicionMaxMs + 4 * config.probeIntervalMs)
  })

  /** Answers every ping that these outputs send, as the members themselves would; `but` never does. */
  const answerPings = (swim: Swim, outputs: ReadonlyArray<SwimOutput>, now: number, but?: string): void => {
    for (const output of outputs) {
      if (output._tag !== "Send" || output.message._tag !== "Ping" || output.to === but) continue
      answerPings(swim, swim.receive(output.to, { _tag: "Ack", seq: output.message.seq, updates: [] }, now), now, but)
    }
  }

  it("[H19] is needed beside another's word: what answers this node's own pings isn't dead by hearsay", () => {
    const a = make("a")
    a.receive("b", { _tag: "State", updates: [update("b"), update("x")], answer: true }, 0)
    a.receive("b", { _tag: "Gossip", updates: [update("x", { status: "suspect" })] }, 0)
    for (let now = 0; now < 60_000; now += TICK_MS) {
      answerPings(a, a.tick(now), now)
      assert.notStrictEqual(a.members.get("x")!.status, "dead", `${now}`)
    }
  })

  it("[H19] is needed again when the suspected member answers: this node's own failed probe counts no more", () => {
    const a = make("a")
    a.receive("b", { _tag: "State", updates: [update("b"), update("x")], answer: true }, 0)
    let now = 0
    for (; a.members.get("x")!.status !== "suspect"; now += TICK_MS) answerPings(a, a.tick(now), now, "x")
    assert.isBelow(now, 4 * config.probeIntervalMs)
    const suspected = now
    // x answers again, not knowing yet that it is suspected; then b says that it finds x silent, and x does answer a
    for (; now < suspected + 5000; now += TICK_MS) answerPings(a, a.tick(now), now)
    a.receive("b", { _tag: "Gossip", updates: [update("x", { status: "suspect" })] }, now)
    for (; now < 60_000; now += TICK_MS) {
      answerPings(a, a.tick(now), now)
      assert.strictEqual(a.members.get("x")!.status, "suspect", `${now}`)
    }
    // with x silent to a as well, they are two again
    const silent = now
    for (; now < silent + 20_000; now += TICK_MS) answerPings(a, a.tick(now), now, "x")
    assert.strictEqual(a.members.get("x")!.status, "dead")
  })

  it("[H19] is none that speaks of a suspicion refuted since, of another boot, or of none", () => {
    const diesAt = (...late: ReadonlyArray<Partial<Update>>): number => {
      const a = deaf()
      const members = [update("b"), update("c"), update("d"), update("x", { boot: 2, incarnation: 5 })]
      a.receive("b", { _tag: "State", updates: members, answer: true }, 0)
      for (const from of ["b", "d"]) {
        const suspect = update("x", { status: "suspect", boot: 2, incarnation: 5 })
        a.receive(from, { _tag: "Gossip", updates: [suspect] }, 0)
      }
      for (const change of late) a.receive("c", { _tag: "Gossip", updates: [update("x", { boot: 2, ...change })] }, 0)
      return alone(a, 20_000, (now) => a.members.get("x")!.status === "dead" ? now : undefined) ?? Infinity
    }
    const alonePair = diesAt()
    assert.isBelow(alonePair, config.suspicionMaxMs)
    assert.strictEqual(diesAt({ status: "suspect", incarnation: 4 }), alonePair, "refuted since")
    assert.strictEqual(diesAt({ status: "suspect", incarnation: 5, boot: 1 }), alonePair, "an earlier boot")
    assert.strictEqual(diesAt({ status: "alive", incarnation: 5 }), alonePair, "no suspicion")
    assert.isBelow(diesAt({ status: "suspect", incarnation: 5 }), alonePair, "the one that stands")
  })

  const cuts: ReadonlyArray<readonly [string, (from: string, to: string) => Link]> = [
    ["what a sends to b is lost", (from, to) => from === "a" && to === "b" ? "silent" : "open"],
    ["what b sends to a is lost", (from, to) => from === "b" && to === "a" ? "silent" : "open"],
    ["a and b lose all between them", (from, to) => from + to === "ab" || from + to === "ba" ? "silent" : "open"],
    ["b refuses a's connections", (from, to) => from === "a" && to === "b" ? "refused" : "open"],
    ["each refuses the other's", (from, to) => from + to === "ab" || from + to === "ba" ? "refused" : "open"]
  ]
  it.each(
    cuts.flatMap(([what, link]) =>
      seeds.flatMap((seed) => [[what, seed, three, link], [what, seed, five, link]] as const)
    )
  )(
    "[D23] [H19] %s (seed %i, %j): nobody is declared dead while another sees it",
    (_, seed, ids, link) => {
      const cluster = formed(seed, ...ids)
      cluster.link = link
      cluster.run(60_000)
      assert.deepStrictEqual(cluster.changes.filter(({ status }) => isGone(status)), [])
      assert.isTrue(cluster.allAlive() || cluster.changes.some(({ status }) => status === "suspect"))
      for (const swim of cluster.swims.values()) assert.strictEqual(swim.deaths, 0)
    }
  )
})

describe("a crashed node, its port refusing", () => {
  it.each(seeds.flatMap((seed) => [[seed, three], [seed, five]] as const))(
    "[D24] seed %i, %j: dead at once everywhere, confirmed by a second observer",
    (seed, ids) => {
      const cluster = formed(seed, ...ids)
      cluster.run(1000 + 130 * seed)
      cluster.crash("b")
      const took = cluster.until("dead everywhere", () => cluster.everyoneSees("b", "dead"), 300)
      assert.isAtMost(took, 200)
    }
  )

  it.each(seeds)("seed %i: found by the next probes where no connection told of it", (seed) => {
    const cluster = formed(seed, ...three)
    cluster.crash("b", false)
    // a ping that was under way is silent, not refused: then it takes another
    cluster.until("dead everywhere", () => cluster.everyoneSees("b", "dead"), config.suspicionMaxMs)
  })

  it.each(seeds)("seed %i: the other of two decides alone, at once", (seed) => {
    const cluster = formed(seed, "a", "b")
    cluster.run(1000)
    cluster.crash("b")
    const took = cluster.until("dead", () => cluster.status("a", "b") === "dead", 300)
    assert.isAtMost(took, 100)
  })

  it.each(seeds)("seed %i: two that crash together, of five", (seed) => {
    const cluster = formed(seed, ...five)
    cluster.crash("b")
    cluster.crash("d")
    const gone = (): boolean => cluster.everyoneSees("b", "dead") && cluster.everyoneSees("d", "dead")
    cluster.until("both dead everywhere", gone, config.suspicionMaxMs + 6 * config.probeIntervalMs)
    for (const other of ["a", "c", "e"]) assert.isTrue(cluster.everyoneSees(other, "alive"))
  })

  it.each(seeds)(
    "[H8] [H9] seed %i: its next boot is alive at once, and the old one's death is no death of it",
    (seed) => {
      const cluster = formed(seed, ...three)
      cluster.run(2000)
      cluster.crash("b")
      cluster.until("dead everywhere", () => cluster.everyoneSees("b", "dead"), 300)
      cluster.add("b", 2)
      cluster.connect("b", "c")
      cluster.until("alive everywhere", () => cluster.allAlive(), 4 * config.probeIntervalMs)
      for (const id of three) assert.strictEqual(cluster.swims.get(id)!.members.get("b")!.boot, 2)
      const since = cluster.now
      cluster.run(20_000)
      assert.deepStrictEqual(cluster.changes.filter(({ at, status }) => at > since && status !== "alive"), [])
      assert.strictEqual(cluster.swims.get("b")!.deaths, 0)
      assert.strictEqual(cluster.swims.get("b")!.self.incarnation, 0)
    }
  )
})

describe("a node that was only thought dead", () => {
  it.each(seeds)("seed %i: suspected but there again in time, it refutes with a higher incarnation", (seed) => {
    const cluster = formed(seed, ...three)
    cluster.link = (from, to) => from === "b" || to === "b" ? "silent" : "open"
    const suspected = (): boolean => cluster.status("a", "b") === "suspect" && cluster.status("c", "b") === "suspect"
    cluster.until("suspected", suspected, 6 * config.probeIntervalMs)
    cluster.link = () => "open"
    cluster.until("alive everywhere", () => cluster.allAlive(), config.suspicionMaxMs)
    cluster.run(20_000)
    assert.isTrue(cluster.allAlive())
    assert.deepStrictEqual(cluster.ever("dead", "b"), [])
    assert.isAtLeast(cluster.swims.get("b")!.self.incarnation, 1)
    assert.strictEqual(cluster.swims.get("b")!.deaths, 0)
  })

  it.each(seeds)(
    "[H9] seed %i: declared dead, it says otherwise as soon as it is heard, and knows that it was",
    (seed) => {
      const cluster = formed(seed, ...five)
      cluster.link = (from, to) => from === "b" || to === "b" ? "silent" : "open"
      cluster.until("dead", () => ["a", "c", "d", "e"].every((id) => cluster.status(id, "b") === "dead"), 6000)
      cluster.link = () => "open"
      cluster.redial()
      cluster.until("alive everywhere", () => cluster.allAlive(), 1000)
      assert.strictEqual(cluster.swims.get("b")!.deaths, 1)
      assert.isAtLeast(cluster.swims.get("b")!.self.incarnation, 1)
      // probes of before may still end badly
      cluster.run(3000)
      const since = cluster.now
      cluster.run(20_000)
      assert.deepStrictEqual(cluster.changes.filter(({ at, status }) => at > since && status !== "alive"), [])
      assert.isTrue(cluster.allAlive())
    }
  )

  it.each(seeds)("[H9] seed %i: a split heals: both sides had buried the other, and all are alive again", (seed) => {
    const cluster = formed(seed, ...five)
    const side = (id: string): boolean => id < "c"
    cluster.link = (from, to) => side(from) === side(to) ? "open" : "silent"
    cluster.run(20_000)
    for (const id of five) {
      for (const other of five) {
        assert.strictEqual(cluster.status(id, other), side(id) === side(other) ? "alive" : "dead")
      }
    }
    cluster.link = () => "open"
    cluster.redial()
    cluster.until("alive everywhere", () => cluster.allAlive(), 1000)
    for (const swim of cluster.swims.values()) assert.strictEqual(swim.deaths, 1)
  })

  it.each(seeds)("seed %i: whatever was lost before, once nothing is lost all are alive again", (seed) => {
    const cluster = formed(seed, ...five)
    const random = seededRandom(seed)
    cluster.link = () => random() < 0.3 ? "silent" : "open"
    cluster.run(30_000)
    cluster.link = () => "open"
    cluster.redial()
    cluster.until("alive everywhere", () => cluster.allAlive(), 10_000)
  })

  const told: ReadonlyArray<readonly [string, Partial<Update>, incarnation: number, deaths: number]> = [
    ["dead at its incarnation", { status: "dead", incarnation: 3 }, 4, 1],
    ["dead at a higher one", { status: "dead", incarnation: 7 }, 8, 1],
    ["dead at a lower one, refuted already", { status: "dead", incarnation: 2 }, 3, 1],
    ["left, which it never said", { status: "left", incarnation: 3 }, 4, 1],
    ["suspect at its incarnation", { status: "suspect", incarnation: 3 }, 4, 0],
    ["suspect at a lower one", { status: "suspect", incarnation: 2 }, 3, 0],
    ["alive as it is", { status: "alive", incarnation: 3 }, 3, 0],
    ["dead of an earlier boot", { status: "dead", incarnation: 9, boot: 4 }, 3, 0],
    ["dead of a later boot", { status: "dead", incarnation: 9, boot: 6 }, 3, 0]
  ]
  it.each(told)("[P77] told that it is %s", (_, change, incarnation, deaths) => {
    for (const tag of ["Gossip", "Ping", "Ack", "State"] as const) {
      const a = make("a", { boot: 5, incarnation: 3 })
      a.receive("b", { _tag: "State", updates: [update("b")], answer: true }, 0)
      const updates = [update("a", { boot: 5, ...change })]
      const message: SwimMessage = tag === "Gossip"
        ? { _tag: tag, updates }
        : tag === "State"
        ? { _tag: tag, updates, answer: true }
        : { _tag: tag, seq: 99, updates }
      const outputs = a.receive("b", message, 0)
      assert.deepStrictEqual([a.self.status, a.self.boot, a.self.incarnation], ["alive", 5, incarnation])
      assert.strictEqual(a.deaths, deaths)
      const loud = outputs.some((output) =>
        output._tag === "Send" && output.to === "b" && output.message._tag === "Gossip"
      )
      assert.strictEqual(loud, incarnation > 3, "says so to everyone, at once")
    }
  })

  it("counts each death once, however many tell of it", () => {
    const a = make("a")
    for (const from of ["b", "c", "d"]) {
      a.receive(from, { _tag: "Gossip", updates: [update("a", { status: "dead" })] }, 0)
    }
    assert.strictEqual(a.deaths, 1)
    a.receive("b", { _tag: "Gossip", updates: [update("a", { status: "dead", incarnation: 1 })] }, 0)
    assert.strictEqual(a.deaths, 2)
    assert.strictEqual(a.self.incarnation, 2)
  })

  it("[R14] counts a death that it hears of only after it has refuted the suspicion: others may have believed it", () => {
    const b = make("b")
    b.receive("a", { _tag: "Gossip", updates: [update("b", { status: "suspect" })] }, 0)
    assert.deepStrictEqual([b.self.incarnation, b.deaths], [1, 0])
    const outputs = b.receive("a", { _tag: "Gossip", updates: [update("b", { status: "dead" })] }, 0)
    assert.deepStrictEqual([b.self.incarnation, b.deaths], [1, 1], "and needs no further word: it is louder already")
    assert.deepStrictEqual(outputs, [])
    b.receive("c", { _tag: "Ping", seq: 1, updates: [update("b", { status: "dead" })] }, 0)
    assert.strictEqual(b.deaths, 1, "the same death")
    b.receive("c", { _tag: "Gossip", updates: [update("b", { status: "dead", boot: 0, incarnation: 7 })] }, 0)
    assert.strictEqual(b.deaths, 1, "another run's")
    b.receive("c", { _tag: "Gossip", updates: [update("b", { status: "dead", incarnation: 1 })] }, 0)
    assert.deepStrictEqual([b.self.incarnation, b.deaths], [2, 2], "another death")
    b.receive("c", { _tag: "Gossip", updates: [update("b", { status: "dead" })] }, 0)
    assert.strictEqual(b.deaths, 2, "an older one, late")
  })

  it("keeps leaving when it refutes", () => {
    const a = make("a")
    a.announce({ status: "leaving" })
    a.receive("b", { _tag: "Gossip", updates: [update("a", { status: "suspect", incarnation: 1 })] }, 0)
    assert.strictEqual(a.self.status, "leaving")
    assert.strictEqual(a.self.incarnation, 2)
  })
})

describe("leaving", () => {
  it.each(seeds)("seed %i: leaving, then left everywhere; old news don't bring it back", (seed) => {
    const cluster = formed(seed, ...five)
    const old = cluster.swims.get("a")!.linkUp("c").find((output) => output._tag === "Send")!.message
    const b = cluster.swims.get("b")!
    cluster.perform("b", b.announce({ status: "leaving" }))
    cluster.until("leaving everywhere", () => cluster.everyoneSees("b", "leaving"), 100)
    cluster.run(5000)
    assert.isTrue(cluster.everyoneSees("b", "leaving"), "while it is there it isn't suspected")
    cluster.perform("b", b.announce({ status: "left" }))
    cluster.until("left everywhere", () => cluster.everyoneSees("b", "left"), 100)
    cluster.crash("b")
    const mark = cluster.changes.length
    for (const id of ["a", "c", "d", "e"]) {
      for (const status of statuses) {
        for (const incarnation of [0, 1]) {
          const updates = [update("b", { status, incarnation })]
          cluster.perform(id, cluster.swims.get(id)!.receive("e", { _tag: "Gossip", updates }, cluster.now))
        }
      }
      cluster.perform(id, cluster.swims.get(id)!.receive("a", old, cluster.now))
    }
    cluster.redial()
    cluster.run(20_000)
    assert.deepStrictEqual(cluster.changes.slice(mark).filter(({ id }) => id === "b"), [])
    assert.isTrue(cluster.everyoneSees("b", "left"))
  })

  it("what has left says no more of itself", () => {
    const a = make("a")
    a.announce({ status: "left" })
    const outputs = a.receive("b", { _tag: "Gossip", updates: [update("a", { status: "dead", incarnation: 5 })] }, 0)
    assert.deepStrictEqual(outputs, [])
    assert.strictEqual(a.deaths, 0)
    assert.strictEqual(a.self.status, "left")
  })

  it("a member that left is no longer present, nor dies", () => {
    const a = make("a")
    a.receive("b", { _tag: "State", updates: [update("b"), update("c", { status: "left" })], answer: true }, 0)
    assert.deepStrictEqual(a.present().map(({ id }) => id), ["a", "b"])
    assert.deepStrictEqual(a.dialFailed("c", true, 0), [])
    assert.deepStrictEqual(a.linkDown("c", 0), [])
    assert.strictEqual(a.members.get("c")!.status, "left")
  })
})

describe("a node that was held up itself", () => {
  const suspicions = (cluster: Cluster, by: string, since: number): ReadonlyArray<Change> =>
    cluster.changes.filter(({ at, id, seenBy, status }) =>
      at >= since && seenBy === by && id !== by && (status === "suspect" || status === "dead")
    )

  it.prop(
    "[D22] [P83] blames nobody for it, whenever it was frozen and for how long",
    [int(0, 150), int(50, 3000), int(1, 9999)],
    ([
      start,
      steps,
      seed
    ]) => {
      const cluster = formed(seed, ...three)
      cluster.run(3000 + start * STEP_MS)
      // the others are held up as well, as by a machine that sleeps: else they rightly suspect it
      for (const id of three) cluster.frozen.add(id)
      cluster.run(steps * STEP_MS)
      const since = cluster.now
      // all that has come meanwhile waits behind the first tick
      cluster.frozen.clear()
      cluster.run(5000)
      for (const id of three) assert.deepStrictEqual(suspicions(cluster, id, since), [])
    },
    { arbitrary: { runs: 40 } }
  )

  it.each(seeds)("seed %i: it alone: it blames nobody, and is welcome again", (seed) => {
    const cluster = formed(seed, ...five)
    cluster.run(1000 + 110 * seed)
    cluster.frozen.add("b")
    cluster.run(30_000)
    assert.deepStrictEqual(["a", "c", "d", "e"].map((id) => cluster.status(id, "b")), ["dead", "dead", "dead", "dead"])
    const since = cluster.now
    cluster.frozen.delete("b")
    cluster.run(5000)
    assert.deepStrictEqual(suspicions(cluster, "b", since), [])
    assert.isTrue(cluster.allAlive())
    assert.isAtLeast(cluster.swims.get("b")!.self.incarnation, 1)
  })

  it("a probe and a suspicion wait as much longer", () => {
    const a = make("a")
    a.receive("b", { _tag: "State", updates: [update("b"), update("c"), update("x")], answer: true }, 0)
    a.receive("b", { _tag: "Gossip", updates: [update("x", { status: "suspect" })] }, 0)
    a.tick(0)
    const late = a.tick(60_000)
    assert.deepStrictEqual(late.filter(({ _tag }) => _tag === "Changed"), [])
    assert.strictEqual(a.members.get("x")!.status, "suspect")
    for (let now = 60_000 + TICK_MS; now <= 60_000 + config.suspicionMaxMs + 2 * TICK_MS; now += TICK_MS) a.tick(now)
    assert.strictEqual(a.members.get("x")!.status, "dead")
  })
})

describe("a node whose tick comes late", () => {
  /** Ticks in time until `last`, then the one at `late`: what a member says to that whose answer waits behind it. */
  const heldUp = (last: number, late: number): { readonly a: Swim; readonly out: ReadonlyArray<SwimOutput> } => {
    const a = make("a")
    a.receive("x", { _tag: "State", updates: [update("x")], answer: true }, 0)
    const pings = a.tick(0).filter((output) => output._tag === "Send" && output.message._tag === "Ping")
    assert.deepStrictEqual(pings.map((output) => output._tag === "Send" && output.to), ["x"])
    for (let now = TICK_MS; now <= last; now += TICK_MS) a.tick(now)
    return { a, out: a.tick(late) }
  }

  // a probe is given up after 600 ms: the answer came at 460, and waits
  it.each([450 + config.probeTimeoutMs + 1, 1000, 10_000])(
    "moves its deadlines by all of the lag: a tick at %i instead of 600 suspects nobody",
    (late) => {
      const { a, out } = heldUp(450, late)
      assert.deepStrictEqual(out.filter(({ _tag }) => _tag === "Changed"), [])
      for (let seq = 1; seq < 10; seq++) a.receive("x", { _tag: "Ack", seq, updates: [] }, late)
      a.tick(late + TICK_MS)
      assert.strictEqual(a.members.get("x")!.status, "alive")
      // the deadline has moved, and not for ever
      for (let now = late + TICK_MS; now < late + 3000; now += TICK_MS) a.tick(now)
      assert.notStrictEqual(a.members.get("x")!.status, "alive")
    }
  )

  it("by as much, no more: the probe ends as far behind the late tick as it was ahead of the one before", () => {
    const { a } = heldUp(450, 10_000)
    // 150 ms were left at 450
    assert.strictEqual(a.members.get("x")!.status, "alive")
    a.tick(10_000 + TICK_MS - 1)
    assert.strictEqual(a.members.get("x")!.status, "alive")
    a.tick(10_000 + TICK_MS)
    assert.strictEqual(a.members.get("x")!.status, "suspect")
  })

  it("but not for a tick that is a little late", () => {
    const { a } = heldUp(450, 450 + config.probeTimeoutMs)
    assert.strictEqual(a.members.get("x")!.status, "suspect")
  })
})

describe("messages", () => {
  it.each(seeds)(
    "[P78] seed %i: at rest the pings carry nothing; one probe a node and period, all that is known each eighth",
    (seed) => {
      const cluster = formed(seed, ...five)
      cluster.run(30_000)
      const before = cluster.sent.length
      const since = cluster.now
      cluster.run(10_000)
      const sent = cluster.sent.slice(before).map(([, , , message]) => message)
      const periods = (cluster.now - since) / config.probeIntervalMs
      const pings = sent.filter(({ _tag }) => _tag === "Ping").length
      assert.isAtMost(pings, five.length * (periods + 1))
      assert.isAtLeast(pings, five.length * periods * 0.7)
      const states = sent.filter((message) => message._tag === "State" && !message.answer).length
      assert.isAtMost(states, five.length * (periods / 8 + 1))
      assert.isAtLeast(states, five.length * Math.floor(periods / 8))
      assert.isAtMost(sent.length, 2 * (pings + states) + five.length)
      for (const message of sent) {
        assert.include(["Ping", "Ack", "State"], message._tag)
        assert.strictEqual("updates" in message && message.updates.length, message._tag === "State" ? five.length : 0)
      }
    }
  )

  it("[P82] probes everyone within two rounds, in no fixed order", () => {
    const cluster = formed(1, ...five)
    const before = cluster.sent.length
    cluster.run(2 * 4 * config.probeIntervalMs + 1000)
    for (const id of five) {
      const probed = cluster.sent.slice(before).filter(([, from, , { _tag }]) => from === id && _tag === "Ping")
      assert.deepStrictEqual([...new Set(probed.map(([, , to]) => to))].sort(), five.filter((other) => other !== id))
    }
  })

  it("[P78] a rumour is passed on a bounded number of times, then no more", () => {
    const a = make("a")
    a.receive("b", { _tag: "State", updates: ["b", "c", "d", "e"].map((id) => update(id)), answer: true }, 0)
    let told = 0
    let last = 0
    for (let i = 0; i < 500; i++) {
      const [answer] = a.receive("b", { _tag: "Ping", seq: i, updates: [] }, 0)
      const updates = answer?._tag === "Send" && answer.message._tag === "Ack" ? answer.message.updates : []
      assert.isAtMost(updates.length, 16)
      told += updates.length
      if (updates.length > 0) last = i
    }
    const limit = config.retransmit * Math.ceil(Math.log2(6))
    assert.strictEqual(told, 4 * limit)
    assert.isAtMost(last, 4 * limit)
  })

  it("[P78] a frame is bounded however many rumours there are", () => {
    const a = make("a")
    const updates = Array.from({ length: 500 }, (_, i) => update(`n${i}`))
    a.receive("n0", { _tag: "State", updates, answer: true }, 0)
    const seen = new Set<string>()
    for (let i = 0; i < 500; i++) {
      for (const output of a.receive("n0", { _tag: "Ping", seq: i, updates: [] }, 0)) {
        if (output._tag !== "Send" || output.message._tag !== "Ack") continue
        assert.isAtMost(output.message.updates.length, 16)
        for (const { id } of output.message.updates) seen.add(id)
      }
    }
    assert.strictEqual(seen.size, 500, "the least told come first, so all are told")
  })

  it("old news change nothing and aren't passed on", () => {
    const a = make("a")
    a.receive("b", {
      _tag: "State",
      updates: [update("b", { incarnation: 4 }), update("c", { boot: 3 })],
      answer: true
    }, 0)
    while (
      a.receive("b", { _tag: "Ping", seq: 1, updates: [] }, 0).some((output) =>
        output._tag === "Send" && output.message._tag === "Ack" && output.message.updates.length > 0
      )
    );
    const members = JSON.stringify([...a.members])
    for (const status of statuses) {
      const updates = [update("b", { status, incarnation: 3 }), update("c", { status, boot: 2, incarnation: 9 })]
      assert.deepStrictEqual(a.receive("b", { _tag: "Gossip", updates }, 0), [])
      const [ack, ...more] = a.receive("b", { _tag: "Ping", seq: 2, updates }, 0)
      assert.deepStrictEqual(more, [])
      assert.deepStrictEqual(ack, { _tag: "Send", to: "b", message: { _tag: "Ack", seq: 2, updates: [] } })
    }
    assert.strictEqual(JSON.stringify([...a.members]), members)
  })

  it("an answer from another than the one asked is no answer", () => {
    const a = make("a")
    a.receive("x", { _tag: "State", updates: [update("x")], answer: true }, 0)
    let status: Status | undefined
    for (let now = 0; now < 10_000; now += TICK_MS) {
      for (const output of a.tick(now)) {
        if (output._tag !== "Send" || output.message._tag !== "Ping") continue
        a.receive("impostor", { _tag: "Ack", seq: output.message.seq, updates: [] }, now)
        a.receive("x", { _tag: "Ack", seq: output.message.seq + 1000, updates: [] }, now)
        a.receive("impostor", { _tag: "Nack", seq: output.message.seq + 1000, outcome: "answered" }, now)
      }
      status = a.members.get("x")!.status
    }
    assert.strictEqual(status, "dead")
  })

  it("looks at a member for another and says what it found", () => {
    const outcomeOf = (then: (swim: Swim, seq: number) => ReadonlyArray<SwimOutput>): SwimMessage | undefined => {
      const c = make("c")
      c.receive("a", { _tag: "State", updates: [update("a"), update("x")], answer: true }, 0)
      c.tick(0)
      const [ping] = c.receive("a", { _tag: "PingReq", seq: 77, target: "x" }, 10)
      assert.isTrue(ping?._tag === "Send" && ping.to === "x" && ping.message._tag === "Ping")
      const seq = ((ping as SwimOutput & { _tag: "Send" }).message as SwimMessage & { _tag: "Ping" }).seq
      const to = then(c, seq).find((output) =>
        output._tag === "Send" && output.to === "a" && output.message._tag === "Nack" && output.message.seq === 77
      )
      return to?._tag === "Send" ? to.message : undefined
    }
    const nack = (outcome: "answered" | "refused" | "silent"): SwimMessage => ({ _tag: "Nack", seq: 77, outcome })
    const ack = (seq: number): SwimMessage => ({ _tag: "Ack", seq, updates: [] })
    assert.deepStrictEqual(outcomeOf((c, seq) => c.receive("x", ack(seq), 20)), nack("answered"))
    assert.deepStrictEqual(outcomeOf((c) => c.dialFailed("x", true, 20)), nack("refused"))
    assert.deepStrictEqual(
      outcomeOf((c) => [...c.tick(TICK_MS), ...c.tick(2 * TICK_MS), ...c.tick(3 * TICK_MS)]),
      nack("silent")
    )
    assert.isUndefined(outcomeOf((c) => c.dialFailed("x", false, 20)), "a dial that failed otherwise proves nothing")
    assert.deepStrictEqual(make("c").receive("a", { _tag: "PingReq", seq: 1, target: "nobody" }, 0), [])
  })

  it("[P83] tells a member that it is thought dead, at once and whenever it asks", () => {
    const a = make("a")
    a.receive("x", { _tag: "State", updates: [update("x")], answer: true }, 0)
    a.tick(0)
    const outputs = a.dialFailed("x", true, 10)
    const dead = update("x", { status: "dead" })
    assert.deepInclude(outputs, { _tag: "Send", to: "x", message: { _tag: "Gossip", updates: [dead] } })
    for (let i = 0; i < 100; i++) {
      const answer = a.receive("x", { _tag: "Ping", seq: i, updates: [] }, 20)
      assert.deepStrictEqual(answer, [{ _tag: "Send", to: "x", message: { _tag: "Ack", seq: i, updates: [dead] } }])
    }
  })

  /** `a`, which knows b, c and x, probes x: the number of its ping. */
  const probing = (): { readonly a: Swim; readonly seq: number } => {
    const a = make("a")
    a.receive("b", { _tag: "State", updates: [update("b"), update("c"), update("x")], answer: true }, 0)
    const [ping] = a.linkDown("x", 0)
    assert.isTrue(ping?._tag === "Send" && ping.to === "x" && ping.message._tag === "Ping")
    return { a, seq: ((ping as SwimOutput & { _tag: "Send" }).message as SwimMessage & { _tag: "Ping" }).seq }
  }
  const sends = (outputs: ReadonlyArray<SwimOutput>): ReadonlyArray<SwimOutput> =>
    outputs.filter(({ _tag }) => _tag === "Send")

  it("[H19] this node's refused connection alone is no death: another is asked, and sees the same", () => {
    const { a, seq } = probing()
    const asked = a.dialFailed("x", true, 10)
    assert.sameDeepMembers([...asked], [
      { _tag: "Send", to: "b", message: { _tag: "PingReq", seq, target: "x" } },
      { _tag: "Send", to: "c", message: { _tag: "PingReq", seq, target: "x" } }
    ])
    assert.deepStrictEqual(a.dialFailed("x", true, 15), [], "its own word again is no second one")
    assert.strictEqual(a.members.get("x")!.status, "alive")
    a.receive("b", { _tag: "Nack", seq, outcome: "refused" }, 20)
    assert.strictEqual(a.members.get("x")!.status, "dead")
  })

  it("[H19] another's refused connection alone is no death: this node dials again at once, and sees the same", () => {
    const { a, seq } = probing()
    assert.deepStrictEqual(a.receive("b", { _tag: "Nack", seq, outcome: "refused" }, 20), [
      { _tag: "Send", to: "x", message: { _tag: "Ping", seq, updates: [] } }
    ])
    assert.strictEqual(a.members.get("x")!.status, "alive")
    const outputs = a.dialFailed("x", true, 30)
    assert.strictEqual(a.members.get("x")!.status, "dead", "and waits for nobody else")
    assert.isTrue(sends(outputs).every((output) => output._tag === "Send" && output.message._tag === "Gossip"))
  })

  it("[H19] another's refused connection: this node's own ping arrives, and that is that", () => {
    const { a, seq } = probing()
    a.receive("b", { _tag: "Nack", seq, outcome: "refused" }, 20)
    assert.deepStrictEqual(a.receive("c", { _tag: "Nack", seq, outcome: "refused" }, 25), [], "once is enough")
    a.receive("x", { _tag: "Ack", seq, updates: [] }, 30)
    assert.deepStrictEqual(a.dialFailed("x", true, 40), [], "no probe, no finding")
    assert.strictEqual(a.members.get("x")!.status, "alive")
  })

  it("[H19] another's refused connection, this node's own ping silent: suspected, not dead", () => {
    const { a, seq } = probing()
    a.receive("b", { _tag: "Nack", seq, outcome: "refused" }, 20)
    assert.strictEqual(alone(a, 700, (now) => a.members.get("x")!.status === "dead" ? now : undefined), undefined)
    assert.strictEqual(a.members.get("x")!.status, "suspect")
  })

  it("asked about itself it answers for itself, and pings nobody", () => {
    const a = make("a")
    assert.deepStrictEqual(a.receive("b", { _tag: "PingReq", seq: 7, target: "a" }, 0), [
      { _tag: "Send", to: "b", message: { _tag: "Nack", seq: 7, outcome: "answered" } }
    ])
    assert.deepStrictEqual(a.dialFailed("a", true, 10), [])
  })

  it.each(["dead", "left"] as const)("asked about a member that is %s it sends nothing, then or later", (status) => {
    const a = make("a")
    a.receive("b", { _tag: "Gossip", updates: [update("x", { status })] }, 0)
    assert.deepStrictEqual(a.receive("b", { _tag: "PingReq", seq: 7, target: "x" }, 0), [])
    assert.deepStrictEqual(a.dialFailed("x", true, 10), [])
    for (let now = 0; now < 3000; now += TICK_MS) assert.deepStrictEqual(a.tick(now), [])
  })

  it("asked about a suspected member it looks", () => {
    const a = make("a")
    a.receive("b", { _tag: "Gossip", updates: [update("x", { status: "suspect" })] }, 0)
    const [ping] = a.receive("b", { _tag: "PingReq", seq: 7, target: "x" }, 0)
    assert.isTrue(ping?._tag === "Send" && ping.to === "x" && ping.message._tag === "Ping")
  })

  it("[H19] asks another before it believes a suspicion of nobody in particular", () => {
    const a = deaf()
    a.receive("b", { _tag: "State", updates: [update("b"), update("x")], answer: true }, 0)
    a.tick(0)
    a.receive("b", { _tag: "Ping", seq: 1, updates: [update("x", { status: "suspect" })] }, 0)
    const asked = Array.from({ length: 20 }, (_, i) => a.tick((i + 1) * TICK_MS)).flat()
      .filter((output) => output._tag === "Send" && output.message._tag === "PingReq")
    assert.isAtLeast(asked.length, 1)
    assert.strictEqual(a.members.get("x")!.status, "suspect")
  })

  it("is deterministic: the same seed, the same messages", () => {
    const messages = (seed: number): string => {
      const cluster = formed(seed, ...five)
      cluster.run(5000)
      cluster.crash("c")
      cluster.run(5000)
      return JSON.stringify(cluster.sent)
    }
    assert.strictEqual(messages(7), messages(7))
    assert.notStrictEqual(messages(7), messages(8))
  })
})

describe("forgetting", () => {
  it("[H24] drops the dead after their time, and not the living", () => {
    const swim = new Swim(update("a"), { ...config, forgetAfterMs: 10_000 }, seededRandom(1))
    const updates = [
      update("b"),
      update("x", { status: "dead" }),
      update("y", { status: "left" }),
      update("z", { status: "dead" })
    ]
    swim.receive("b", { _tag: "State", updates, answer: true }, 0)
    swim.receive("z", { _tag: "Gossip", updates: [update("z", { incarnation: 1 })] }, 100)
    const known = (): ReadonlyArray<string> => [...swim.members.values()].map(({ id }: Member) => id)
    let at = 0
    for (; at < 9900; at += TICK_MS) {
      for (const output of swim.tick(at)) {
        if (output._tag !== "Send" || output.message._tag !== "Ping") continue
        swim.receive(output.to, { _tag: "Ack", seq: output.message.seq, updates: [] }, at)
      }
    }
    assert.deepStrictEqual(known(), ["a", "b", "x", "y", "z"])
    swim.tick(10_000)
    assert.deepStrictEqual(known(), ["a", "b", "z"], "z was dead, but is alive again")
  })

  /** A node that has forgotten x, boot 2, dead at incarnation 3. */
  const forgetful = (): Swim => {
    const a = new Swim(update("a"), { ...config, forgetAfterMs: 1000 }, seededRandom(1))
    a.receive("b", { _tag: "Gossip", updates: [update("x", { boot: 2, incarnation: 3, status: "dead" })] }, 0)
    a.tick(999)
    assert.isTrue(a.members.has("x"))
    a.tick(1000)
    assert.isFalse(a.members.has("x"))
    return a
  }

  const old: ReadonlyArray<readonly [string, Partial<Update>]> = [
    ["alive before", { boot: 2, incarnation: 2 }],
    ["suspect then", { boot: 2, incarnation: 3, status: "suspect" }],
    ["dead then", { boot: 2, incarnation: 3, status: "dead" }],
    ["alive as an earlier boot", { boot: 1, incarnation: 9 }],
    ["left as an earlier boot", { boot: 1, incarnation: 9, status: "left" }]
  ]
  it.each(old)("[H24] a forgotten member doesn't come back from old news: %s", (_, change) => {
    for (const tag of ["State", "Gossip", "Ping"] as const) {
      const a = forgetful()
      const updates = [update("x", change)]
      const message: SwimMessage = tag === "State"
        ? { _tag: tag, updates, answer: true }
        : tag === "Gossip"
        ? { _tag: tag, updates }
        : { _tag: tag, seq: 1, updates }
      for (let i = 0; i < 2; i++) {
        const outputs = a.receive("b", message, 1001)
        assert.deepStrictEqual(outputs.filter(({ _tag }) => _tag === "Changed"), [])
        assert.isFalse(a.members.has("x"))
      }
    }
  })

  const news: ReadonlyArray<readonly [string, Partial<Update>]> = [
    ["in a new life", { boot: 2, incarnation: 0, life: 1 }],
    ["its next boot", { boot: 3 }]
  ]
  it.each(news)("[H24] comes back with news: %s", (_, change) => {
    const a = forgetful()
    const changed = a.receive("x", { _tag: "State", updates: [update("x", change)], answer: true }, 1001)
      .filter((output) => output._tag === "Changed")
    assert.deepStrictEqual(changed.map(({ before, member }) => [before, member.id, member.status]), [
      [undefined, "x", "alive"]
    ])
    a.tick(1002)
    a.receive("x", { _tag: "Gossip", updates: [update("x", { ...change, status: "dead" })] }, 1100)
    a.tick(1100)
    assert.strictEqual(a.members.get("x")!.status, "dead")
    for (let now = 1100; now <= 2100; now += TICK_MS) a.tick(now)
    a.tick(2100)
    assert.isFalse(a.members.has("x"), "forgotten again, with what was known last")
    a.receive("b", { _tag: "State", updates: [update("x", change)], answer: true }, 2101)
    assert.isFalse(a.members.has("x"))
  })
})
