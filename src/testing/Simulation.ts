/**
 * Deterministic simulation: several nodes of a program in one, under virtual time, on a network and on machines that fail
 * as a seed says. One seed is one history, on every runtime. After FoundationDB's simulator (Zhou et al., SIGMOD 2021).
 */
export type { Delivery, Weather } from "./VirtualNetwork.ts"
export { EPOCH_MS, Machine } from "./simulation/Machine.ts"
export {
  calm,
  Dice,
  type Fault,
  type FaultKind,
  faultKinds,
  inflict,
  inOrder,
  type Script,
  shrink,
  type Step,
  storm,
  type StormOptions
} from "./simulation/Script.ts"
export { Timeline } from "./simulation/Timeline.ts"
export { Trace } from "./simulation/Trace.ts"
export { FAIR, type NodeRun, type Running, World, type WorldOptions } from "./simulation/World.ts"
