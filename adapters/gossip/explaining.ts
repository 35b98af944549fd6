/** Why a name is where it is, and what a change of placement would do. Nothing here changes anything. */
import type { Candidate, Placement } from "../../src/Placement.ts"
import type { Held } from "../../src/protocol/claims.ts"
import { hash32 } from "../../src/protocol/hash.ts"
import { nodeOf } from "../../src/protocol/ids.ts"
import { stampMillis } from "../../src/protocol/stamp.ts"
import type { Hosted } from "../../src/runtime/Hosted.ts"
import type { Explanation, Plan, PlanChange } from "../../src/Supervisor.ts"
import type { Backend } from "./backend.ts"
import type { Core } from "./core.ts"

const statusOf = ({ parts: { directory } }: Core, top: Held | undefined, isClaimed: boolean): Explanation["status"] => {
  if (top === undefined) return isClaimed ? "waiting" : "not registered"
  if (directory.isGone(top.section)) return "waiting"
  if (top.claim.mode === "adopted") return "adopted"
  if (top.claim.mode === "prepared") return "moving"
  return top.claim.extras?.isDown === true ? "down" : "running"
}

export const explain = ({ core, rebalancer }: Backend, sworm: string, name: string): Explanation => {
  const { directory, node, processes } = core.parts
  const slot = directory.resolve(sworm, name)
  const top = slot?.top
  const primary = slot?.name ?? name
  const claims = slot?.view.claims ?? []
  const hosted = processes.hosted(sworm)
  const type = claims.find(({ claim }) => claim.spec !== undefined)?.claim.spec?.type
  const isSticky = hosted?.placement.isSticky === true
  const home = hosted === undefined || type === undefined || isSticky
    ? undefined
    : core.placing.home(hosted, primary, type)?.id
  const placement = hosted?.placement.name ?? placementElsewhere(core, sworm) ?? "unknown"
  const holder = slot === undefined ? undefined : directory.ref(sworm, name)
  const process = processes.get(sworm, primary)
  const status = statusOf(core, top, claims.length > 0)
  const stays = core.placing.hosts(sworm).some(({ id, isCordoned }) => id === holder?.node && isCordoned)
  const pending = process === undefined
    ? holder !== undefined && home !== undefined && home !== holder.node && !stays ? home : undefined
    : rebalancer.target(process)
  return {
    name: primary,
    home,
    holder,
    status,
    why: stays && status === "running"
      ? `"${holder!.node}" is cordoned and keeps what it has: it stays there until that is drained or uncordoned`
      : why(core, status, hosted, holder?.node, home, placement, sworm),
    placement,
    candidates: core.placing.candidates(sworm, type).map(({ id, load }) => ({ node: id, load })),
    registrar: core.placing.registrar(sworm, name),
    pendingMove: pending === (holder?.node ?? node.id) ? undefined : pending,
    keptBy: (top?.claim.extras?.replicas?.nodes ?? []).map(nodeOf),
    aliveSince: top === undefined ? undefined : stampMillis(top.claim.continuity),
    history: directory.history.of(sworm, primary)
  }
}

const placementElsewhere = (core: Core, sworm: string): string | undefined => {
  for (const { id } of core.placing.candidates(sworm)) {
    const section = core.parts.members.member(id)
    if (section !== undefined) return core.parts.directory.offer(sworm, `${section.boot}/${id}`)?.placement
  }
  return undefined
}

const why = (
  core: Core,
  status: Explanation["status"],
  hosted: Hosted | undefined,
  holder: string | undefined,
  home: string | undefined,
  placement: string,
  sworm: string
): string => {
  if (status === "not registered") return "no registration of it is known here"
  if (status === "adopted") return "it was registered by hand on its node, and ends with it"
  if (status === "waiting") {
    const hosts = core.placing.candidates(sworm).length
    if (hosts === 0) return `no node hosts "${sworm}" now: it starts when one does`
    if (hosted !== undefined && !core.placing.hasQuorum(hosted)) {
      return `${hosts} nodes host "${sworm}", its quorum is ${hosted.placement.quorum}: it starts when there are as many`
    }
    if (hosted !== undefined && home === undefined && hosted.placement.isSticky !== true) {
      return `${placement} accepts none of the ${hosts} nodes that host it: it starts when one comes that it accepts`
    }
    return "its node is gone or has let go of it: another is about to start it"
  }
  if (status === "moving") return `it is being moved to "${holder}"`
  if (hosted === undefined) {
    return `it runs on "${holder}"; this node doesn't host "${sworm}": ask one that does for more`
  }
  if (hosted.placement.isSticky === true) return `${placement} put it on "${holder}", and leaves it there`
  if (home === holder) return `${placement} wants it on "${home}"`
  if (home === undefined) return `${placement} accepts no node for it: it stays where it is`
  return hosted.redistribution === "passive"
    ? `${placement} wants it on "${home}", but redistribution is passive: it stays where it is`
    : `${placement} wants it on "${home}": it is about to move, unless its process type keeps it`
}

// ---- what if

/** Another set of nodes, with loads that rise as names are put there. */
const candidatesOf = (core: Core, sworm: string, change: PlanChange): Array<Candidate & { load: number }> => {
  const without = new Set(change.without ?? [])
  const hosts = core.placing.hosts(sworm).filter(({ id }) => !without.has(id))
  const open = hosts.filter(({ isCordoned }) => !isCordoned)
  const kept = open.length > 0 || (change.with ?? []).length > 0 ? open : hosts
  const added = (change.with ?? []).map(({ id, labels }) => ({ id, labels: labels ?? {}, hash: hash32(id), load: 0 }))
  return [...kept.map(({ hash, id, labels, load }) => ({ hash, id, labels, load })), ...added]
}

const placeBy = (
  placement: Placement,
  name: string,
  from: string,
  candidates: ReadonlyArray<Candidate>
): Candidate | undefined => {
  if (candidates.length < (placement.quorum ?? 0)) return undefined
  const here = candidates.find(({ id }) => id === from)
  if (placement.isSticky === true && here !== undefined && (placement.allows?.(name, here) ?? true)) {
    return here.load <= (placement.limit?.(here, candidates) ?? Infinity) ? here : placement.pick(name, candidates)
  }
  return placement.pick(name, candidates)
}

export const plan = (core: Core, sworm: string, change: PlanChange): Plan | undefined => {
  const { directory, processes } = core.parts
  const placement = change.placement ?? processes.hosted(sworm)?.placement
  if (placement === undefined) return undefined
  const candidates = candidatesOf(core, sworm, change)
  // a cordoned node is given nothing, and gives nothing away
  const cordoned = core.placing.hosts(sworm).filter(({ id, isCordoned }) => isCordoned && !change.without?.includes(id))
  const keeps = new Set(cordoned.map(({ id }) => id))
  const byId = new Map(candidates.map((candidate) => [candidate.id, candidate]))
  const moves: Array<Plan["moves"][number]> = []
  const homeless: Array<string> = []
  for (const [{ name }, { claim, section }] of directory.present(sworm)) {
    if (claim.spec === undefined) continue
    const from = nodeOf(section)
    if (keeps.has(from)) continue
    const to = placeBy(placement, name, from, candidates)?.id
    if (to === undefined) {
      homeless.push(name)
      continue
    }
    if (to === from) continue
    moves.push({ name, from, to })
    const left = byId.get(from)
    if (left !== undefined) left.load--
    byId.get(to)!.load++
  }
  return { moves, homeless, loads: new Map(candidates.map(({ id, load }) => [id, load])) }
}
