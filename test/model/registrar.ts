/** R1, R2: how a name is registered and ended; H12, H14, H15. */
import { bestLive, homeOf, nameView, registrarOf, regsOf, viewHash } from "./claims.ts"
import { end, start, write } from "./copies.ts"
import { arrive, learnView, merge, store } from "./knowledge.ts"
import { acknowledged, ended, givenUp, maybeEnded, newReg } from "./promises.ts"
import {
  type Bits,
  bootOf,
  edit,
  isAlive,
  isGone,
  linked,
  type Node,
  nodeOf,
  NODES,
  passes,
  type Section,
  type SectionId,
  sectionId,
  seenBoot,
  send,
  snapshot,
  type State,
  within
} from "./state.ts"

/** Where placement puts it: at the home of the name, or with the caller, as "least loaded" may say. */
export type Placing = "home" | "caller"

interface Request {
  readonly reg: Bits
  readonly caller: SectionId
  readonly view: number
  readonly placing: Placing
}

const isAt = (s: State, section: SectionId): boolean =>
  s.nodes[nodeOf(section)]!.up && s.nodes[nodeOf(section)]!.boot === bootOf(section)

/** Whom this caller asks: the name's registrar, or, where there is none, the node that it would put it on. */
const askedBy = (s: State, id: number, placing: Placing): number => {
  const node = s.nodes[id]!
  if (s.world.rules.registrar) return registrarOf(node.view)
  return placing === "caller" ? id : homeOf(node)
}

// ---- the caller

/** Asks for the name; without an answer it can ask again with the same registration. */
export const ask = (s: State, id: number, reg: Bits, placing: Placing): void => {
  const node = s.nodes[id]!
  const registrar = askedBy(s, id, placing)
  if (registrar < 0 || (s.world.rules.warm && !node.synced)) return
  const request: Request = { reg, caller: node.section, view: viewHash(node), placing }
  if (registrar === id) serve(s, id, request)
  else if (passes(s, id, registrar)) sendRequest(s, node.section, registrar, request)
}

const sendRequest = (s: State, from: SectionId, registrar: number, request: Request): void =>
  send(s, {
    tag: "register",
    from,
    to: sectionId(registrar, seenBoot(s.nodes[nodeOf(from)]!.view[registrar]!)),
    key: `register${request.reg},${request.view},${request.placing}`,
    deliver: (s) => serve(s, registrar, request)
  })

export const askNew = (s: State, id: number, placing: Placing): void =>
  ask(s, id, newReg(s, s.nodes[id]!.section), placing)

/** The name is there: the caller stores what it was told, then it counts. */
const answered = (s: State, caller: SectionId, reg: Bits, holder: SectionId, entry: Section): void => {
  const id = nodeOf(caller)
  if (!isAt(s, caller) || !s.ghost.asked.some(([one]) => one === reg)) return
  store(s, id, holder, entry)
  const copies = holder === caller ? storeElsewhere(s, id) : 2
  if (within(reg, s.ghost.ending)) givenUp(s, reg)
  else if (copies > 0) acknowledged(s, reg, copies)
  else givenUp(s, reg)
}

/** On how many nodes is it then? None: that could not be found out. */
const storeElsewhere = (s: State, id: number): number => {
  const node = s.nodes[id]!
  const others = NODES.filter((other) => other !== id && isAlive(node.view[other]!))
  if (others.length === 0) return 1
  // the promise is the same, whether it can be kept or not
  if (!s.world.rules.stored) return 2
  const other = others.find((one) => linked(s, id, one))
  if (other === undefined) return 0
  merge(s, other, snapshot(s, id))
  return 2
}

// ---- the registrar

/** One at a time for each name; whom it can't answer now asks again. */
const serve = (s: State, id: number, request: Request): void => {
  const { rules } = s.world
  const { caller, placing, reg, view } = request
  const node = s.nodes[id]!
  if (rules.warm && !node.synced) return
  if (rules.view && viewHash(node) !== view) return
  const known = answerOf(s, node, reg)
  if (known === "taken" || known === "ended") return refuse(s, request)
  if (known !== undefined) return reply(s, id, caller, reg, known)
  if (node.reserved !== undefined) {
    // the start may not have come: the same registration may be started again, at the same place only
    if (node.reserved.reg !== reg) return
    edit(s, id).reserved = { ...node.reserved, unanswered: false }
    begin(s, id, request, node.reserved.target)
    return
  }
  if (rules.grace && rules.registrar) {
    const before = askPrevious(s, id, reg)
    if (before === "taken" || before === "ended") return refuse(s, request)
    if (before === "wait") return
    if (before !== undefined) return reply(s, id, caller, reg, before)
  }
  // answers have changed what is known
  const after = s.nodes[id]!
  if (rules.view && viewHash(after) !== view) return
  const home = placing === "caller" ? nodeOf(caller) : homeOf(after)
  const target = sectionId(home, seenBoot(after.view[home]!))
  if (rules.reserve) edit(s, id).reserved = { reg, target, unanswered: false }
  begin(s, id, request, target)
}

type Answer = readonly [holder: SectionId, entry: Section] | "taken" | "ended" | undefined

const answerOf = (s: State, node: Node, reg: Bits): Answer => {
  const { rules } = s.world
  const { claims, tombed } = nameView(rules, node)
  if (rules.retries && (tombed & reg) !== 0) return "ended"
  const top = claims[0]
  if (top === undefined) return undefined
  if (!rules.retries || !claims.some(({ claim }) => (claim.regs & reg) !== 0)) return "taken"
  return [top.section, node.sections.get(top.section)!]
}

/** H15: whoever was the registrar a moment ago may have given the name away. */
const askPrevious = (s: State, id: number, reg: Bits): Answer | "wait" => {
  for (const before of NODES) {
    const node = s.nodes[id]!
    if (before === id || (node.previous & (1 << before)) === 0 || !isAlive(node.view[before]!)) continue
    if (!linked(s, id, before)) continue
    if (s.world.rules.tell) learnView(s, before, node.view)
    const other = s.nodes[before]!
    const known = answerOf(s, other, reg)
    if (known !== undefined) return known
    if (other.reserved !== undefined) return "wait"
  }
  return undefined
}

const refuse = (s: State, { reg }: Request): void => givenUp(s, reg)

const reply = (
  s: State,
  id: number,
  caller: SectionId,
  reg: Bits,
  [holder, entry]: readonly [SectionId, Section]
): void => {
  const { section } = s.nodes[id]!
  if (section === caller) return answered(s, caller, reg, holder, entry)
  send(s, {
    tag: "registered",
    from: section,
    to: caller,
    key: `registered${reg},${holder}:${entry.version}`,
    deliver: (s) => answered(s, caller, reg, holder, entry)
  })
}

const begin = (s: State, id: number, request: Request, target: SectionId): void => {
  const { rules } = s.world
  const node = s.nodes[id]!
  const epoch = nameView(rules, node).highest + 1
  const stamp = ++s.stamp
  const from = node.section
  if (from === target) return startAt(s, from, target, request, epoch, stamp)
  send(s, {
    tag: "start",
    from,
    to: target,
    key: `start${request.reg},${epoch},${stamp},${request.caller}`,
    deliver: (s) => startAt(s, from, target, request, epoch, stamp)
  })
}

const startAt = (
  s: State,
  from: SectionId,
  target: SectionId,
  request: Request,
  epoch: number,
  stamp: number
): void => {
  const { reg } = request
  const id = nodeOf(target)
  const known = answerOf(s, s.nodes[id]!, reg)
  if (known === undefined && s.nodes[id]!.copy !== undefined) return lost(s, "start", from, target)
  if (known === undefined) start(s, id, { epoch, start: stamp, regs: reg })
  const answer = known ?? ([s.nodes[id]!.section, s.nodes[id]!.own] as const)
  if (from === target) return started(s, from, request, answer)
  send(s, {
    tag: "started",
    from: s.nodes[id]!.section,
    to: from,
    key: `started${reg},${typeof answer === "string" ? answer : `${answer[0]}:${answer[1].version}`}`,
    deliver: (s) => started(s, from, request, answer)
  })
}

/** The registrar stores the claim before it lets go of the name. */
const started = (s: State, registrar: SectionId, request: Request, answer: NonNullable<Answer>): void => {
  const id = nodeOf(registrar)
  const node = edit(s, id)
  if (node.reserved?.reg === request.reg) node.reserved = undefined
  if (typeof answer === "string") return refuse(s, request)
  store(s, id, ...answer)
  reply(s, id, request.caller, request.reg, answer)
}

/** Nobody will answer this message any more. */
export const lost = (s: State, tag: string, from: SectionId, to: SectionId): void => {
  if (tag !== "start" && tag !== "started") return
  const [registrar, target] = tag === "start" ? [from, to] : [to, from]
  if (!isAt(s, registrar)) return
  const { reserved } = s.nodes[nodeOf(registrar)]!
  if (reserved?.target !== target) return
  edit(s, nodeOf(registrar)).reserved = s.world.rules.hold ? { ...reserved, unanswered: true } : undefined
}

/** A reservation that has come to its end: the claim, or the end of it, is known here; or its target is gone. */
export const reservationStep = (s: State, id: number): boolean => {
  const node = s.nodes[id]!
  if (!node.up || node.reserved === undefined) return false
  const { claims, tombed } = nameView(s.world.rules, node)
  return claims.length > 0 || (tombed & node.reserved.reg) !== 0 || isGone(node, node.reserved.target)
}

// ---- a whole registration at once

export const canRegister = (s: State, id: number, placing: Placing): boolean => {
  const { rules } = s.world
  const node = s.nodes[id]!
  const at = askedBy(s, id, placing)
  if (at < 0 || (rules.warm && !node.synced) || (at !== id && !linked(s, id, at))) return false
  const registrar = s.nodes[at]!
  if ((rules.warm && !registrar.synced) || registrar.reserved !== undefined || registrar.copy !== undefined) {
    return false
  }
  return (!rules.view || viewHash(registrar) === viewHash(node)) && nameView(rules, registrar).claims.length === 0
}

/** The messages of it arrive one after the other, or, lost, the last does not; a copy of the first stays under way. */
export const register = (s: State, id: number, placing: Placing, isLost: boolean, again: boolean): void => {
  const before = s.mail
  s.mail = []
  askNew(s, id, placing)
  const first = s.mail[0]
  while (s.mail.length > 0) {
    const [next, ...rest] = s.mail
    s.mail = rest
    const { to } = next!
    if (isLost && next!.tag === "registered") givenUp(s, 1 << (s.ghost.nextReg - 1))
    else if (isAt(s, to) && passes(s, nodeOf(next!.from), nodeOf(to))) arrive(s, next!)
    else lost(s, next!.tag, next!.from, to)
  }
  s.mail = again && first?.tag === "register" ? [...before, first] : before
}

// ---- R2

/** Where the name can be ended, as this caller knows it: at its holder, or, if that is gone, at the home. */
export const endsAt = (s: State, id: number): number => {
  const { rules } = s.world
  const node = s.nodes[id]!
  const view = nameView(rules, node)
  const top = view.claims[0]
  if (top === undefined) return -1
  const holder = nodeOf(top.section)
  if (!isGone(node, top.section)) {
    const { copy, own, section, up } = s.nodes[holder]!
    const isHeld = up && section === top.section && copy?.status === "live" && own.claim?.mode === "live"
    return isHeld && (holder === id || linked(s, id, holder)) ? holder : -1
  }
  return homeOf(node) === id && bestLive(node, view) === undefined && node.copy === undefined ? id : -1
}

export const unregister = (s: State, id: number, at: number): void => {
  const { rules } = s.world
  const { claims, highest } = nameView(rules, s.nodes[at]!)
  const regs = regsOf(claims)
  end(s, at)
  const node = edit(s, at)
  const epoch = rules.registrations ? highest : claims[0]!.claim.epoch + 1
  write(node, { claim: undefined, tomb: [node.own.tombed | regs, Math.max(node.own.tombEpoch, epoch)] })
  const copies = at === id ? storeElsewhere(s, at) : 2
  if (at !== id) store(s, id, s.nodes[at]!.section, s.nodes[at]!.own)
  if (copies > 0) ended(s, regs, copies)
  else maybeEnded(s, regs)
}
