// PROTOCOL R10 and R12: when a tomb goes, when the mark of an erased key goes, and what is shown of a name meanwhile.
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Registry } from "@sworm/sworm"
import { Slot } from "../../adapters/gossip/slot.ts"
import { Replication } from "../../adapters/gossip/replication.ts"
import type { Claim } from "../../src/protocol/claims.ts"
import { msgpack } from "../../src/protocol/codec.ts"
import { encodeSync } from "../../src/protocol/wire.ts"
import type { Peer, Transport } from "../../src/Transport.ts"
import { Town } from "./simulated.ts"
import { Stage, Thing, type Things, thingsOf, TIMEOUT_MS } from "./support.ts"

const townOf = (): Town<Things> =>
  new Town(thingsOf(new Stage(), { redistribution: "passive" }), { settings: { tombAge: "1 second" } })

const tombsAt = (town: Town<Things>, id: string) =>
  town.look(id, Effect.flatMap(Registry.Registry, ({ tables }) => tables), undefined)?.tombs

describe("a tomb", () => {
  it("[R10] [H4] is kept, however old, until everyone has it, those that are thought dead too", async () => {
    const town = townOf()
    await town.form("a", "b", "c")
    await town.get("a", (things) => things.register("one@a", Thing, { start: 0 }))
    await town.until("all know it", () => ["b", "c"].every((id) => town.whereis(id, "one@a") === "a"))
    await town.part(["a", "b"], ["c"])
    await town.until("c runs it too", () => town.running("c").length === 1)
    await town.get("a", (things) => things.unregister("one@a"))
    await town.pass(60_000)
    await town.heal()
    const isGone = () => town.running().length === 0 && ["a", "b", "c"].every((id) => town.names(id).length === 0)
    await town.until("c's copy ends", isGone)
    await town.always("nobody has it any more", isGone, 5000)
    await town.until("then it goes", () => ["a", "b", "c"].every((id) => tombsAt(town, id) === 0))
  }, TIMEOUT_MS)

  it("[R10] [H5] that is gone has left its epoch: the next of its name is above it", async () => {
    const town = townOf()
    await town.form("a", "b")
    const register = async () => (await town.get("b", (things) => things.register("one@a", Thing, { start: 0 }))).epoch
    const first = await register()
    await town.ask("b", (things) => things.client(Thing, "one@a").Crash({ bytes: 1 }))
    await town.until("it has been restarted", () => (town.epoch("b", "one@a") ?? 0) > first)
    const last = town.epoch("b", "one@a")!
    await town.get("a", (things) => things.unregister("one@a"))
    await town.until("nothing of it is left", () => ["a", "b"].every((id) => tombsAt(town, id) === 0))
    assert.isAbove(await register(), last)
  }, TIMEOUT_MS)
})

it("[R12] [H11] the mark of an erased key is kept until everyone has seen it", () => {
  const own = "1/a"
  const peer = { id: "b", boot: 1 } as Peer
  const transport = { send: () => true, peers: () => [] } as unknown as Transport
  const others = () => ["b"]
  const view = { others, everyone: others, isSyncedPeer: () => true, isForgotten: () => false, isMember: () => true }
  const replication = new Replication(own, transport, view, 1000, () => 0, () => {})
  const told = (version: number) => {
    const versions = new Map([[own, version]])
    const digest = { _tag: "Digest", versions, buried: new Map(), synced: true, floor: 0, wants: false } as const
    replication.receive(peer, msgpack.encode(encodeSync(digest)))
  }
  const marks = () => {
    for (let round = 1; round <= 4; round++) replication.sweep(nowMs += 61_000)
    return replication.replica.sizeOf(own).erased
  }
  let nowMs = 0
  replication.linkUp(peer)
  const written = replication.replica.write("key", 1)
  const erased = replication.replica.write("key", undefined)
  told(written)
  assert.strictEqual(marks(), 1)
  told(erased)
  assert.strictEqual(marks(), 0)
})

it("[H17] a claim that is not above all that has ended is not shown: it lifts itself first", () => {
  const claim: Claim = {
    epoch: 5,
    start: 1,
    registrations: ["s"],
    mode: "live",
    merged: [],
    continuity: 1,
    spec: undefined,
    metadata: undefined,
    groups: []
  }
  const slotAt = (epoch: number): Slot => {
    const slot = new Slot("sworm", "name")
    slot.set("1/a", { claim: { ...claim, epoch }, tomb: undefined })
    slot.set("1/b", { claim: undefined, tomb: { registrations: ["r"], epoch: 5, reason: "Unregistered" } })
    return slot
  }
  assert.isUndefined(slotAt(5).top)
  assert.isUndefined(slotAt(5).ref)
  assert.strictEqual(slotAt(6).ref?.epoch, 6)
})
