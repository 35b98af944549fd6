/** Of the copies of a name no two serve at once, and each starts with a higher epoch than all before it. */
import { showRef } from "./history.ts"

/** What became of the copies; times as those of operations: places in one order of all events. */
export type CopyEvent =
  | {
    /** A copy of the name begins to serve, or has ended. */
    readonly op: "started" | "stopped"
    readonly name: string
    readonly node: string
    readonly epoch: number
    readonly at: number
  }
  /** The node is gone, with all copies that it ran; one of the same id may be started later. */
  | { readonly op: "killed"; readonly node: string; readonly at: number }

interface Copy {
  readonly name: string
  readonly node: string
  readonly epoch: number
  readonly startedAt: number
  /** Infinity: it served until the end of the history. */
  stoppedAt: number
}

const showCopy = (copy: Copy): string =>
  `${showRef(copy)} [${copy.startedAt}, ${copy.stoppedAt === Infinity ? "..." : copy.stoppedAt}]`

/** One text for each start whose epoch is not above all before it, and for each two copies that served at once. */
export const fencing = (events: ReadonlyArray<CopyEvent>): ReadonlyArray<string> => {
  const serving = new Set<Copy>()
  const highest = new Map<string, Copy>()
  const wrong: Array<() => string> = []

  const start = ({ at, epoch, name, node }: Exclude<CopyEvent, { op: "killed" }>): void => {
    const copy = { name, node, epoch, startedAt: at, stoppedAt: Infinity }
    for (const other of serving) {
      if (other.name !== name) continue
      wrong.push(() => `"${name}" served twice at once: ${showCopy(other)} and ${showCopy(copy)}`)
    }
    const before = highest.get(name)
    if (before === undefined || before.epoch < epoch) highest.set(name, copy)
    else wrong.push(() => `"${name}" started as ${showCopy(copy)} after ${showCopy(before)}: its epoch is not higher`)
    serving.add(copy)
  }

  const stop = (at: number, isMeant: (copy: Copy) => boolean): void => {
    for (const copy of serving) {
      if (!isMeant(copy)) continue
      copy.stoppedAt = at
      serving.delete(copy)
    }
  }

  let last = -Infinity
  for (const event of [...events].sort((a, b) => a.at - b.at)) {
    if (event.at === last) throw new Error(`Cannot check copies: two events at time ${event.at}`)
    last = event.at
    if (event.op === "started") start(event)
    else if (event.op === "killed") stop(event.at, ({ node }) => node === event.node)
    // one that never started was given up before it could serve: no matter
    else stop(event.at, ({ epoch, name, node }) => node === event.node && name === event.name && epoch === event.epoch)
  }
  // said at the end: only then it is known when they stopped
  return wrong.map((say) => say())
}
