// [D22] Lifeguard's local health: a node that is slow itself gives the others more time (Dadgar et al., arXiv:1707.00788).
import { assert, describe, it } from "@effect/vitest"
import { seededRandom } from "../../src/protocol/random.ts"
import { Swim, type SwimConfig, type SwimOutput, type Update } from "../../src/protocol/swim.ts"

const config: SwimConfig = {
  probeIntervalMs: 500,
  probeTimeoutMs: 300,
  indirectProbes: 3,
  suspicionMaxMs: 2000,
  suspicionMinMs: 1000,
  retransmit: 4,
  forgetAfterMs: 10_000
}
const TICK_MS = 150
const member = (id: string, incarnation = 0): Update => ({
  id,
  boot: 1,
  incarnation,
  status: "alive",
  address: "",
  synced: true,
  labels: {}
})

/** Of a and b: b answers pings until it falls silent; how long until a suspects it, after something made a feel slow. */
const untilSuspected = (slow: (tick: (byMs: number) => void, swim: Swim) => void): number => {
  const swim = new Swim(member("a"), config, seededRandom(1))
  let isSilent = false
  let now = 0
  const perform = (outputs: ReadonlyArray<SwimOutput>): void => {
    for (const output of outputs) {
      if (output._tag !== "Send" || output.message._tag !== "Ping" || isSilent) continue
      perform(swim.receive("b", { _tag: "Ack", seq: output.message.seq, updates: [] }, now))
    }
  }
  perform(swim.receive("b", { _tag: "State", updates: [member("b")], answer: true }, now))
  for (; now < 3000; now += TICK_MS) perform(swim.tick(now))
  slow((byMs) => perform(swim.tick(now += byMs)), swim)
  isSilent = true
  const since = now
  while (swim.members.get("b")!.status === "alive" && now - since < 60_000) perform(swim.tick(now += TICK_MS))
  return now - since
}

const normal = untilSuspected(() => {})

describe("[D22] a node that", () => {
  it("is well suspects who does not answer after one probe", () => {
    assert.isAtMost(
      normal,
      config.probeIntervalMs + Math.max(config.probeIntervalMs, 2 * config.probeTimeoutMs) + 2 * TICK_MS
    )
  })

  it("was held up itself gives others more time: its event loop lagged", () => {
    const slow = untilSuspected((tick) => {
      for (let times = 0; times < 8; times++) tick(1000)
    })
    assert.isAbove(slow, 2 * normal)
  })

  it("was suspected itself gives others more time: it had to refute", () => {
    const slow = untilSuspected((_, swim) => {
      for (let times = 0; times < 3; times++) {
        swim.receive("b", { _tag: "Gossip", updates: [{ ...swim.self, status: "suspect" }] }, 3000)
      }
    })
    assert.isAbove(slow, 2 * normal)
  })

  it("has been slow is well again after as many answers", () => {
    const again = untilSuspected((tick) => {
      for (let times = 0; times < 8; times++) tick(1000)
      for (let times = 0; times < 400; times++) tick(TICK_MS)
    })
    assert.isAtMost(again, normal + config.probeIntervalMs)
  })
})
