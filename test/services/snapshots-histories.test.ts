// [H23] Histories at random: nodes crash, stand still, leave, come, are parted; processes crash and move. What was
// acknowledged is in the state that goes on, as long as no more nodes were lost at once than keep it.
import { assert, describe, it } from "@effect/vitest"
import { Exit } from "effect"
import { Placement } from "@sworm/sworm"
import {
  get,
  isSafe,
  keepCalling,
  keptOn,
  type LedgerOptions,
  type LedgerTown,
  type Load,
  Once,
  register,
  townOf,
  Twice,
  type Type
} from "./ledgers.ts"
import { TIMEOUT_MS } from "./support.ts"

const IDS = ["a", "b", "c", "d", "e"]

const randomOf = (seed: number): () => number => {
  let at = seed * 2654435761 >>> 0
  return () => {
    at = at + 0x6d2b79f5 >>> 0
    let mixed = Math.imul(at ^ at >>> 15, at | 1)
    mixed ^= mixed + Math.imul(mixed ^ mixed >>> 7, mixed | 61)
    return ((mixed ^ mixed >>> 14) >>> 0) / 4294967296
  }
}

class History {
  readonly told: Array<string> = []
  readonly town: LedgerTown
  readonly #random: () => number
  readonly #names: ReadonlyArray<readonly [string, Type, number]>
  readonly acknowledged = new Map<string, Array<string>>()
  readonly failed: Array<string> = []

  constructor(town: LedgerTown, seed: number, names: ReadonlyArray<readonly [string, Type, number]>) {
    this.town = town
    this.#random = randomOf(seed)
    this.#names = names
    for (const [name] of names) this.acknowledged.set(name, [])
  }

  below(count: number): number {
    return Math.floor(this.#random() * count)
  }

  pick<A>(all: ReadonlyArray<A>): A {
    return all[this.below(all.length)]!
  }

  shuffled<A>(all: ReadonlyArray<A>): Array<A> {
    return all.map((one) => [this.#random(), one] as const).sort(([a], [b]) => a - b).map(([, one]) => one)
  }

  tell(what: string): void {
    this.told.push(`${this.town.nowMs} ${what}`)
  }

  get up(): ReadonlyArray<string> {
    return this.town.world.ready.map(({ id }) => id)
  }

  /** Faults of one round: no more nodes are lost in it than each state is kept by. */
  async round(faults: ReadonlyArray<string>, losses: number): Promise<void> {
    const { town } = this
    const loads: Array<readonly [string, Load]> = []
    const lost = new Set<string>()
    for (const [name, type] of this.#names) {
      for (const id of this.shuffled(this.up).slice(0, 3)) loads.push([name, keepCalling(town, id, type, name)])
    }
    await town.pass(20)
    for (let n = 1 + this.below(4); n > 0; n--) {
      this.#befall(this.pick(faults), lost, losses)
      await town.pass(this.pick([0, 1, 2, 5, 10, 30, 100, 400, 1500, 4000]))
    }
    await this.#mend()
    for (const [name, load] of loads) {
      const calls = load.stop()
      if (!lost.has(calls.node)) await town.ended(calls)
      this.acknowledged.get(name)!.push(...load.acknowledged)
      this.failed.push(...load.failed)
    }
    await this.#check()
  }

  #befall(fault: string, lost: Set<string>, losses: number): void {
    const { town } = this
    const { network } = town.world
    const id = this.pick(this.up)
    switch (fault) {
      case "crash": {
        if (lost.size >= losses || this.up.length < 3) return
        lost.add(id)
        this.tell(`crash ${id}`)
        return town.world.crash(id)
      }
      case "leave": {
        if (this.up.length < 4 || lost.has(id)) return
        lost.add(id)
        this.tell(`leave ${id}`)
        return void town.world.leave(id)
      }
      case "hold": {
        this.tell(`hold ${id}`)
        return town.world.hold(id, true)
      }
      case "release": {
        for (const one of this.up) town.world.hold(one, false)
        return this.tell("release")
      }
      case "cut": {
        const other = this.pick(this.up)
        if (other === id) return
        this.tell(`cut ${id} ${other}`)
        return network.cut(id, other)
      }
      case "part": {
        const [x, y, ...rest] = this.shuffled(IDS)
        this.tell(`part ${x}${y} ${rest.join("")}`)
        return network.partition([x!, y!], rest)
      }
      case "heal": {
        this.tell("heal")
        return network.heal()
      }
      case "move": {
        const [name] = this.pick(this.#names)
        this.tell(`move ${name} to ${id}`)
        return void town.moving(name, id, this.pick(this.up))
      }
      case "process": {
        const [name, type] = this.pick(this.#names)
        this.tell(`crash of ${name}`)
        return void town.begin(id, (ledgers) => ledgers.call(type as typeof Once, name, "Crash", undefined))
      }
      case "start": {
        const down = IDS.filter((one) => town.world.running.every((node) => node.id !== one))
        if (down.length === 0) return
        const one = this.pick(down)
        this.tell(`start ${one}`)
        return town.start(one)
      }
    }
  }

  async #mend(): Promise<void> {
    const { town } = this
    this.tell("mend")
    for (const id of IDS) town.world.hold(id, false)
    town.world.network.heal()
    await town.until(
      "those that leave have left",
      () => [...town.world.nodes.values()].every(({ leaving }) => leaving === undefined || leaving.exit !== undefined)
    )
    for (const id of IDS) if (town.world.running.every((node) => node.id !== id)) town.start(id)
    await town.untilLasting(
      `all is well: ${this.told.join("; ")}`,
      () => this.#names.every(([name, , replicas]) => isSafe(town, name, replicas)),
      1000
    )
    this.tell("well")
  }

  async #check(): Promise<void> {
    for (const [name, type] of this.#names) {
      const exit = await this.town.ask(this.up[0]!, get(type, name))
      if (Exit.isFailure(exit)) throw new Error(`"${name}" does not answer: ${String(exit.cause)}`)
      const ops = exit.value
      const lost = this.acknowledged.get(name)!.filter((op) => !ops.includes(op))
      const told = `of "${name}": ${this.told.join("; ")}`
      assert.deepStrictEqual(lost.slice(0, 3), [], `${lost.length} lost ${told}`)
      assert.strictEqual(new Set(ops).size, ops.length, `some done twice ${told}`)
    }
  }
}

const BOTH = [["one", Once, 1], ["two", Twice, 2]] as const

interface Play {
  readonly names?: ReadonlyArray<readonly [string, Type, number]>
  /** Nodes that may be lost in a round. */
  readonly losses?: number
  readonly ledger?: LedgerOptions
}

const play = async (
  seed: number,
  faults: ReadonlyArray<string>,
  { ledger, losses = 1, names = BOTH }: Play = {}
): Promise<History> => {
  const town = await townOf(IDS, { seed }, ledger)
  for (const [name, type] of names) await town.get("a", register(type, name))
  const history = new History(town, seed, names)
  for (let round = 0; round < 2; round++) await history.round(faults, losses)
  for (const [name] of names) await town.get("a", (ledgers) => ledgers.unregister(name))
  await town.until(
    `nothing is kept any more: ${history.told.join("; ")}`,
    () => IDS.every((id) => keptOn(town, id) === 0)
  )
  assert.isAbove(history.acknowledged.get(names[0]![0])!.length, 0)
  return history
}

/** A few of each kind; what they found took hundreds. */
const seeds = [1, 2, 3, 4]

describe("[H23] what was acknowledged is kept", { timeout: 4 * TIMEOUT_MS }, () => {
  it.each(seeds)("while nodes crash, and processes (seed %i)", async (seed) => {
    await play(seed, ["crash", "process", "start"])
  })
  it.each(seeds)("while processes move (seed %i)", async (seed) => {
    await play(seed, ["move", "move", "process", "crash", "start"])
  })
  it.each(seeds)("while nodes leave and come (seed %i)", async (seed) => {
    await play(seed, ["leave", "start", "move", "process"])
  })
  it.each(seeds)("while nodes stand still (seed %i)", async (seed) => {
    await play(seed, ["hold", "release", "move", "process"])
  })
  it.each(seeds)("while links fail (seed %i)", async (seed) => {
    await play(seed, ["cut", "heal", "move", "process"])
  })
  // 7004: a call is sent again to the other side, and waits there while the side that has done it is merged
  it.each([...seeds, 7004])("while there are two sides (seed %i)", async (seed) => {
    await play(seed, ["part", "heal", "move", "process"])
  })
  it.each(seeds)("with as many nodes lost as there are replicas (seed %i)", async (seed) => {
    await play(seed, ["crash", "crash", "move", "hold", "release"], { names: [["two", Twice, 2]], losses: 2 })
  })
  it.each(seeds)("while the side of a majority goes on (seed %i)", async (seed) => {
    await play(seed, ["part", "part", "heal", "move", "process", "hold", "release"], {
      ledger: { placement: Placement.quorum(3) }
    })
  })
  it.each(seeds)("while processes become passive (seed %i)", async (seed) => {
    await play(seed, ["crash", "start", "move", "process", "part", "heal"], { ledger: { idleTimeout: "2 millis" } })
  })
  it.each(seeds)("while all of that happens (seed %i)", async (seed) => {
    await play(seed, ["part", "heal", "move", "process", "hold", "release", "cut", "crash", "start"])
  })
})
