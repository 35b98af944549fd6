/**
 * For testing programs that use Sworm, and for testing backends of Sworm: a network in one program with delay, loss and
 * cuts, and the cases that every backend must pass.
 *
 * @module testing
 */
export * as Conformance from "./Conformance.ts"
export * as VirtualNetwork from "./VirtualNetwork.ts"
