// [H23] What may come between a call and the keeping of its state, and between a state and those that keep it.
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Stream } from "effect"
import { add, get, isSafe, keptBy, type LedgersClient, Often, Once, register, townOf } from "./ledgers.ts"
import { failureOf } from "./simulated.ts"
import { TIMEOUT_MS } from "./support.ts"

const slow = (name: string, op: string, millis: number) => (ledgers: LedgersClient) =>
  ledgers.call(Once, name, "Slow", { op, millis })

const IDS = ["a", "b", "c", "d", "e"]

const others = (...not: ReadonlyArray<string | undefined>): Array<string> => IDS.filter((id) => !not.includes(id))

/** One ledger, with one operation that is kept; where it is, and who keeps it. */
const begun = async (
  ...[seed, options, ledger]: readonly [
    seed: number,
    options?: Parameters<typeof townOf>[1],
    ledger?: Parameters<typeof townOf>[2]
  ]
) => {
  const town = await townOf(IDS, { seed, ...options }, ledger)
  await town.get("a", register(Once, "one"))
  const holder = town.whereis("a", "one")!
  await town.get(holder, add(Once, "one", "first"))
  await town.until("all know who keeps it", () => IDS.every((id) => keptBy(town, id, "one").length === 1))
  return { town, holder, replica: keptBy(town, holder, "one")[0]! }
}

describe("[H23] an answer that waits for its state to be kept", { timeout: TIMEOUT_MS }, () => {
  it("is not given when its process has crashed meanwhile", async () => {
    let isToFail = false
    const failing = Effect.gen(function* () {
      while (!isToFail) yield* Effect.sleep(10)
      isToFail = false
      return yield* Effect.die("its run fails")
    })
    const { holder, replica, town } = await begun(1, {}, { run: () => failing })
    town.world.hold(replica, true)
    const call = town.begin(holder, add(Once, "one", "second"))
    await town.pass(20)
    isToFail = true
    await town.pass(100)
    town.world.hold(replica, false)
    const exit = await town.ended(call)
    const ops = await town.get(holder, get(Once, "one"))
    assert.includeMembers([...ops], ["first"])
    if (Exit.isSuccess(exit)) assert.includeMembers([...ops], ["second"])
    else assert.strictEqual(failureOf(exit), "CallError")
  })

  it("does not keep its process from being settled after a split", async () => {
    const { holder, town } = await begun(2)
    const beside = others(holder)[0]!
    await town.part([holder, beside], others(holder, beside))
    const across = others(holder, beside)[0]!
    await town.until("it runs on both sides", () => ![undefined, holder].includes(town.whereis(across, "one")))
    await town.get(across, add(Once, "one", "across"))
    const calls = [holder, across].map((id) => town.begin(id, slow("one", `slow ${id}`, 3000)))
    await town.pass(100)
    await town.heal()
    await town.until("one stays", () => isSafe(town, "one", 1))
    for (const call of calls) await town.ended(call)
    const ops = await town.get(holder, get(Once, "one"))
    const done = calls.filter(({ exit }) => exit !== undefined && Exit.isSuccess(exit)).map(({ node }) =>
      `slow ${node}`
    )
    assert.includeMembers([...ops], ["first", "across", ...done])
  })

  it("is not given while those that keep it have no room for more", async () => {
    const town = await townOf(["a", "b", "c"], { seed: 3, settings: { snapshotBytes: 200 } })
    await town.get("a", register(Once, "one"))
    const exit = await town.ask("a", add(Once, "one", "x".repeat(400)))
    assert.isTrue(Exit.isFailure(exit), "nobody has it")
  })

  it("is given where one of those that could keep it can't be reached", async () => {
    const { holder, replica, town } = await begun(4)
    // for these two only: the others still hear of each
    town.world.network.cut(holder, replica)
    const call = town.begin(others(holder, replica)[0]!, add(Once, "one", "second"))
    assert.isTrue(Exit.isSuccess(await town.ended(call)))
    assert.strictEqual(town.status(holder, replica), "alive")
  })
})

describe("[H23] a stream", { timeout: TIMEOUT_MS }, () => {
  it.each([1, 2, 3, 4])("is a stream, whoever answers in the end (seed %i)", async (seed) => {
    const { holder, replica, town } = await begun(seed)
    const [asked] = others(holder, replica)
    const read = (ledgers: LedgersClient) => Stream.runCollect(ledgers.client(Once, "one").Follow({ op: "second" }))
    const reading = town.begin(asked!, read)
    await town.until("it is on its way", () => keptBy(town, holder, "one").length === 1)
    // the call arrives and its state is kept; the answer does not arrive
    await town.pass(1 + seed)
    town.world.network.cut(holder, asked!)
    await town.pass(20)
    town.world.crash(holder)
    town.world.network.heal()
    const exit = await town.ended(reading)
    if (Exit.isSuccess(exit)) assert.deepStrictEqual([...exit.value], ["first", "second"])
    else assert.include(String(exit.cause), "OutcomeUnknown")
    assert.deepStrictEqual(await town.get(asked!, get(Once, "one")), ["first", "second"])
  })
})

describe("[H23] a process that has ended normally, and starts again", { timeout: TIMEOUT_MS }, () => {
  const ended = async (seed: number) => {
    const town = await townOf(IDS, { seed }, { restart: "permanent" })
    await town.get("a", register(Once, "one"))
    const holder = town.whereis("a", "one")!
    await town.get(holder, add(Once, "one", "first"))
    return { town, holder, replica: keptBy(town, holder, "one")[0]! }
  }
  const stop = (ledgers: LedgersClient) => ledgers.call(Once, "one", "Stop", undefined)
  const crash = (ledgers: LedgersClient) => ledgers.call(Once, "one", "Crash", undefined)

  it("does not go back to what it was before that, when it crashes at once", async () => {
    const { holder, replica, town } = await ended(1)
    town.world.network.change({ delay: { minMs: 200, maxMs: 200 } })
    await town.get(holder, stop)
    await town.ask(holder, crash)
    assert.deepStrictEqual(await town.get(holder, get(Once, "one")), [])
    assert.isDefined(replica)
  })

  it("nor when its node is lost some time later", async () => {
    const { holder, replica, town } = await ended(2)
    await town.get(holder, stop)
    await town.pass(100)
    town.world.crash(holder)
    const [asked] = others(holder, replica)
    await town.until("it runs again", () => ![undefined, holder].includes(town.whereis(asked!, "one")))
    assert.deepStrictEqual(await town.get(asked!, get(Once, "one")), [])
  })
})

describe("[H23] who keeps a state", { timeout: TIMEOUT_MS }, () => {
  it("does not let go of it when its claim changes before that says so", async () => {
    for (let seed = 1; seed <= 8; seed++) {
      const town = await townOf(IDS, { seed })
      await town.get("a", register(Once, "one"))
      const holder = town.whereis("a", "one")!
      const call = town.begin(holder, add(Once, "one", "first"))
      await town.pass(seed % 4)
      town.begin(others(holder)[0]!, (ledgers) => ledgers.join("group", "one"))
      assert.isTrue(Exit.isSuccess(await town.ended(call)))
      town.world.crash(holder)
      const [asked] = others(holder)
      await town.until("it runs again", () => ![undefined, holder].includes(town.whereis(asked!, "one")))
      assert.deepStrictEqual(await town.get(asked!, get(Once, "one")), ["first"], `seed ${seed}`)
    }
  })

  it("is replaced while a message is at hand", async () => {
    const { holder, replica, town } = await begun(5)
    const [asked] = others(holder, replica)
    town.begin(asked!, (ledgers) => ledgers.cast(Once, "one", "Slow", { op: "late", millis: 30_000 }))
    await town.pass(100)
    town.world.crash(replica)
    await town.until(
      "somebody else has it",
      () => ![undefined, replica].includes(keptBy(town, asked!, "one")[0]),
      10_000
    )
    town.world.crash(holder)
    await town.until("it runs again", () => ![undefined, holder].includes(town.whereis(asked!, "one")))
    assert.includeMembers([...await town.get(asked!, get(Once, "one"))], ["first"])
  })

  it("brings it back though it was thought dead when it was asked for", async () => {
    const { holder, replica, town } = await begun(6)
    const rest = others(holder, replica)
    town.world.network.partition([replica], rest)
    // nobody but the holder hears of it, and that is lost before it knows
    town.world.hold(holder, true)
    await town.until(
      "the others think both dead",
      () => rest.every((id) => town.status(id, replica) === "dead" && town.status(id, holder) === "dead")
    )
    town.world.crash(holder)
    await town.until("it runs again", () => rest.includes(town.whereis(rest[0]!, "one") ?? ""))
    await town.get(rest[0]!, add(Once, "one", "second"))
    town.world.network.heal()
    await town.until("they are together", () => town.isTogether([replica, ...rest]))
    await town.untilLasting("all is well", () => isSafe(town, "one", 1))
    const ops = await town.get(rest[0]!, get(Once, "one"))
    assert.sameMembers([...ops], ["first", "second"])
  })

  it("brings back what a copy had acknowledged after another had taken over from it", async () => {
    const { holder, replica, town } = await begun(7)
    const beside = others(holder, replica)[0]!
    const across = others(holder, beside)
    await town.part([holder, beside], across)
    await town.until("it runs on both sides", () => across.includes(town.whereis(across[0]!, "one") ?? ""))
    await town.get(beside, add(Once, "one", "left"))
    await town.get(across[0]!, add(Once, "one", "right"))
    // it stands still before anybody hears of it again, and is lost after what it had been is known to have gone on
    town.world.hold(holder, true)
    town.world.network.heal()
    await town.until("all know who went on", () => across.includes(town.whereis(beside, "one") ?? ""))
    town.world.crash(holder)
    await town.until("they are together", () => town.isTogether([beside, ...across]))
    await town.untilLasting("all is well", () => isSafe(town, "one", 1))
    assert.sameMembers([...await town.get(beside, get(Once, "one"))], ["first", "left", "right"])
  })

  it.each([1, 2, 3, 4, 5, 6])("does not leave before others have it (seed %i)", async (seed) => {
    const { holder, replica, town } = await begun(seed)
    const [asked] = others(holder, replica)
    town.world.network.change({ delay: { minMs: 1, maxMs: 80 } })
    await town.leave(replica)
    town.world.crash(holder)
    await town.until("it runs again", () => ![undefined, holder].includes(town.whereis(asked!, "one")))
    assert.deepStrictEqual(await town.get(asked!, get(Once, "one")), ["first"])
  })

  it("lets a node leave at once where there is nobody else to have it", async () => {
    const town = await townOf(["a", "b"], { seed: 9 })
    await town.get("a", register(Once, "one"))
    const holder = town.whereis("a", "one")!
    await town.get(holder, add(Once, "one", "first"))
    const since = town.nowMs
    await town.leave(keptBy(town, holder, "one")[0]!)
    assert.isBelow(town.nowMs - since, 1000)
  })

  it.each([1, 2, 3, 4, 5, 6, 7, 8, 9])("does not bring what its node brings itself (seed %i)", async (seed) => {
    const twice: Array<string> = []
    const resolved = (mine: ReadonlyArray<string>, theirs: ReadonlyArray<string>) => {
      if (theirs.every((op) => mine.includes(op))) twice.push(`${mine.join()} + ${theirs.join()}`)
    }
    const ids = ["a", "b", "c", "d", "e", "f"]
    const town = await townOf(ids, { seed }, { resolved })
    await town.get("a", register(Once, "one"))
    await town.get("a", add(Once, "one", "first"))
    const sides = [["a", "b"], ["c", "d"], ["e", "f"]] as const
    for (const side of sides) town.world.network.partition(side, ids.filter((id) => !side.some((one) => one === id)))
    const at = (id: string): string => town.whereis(id, "one") ?? ""
    await town.until("it runs on all sides", () => sides.every((side) => side.some((id) => id === at(side[0]))))
    for (const [id] of sides) await town.get(id, add(Once, "one", id))
    const lost = at(sides[seed % 3]![0])
    town.world.hold(lost, true)
    town.world.network.heal()
    await town.pass(40 * seed)
    town.world.crash(lost)
    const up = ids.filter((id) => id !== lost)
    await town.untilLasting("all is well", () => town.isTogether(up) && isSafe(town, "one", 1), 1500)
    assert.sameMembers([...await town.get(up[0]!, get(Once, "one"))], ["first", "a", "c", "e"])
    assert.deepStrictEqual(twice, [])
  })

  it("has room again when a name has gone", async () => {
    const { holder, replica, town } = await begun(8)
    await town.ended(town.moving("one", others(holder, replica)[0]!, holder))
    await town.get(replica, add(Once, "one", "second"))
    await town.get(replica, (ledgers) => ledgers.unregister("one"))
    await town.get("a", register(Once, "one"))
    assert.deepStrictEqual(await town.get("a", get(Once, "one")), [])
  })
})

describe("[H23] a state that is kept now and then", { timeout: TIMEOUT_MS }, () => {
  it("is kept though its process is never free", async () => {
    const town = await townOf(IDS, { seed: 9 })
    await town.get("a", register(Often, "busy"))
    const holder = town.whereis("a", "busy")!
    const [asked] = others(holder)
    const calls = Array.from(
      { length: 200 },
      (_, n) =>
        town.begin(
          asked!,
          (ledgers) => ledgers.call(Often as unknown as typeof Once, "busy", "Slow", { op: `${n}`, millis: 20 })
        )
    )
    await town.until("it has been at work for long", () => calls.filter(({ exit }) => exit !== undefined).length > 50)
    assert.lengthOf(keptBy(town, holder, "busy"), 1)
  })

  it("does not wait for others whose nodes stand still", async () => {
    const town = await townOf(IDS, { seed: 10 })
    const names = Array.from({ length: 120 }, (_, n) => `n${n}`)
    await Promise.all(names.map((name) => town.get("a", register(Often, name))))
    const at = (name: string): string => town.whereis("a", name)!
    await Promise.all(names.map((name) => town.get(at(name), add(Often, name, "first"))))
    await town.until("all are kept", () => names.every((name) => keptBy(town, "a", name).length === 1))
    const held = keptBy(town, "a", "n0")[0]!
    const holder = at("n0")
    const stuck = names.filter((name) => at(name) === holder && keptBy(town, holder, name)[0] === held)
    const free = names.filter((name) => at(name) === holder && keptBy(town, holder, name)[0] !== held)
    assert.isAbove(stuck.length, 0)
    assert.isAbove(free.length, 0)
    town.world.hold(held, true)
    for (const name of stuck) town.begin(holder, add(Often, name, "second"))
    await town.pass(260)
    for (const name of free) town.begin(holder, add(Often, name, "second"))
    await town.pass(300)
    town.world.crash(holder)
    town.world.hold(held, false)
    const asked = others(holder, held)[0]!
    await town.until(
      "they run again",
      () => free.every((name) => ![undefined, holder].includes(town.whereis(asked, name)))
    )
    for (const name of free) assert.deepStrictEqual(await town.get(asked, get(Often, name)), ["first", "second"])
  })
})
