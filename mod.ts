/**
 * Sworm: a cluster-wide process registry and supervisor for Effect programs in Deno, Bun and Node.
 *
 * @module sworm
 */
export * as Discovery from "./src/Discovery.ts"
export * as Fenced from "./src/Fenced.ts"
export * as Handoff from "./src/Handoff.ts"
export * as Membership from "./src/Membership.ts"
export * as Memory from "./adapters/memory/mod.ts"
export * as Node from "./src/Node.ts"
export * as Placement from "./src/Placement.ts"
export * as Process from "./src/Process.ts"
export * as Registry from "./src/Registry.ts"
export * as SnapshotStore from "./src/SnapshotStore.ts"
export * as Supervisor from "./src/Supervisor.ts"
export * as Sworm from "./src/Sworm.ts"
export * as SwormError from "./src/SwormError.ts"
export * as Transport from "./src/Transport.ts"
