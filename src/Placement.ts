/**
 * Strategies that pick a name's home among the members that can host it.
 *
 * Most are pure functions of name and candidates: every node comes to the same home without asking anyone, and a
 * change of members moves the processes whose home has changed. Those that look at loads, chance or who asks are
 * *sticky*: they say where a process starts, and it stays there for as long as its node may have it.
 *
 * @example
 * ```ts
 * import { Placement } from "@sworm/sworm"
 *
 * // on nodes labelled `role=worker`, replicas of one document in different zones, evenly by weight
 * export const documents = Placement.labels(
 *   { role: "worker" },
 *   Placement.spread(
 *     { across: "zone", of: (name) => ({ key: name.split("/")[0]!, index: Number(name.split("/")[1] ?? 0) }) },
 *     Placement.weighted()
 *   )
 * )
 * ```
 */
import { hash32, HASH_ID, pointHash, rendezvous as pickByScore, score, weightedScore } from "./protocol/hash.ts"
import { compareText } from "./protocol/ids.ts"
import { keepUngated, pickOf } from "./runtime/ungated.ts"

/** A member that placement may choose: alive, synced, hosting the sworm and the process type. */
export interface Candidate {
  readonly id: string
  readonly labels: Readonly<Record<string, string>>
  /** `hash32` of the id, made once. */
  readonly hash: number
  /** How many processes of the sworm it has, as far as the asking node knows; may change while the object is kept. */
  readonly load: number
}

/** What a sticky placement may look at besides; missing where a home is only looked up. */
export interface PlacementContext {
  /** The node that registers the name. */
  readonly caller: string
  /** A number in [0, 1). */
  readonly random: () => number
}

/**
 * Answers the same member on every node that sees the same candidates, whatever their order, unless it is sticky;
 * `undefined` when none may have the name: then its process stays where it is, or waits.
 */
export interface Placement {
  /** Tells strategies apart: nodes whose sworms place differently say so in their logs. */
  readonly name: string
  readonly pick: (
    key: string,
    candidates: ReadonlyArray<Candidate>,
    context?: PlacementContext
  ) => Candidate | undefined
  /** May this one have the name, whatever the others? A sticky placement leaves it there. Default: any may. */
  readonly allows?: ((key: string, candidate: Candidate) => boolean) | undefined
  /** What it picks depends on when and where it is asked. Default `false`. */
  readonly isSticky?: boolean | undefined
  /** For a sticky placement: a node with more processes gives the rest away to nodes that join. Default: none. */
  readonly limit?: ((candidate: Candidate, candidates: ReadonlyArray<Candidate>) => number) | undefined
  /** With fewer candidates nothing of the sworm runs. Default 0. */
  readonly quorum?: number | undefined
  /** Which side of a split goes on, where more than a number decides it. */
  readonly survives?: SplitPolicy | undefined
}

// ---- by hash

/**
 * Rendezvous hashing (Thaler and Ravishankar, 1998), the default: even, and a node's coming or going moves only the
 * names that it gains or had.
 */
export const rendezvous: Placement = {
  name: `rendezvous/${HASH_ID}`,
  pick: (key, candidates) => pickByScore(hash32(key), candidates)
}

const best = (
  candidates: ReadonlyArray<Candidate>,
  scoreOf: (candidate: Candidate) => number
): Candidate | undefined => {
  let winner: Candidate | undefined
  let highest = -Infinity
  for (const candidate of candidates) {
    const s = scoreOf(candidate)
    if (winner === undefined || s > highest || (s === highest && candidate.id < winner.id)) {
      winner = candidate
      highest = s
    }
  }
  return winner
}

const MAX_WEIGHT = 1e9
/** Of one node on a ring, however heavy it is. */
const MAX_POINTS = 100_000

/** The weight of a node: its label `weight`, a number from 0 to 1e9; 1 without one. */
const labelledWeight = ({ labels }: Candidate): number => {
  const label = labels["weight"]?.trim() ?? ""
  const weight = label === "" ? 1 : Number(label)
  return weight >= 0 ? Math.min(weight, MAX_WEIGHT) : 1
}

const hasWeight = (_: string, candidate: Candidate): boolean => labelledWeight(candidate) > 0

/**
 * Rendezvous hashing by weight: a node has names in proportion to its weight, by default its label `weight`. Weight 0
 * takes none.
 */
export const weighted = (
  weightOf: (candidate: Candidate) => number = labelledWeight,
  name = "label"
): Placement => ({
  name: `weighted/${name}/${HASH_ID}`,
  pick: (key, candidates) => {
    const hash = hash32(key)
    const able = candidates.filter((candidate) => weightOf(candidate) > 0)
    return best(able, (candidate) => weightedScore(hash, candidate.hash, weightOf(candidate)))
  },
  allows: (_, candidate) => weightOf(candidate) > 0
})

interface Ring {
  readonly points: Float64Array
  readonly owners: ReadonlyArray<Candidate>
}

const makeRing = (candidates: ReadonlyArray<Candidate>, points: number): Ring => {
  const all: Array<readonly [point: number, owner: Candidate]> = []
  for (const candidate of candidates) {
    const count = Math.min(MAX_POINTS, Math.ceil(points * labelledWeight(candidate)))
    for (let i = 0; i < count; i++) all.push([pointHash(candidate.hash, i), candidate])
  }
  all.sort((a, b) => a[0] - b[0] || compareText(a[1].id, b[1].id))
  return { points: Float64Array.from(all, ([point]) => point), owners: all.map(([, owner]) => owner) }
}

/**
 * A consistent hashing ring (Karger et al., 1997), as Swarm and libring have: `points` per node (default 128) times its
 * label `weight`. Rendezvous hashing is more even and needs no ring; this is here for who wants what they had.
 */
export const ring = ({ points = 128 }: { readonly points?: number } = {}): Placement => {
  if (!Number.isSafeInteger(points) || points < 1 || points > 10_000) {
    throw new RangeError(`Placement.ring: ${String(points)} points: give an integer from 1 to 10,000`)
  }
  // a backend passes one array for as long as its members stay the same: the ring is made once for each
  const rings = new WeakMap<ReadonlyArray<Candidate>, Ring>()
  return {
    name: `ring/${points}/${HASH_ID}`,
    allows: hasWeight,
    pick: (key, candidates) => {
      let made = rings.get(candidates)
      if (made === undefined) rings.set(candidates, made = makeRing(candidates, points))
      const { owners, points: sorted } = made
      const hash = hash32(key)
      let low = 0
      let high = sorted.length
      while (low < high) {
        const middle = (low + high) >>> 1
        if (sorted[middle]! < hash) low = middle + 1
        else high = middle
      }
      return owners[low] ?? owners[0]
    }
  }
}

// ---- by load, chance, or who asks

const total = (candidates: ReadonlyArray<Candidate>): number => candidates.reduce((sum, { load }) => sum + load, 0)

/**
 * Rendezvous hashing with bounded loads (after Mirrokni, Thorup and Zadimoghaddam, 2016): a name goes to the best node
 * that has less than `1 + epsilon` times the average. Default 0.25: lower is more even, and moves more.
 */
export const boundedLoads = ({ epsilon = 0.25 }: { readonly epsilon?: number } = {}): Placement => {
  if (!(epsilon >= 0)) {
    throw new RangeError(`Placement.boundedLoads: an epsilon of ${String(epsilon)}: give a number of at least 0`)
  }
  const limit = (_: unknown, candidates: ReadonlyArray<Candidate>): number =>
    Math.ceil((1 + epsilon) * (total(candidates) + 1) / Math.max(1, candidates.length))
  return {
    name: `bounded-loads/${epsilon}/${HASH_ID}`,
    isSticky: true,
    limit,
    pick: (key, candidates) => {
      const capacity = limit(undefined, candidates)
      return pickByScore(hash32(key), candidates.filter(({ load }) => load < capacity))
    }
  }
}

/**
 * The node with the fewest processes for its weight. When nodes join, those with more than a tenth above the average
 * (at least one more) give the rest away.
 */
export const leastLoaded: Placement = {
  name: `least-loaded/${HASH_ID}`,
  isSticky: true,
  limit: (candidate, candidates) => {
    const weights = candidates.reduce((sum, one) => sum + labelledWeight(one), 0)
    const share = Math.ceil(total(candidates) * labelledWeight(candidate) / Math.max(weights, Number.MIN_VALUE))
    return share + Math.max(1, Math.ceil(share / 10))
  },
  allows: hasWeight,
  pick: (key, candidates) => {
    const hash = hash32(key)
    const able = candidates.filter((candidate) => labelledWeight(candidate) > 0)
    const relative = (candidate: Candidate): number => candidate.load / labelledWeight(candidate)
    const lowest = Math.min(...able.map(relative))
    return pickByScore(hash, able.filter((candidate) => relative(candidate) === lowest))
  }
}

/** Any node, by chance. */
export const random: Placement = {
  name: "random",
  isSticky: true,
  pick: (key, candidates, context) =>
    context === undefined
      ? pickByScore(hash32(key), candidates)
      : candidates[Math.floor(context.random() * candidates.length)]
}

// ---- one over another

const isAllowed = ({ allows }: Placement, key: string, candidate: Candidate): boolean =>
  allows?.(key, candidate) ?? true

/** As `then`, but for what is given; its quorum is asked first. */
const over = (then: Placement, change: Omit<Placement, "quorum">): Placement => {
  const { quorum = 0 } = then
  const { pick } = change
  const gated: Placement["pick"] = (key, candidates, context) =>
    candidates.length < quorum ? undefined : pick(key, candidates, context)
  const placement = { ...then, ...change, name: `${change.name}/${then.name}`, pick: quorum === 0 ? pick : gated }
  if (quorum > 0) keepUngated(placement, pick)
  return placement
}

/** The node that registers the name, if it may have it; else as `then` says. */
export const preferLocal = (then: Placement = rendezvous): Placement =>
  over(then, {
    name: "prefer-local",
    isSticky: true,
    pick: (key, candidates, context) =>
      candidates.find((one) => one.id === context?.caller && isAllowed(then, key, one)) ??
        pickOf(then)(key, candidates, context)
  })

// ---- who may have a name

/** Only members that `allows` accepts, then as `then` says. Give a changed function a changed name. */
export const where = (
  name: string,
  allows: (candidate: Candidate, key: string) => boolean,
  then: Placement = rendezvous
): Placement =>
  over(then, {
    name: `where/${name}`,
    pick: (key, candidates, context) =>
      pickOf(then)(key, candidates.filter((candidate) => allows(candidate, key)), context),
    allows: (key, candidate) => allows(candidate, key) && isAllowed(then, key, candidate)
  })

/** As `where`, for a choice that no name changes: made once for each set of candidates, so that rings are kept. */
const only = (name: string, allows: (candidate: Candidate) => boolean, then: Placement): Placement => {
  const kept = new WeakMap<ReadonlyArray<Candidate>, ReadonlyArray<Candidate>>()
  const allowed = (candidates: ReadonlyArray<Candidate>): ReadonlyArray<Candidate> => {
    let those = kept.get(candidates)
    if (those === undefined) kept.set(candidates, those = candidates.filter(allows))
    return those
  }
  const { limit } = then
  return over(then, {
    name,
    pick: (key, candidates, context) => pickOf(then)(key, allowed(candidates), context),
    allows: (key, candidate) => allows(candidate) && isAllowed(then, key, candidate),
    // the average of those that share the names
    limit: limit === undefined ? undefined : (candidate, candidates) => limit(candidate, allowed(candidates))
  })
}

/** Labels that a node must have; several values mean any of them. */
export type Labels = Readonly<Record<string, string | ReadonlyArray<string>>>

const hasLabels = (candidate: Candidate, wanted: Labels): boolean =>
  Object.entries(wanted).every(([key, value]) => {
    const label = candidate.labels[key]
    return typeof value === "string" ? label === value : label !== undefined && value.includes(label)
  })

const labelsName = (wanted: Labels): string =>
  Object.entries(wanted).map(([key, value]) => `${key}=${typeof value === "string" ? value : value.join("|")}`)
    .sort(compareText).join(",")

/** Only members with these labels (a role, a zone, a kind of machine), then as `then` says. */
export const labels = (wanted: Labels, then: Placement = rendezvous): Placement =>
  only(`labels/${labelsName(wanted)}`, (candidate) => hasLabels(candidate, wanted), then)

/** Only members whose label has this value, then as `then` says. */
export const label = (key: string, value: string, then: Placement = rendezvous): Placement =>
  labels({ [key]: value }, then)

/** Nodes by id (`*` stands for anything), by regular expression on the id, or by their labels. */
export type NodePattern = string | RegExp | Labels

const isMatch = (candidate: Candidate, pattern: NodePattern): boolean => {
  if (typeof pattern === "string") return globOf(pattern).test(candidate.id)
  // a global expression remembers where it stopped: asked anew each time
  return pattern instanceof RegExp
    ? new RegExp(pattern.source, pattern.flags.replace(/[gy]/g, "")).test(candidate.id)
    : hasLabels(candidate, pattern)
}

const globOf = (pattern: string): RegExp =>
  new RegExp(`^${pattern.split("*").map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join(".*")}$`, "s")

const patternsName = (patterns: ReadonlyArray<NodePattern>): string =>
  patterns.map((pattern) =>
    typeof pattern === "string" || pattern instanceof RegExp ? String(pattern) : labelsName(pattern)
  )
    .join(";")

/** Only members that match one of the patterns, then as `then` says. */
export const allow = (patterns: ReadonlyArray<NodePattern>, then: Placement = rendezvous): Placement =>
  only(`allow/${patternsName(patterns)}`, (candidate) => patterns.some((one) => isMatch(candidate, one)), then)

/** No member that matches one of the patterns, then as `then` says. */
export const deny = (patterns: ReadonlyArray<NodePattern>, then: Placement = rendezvous): Placement =>
  only(`deny/${patternsName(patterns)}`, (candidate) => !patterns.some((one) => isMatch(candidate, one)), then)

/**
 * Nothing runs unless at least `size` members host the sworm: the smaller side of a split stops its processes, and
 * starts none. Counted against this number, never against who happens to be seen: give it more than half of all nodes.
 * The two sides never run a name at once: the smaller stops `stopWithin` after its last contact with enough others, and
 * the larger waits for longer than that (see `GossipOptions`).
 */
export const quorum = (size: number, then: Placement = rendezvous): Placement => {
  if (!Number.isSafeInteger(size) || size < 1) {
    throw new RangeError(`Placement.quorum: ${String(size)} is not a number of nodes: give an integer of at least 1`)
  }
  return over({ ...then, quorum: Math.max(size, then.quorum ?? 0) }, { name: `quorum/${size}`, pick: pickOf(then) })
}

/**
 * May a side of a split go on? Asked with the ids of the members on this side, itself included, and with all members that
 * are known: the dead for as long as they are remembered, but nobody who has left. For no way to split `all` may it say
 * yes to two sides.
 */
export type SplitPolicy = (
  side: ReadonlySet<string>,
  all: ReadonlyArray<{ readonly id: string; readonly boot: number }>
) => boolean

const surviving = (name: string, survives: SplitPolicy, then: Placement): Placement =>
  over({ ...then, survives: (side, all) => survives(side, all) && (then.survives?.(side, all) ?? true) }, {
    name,
    pick: pickOf(then)
  })

const lowestId = (ids: ReadonlyArray<string>): string => ids.reduce((a, b) => a < b ? a : b)

/**
 * The side with more than half of all members goes on; of two equal halves the one with the lowest id. Members that have
 * died count until they are forgotten (`forgetAfter`) or start anew; those that have left don't.
 */
export const keepMajority = (then: Placement = rendezvous): Placement =>
  surviving("keep-majority", (side, all) => {
    const here = all.filter(({ id }) => side.has(id)).length
    return here * 2 > all.length || (here * 2 === all.length && side.has(lowestId(all.map(({ id }) => id))))
  }, then)

/**
 * The side with the oldest member goes on: the earliest started, of several the one with the lowest id. Where it is alone
 * on its side, all the others together go on instead, unless it is one of two.
 */
export const keepOldest = (then: Placement = rendezvous): Placement =>
  surviving("keep-oldest", (side, all) => {
    const [oldest] = [...all].sort((a, b) => a.boot - b.boot || (a.id < b.id ? -1 : 1))
    if (oldest === undefined) return true
    if (side.has(oldest.id)) return side.size > 1 || all.length <= 2
    return all.length > 2 && all.every(({ id }) => id === oldest.id || side.has(id))
  }, then)

/** Nothing goes on while any member is away without having left: for those who would rather stand still than split. */
export const downAll = (then: Placement = rendezvous): Placement =>
  surviving("down-all", (side, all) => all.every(({ id }) => side.has(id)), then)

// ---- names among each other

export interface SpreadOptions {
  /** The label whose values are kept apart. Default: each node by itself. */
  readonly across?: string | undefined
  /** Names with the same key are kept apart; `index` numbers them from 0. */
  readonly of: (name: string) => { readonly key: string; readonly index: number }
}

/**
 * Anti-affinity: names with the same key go to different nodes, or to nodes with different values of a label. With more
 * names than nodes or values they go round. Within a value of the label, `then` picks.
 */
export const spread = ({ across, of }: SpreadOptions, then: Placement = rendezvous): Placement =>
  over(then, {
    name: `spread/${across ?? "node"}`,
    pick: (name, candidates, context) => {
      const { index, key } = of(name)
      const valueOf = (candidate: Candidate): string =>
        across === undefined ? candidate.id : candidate.labels[across] ?? ""
      const able = candidates.filter((one) => isAllowed(then, name, one))
      const values = [...new Set(able.map(valueOf))]
      const hash = hash32(key)
      // by rendezvous score, so that a value that comes or goes changes the order of no other two
      const ordered = values.map((value) => ({ value, score: score(hash, hash32(value)) }))
        .sort((a, b) => b.score - a.score || compareText(a.value, b.value))
      const at = Number.isFinite(index) ? Math.abs(Math.trunc(index)) : 0
      const chosen = ordered[at % Math.max(1, ordered.length)]
      return pickOf(then)(name, able.filter((candidate) => valueOf(candidate) === chosen?.value), context)
    }
  })

/**
 * Names that belong on one node, whatever hashing says: `nodeOf` answers its id, or `undefined` for a name that goes
 * where `then` says. While its node is away a pinned name waits for it.
 */
export const pin = (nodeOf: (name: string) => string | undefined, then: Placement = rendezvous): Placement =>
  over(then, {
    name: "pin",
    pick: (name, candidates, context) => {
      const id = nodeOf(name)
      return id === undefined ? pickOf(then)(name, candidates, context) : candidates.find((one) => one.id === id)
    },
    allows: (name, candidate) => {
      const id = nodeOf(name)
      return id === undefined ? isAllowed(then, name, candidate) : candidate.id === id
    }
  })

/** Your own function. `name` tells strategies apart: give a changed function a changed name. */
export const make = (
  name: string,
  choose: Placement["pick"],
  options: Omit<Placement, "name" | "pick"> = {}
): Placement => ({ ...options, name, pick: choose })
