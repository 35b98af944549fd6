// Claims and changes as a peer could make them up, to keep those busy who believe them.
import { assert, describe, it } from "@effect/vitest"
import { nextAt, SHORTEST_PERIOD_MS, type Timer } from "../../src/protocol/extras.ts"
import { decodeChange, decodeClaim, encodeChange, encodeClaim } from "../../src/protocol/wire.ts"
import { claim } from "./support.ts"

const timer = (everyMs: number | undefined, atMs = 1000): Timer => ({
  id: "t",
  atMs,
  everyMs,
  tag: "Tick",
  payload: null
})

const NO_EXTRAS = { aliases: [], leaseMs: undefined, link: undefined, isDown: false, replicas: undefined }

/** Through everything that carries a timer. */
const roundTrips = (timer: Timer): ReadonlyArray<() => Timer | undefined> => [
  () => {
    const change = decodeChange(encodeChange({ _tag: "SetTimer", timer }))
    return change._tag === "SetTimer" ? change.timer : undefined
  },
  () => decodeClaim(encodeClaim(claim(1, ["1/a"], { extras: { ...NO_EXTRAS, timers: [timer] } }))).extras?.timers[0]
]

describe("a timer from a peer", () => {
  const hostile = [0, 1e-9, 0.3, 1, SHORTEST_PERIOD_MS - 0.001, -1, -Infinity, NaN]

  it.each(hostile)("with a period of %d ms is refused: it would fire without an end", (everyMs) => {
    for (const read of roundTrips(timer(everyMs))) assert.throws(read)
  })

  it.each([-1, -Infinity, NaN])("that is due at %d is refused", (atMs) => {
    for (const read of roundTrips(timer(undefined, atMs))) assert.throws(read)
  })

  it.each([undefined, SHORTEST_PERIOD_MS, 1000])("with a period of %s is taken as it is", (everyMs) => {
    for (const read of roundTrips(timer(everyMs))) assert.deepStrictEqual(read(), timer(everyMs))
  })

  it("never fires again at once, whatever its period and however late", () => {
    const now = 1_800_000_000_000
    for (const everyMs of [1e-9, 1e-7, 1e-4, 1, SHORTEST_PERIOD_MS]) {
      for (const atMs of [0, 0.3, 5, now - 1, now]) assert.isAbove(nextAt(atMs, everyMs, now), now)
    }
    for (const atMs of [0, now]) assert.strictEqual(nextAt(atMs, Infinity, now), Infinity, "not again")
    assert.strictEqual(nextAt(Infinity, 1000, now), Infinity, "never")
  })
})
