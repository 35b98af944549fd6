/** Lets everything come to rest: who is dead is known, all is told to all, every rule is followed until none applies. */
import { compare, type Held, nameView } from "./claims.ts"
import { atRest, checkStep } from "./invariants.ts"
import { arrive, declareDead, form, tell } from "./knowledge.ts"
import { moveSteps } from "./moves.ts"
import { stepsOf } from "./rules.ts"
import { reservationStep } from "./registrar.ts"
import { isDeathSeen } from "./environment.ts"
import { edit, fork, isAlive, isDead, keyOf, NODES, passes, seenBoot, type State } from "./state.ts"

const MAX_ROUNDS = 40
const MAX_STEPS = 16

export interface Quiet {
  readonly s: State
  readonly violation: string | undefined
  readonly isKnown?: boolean
}

/** States that were found to come to rest well. */
export type Known = Set<string>

/** `heals`: the network is whole again, else it stays as it is. */
export const quiesce = (from: State, heals: boolean, known?: Known): Quiet => {
  const s = fork(from)
  if (heals) s.cut = 0
  // what is under way gets lost; whoever waits for it gives up
  s.mail = []
  for (const id of NODES) if (s.nodes[id]!.up && s.nodes[id]!.reserved !== undefined) edit(s, id).reserved = undefined
  let winner: number | undefined
  let mark: string | undefined
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const before = keyOf(s, false)
    findDead(s)
    tellAll(s)
    if (round === 0) {
      tellAll(s)
      formFirst(s)
      tellAll(s)
      mark = keyOf(s, false)
      if (known?.has(mark) === true) return { s, violation: undefined, isKnown: true }
      winner = heals ? winnerOf(s) : undefined
    }
    for (const id of NODES) followRules(s, id)
    if (s.violation !== undefined) return { s, violation: s.violation }
    if (keyOf(s, false) !== before) continue
    const isWhole = s.cut === 0
    for (const [name, check] of Object.entries(atRest)) {
      const violation = check({ s, isWhole, winner })
      if (violation !== undefined) return { s, violation: `${name}: ${violation}` }
    }
    if (mark !== undefined && known !== undefined) {
      if (known.size > 1_000_000) known.clear()
      known.add(mark)
    }
    return { s, violation: undefined }
  }
  return { s, violation: "it never comes to rest" }
}

const findDead = (s: State): void => {
  for (const id of NODES) {
    for (const other of NODES) {
      if (id !== other && s.nodes[id]!.up && isAlive(s.nodes[id]!.view[other]!) && isDeathSeen(s, id, other)) {
        declareDead(s, id, other)
      }
    }
  }
}

const tellAll = (s: State): void => {
  for (const from of NODES) for (const to of NODES) if (passes(s, from, to)) tell(s, from, to)
}

/** R13: where nobody is synced, the lowest id forms. */
const formFirst = (s: State): void => {
  const first = s.nodes.find(({ up }) => up)
  if (first !== undefined && !s.nodes.some(({ synced, up }) => up && synced)) form(s, first.id)
}

const followRules = (s: State, id: number): void => {
  for (let count = 0; count < MAX_STEPS && s.violation === undefined; count++) {
    if (reservationStep(s, id)) edit(s, id).reserved = undefined
    const step = [...stepsOf(s, id), ...moveSteps(s, id)].find(({ label }) => !label.startsWith("R10 expire"))
    if (step === undefined) return
    step.run(s)
    // what a source or a loser has sent while all is well arrives
    const mail = s.mail
    s.mail = []
    for (const one of mail) arrive(s, one)
    checkStep(s)
  }
}

/** The first in order of the copies that serve, where everyone knows of all of them and none is being moved. */
const winnerOf = (s: State): number | undefined => {
  const { rules } = s.world
  const copies: Array<Held> = []
  for (const node of s.nodes) {
    if (!node.up || node.copy === undefined) continue
    if (node.copy.move !== undefined || node.copy.status === "prepared" || node.own.claim === undefined) {
      return undefined
    }
    copies.push({ section: node.section, claim: node.own.claim })
  }
  if (copies.length < 2 || !agree(s)) return undefined
  copies.sort((a, b) => compare(rules, a, b))
  return copies[0]!.section >> 4
}

/** Does everyone know the same, and that nobody who is there is gone? */
const agree = (s: State): boolean => {
  const nodes = s.nodes.filter(({ up }) => up)
  return nodes.every((node) =>
    nodes.every((other) => !isDead(node.view[other.id]!) && seenBoot(node.view[other.id]!) === other.boot) &&
    nameView(s.world.rules, node).claims.length === nameView(s.world.rules, nodes[0]!).claims.length &&
    nameView(s.world.rules, node).claims.every(({ claim }, at) =>
      claim === nameView(s.world.rules, nodes[0]!).claims[at]!.claim
    )
  )
}
