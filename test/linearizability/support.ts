/** Histories in few words: `ok(1, 2, "n1@1")` is a `register` from 1 to 2 that was told to be held there. */
import { Simulation } from "@sworm/sworm/testing"
import type { Asked, Operation, Ref } from "./history.ts"

export const refFrom = (text: string): Ref => {
  const [node = "", epoch = ""] = text.split("@")
  return { node, epoch: Number(epoch) }
}

const operation = (invokedAt: number, returnedAt: number | undefined, asked: Asked): Operation => ({
  ...asked,
  client: `client${invokedAt}`,
  name: "ant",
  invokedAt,
  returnedAt
})

type Make = (invokedAt: number, returnedAt: number) => Operation
type MakeAt = (invokedAt: number, returnedAt: number, ref: string) => Operation
type MakeLost = (invokedAt: number, returnedAt?: number) => Operation

export const ok: MakeAt = (from, until, ref) =>
  operation(from, until, { op: "register", result: { _tag: "Ok", ref: refFrom(ref) } })

export const taken = (from: number, until: number, ref?: string): Operation =>
  operation(from, until, {
    op: "register",
    result: { _tag: "Taken", ref: ref === undefined ? undefined : refFrom(ref) }
  })

export const ended: Make = (from, until) => operation(from, until, { op: "unregister", result: { _tag: "Ok" } })

export const notThere: Make = (from, until) =>
  operation(from, until, { op: "unregister", result: { _tag: "NotRegistered" } })

export const seen: MakeAt = (from, until, ref) =>
  operation(from, until, { op: "whereis", result: { _tag: "At", ref: refFrom(ref) } })

export const none: Make = (from, until) => operation(from, until, { op: "whereis", result: { _tag: "None" } })

export const lostRegister: MakeLost = (from, until) =>
  operation(from, until, { op: "register", result: { _tag: "Unknown" } })

export const lostUnregister: MakeLost = (from, until) =>
  operation(from, until, { op: "unregister", result: { _tag: "Unknown" } })

export const lostRead: MakeLost = (from, until) =>
  operation(from, until, { op: "whereis", result: { _tag: "Unknown" } })

/** The same throws for the same seed, on every runtime: mulberry32. */
export const diceOf = (seed: number): Simulation.Dice => {
  let state = seed | 0
  return new Simulation.Dice(() => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  })
}
