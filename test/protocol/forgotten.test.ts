// [H24] Two sides that were cut off for longer than they remember each other find each other again.
import { assert, describe, it } from "@effect/vitest"
import { seededRandom } from "../../src/protocol/random.ts"
import { Swim, type SwimConfig, type SwimMessage, type SwimOutput } from "../../src/protocol/swim.ts"

const config: SwimConfig = {
  probeIntervalMs: 500,
  probeTimeoutMs: 300,
  indirectProbes: 3,
  suspicionMaxMs: 2000,
  suspicionMinMs: 1000,
  retransmit: 4,
  forgetAfterMs: 10_000
}

describe("a split that lasts longer than the dead are remembered", () => {
  it("heals: each tells the other of its death, which it refutes", () => {
    const ids = ["a", "b"]
    const swims = new Map(ids.map((id) => {
      const self = { id, boot: 1, incarnation: 0, status: "alive", address: "", synced: true, labels: {} } as const
      return [id, new Swim(self, config, seededRandom(1))] as const
    }))
    const wire: Array<readonly [from: string, to: string, message: SwimMessage]> = []
    let isCut = false
    let now = 0
    const send = (from: string, outputs: ReadonlyArray<SwimOutput>): void => {
      for (const output of outputs) {
        if (output._tag === "Send" && !isCut) wire.push([from, output.to, output.message])
      }
    }
    const deliver = (): void => {
      for (let next = wire.shift(); next !== undefined; next = wire.shift()) {
        const [from, to, message] = next
        send(to, swims.get(to)!.receive(from, message, now))
      }
    }
    const run = (millis: number): void => {
      for (const end = now + millis; now < end; now += 150) {
        for (const [id, swim] of swims) send(id, swim.tick(now))
        deliver()
      }
    }
    const connect = (): void => {
      send("a", swims.get("a")!.linkUp("b"))
      send("b", swims.get("b")!.linkUp("a"))
      deliver()
    }
    const statusOnA = () => swims.get("a")!.members.get("b")?.status

    connect()
    run(3000)
    assert.strictEqual(statusOnA(), "alive")
    isCut = true
    run(30_000)
    assert.isUndefined(statusOnA())
    isCut = false
    connect()
    run(10_000)
    assert.strictEqual(statusOnA(), "alive")
    assert.strictEqual(swims.get("b")!.members.get("a")?.status, "alive")
  })
})
