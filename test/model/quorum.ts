/**
 * H20, by itself: with a quorum a minority stops before a majority starts. Time is a small clock that all nodes read
 * alike; in each unit of it all who are connected exchange. One process, which may be run by one side of a clean split.
 */
export interface QuorumRules {
  /** A minority stops this long after it last heard from a quorum; a majority starts only after `waits`. */
  readonly stops: boolean
  readonly waits: boolean
  /** The configured nodes are counted, not those that are seen. */
  readonly configured: boolean
  /** A clock that only goes forward, looked at before each message: not one that the system may set back. */
  readonly monotonic: boolean
}

export const quorumRules: QuorumRules = { stops: true, waits: true, configured: true, monotonic: true }

const NODES = [0, 1, 2] as const
/** Who starts it: the first of these that is there. */
const HOMES = [1, 2, 0] as const
const STOP_WITHIN = 2
const START_AFTER = 3

interface QuorumNode {
  readonly runs: boolean
  /** How long ago it last heard from each other node. */
  readonly silent: ReadonlyArray<number>
  /** How long it has had a quorum without a break. */
  readonly steady: number
  /** How far its clock was set back. */
  readonly behind: number
  /** Who runs the process, as far as it knows, and which start of it that was. */
  readonly holder: number
  readonly epoch: number
}

interface QuorumState {
  readonly nodes: ReadonlyArray<QuorumNode>
  /** The side of each node. */
  readonly sides: ReadonlyArray<number>
}

/** Histories with more starts are not looked at. */
const MAX_EPOCH = 3
/** The next epoch; no two nodes give out the same. */
const above = (epoch: number, id: number): number => (Math.floor(epoch / 4) + 1) * 4 + id

const FOREVER = START_AFTER + 1

const first: QuorumState = {
  nodes: NODES.map((id) => ({
    runs: id === 0,
    silent: NODES.map(() => 0),
    steady: FOREVER,
    behind: 0,
    holder: 0,
    epoch: 4
  })),
  sides: [0, 0, 0]
}

const linked = ({ sides }: QuorumState, a: number, b: number): boolean => sides[a] === sides[b]

const hasQuorum = (rules: QuorumRules, { behind, silent }: QuorumNode): boolean => {
  const late = rules.monotonic ? 0 : behind
  const heard = silent.filter((units) => units - late <= STOP_WITHIN).length
  const seen = silent.filter((units) => units <= START_AFTER).length
  return rules.configured ? heard >= 2 : heard > seen / 2
}

/** A unit of time: all who are connected have exchanged in it; then each looks whether it may go on. */
const tick = (rules: QuorumRules, s: QuorumState): QuorumState => {
  const nodes = s.nodes.map((node, id) => {
    const silent = node.silent.map((_, other) => {
      if (linked(s, id, other)) return 0
      // what the others have heard counts too
      const heard = NODES.filter((third) => linked(s, id, third)).map((third) => s.nodes[third]!.silent[other]!)
      return Math.min(Math.min(...heard) + 1, FOREVER)
    })
    const { epoch, holder } = NODES.filter((other) => linked(s, id, other)).map((other) => s.nodes[other]!)
      .reduce((best, one) => one.epoch > best.epoch ? one : best)
    const now = { ...node, silent, epoch, holder }
    const isIn = hasQuorum(rules, now)
    // whoever runs it stands above what others were thought to run
    const renewed = node.runs && holder !== id ? { holder: id, epoch: above(epoch, id) } : {}
    return {
      ...now,
      ...renewed,
      steady: isIn ? Math.min(node.steady + 1, FOREVER) : 0,
      runs: node.runs && (isIn || !rules.stops)
    }
  })
  return { ...s, nodes }
}

/** A node of a majority starts what nobody there runs. */
const mayStart = (rules: QuorumRules, s: QuorumState, id: number): boolean => {
  const node = s.nodes[id]!
  if (node.runs || !hasQuorum(rules, node) || NODES.some((other) => linked(s, id, other) && s.nodes[other]!.runs)) {
    return false
  }
  // who is not yet silent for long may be about to start it itself
  const home = HOMES.find((other) => node.silent[other]! <= (rules.waits ? START_AFTER : 0))
  if (home !== id || !rules.waits) return home === id
  // a quorum of a while ago may be another's by now
  const fresh = node.silent.filter((units) => units === 0).length
  const isHolderSilent = node.silent[node.holder]! > START_AFTER || linked(s, id, node.holder)
  return fresh >= 2 && node.steady > START_AFTER && isHolderSilent
}

const SPLITS: ReadonlyArray<ReadonlyArray<number>> = [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 1, 2]]

const next = (rules: QuorumRules, s: QuorumState): Array<readonly [label: string, QuorumState]> => {
  const out: Array<readonly [string, QuorumState]> = [["tick", tick(rules, s)]]
  for (const sides of SPLITS) if (sides !== s.sides) out.push([`split ${sides.join("")}`, { ...s, sides }])
  for (const id of NODES) {
    const change = (by: Partial<QuorumNode>): QuorumState => ({
      ...s,
      nodes: s.nodes.map((node, at) => at === id ? { ...node, ...by } : node)
    })
    const { epoch } = s.nodes[id]!
    if (epoch < MAX_EPOCH * 4 && mayStart(rules, s, id)) {
      out.push([`start ${id}`, change({ runs: true, holder: id, epoch: above(epoch, id) })])
    }
    if (!rules.monotonic && s.nodes[id]!.behind === 0) {
      out.push([`clock of ${id} set back`, change({ behind: FOREVER })])
    }
  }
  return out
}

/** All that can happen, until nothing new does: the shortest history in which two run at once, if there is one. */
export const exploreQuorum = (
  rules: QuorumRules
): { readonly states: number; readonly twice: ReadonlyArray<string> | undefined } => {
  const seen = new Set([JSON.stringify(first)])
  let front: Array<readonly [QuorumState, ReadonlyArray<string>]> = [[first, []]]
  while (front.length > 0) {
    const after: typeof front = []
    for (const [s, history] of front) {
      for (const [label, state] of next(rules, s)) {
        const key = JSON.stringify(state)
        if (seen.has(key)) continue
        seen.add(key)
        const so = [...history, label]
        if (state.nodes.filter(({ runs }) => runs).length > 1) return { states: seen.size, twice: so }
        after.push([state, so])
      }
    }
    front = after
  }
  return { states: seen.size, twice: undefined }
}
