/**
 * A node comes back after it was dead for longer than anybody remembers (PROTOCOL R11). What it knows of others may be of
 * registrations that have ended since, with nobody left to say so: it drops all of it, and learns anew. What it runs
 * itself is registered anew where the name is free, and stopped where somebody has it.
 */
import { Effect } from "effect"
import type { Claim, NameEntry } from "../../src/protocol/claims.ts"
import { registrationId } from "../../src/protocol/ids.ts"
import { parseKey } from "../../src/protocol/wire.ts"
import type { Core } from "./core.ts"
import { keyOf } from "./keyOf.ts"

interface Own {
  readonly sworm: string
  readonly name: string
  readonly claim: Claim
}

export const comeBack = (core: Core, catchUp: Effect.Effect<void>, mode: "register" | "stop"): Effect.Effect<void> =>
  Effect.suspend(() => {
    const { replication } = core.parts
    const { replica } = replication
    const own: Array<Own> = []
    for (const key of [...replica.keysOf(replica.own)]) {
      const parsed = parseKey(key)
      if (parsed?._tag !== "Name") continue
      const { claim } = replica.get(replica.own, key) as NameEntry
      // what was let go of, or never began, is nobody's
      if (claim?.mode === "live" || claim?.mode === "adopted") {
        own.push({ sworm: parsed.sworm, name: parsed.name, claim })
      }
      replication.write(key, undefined)
    }
    core.tombs.clear()
    replication.synced = false
    replica.dropForeign()
    return Effect.andThen(catchUp, Effect.suspend(() => settle(core, own, mode)))
  })

/** With everything learned that others know now. */
const settle = (core: Core, own: ReadonlyArray<Own>, mode: "register" | "stop"): Effect.Effect<void> => {
  const { directory, node, processes, stamps, wallMs } = core.parts
  let stopped = 0
  const closing = own.flatMap(({ claim, name, sworm }) => {
    const process = processes.get(sworm, name)
    if (mode === "register" && directory.view(sworm, name).claims.length === 0) {
      const epoch = core.nextEpoch(sworm, name)
      const start = stamps.next(wallMs())
      // numbered by its stamp: far above any that a caller on this node made
      const registrations = [registrationId(start, node.section)]
      core.writeClaim(sworm, name, { ...claim, epoch, registrations, merged: [], start })
      process?.serve(epoch)
      return []
    }
    stopped++
    core.adopted.get(keyOf(sworm, name))?.()
    if (process === undefined) return []
    processes.remove(process)
    core.emit({ _tag: "Stopped", ref: { sworm, name, node: process.node, epoch: process.epoch } })
    return [process.close("Superseded")]
  })
  core.emit({ _tag: "Returned", node: node.id, kept: own.length - stopped, stopped })
  return Effect.forEach(closing, (close) => close, { concurrency: "unbounded", discard: true })
}
