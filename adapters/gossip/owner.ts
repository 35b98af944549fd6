/** What becomes of a process that crashed, ended or changed itself: its claim is written here, and nowhere else. */
import { Effect } from "effect"
import { extrasOf, withExtras } from "../../src/protocol/extras.ts"
import type { LocalProcess, ProcessOwner } from "../../src/runtime/LocalProcess.ts"
import type { Residency } from "../../src/runtime/Residency.ts"
import type { SnapshotQueue } from "../../src/runtime/Snapshots.ts"
import type { TimerQueue } from "../../src/runtime/TimerQueue.ts"
import type { ProcessRef } from "../../src/SwormError.ts"
import type { Core } from "./core.ts"
import type { GivenUps } from "./givenups.ts"
import type { Links } from "./links.ts"
import type { Ends } from "./ends.ts"
import type { Snapshots } from "./snapshots.ts"

export const refOf = ({ epoch, name, node, sworm }: LocalProcess): ProcessRef => ({ sworm, name, node, epoch })

export interface OwnerParts {
  readonly core: Core
  readonly ends: Ends
  readonly links: Links
  readonly givenUps: GivenUps
  readonly timers: TimerQueue
  readonly residency: Residency
  readonly snapshots: Snapshots
  readonly snapshotQueue: SnapshotQueue
}

/** The parts are made after it: nothing is asked of it before they are there. */
export const ownerOf = (parts: () => OwnerParts): ProcessOwner => ({
  get node() {
    return parts().core.parts.node
  },
  guard: (hosted) => parts().core.fence.isAsked(hosted) ? () => parts().core.fence.holds(hosted) : undefined,
  admits: (process, epoch) => parts().core.parts.authority?.admits(process, epoch) ?? true,
  nowMs: () => parts().core.parts.nowMs(),
  wallMs: () => parts().core.parts.wallMs(),
  renew: (process) => {
    const { core } = parts()
    const { following, name, sworm } = process
    const { processes, stamps, wallMs } = core.parts
    const claim = core.entry(sworm, name)?.claim
    if (claim?.mode !== "live" || processes.get(sworm, name) !== process) return undefined
    const epoch = core.nextEpoch(sworm, name)
    // what was answered is all in the state that it goes on from: those who wait for an answer may ask again
    const { snapshots } = process
    const isUnbroken = snapshots?.isEachCall === true && snapshots.packed !== undefined
    const continuity = isUnbroken ? claim.continuity : stamps.next(wallMs())
    const { link } = extrasOf(claim)
    // one that follows takes the stamp of what it follows: nobody follows a follower
    const stamp = following ?? core.stampAfter(sworm, link)
    const answers = link === undefined ? undefined : { ...link, stamp }
    core.writeClaim(sworm, name, withExtras({ ...claim, epoch, continuity }, { isDown: false, link: answers }))
    return epoch
  },
  crashed: (process, detail) => {
    const { core } = parts()
    const { name, sworm } = process
    core.emit({ _tag: "Crashed", ref: refOf(process), detail })
    const claim = core.entry(sworm, name)?.claim
    // where it is started again at once, that it has crashed shows in its next epoch
    if (process.options.backoff === undefined || process.spec.restart === "temporary" || claim?.mode !== "live") return
    core.writeClaim(sworm, name, withExtras(claim, { isDown: true }))
  },
  ended: (process, how, detail) => {
    const { core, ends, givenUps } = parts()
    const { name, sworm } = process
    const { fork, processes } = core.parts
    if (processes.get(sworm, name) !== process) return
    const close = process.close(how === "Ended" ? "Ended" : "Crashed")
    const end = (): void => {
      const claim = core.entry(sworm, name)?.claim
      ends.entomb(sworm, name, how)
      if (how === "GivenUp" && claim !== undefined) givenUps.note(sworm, name, claim, detail)
      processes.remove(process)
      const ref = refOf(process)
      core.emit(how === "GivenUp" ? { _tag: "GivenUp", ref, detail } : { _tag: "Stopped", ref })
    }
    // where it is one copy at a time, the next may start as soon as the name is free: this one has ended then
    const last = core.parts.authority === undefined
      ? undefined
      : core.exclusively(sworm, name, Effect.andThen(close, Effect.sync(end)))
    if (last !== undefined) return fork(last)
    end()
    fork(close)
  },
  change: (process, change) => {
    const { core, timers } = parts()
    const { name, sworm } = process
    // from a fiber that has outlived its process: the name is another's now, or nobody's
    if (process.status === "closed" || core.parts.processes.get(sworm, name) !== process) return
    // before its claim is written for the first time, and while it is only prepared, it is not for others to see
    if (process.status === "starting") (process.early ??= []).push(change)
    else core.change(sworm, name, change)
    if (process.status === "starting" || process.status === "frozen" || process.status === "prepared") return
    if (change._tag === "SetTimer") timers.set(process, change.timer)
    else if (change._tag === "ClearTimer") timers.clear(process, change.id)
  },
  timersBeside: ({ early, name, status, sworm }, id) => {
    const claim = parts().core.entry(sworm, name)?.claim
    const timers = status === "starting"
      ? (early ?? []).flatMap((change) => change._tag === "SetTimer" ? [change.timer] : [])
      : claim === undefined
      ? []
      : extrasOf(claim).timers
    return timers.filter((timer) => timer.id !== id)
  },
  serves: (process, isServing) => {
    const { core, links, residency, snapshotQueue, timers } = parts()
    if (!isServing) {
      timers.clear(process)
      snapshotQueue.forget(process)
      return residency.forget(process)
    }
    const extras = core.entry(process.sworm, process.name)?.claim?.extras
    if (extras === undefined) return
    for (const timer of extras.timers) timers.set(process, timer)
    links.serves(process)
  },
  used: (process) => parts().residency.used(process),
  keep: (process, taken) => parts().snapshots.keep(process, taken),
  keepLater: (process, inMs) => parts().snapshotQueue.add(process, inMs)
})
