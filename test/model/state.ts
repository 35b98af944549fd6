/**
 * What there is: three nodes, one name, what each node has stored of it, the messages under way. Parts that never change
 * once made carry their own key; a node keeps its key until it is edited, so the key of a whole state is cheap.
 */
import type { Rules } from "./switches.ts"

export const COUNT = 3
export const NODES: ReadonlyArray<number> = [0, 1, 2]

/** A run of a node: what it writes is kept under it. */
export type SectionId = number
export const sectionId = (node: number, boot: number): SectionId => node * 16 + boot
export const nodeOf = (section: SectionId): number => section >> 4
export const bootOf = (section: SectionId): number => section & 15

/** Sets, of registrations or of increments, as bits. */
export type Bits = number
export const within = (some: Bits, all: Bits): boolean => (some & ~all) === 0

export type Mode = "live" | "prepared" | "released"

export interface Claim {
  readonly epoch: number
  readonly start: number
  readonly regs: Bits
  readonly mode: Mode
  readonly merged: ReadonlyArray<number>
  /** Continuity: since when the state is unbroken. */
  readonly life: number
  /** For `released`: who goes on with it. */
  readonly successor: SectionId
  readonly key: string
}

export const makeClaim = (parts: Omit<Claim, "key">): Claim => {
  const { epoch, life, merged, mode, regs, start, successor } = parts
  return {
    epoch,
    life,
    merged,
    mode,
    regs,
    start,
    successor,
    key: `${epoch}${mode[0]}${start}r${regs}c${life}s${successor}m${merged}`
  }
}

export const claimId = (claim: Claim, section: SectionId): number => claim.epoch * 64 + section

/** All that one run of a node says of the name. */
export interface Section {
  readonly version: number
  readonly claim: Claim | undefined
  readonly tombed: Bits
  readonly tombEpoch: number
  readonly key: string
}

export const makeSection = (version: number, claim: Claim | undefined, tombed: Bits, tombEpoch: number): Section => ({
  version,
  claim,
  tombed,
  tombEpoch,
  key: `${version}:${claim?.key ?? ""}:${tombed}:${tombEpoch}`
})

/** A process as it is on a node. */
export interface Copy {
  readonly status: "live" | "frozen" | "closing" | "prepared"
  readonly life: number
  /** The increments it has. */
  readonly done: Bits
  /** For `prepared`: the section that it comes from. */
  readonly from: SectionId
  /** The move that it is the source of. */
  readonly move: { readonly to: SectionId; readonly epoch: number } | undefined
}

const keyOfCopy = ({ done, from, life, move, status }: Copy): string =>
  `${status}${life}+${done}<${from}${move === undefined ? "" : `>${move.to}@${move.epoch}`}`

/** What a node last said that it has. */
export interface Digest {
  readonly boot: number
  readonly versions: ReadonlyMap<SectionId, number>
  readonly buried: ReadonlyMap<SectionId, number>
  readonly key: string
}

/** A registrar's promise of the name, to one registration. */
export interface Reservation {
  readonly reg: Bits
  readonly target: SectionId
  readonly unanswered: boolean
}

const keyOfMap = (map: ReadonlyMap<number, number>): string => [...map].sort((a, b) => a[0] - b[0]).join()

/** Only `edit` in this module makes one changeable. */
export class Node {
  readonly id: number
  up = true
  boot = 1
  /** How each node is, as `seen` says; 0 for one that is not known. */
  view: Array<number>
  sections = new Map<SectionId, Section>()
  buried = new Map<SectionId, number>()
  digests: Array<Digest | undefined> = [undefined, undefined, undefined]
  copy: Copy | undefined
  synced = true
  floor = 0
  reserved: Reservation | undefined
  /** Nodes that were registrars of the name under earlier views. */
  previous: Bits = 0
  /** The highest epoch that its users have seen. */
  shown = 0
  /** Derived; made anew after each edit. */
  cache: { key?: string; digest?: Digest; name?: unknown } = {}

  constructor(id: number) {
    this.id = id
    this.view = NODES.map(() => 0)
  }

  get section(): SectionId {
    return sectionId(this.id, this.boot)
  }

  get own(): Section {
    return this.sections.get(this.section)!
  }

  digest(): Digest {
    return this.cache.digest ??= makeDigest(this)
  }

  key(): string {
    return this.cache.key ??= keyOfNode(this)
  }
}

const makeDigest = ({ boot, buried, sections }: Node): Digest => {
  const versions = new Map(buried)
  for (const [id, { version }] of sections) versions.set(id, version)
  return { boot, versions, buried: new Map(buried), key: `${boot}=${keyOfMap(versions)}!${keyOfMap(buried)}` }
}

const keyOfNode = (node: Node): string => {
  if (!node.up) return `-${node.boot}`
  const ids = [...node.sections.keys()].sort((a, b) => a - b)
  let key = `${node.boot}|${node.view}|`
  for (const id of ids) key += `${id}:${node.sections.get(id)!.key};`
  key += `|${keyOfMap(node.buried)}|`
  for (const digest of node.digests) key += `${digest?.key ?? ""};`
  if (node.copy !== undefined) key += keyOfCopy(node.copy)
  const { reserved } = node
  if (reserved !== undefined) key += `R${reserved.reg},${reserved.target},${reserved.unanswered}`
  return `${key}|${node.synced ? 1 : 0}|${node.floor}|${node.previous}|${node.shown}`
}

/** A frame under way; `deliver` is in the module that sends it. */
export interface Message {
  readonly tag: string
  readonly from: SectionId
  readonly to: SectionId
  readonly key: string
  readonly deliver: (s: State) => void
}

/** With the members that its sender knew: connections begin with them. */
export interface Mail extends Message {
  readonly view: ReadonlyArray<number>
}

/** What the outside knows: what was promised, what happened. No rule reads it. */
export interface Ghost {
  readonly nextReg: number
  readonly nextIncrement: number
  readonly acked: Bits
  readonly ended: Bits
  /** Somebody tried to end them. */
  readonly ending: Bits
  /** Neither promised nor denied: may run, need not. */
  readonly open: Bits
  /** On how many nodes, and at which count of crashes, each promise was stored. */
  readonly keptAcked: ReadonlyArray<number>
  readonly keptEnded: ReadonlyArray<number>
  readonly crashes: number
  /** Crashes, cuts, false deaths: without any, nothing may ever run twice. */
  readonly faults: number
  /** Increments that were answered, and must not be lost. */
  readonly due: Bits
  /** Registrations that their callers still wait for, with the caller. */
  readonly asked: ReadonlyArray<readonly [reg: Bits, caller: SectionId]>
}

const nothing: Ghost = {
  nextReg: 0,
  nextIncrement: 0,
  acked: 0,
  ended: 0,
  ending: 0,
  open: 0,
  keptAcked: [],
  keptEnded: [],
  crashes: 0,
  faults: 0,
  due: 0,
  asked: []
}

export const budgetNames = [
  "register", // a whole registration at once
  "ask", // a registration, message by message
  "retry", // its caller asks again
  "duplicate", // a request arrives again, late
  "unregister",
  "increment",
  "move",
  "lose", // a message
  "late", // a gossip message overtaken by others
  "part", // a delta of one section only
  "crash",
  "restart",
  "wrong", // a death that is none
  "cut", // connections, both ways
  "oneWay", // one direction of a connection
  "forget", // the dead have been dead for long
  "join" // of the node that was not there from the start
] as const
export type BudgetName = typeof budgetNames[number]
export type Budget = Readonly<Record<BudgetName, number>>

export const budgetOf = (some: Partial<Budget>): Budget =>
  Object.fromEntries(budgetNames.map((name) => [name, some[name] ?? 0])) as Record<BudgetName, number>

/** What stays the same throughout a history. */
export interface World {
  readonly rules: Rules
  readonly budget: Budget
  /** The process type has a `resolveConflict` that keeps all increments. */
  readonly merges: boolean
}

export interface State {
  readonly world: World
  readonly nodes: Array<Node>
  /** Which of `nodes` belong to this state alone. */
  editable: Bits
  /** Directions that nothing passes, by `way`. */
  cut: Bits
  mail: ReadonlyArray<Mail>
  ghost: Ghost
  budget: Budget
  /** The last stamp given out. */
  stamp: number
  violation: string | undefined
}

/** How a node is: later ones are larger. One that has been dead for too long to be waited for is forgotten. */
export const seen = (boot: number, incarnation: number, synced: boolean): number =>
  (boot << 12) | (incarnation << 3) | (synced ? 1 : 0)
export const DEAD = 2
export const FORGOTTEN = 4
export const seenBoot = (one: number): number => one >> 12
export const seenIncarnation = (one: number): number => (one >> 3) & 511
export const isDead = (one: number): boolean => (one & DEAD) !== 0
export const isForgotten = (one: number): boolean => (one & FORGOTTEN) !== 0
export const isSynced = (one: number): boolean => (one & 1) !== 0
/** Known, and not dead. */
export const isAlive = (one: number): boolean => one !== 0 && !isDead(one)

/** Dead in its view, or a later run of that node is known. */
export const isGone = (node: Node, section: SectionId): boolean => {
  const one = node.view[nodeOf(section)]!
  const boot = seenBoot(one)
  return boot > bootOf(section) || (boot === bootOf(section) && isDead(one))
}

export const boot = (node: Node, number: number, synced: boolean): void => {
  node.up = true
  node.boot = number
  node.view = NODES.map(() => 0)
  node.view[node.id] = seen(number, 0, synced)
  node.sections = new Map([[sectionId(node.id, number), makeSection(0, undefined, 0, 0)]])
  node.buried = new Map()
  node.digests = [undefined, undefined, undefined]
  node.copy = undefined
  node.synced = synced
  node.floor = 0
  node.reserved = undefined
  node.previous = 0
  node.shown = 0
}

/** Three nodes that know each other; or two, and one that has not been started yet. */
export const initial = (world: World): State => {
  const present = world.budget.join > 0 ? [0, 1] : NODES
  const nodes = NODES.map((id) => {
    const node = new Node(id)
    boot(node, 1, true)
    if (present.includes(id)) node.view = NODES.map((one) => present.includes(one) ? seen(1, 0, true) : 0)
    else {
      node.up = false
      node.boot = 0
    }
    return node
  })
  return {
    world,
    nodes,
    editable: 0,
    cut: 0,
    mail: [],
    ghost: nothing,
    budget: world.budget,
    stamp: 0,
    violation: undefined
  }
}

/** A state to go on from; its nodes are shared until they are edited. */
export const fork = (s: State): State => {
  s.editable = 0
  return { ...s, nodes: [...s.nodes] }
}

/** The node, to be changed within this step; to be called again after anything else may have read it. */
export const edit = (s: State, id: number): Node => {
  let node = s.nodes[id]!
  if ((s.editable & (1 << id)) === 0) {
    const copy = Object.assign(new Node(id), node)
    copy.view = [...node.view]
    copy.sections = new Map(node.sections)
    copy.buried = new Map(node.buried)
    copy.digests = [...node.digests]
    s.nodes[id] = node = copy
    s.editable |= 1 << id
  }
  node.cache = {}
  return node
}

/** What a node knows now, safe from later edits in this step. */
export const snapshot = (s: State, id: number): Node => {
  s.editable &= ~(1 << id)
  return s.nodes[id]!
}

// ---- ways

export const way = (from: number, to: number): Bits => 1 << (from * COUNT + to)

/** Does a frame get from one to the other? */
export const passes = (s: State, from: number, to: number): boolean =>
  from !== to && s.nodes[from]!.up && s.nodes[to]!.up && (s.cut & way(from, to)) === 0

export const linked = (s: State, a: number, b: number): boolean => passes(s, a, b) && passes(s, b, a)

/** Also through the third node. */
export const reaches = (s: State, from: number, to: number): boolean =>
  passes(s, from, to) || NODES.some((third) => passes(s, from, third) && passes(s, third, to))

export const send = (s: State, message: Message): void => {
  s.mail = [...s.mail, { ...message, view: [...s.nodes[nodeOf(message.from)]!.view] }]
}

export const fail = (s: State, violation: string): void => {
  s.violation ??= violation
}

export const spend = (s: State, name: BudgetName): void => {
  s.budget = { ...s.budget, [name]: s.budget[name] - 1 }
}

export const note = (s: State, change: Partial<Ghost>): void => {
  s.ghost = { ...s.ghost, ...change }
}

const keyOfGhost = (g: Ghost): string =>
  `${g.nextReg},${g.nextIncrement},${g.acked},${g.ended},${g.ending},${g.open},${g.keptAcked},${g.keptEnded},` +
  `${g.crashes},${g.faults},${g.due},${g.asked}`

/** Equal for states from which the same can follow; without the budget, for those at which the same is true. */
export const keyOf = (s: State, withBudget: boolean): string => {
  let key = `${s.cut}#${s.stamp}#${keyOfGhost(s.ghost)}#${s.violation ?? ""}`
  for (const node of s.nodes) key += `#${node.key()}`
  for (const { from, key: body, to } of s.mail) key += `~${from}>${to}${body}`
  if (withBudget) { for (const name of budgetNames) key += `,${s.budget[name]}` }
  return key
}
