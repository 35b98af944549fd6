/** What may happen: frames arrive, or don't; nodes crash, start, are thought dead; users ask for things. */
import { excuse, increment, serves } from "./copies.ts"
import { arrive, declareDead, merge, tell } from "./knowledge.ts"
import { checkStep } from "./invariants.ts"
import { canMove, move, moveSteps } from "./moves.ts"
import { excuseLost, givenUp } from "./promises.ts"
import { ask, askNew, canRegister, endsAt, lost, register, reservationStep, unregister } from "./registrar.ts"
import { settleInVain, type Step, stepsOf } from "./rules.ts"
import { nameView } from "./claims.ts"
import {
  boot,
  bootOf,
  type BudgetName,
  edit,
  FORGOTTEN,
  fork,
  isAlive,
  isDead,
  linked,
  type Mail,
  nodeOf,
  NODES,
  note,
  passes,
  reaches,
  seenBoot,
  send,
  snapshot,
  spend,
  type State,
  way
} from "./state.ts"

/** Steps that say nothing about what was asked for, taken less often by walks. */
export const isChatter = (label: string): boolean => label.startsWith("gossip")

export const isArrival = (label: string): boolean => label.startsWith("arrives") || label.startsWith("duplicate")

type Add = (budget: BudgetName, label: string, run: (s: State) => void) => void

/** All that can happen next. */
export const actionsOf = (s: State): Array<Step> => {
  const out: Array<Step> = []
  const add: Add = (budget, label, run) => {
    if (s.budget[budget] > 0) {
      out.push({
        label,
        run: (s) => {
          spend(s, budget)
          run(s)
        }
      })
    }
  }
  for (const id of NODES) {
    const node = s.nodes[id]!
    if (!node.up) {
      starts(s, id, add)
      continue
    }
    out.push(...stepsOf(s, id), ...moveSteps(s, id))
    if (reservationStep(s, id)) {
      out.push({
        label: `H14 free ${id}`,
        run: (s) => void (edit(s, id).reserved = undefined)
      })
    }
    add("crash", `crash ${id}`, (s) => crash(s, id))
    for (const other of NODES) if (other !== id) between(s, id, other, out, add)
    asks(s, id, add)
  }
  for (const [at, message] of s.mail.entries()) arrivals(s, at, message, out, add)
  cuts(s, add)
  if (canForget(s)) add("forget", "forget the dead", forget)
  return out
}

const starts = (s: State, id: number, add: Add): void => {
  const { boot: last } = s.nodes[id]!
  const isReady = !s.world.rules.warm
  if (last === 0) add("join", `join ${id}`, (s) => boot(edit(s, id), 1, isReady))
  else add("restart", `restart ${id}`, (s) => boot(edit(s, id), last + 1, isReady))
}

const crash = (s: State, id: number): void => {
  const node = edit(s, id)
  const { section } = node
  node.up = false
  note(s, { crashes: s.ghost.crashes + 1, faults: s.ghost.faults + 1 })
  if (s.world.rules.frames) {
    for (const { from, tag, to } of s.mail) if (from === section || to === section) lost(s, tag, from, to)
    s.mail = s.mail.filter(({ from, to }) => from !== section && to !== section)
  }
  node.copy = undefined
  node.sections.clear()
  for (const [reg, caller] of s.ghost.asked) if (caller === section) givenUp(s, reg)
  excuse(s)
}

const between = (s: State, id: number, other: number, out: Array<Step>, add: Add): void => {
  const node = s.nodes[id]!
  if (passes(s, id, other)) {
    out.push({ label: `gossip ${id}>${other}`, run: (s) => tell(s, id, other) })
    const peer = s.nodes[other]!
    for (const [section, { version }] of node.sections) {
      if (section === peer.section || version <= (peer.sections.get(section)?.version ?? -1)) continue
      add("part", `part ${id}>${other}:${section}`, (s) => merge(s, other, snapshot(s, id), { only: section }))
    }
    if (peer.view[id] !== 0) add("late", `late ${id}>${other}`, (s) => sendLate(s, id, other))
  }
  if (isAlive(node.view[other]!)) {
    if (isDeathSeen(s, id, other)) out.push({ label: `dead ${id}:${other}`, run: (s) => declareDead(s, id, other) })
    else if (linked(s, id, other)) {
      add("wrong", `wrongly dead ${id}:${other}`, (s) => {
        note(s, { faults: s.ghost.faults + 1 })
        declareDead(s, id, other)
      })
    }
  }
  if (canMove(s, id, other)) add("move", `R6 move ${id}>${other}`, (s) => move(s, id, other))
  const top = nameView(s.world.rules, node).claims[0]
  if (node.copy?.status === "live" && top !== undefined && nodeOf(top.section) === other && top.claim.mode === "live") {
    add("lose", `R7 settle in vain ${id}>${other}`, (s) => settleInVain(s, id, top.section))
  }
}

const sendLate = (s: State, from: number, to: number): void => {
  const node = snapshot(s, from)
  const peer = s.nodes[to]!
  send(s, {
    tag: "gossip",
    from: node.section,
    to: peer.section,
    key: `gossip${node.key()}`,
    deliver: (s) => merge(s, to, node, { late: true })
  })
}

/** Nothing is heard of it; and nobody else who could be asked hears it either (H19). */
export const isDeathSeen = (s: State, id: number, other: number): boolean => {
  if (linked(s, id, other)) return false
  const { rules } = s.world
  return !rules.observer ||
    NODES.every((third) =>
      third === id || third === other || !isAlive(s.nodes[id]!.view[third]!) || !linked(s, id, third) ||
      !isAlive(s.nodes[third]!.view[other]!) || !linked(s, third, other)
    )
}

const arrivals = (s: State, at: number, message: Mail, out: Array<Step>, add: Add): void => {
  const { from, key, tag, to } = message
  const path = `${nodeOf(from)}>${nodeOf(to)}`
  const label = `${tag === "gossip" ? "gossip late" : key.replace(/[+,|].*/, "")} ${path}`
  const remove = (s: State): void => void (s.mail = s.mail.toSpliced(at, 1))
  const receiver = s.nodes[nodeOf(to)]!
  const isThere = receiver.up && (!s.world.rules.frames || receiver.boot === bootOf(to))
  const arrives = isThere && (s.world.rules.frames ? passes(s, nodeOf(from), nodeOf(to)) : true)
  if (arrives) {
    out.push({
      label: `arrives ${label}`,
      run: (s) => {
        remove(s)
        arrive(s, message)
      }
    })
    if (tag === "register") add("duplicate", `duplicate ${label}`, (s) => arrive(s, message))
  }
  const loses = (s: State): void => {
    remove(s)
    lost(s, tag, from, to)
  }
  if (!isThere) out.push({ label: `lost ${label}`, run: loses })
  else add("lose", `lost ${label}`, loses)
}

const asks = (s: State, id: number, add: Add): void => {
  const node = s.nodes[id]!
  for (const placing of ["home", "caller"] as const) {
    if (canRegister(s, id, placing)) {
      const again = s.budget.duplicate > 0
      for (const isLost of [false, true]) {
        const label = `R1 register ${id} (${placing}${isLost ? ", reply lost" : ""})`
        add("register", label, (s) => register(s, id, placing, isLost, again))
      }
    }
    if (nameView(s.world.rules, node).claims.length === 0) {
      add("ask", `R1 ask ${id} (${placing})`, (s) => askNew(s, id, placing))
    }
    for (const [reg, caller] of s.ghost.asked) {
      if (caller === node.section) {
        add("retry", `R1 ask again ${id} r${reg} (${placing})`, (s) => ask(s, id, reg, placing))
      }
    }
  }
  const at = endsAt(s, id)
  if (at >= 0) add("unregister", `R2 unregister ${id}@${at}`, (s) => unregister(s, id, at))
  if (serves(node)) add("increment", `increment ${id}`, (s) => increment(s, id))
}

/** Pairs, and one side, that can be cut off. */
const splits: ReadonlyArray<readonly [label: string, pairs: ReadonlyArray<readonly [number, number]>]> = [
  ["0|12", [[0, 1], [0, 2]]],
  ["1|02", [[1, 0], [1, 2]]],
  ["2|01", [[2, 0], [2, 1]]],
  ["0|1", [[0, 1]]],
  ["0|2", [[0, 2]]],
  ["1|2", [[1, 2]]]
]

const faulty = (s: State, cut: number): void => {
  s.cut = cut
  note(s, { faults: s.ghost.faults + 1 })
}

const cuts = (s: State, add: Add): void => {
  for (const [label, pairs] of splits) {
    const cut = pairs.reduce((all, [a, b]) => all | way(a, b) | way(b, a), 0)
    if (cut !== s.cut) add("cut", `cut ${label}`, (s) => faulty(s, cut))
  }
  if (s.cut !== 0) add("cut", "heal", (s) => void (s.cut = 0))
  for (const from of NODES) {
    for (const to of NODES) {
      if (from !== to && (s.cut & way(from, to)) === 0) {
        add("oneWay", `cut ${from}>${to}`, (s) => faulty(s, s.cut | way(from, to)))
      }
    }
  }
}

// ---- R11

/** Time has passed: everyone is dead to all who can't reach it, and to nobody else. */
const canForget = (s: State): boolean => {
  if (s.budget.forget === 0 || s.mail.length > 0) return false
  let isAny = false
  for (const a of NODES) {
    for (const b of NODES) {
      const one = s.nodes[a]!.view[b]!
      if (a === b || one === 0 || !s.nodes[a]!.up) continue
      const isReachable = reaches(s, a, b) && reaches(s, b, a)
      if (isReachable ? isDead(one) || seenBoot(one) !== s.nodes[b]!.boot : !isDead(one)) return false
      if (!isReachable) isAny = true
    }
  }
  return isAny
}

const forget = (s: State): void => {
  for (const id of NODES) {
    if (!s.nodes[id]!.up) continue
    const node = edit(s, id)
    for (const other of NODES) if (isDead(node.view[other]!)) node.view[other] = node.view[other]! | FORGOTTEN
  }
}

// ---- one step

export const apply = (s: State, step: Step): State => {
  const next = fork(s)
  step.run(next)
  if (next.ghost.crashes !== s.ghost.crashes) excuseLost(next)
  checkStep(next)
  return next
}
