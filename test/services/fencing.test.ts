// A storage that refuses what is not from the latest holder: the tokens that copies of a process hand to it.
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Schema } from "effect"
import { Rpc } from "effect/rpc"
import { Process, Sworm } from "@sworm/sworm"
import { Town } from "./simulated.ts"
import { steer, TIMEOUT_MS } from "./support.ts"

/** Takes a write if no later holder has written; a later boot or another node at one epoch is another holder. */
class Storage {
  #latest = 0
  readonly holders = new Map<number, string>()
  readonly accepted: Array<string> = []
  readonly refused: Array<string> = []

  write(node: string, { boot, epoch, node: of }: Process.FencingToken): boolean {
    const holder = `${of}/${boot}`
    const before = this.holders.get(epoch)
    assert.isTrue(before === undefined || before === holder, `epoch ${epoch} of ${before} and of ${holder}`)
    this.holders.set(epoch, holder)
    const isLatest = epoch >= this.#latest
    if (isLatest) this.#latest = epoch
    ;(isLatest ? this.accepted : this.refused).push(node)
    return isLatest
  }
}

const Account = Process.make("Account", { protocol: [Rpc.make("Write", { success: Schema.Boolean })] })

const accountsOf = (storage: Storage) => {
  class Accounts extends Sworm.Service<Accounts>()("Accounts", {
    processes: [Account],
    placement: steer,
    redistribution: "passive"
  }) {}
  const implementation = Accounts.toLayer(Account, {
    init: () => Effect.void,
    handlers: { Write: (_, { node, token }) => Effect.sync(() => storage.write(node, token)) }
  })
  return { service: Accounts, layer: Layer.provide(Accounts.layer, implementation) }
}

const townOf = (storage: Storage) => {
  const town = new Town(accountsOf(storage))
  const write = (asked: string): Promise<boolean> =>
    town.get(asked, (accounts) => accounts.client(Account, "one@a", { timeout: "20 seconds" }).Write())
  return { town, write }
}

describe("[T11] a fenced storage", () => {
  it("[T11] two copies of a split: what the earlier one writes is refused once the later one has written", async () => {
    const storage = new Storage()
    const { town, write } = townOf(storage)
    await town.form("a", "b")
    await town.get("a", (accounts) => accounts.register("one@a", Account, {}))
    assert.isTrue(await write("b"))
    await town.part(["a"], ["b"])
    await town.until("both run it", () => town.running().length === 2)
    assert.isTrue(await write("b"), "the later copy")
    assert.isFalse(await write("a"), "the earlier one, which doesn't know")
    assert.isTrue(await write("b"))
    await town.heal()
    await town.until("one is left", () => town.running().length === 1 && town.isAgreed())
    assert.isTrue(await write("a"), "whichever it is, it is above both")
    assert.isTrue(await write("b"))
  }, TIMEOUT_MS)

  it(
    "[T11] [H5] [H8] crash, move, a new boot, unregister and register: each holder's token is above all before",
    async () => {
      const storage = new Storage()
      const { town, write } = townOf(storage)
      await town.form("a", "b")
      const register = () => town.get("b", (accounts) => accounts.register("one@a", Account, {}))
      await register()
      assert.isTrue(await write("b"))
      await town.ended(town.moving("one@a", "b", "a"))
      assert.isTrue(await write("a"))
      town.world.crash("b")
      await town.until("a has it", () => town.running("a").length === 1)
      assert.isTrue(await write("a"))
      await town.form("b")
      town.world.crash("a")
      await town.form("a")
      await town.until("it runs", () => town.running().length === 1 && town.isAgreed())
      assert.isTrue(await write("b"))
      await town.get("b", (accounts) => accounts.unregister("one@a"))
      await register()
      assert.isTrue(await write("b"))
      assert.deepStrictEqual(storage.refused, [])
      assert.isAtLeast(storage.holders.size, 5)
    },
    TIMEOUT_MS
  )
})
