/** What a node does about the name by itself, from what it knows: R4 to R10. One function for each rule. */
import {
  bestLive,
  compare,
  type Held,
  homeOf,
  isAwaited,
  isCovered,
  type NameView,
  nameView,
  regsOf,
  supersedes
} from "./claims.ts"
import { end, give, rewrite, setCopy, start, takeIn, write } from "./copies.ts"
import {
  type Claim,
  claimId,
  edit,
  fail,
  isDead,
  isForgotten,
  isGone,
  makeClaim,
  type Node,
  nodeOf,
  NODES,
  reaches,
  type SectionId,
  seenBoot,
  type State,
  within
} from "./state.ts"
import type { Rules } from "./switches.ts"

export interface Step {
  readonly label: string
  readonly run: (s: State) => void
}

/** A node, as the rules look at it. */
interface Look {
  readonly s: State
  readonly rules: Rules
  readonly node: Node
  readonly view: NameView
  readonly top: Held | undefined
  readonly out: Array<Step>
}

/** Everything that a node may do now of its own. */
export const stepsOf = (s: State, id: number): Array<Step> => {
  const node = s.nodes[id]!
  const out: Array<Step> = []
  if (!node.up) return out
  const { rules } = s.world
  const view = nameView(rules, node)
  const look: Look = { s, rules, node, view, top: view.claims[0], out }
  const { copy } = node
  const isBusy = copy?.move !== undefined
  if (!isBusy && look.top !== undefined) {
    if (copy?.status === "prepared") r6Prepared(look)
    else if (isTopGone(look)) r4GoneTop(look)
    else if (look.top.section === node.section && copy !== undefined) r5MyTop(look)
    else if (copy !== undefined && node.own.claim !== undefined) r7Below(look)
  }
  if (copy === undefined && node.own.claim !== undefined) r8Release(look)
  r9DeadSections(look)
  r10Tomb(look)
  return out
}

const step = ({ node, out }: Look, label: string, run: (node: Node, s: State) => void): void => {
  const { id } = node
  out.push({ label: `${label} ${id}`, run: (s) => run(edit(s, id), s) })
}

/** A released claim on top waits for its successor's; with none, or one that is gone, nobody goes on with it. */
const isTopGone = ({ node, top }: Look): boolean => {
  const { claim: { mode, successor }, section } = top!
  if (mode !== "released") return isGone(node, section)
  return successor === 0 || isGone(node, successor) || (successor === node.section && node.own.claim === undefined)
}

/** Serves from now on, under this epoch. */
const renew = (node: Node, epoch: number, regs: number): void => {
  rewrite(node, { epoch, regs, mode: "live" })
  setCopy(node, { status: "live", move: undefined })
}

// ---- R4

const r4GoneTop = (look: Look): void => {
  const { node, rules, view } = look
  const { claims, highest } = view
  const best = bestLive(node, view)
  if (rules.renew && best !== undefined) {
    if (best.section === node.section && node.copy !== undefined) {
      step(look, "R4 renew", (node) => renew(node, highest + 1, regsOf(claims)))
    }
    return
  }
  // whoever has it prepared goes on with it
  if (claims.some(({ claim, section }) => claim.mode === "prepared" && !isGone(node, section))) return
  if (homeOf(node) !== node.id || (rules.warm && !node.synced) || node.copy !== undefined) return
  const { claim } = claims[0]!
  const epoch = (rules.floor || rules.registrations ? highest : claim.epoch) + 1
  step(
    look,
    "R4 take over",
    (node, s) => start(s, node.id, { epoch, start: claim.start, regs: rules.union ? regsOf(claims) : claim.regs })
  )
}

// ---- R5

const r5MyTop = (look: Look): void => {
  const { node, rules, top, view: { claims, endedEpoch, highest } } = look
  const { claim } = top!
  if (node.copy!.status === "frozen") {
    // R6, R7: what it was frozen for has failed
    return step(look, "R6 resume", (node) => renew(node, highest + 1, claim.regs))
  }
  const lost = claims.filter(({ section }) => section !== node.section && isGone(node, section))
  const isTied = rules.boots && lost.some((held) => held.claim.epoch === claim.epoch)
  if (isTied || (rules.lift && endedEpoch >= claim.epoch)) {
    return step(
      look,
      "R5 lift",
      (node) => renew(node, highest + 1, rules.union ? claim.regs | regsOf(lost) : claim.regs)
    )
  }
  if (rules.union && !within(regsOf(lost), claim.regs)) {
    step(look, "R5 absorb", (node) => renew(node, claim.epoch, claim.regs | regsOf(lost)))
  }
}

// ---- R6, the target's part

/** What the source says now; if nothing any more, then whoever has the name instead. */
const sourceOf = ({ node, rules, view }: Look): Claim | undefined => {
  const source = view.claims.find(({ section }) => section === node.copy!.from)
  const mine: Held = { section: node.section, claim: node.own.claim! }
  const best = source ?? bestLive(node, view)
  return best !== undefined && (best === source || supersedes(rules, best, mine)) ? best.claim : undefined
}

/** The source stands above what it offered: it went on. Not if it was started anew: then what it had is here. */
const isWithdrawn = (look: Look): boolean => {
  const source = sourceOf(look)
  const mine = look.node.own.claim!
  return source !== undefined && source.epoch > mine.epoch && source.successor !== look.node.section &&
    (!look.rules.sameLife || source.life <= mine.life)
}

/** Has the source let go of it, for here? Not to know its claim is no proof. */
const hasLetGo = (look: Look): boolean => {
  const { node, rules } = look
  if (isGone(node, node.copy!.from)) return true
  const source = sourceOf(look)
  if (source === undefined) return false
  if (source.mode === "released" && source.successor === node.section) return true
  const { epoch, life } = node.own.claim!
  return rules.sameLife && source.mode === "live" && source.epoch > epoch && source.life > life
}

const r6Prepared = (look: Look): void => {
  const { node, rules, top, view } = look
  const { claims, highest } = view
  const mine = node.own.claim!
  if (isWithdrawn(look)) {
    if (!isGone(node, node.copy!.from)) {
      if (rules.withdrawn) step(look, "R6 withdrawn", (node, s) => close(s, node, node.copy!.from))
      return
    }
    // older than what was lost with the source, and better than nothing
    if (isTopGone(look) && bestLive(node, view) === undefined && rules.goLive) {
      const best = claims.find(({ claim, section }) => claim.mode === "prepared" && !isGone(node, section))
      if (best?.section !== node.section) return
      step(look, "R6 serve what was taken back", (node, s) => {
        const life = ++s.stamp
        renew(node, highest + 1, regsOf(claims))
        rewrite(node, { life })
        setCopy(node, { life })
      })
      return
    }
    if (top!.claim.mode === "live" && !isGone(node, top!.section)) {
      step(look, "R6 withdrawn", (node, s) => {
        end(s, node.id)
        rewrite(node, { mode: "released", successor: top!.section })
      })
    }
    return
  }
  if (!rules.goLive || !hasLetGo(look)) return
  if (top!.section === node.section || (top!.claim.mode === "live" && !isGone(node, top!.section))) {
    step(look, "R6 go live", (node) => renew(node, mine.epoch, mine.regs))
  } else step(look, "R6 go live above", (node) => renew(node, highest + 1, regsOf(claims)))
}

/** Its claim serves no more; it stays until everyone has what supersedes it. */
const close = (s: State, node: Node, successor: SectionId): void => {
  const released = s.world.rules.released ? makeClaim({ ...node.own.claim!, mode: "released", successor }) : undefined
  give(s, node.id, successor, "closing")
  write(edit(s, node.id), { claim: released })
}

// ---- R7

const r7Below = (look: Look): void => {
  const { node, rules, s, top, view } = look
  const { claim, section: winner } = top!
  const elsewhere = view.claims.some((held) =>
    held.section !== node.section && held.claim.mode === "live" && !isGone(node, held.section)
  )
  if (claim.mode === "prepared" && !elsewhere) {
    // prepared by a move that did not come about: the process is still here, and stands above it from now on
    return step(look, "R6 resume above", (node) => renew(node, view.highest + 1, node.own.claim!.regs))
  }
  if (rules.merged && claim.merged.includes(claimId(node.own.claim!, node.section))) {
    return step(look, "R7 close", (node, s) => close(s, node, winner))
  }
  if (claim.mode !== "live") return
  const to = nodeOf(winner)
  const hasWay = rules.relay ? reaches(s, node.id, to) : s.nodes[to]!.up && (s.cut & (1 << (node.id * 3 + to))) === 0
  if (hasWay && canTakeIn(s, to, winner, { section: node.section, claim: node.own.claim! })) {
    step(look, `R7 settle >${to}`, (node, s) => settle(s, node.id, winner))
  }
  if (node.copy!.status === "live" && rules.freeze) step(look, "R7 freeze", (node) => freeze(node))
}

const freeze = (node: Node): void => setCopy(node, { status: "frozen" })

/** Would the winner take this loser's state in now, and learn something by it? */
const canTakeIn = (s: State, id: number, section: SectionId, theirs: Held): boolean => {
  const { rules } = s.world
  const node = s.nodes[id]!
  const mine = node.own.claim
  if (node.section !== section || node.copy === undefined || node.copy.move !== undefined || mine?.mode !== "live") {
    return false
  }
  if (rules.once && mine.merged.includes(claimId(theirs.claim, theirs.section))) return false
  return compare(rules, { section, claim: mine }, theirs) < 0
}

/** The loser's state, as it was sent, reaches the winner. */
export const settle = (s: State, id: number, winner: SectionId): void => {
  const { rules } = s.world
  if (rules.freeze) freeze(edit(s, id))
  const { copy, own, section } = s.nodes[id]!
  absorb(s, winner, { section, claim: own.claim! }, copy!)
  if (!rules.merged) close(s, edit(s, id), winner)
}

/** A loser whose message gets lost. */
export const settleInVain = (s: State, id: number, winner: SectionId): void => {
  if (s.world.rules.freeze) freeze(edit(s, id))
  if (!s.world.rules.merged) close(s, edit(s, id), winner)
}

/** The winner's part: once per claim of the other's, under a new epoch, with all registrations. */
export const absorb = (
  s: State,
  winner: SectionId,
  theirs: Held,
  state: { readonly life: number; readonly done: number }
): void => {
  const to = nodeOf(winner)
  if (!canTakeIn(s, to, winner, theirs)) return
  if (s.nodes[to]!.own.claim!.merged.includes(claimId(theirs.claim, theirs.section))) {
    fail(s, "settling: a state is taken in twice")
  }
  takeIn(s, to, state)
  const node = edit(s, to)
  const mine = node.own.claim!
  const id = claimId(theirs.claim, theirs.section)
  const merged = [...new Set([...mine.merged, id])].sort((a, b) => a - b)
  const epoch = Math.max(nameView(s.world.rules, node).highest, theirs.claim.epoch) + 1
  rewrite(node, { epoch, regs: mine.regs | theirs.claim.regs, merged, life: node.copy!.life })
  setCopy(node, { status: "live" })
}

// ---- R8

/** Has everyone said, in this run, that they have this version of a section? */
const seenByAll = ({ node, rules }: Look, section: SectionId, version: number): boolean =>
  NODES.every((id) => {
    const one = node.view[id]!
    if (id === node.id || one === 0 || isForgotten(one)) return true
    if (!rules.everyone && isDead(one)) return true
    const digest = node.digests[id]
    return digest !== undefined && digest.boot === seenBoot(one) && (digest.versions.get(section) ?? -1) >= version
  })

const r8Release = (look: Look): void => {
  const { node, rules, view: { claims } } = look
  const mine: Held = { section: node.section, claim: node.own.claim! }
  if (!rules.released) return step(look, "R8 erase", (node) => write(node, { claim: undefined }))
  if (rules.letGo && isAwaited(node)) return
  const by = claims.find((held) =>
    held.section !== node.section && !isGone(node, held.section) &&
    supersedes(rules, held, mine)
  )
  if (by !== undefined && seenByAll(look, by.section, node.sections.get(by.section)!.version)) {
    step(look, "R8 erase", (node) => write(node, { claim: undefined }))
  }
}

// ---- R9

const r9DeadSections = (look: Look): void => {
  const { node, rules, view } = look
  let livingTombs = 0
  let livingEpoch = 0
  for (const [id, { tombEpoch, tombed }] of node.sections) {
    if (isGone(node, id)) continue
    livingTombs |= tombed
    livingEpoch = Math.max(livingEpoch, tombEpoch)
  }
  for (const [id, dead] of node.sections) {
    if (id === node.section || !isGone(node, id)) continue
    const isEnded = dead.claim !== undefined && isCovered(rules, dead.claim, view.tombed, view.endedEpoch)
    const ended = Math.max(dead.tombEpoch, isEnded ? dead.claim!.epoch : 0)
    const isOpen = !within(dead.tombed, livingTombs) || (rules.carry && ended > livingEpoch)
    if (rules.tombs && isOpen && homeOf(node) === node.id) {
      step(look, `R9 copy tombs of ${id}`, (node) => {
        const { tombEpoch, tombed } = node.own
        const epoch = Math.max(tombEpoch, dead.tombEpoch, view.endedEpoch)
        write(node, { tomb: [tombed | dead.tombed | (isEnded ? dead.claim!.regs : 0), epoch] })
      })
    }
    const mayGo = dead.claim === undefined || isEnded ||
      view.claims.some((held) =>
        held.section !== id && (!rules.union || !isGone(node, held.section)) &&
        supersedes(rules, held, { section: id, claim: dead.claim! })
      )
    if (!mayGo || (rules.tombs && isOpen)) continue
    step(look, `R9 drop ${id}`, (node) => {
      node.sections.delete(id)
      node.buried.set(id, dead.version)
      node.cache = {}
      if (rules.floor) node.floor = Math.max(node.floor, dead.tombEpoch, dead.claim?.epoch ?? 0)
    })
  }
}

// ---- R10

const r10Tomb = (look: Look): void => {
  const { node, rules } = look
  const { tombEpoch, tombed } = node.own
  if ((tombed === 0 && tombEpoch === 0) || !(rules.keepTombs ? isTombNeedless(look) : true)) return
  step(look, rules.keepTombs ? "R10 drop tomb" : "R10 expire tomb", (node, s) => {
    if (rules.floor) node.floor = Math.max(node.floor, tombEpoch)
    write(node, { tomb: [0, 0] })
    // by then no frame of before is under way, and no caller waits for what ended
    if (!rules.frameAge) return
    s.mail = []
    s.ghost = { ...s.ghost, asked: s.ghost.asked.filter(([reg]) => !within(reg, tombed)) }
  })
}

const isTombNeedless = (look: Look): boolean => {
  const { node, rules, view } = look
  for (const [id, { claim, tombed, version }] of node.sections) {
    const gone = isGone(node, id)
    if (!gone && !seenByAll(look, id, version)) return false
    if (gone && tombed !== 0) return false
    if (claim !== undefined && isCovered(rules, claim, view.tombed, view.endedEpoch)) return false
  }
  if (view.claims.some(({ claim }) => claim.epoch <= node.own.tombEpoch)) return false
  if (!rules.buriedByAll) return true
  for (const id of node.buried.keys()) {
    for (const digest of node.digests) {
      // buried before the last of it came is not buried
      if (digest !== undefined && (digest.versions.get(id) ?? -1) > (digest.buried.get(id) ?? -1)) return false
    }
  }
  return true
}
