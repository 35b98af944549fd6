// The gossip backend over a network that delays each frame and loses one in fifty.
import { conformance, memoryHarness } from "./suite.ts"

const seed = 20_240_607
const unreliable = { reliable: "frames get lost: a call may end by its deadline" }

conformance(
  `gossip, 2 % of frames lost, 0 to 5 ms of delay, seed ${seed}`,
  memoryHarness(
    { preset: "local", shutdownTimeout: "5 seconds", handoffTimeout: "2 seconds" },
    { seed, loss: 0.02, delay: { minMs: 0, maxMs: 5 } },
    unreliable
  ),
  { concurrent: true, missing: unreliable }
)
