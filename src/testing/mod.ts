/**
 * For testing programs that use Sworm, and for testing backends of Sworm: a network in one program with delay, loss and
 * cuts, the cases that every backend must pass, and a simulation of several nodes under seeded faults.
 *
 * @module testing
 */
export * as Conformance from "./Conformance.ts"
export * as Simulation from "./Simulation.ts"
export * as VirtualNetwork from "./VirtualNetwork.ts"
