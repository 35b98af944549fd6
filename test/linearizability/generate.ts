/** Histories by chance: executions of a correct registry, and what makes them wrong. */
import type { Simulation } from "@sworm/sworm/testing"
import { type Asked, isUnknown, type Operation, type Ref, refOf } from "./history.ts"

export interface GenerateOptions {
  readonly operations: number
  /** About so many operations are under way at a time. */
  readonly clients: number
  readonly unknown: number
}

/** What was asked, and the moments of it; not yet whole numbers. */
type Drawn = Asked & { readonly invokedAt: number; readonly returnedAt: number | undefined }

/** Somebody holds the name from `sinceMs` on. */
interface Holding {
  readonly since: number
  readonly ref: Ref
  /** Counts registrations. */
  readonly tenure: number
}

const nodes = ["n1", "n2", "n3"]

/** A registry that does one thing after the other, and now and then something by itself. */
class Registry {
  readonly #dice: Simulation.Dice
  readonly holdings: Array<Holding> = []
  #epoch = 0
  #tenure = 0
  holding: Holding | undefined

  constructor(dice: Simulation.Dice) {
    this.#dice = dice
  }

  register(at: number): Holding {
    this.#tenure++
    return this.#start(at)
  }

  takeOver(at: number): void {
    if (this.holding !== undefined) this.#start(at)
  }

  #start(since: number): Holding {
    this.#epoch += this.#dice.chance(0.8) ? 1 : 2
    this.holding = { since, ref: { node: this.#dice.pick(nodes), epoch: this.#epoch }, tenure: this.#tenure }
    this.holdings.push(this.holding)
    return this.holding
  }
}

const drawnAsk = (dice: Simulation.Dice): Asked["op"] => dice.pick(["register", "unregister", "whereis", "whereis"])

const answerOf = (registry: Registry, op: Asked["op"], at: number, dice: Simulation.Dice): Asked => {
  const before = registry.holding
  if (op === "whereis") {
    return { op, result: before === undefined ? { _tag: "None" } : { _tag: "At", ref: before.ref } }
  }
  if (op === "unregister") {
    registry.holding = undefined
    return { op, result: { _tag: before === undefined ? "NotRegistered" : "Ok" } }
  }
  if (before !== undefined) return { op, result: { _tag: "Taken", ref: dice.chance(0.7) ? before.ref : undefined } }
  return { op, result: { _tag: "Ok", ref: registry.register(at).ref } }
}

/** Between the moments of one operation and of the next. */
const GAP = 10

/** A history that is linearizable: what was done one after the other, each within a time that is drawn around it. */
export const generate = (dice: Simulation.Dice, options: GenerateOptions): ReadonlyArray<Operation> => {
  const registry = new Registry(dice)
  const width = GAP * options.clients
  const lost = new Set(dice.shuffled(Array.from({ length: options.operations }, (_, i) => i)).slice(0, options.unknown))
  const done = Array.from({ length: options.operations }, (_, index): Drawn & { readonly at: number } => {
    const at = (index + 1) * GAP
    if (dice.chance(0.2)) registry.takeOver(at - GAP / 2)
    const op = drawnAsk(dice)
    const invokedAt = at - dice.between(0.1, width)
    if (!lost.has(index)) return { ...answerOf(registry, op, at, dice), at, invokedAt, returnedAt: 0 }
    if (dice.chance(0.7)) answerOf(registry, op, at, dice)
    // long under way, or given up by the client, perhaps before it took effect
    const since = invokedAt - dice.between(0, 4 * width)
    const returnedAt = dice.chance(0.5) ? undefined : since + dice.between(0.1, width)
    return { op, result: { _tag: "Unknown" }, at, invokedAt: since, returnedAt }
  })
  return timed(done.map((one) => one.result._tag === "Unknown" ? one : answered(one, registry, width, dice)))
}

/** When the answer came; that of a `register` may be of the copy that has come to be since. */
const answered = (
  drawn: Drawn & { readonly at: number },
  { holdings }: Registry,
  width: number,
  dice: Simulation.Dice
): Drawn => {
  const returnedAt = drawn.at + dice.between(0.1, width)
  if (drawn.op !== "register" || drawn.result._tag !== "Ok") return { ...drawn, returnedAt }
  const { tenure } = holdings.find(({ since }) => since === drawn.at)!
  const later = dice.pick(holdings.filter((one) => one.tenure === tenure && one.since < returnedAt))
  return { ...drawn, returnedAt, result: { _tag: "Ok", ref: later.ref } }
}

/** With whole numbers for times, in the same order, and clients that each do one thing at a time. */
const timed = (drawn: ReadonlyArray<Drawn>): ReadonlyArray<Operation> => {
  const times = drawn.flatMap((
    { invokedAt, returnedAt }
  ) => [invokedAt, ...returnedAt === undefined ? [] : [returnedAt]])
  const places = new Map(times.sort((a, b) => a - b).map((time, index) => [time, index + 1]))
  const freeAt: Array<number> = []
  return [...drawn].sort((a, b) => a.invokedAt - b.invokedAt).map(({ invokedAt, op, result, returnedAt }) => {
    const free = freeAt.findIndex((time) => time < invokedAt)
    const client = free === -1 ? freeAt.length : free
    freeAt[client] = returnedAt ?? Infinity
    return {
      ...({ op, result } as Asked),
      client: `client${client + 1}`,
      name: "ant",
      invokedAt: places.get(invokedAt)!,
      returnedAt: returnedAt === undefined ? undefined : places.get(returnedAt)!
    }
  })
}

/** A history of no registry at all: answers and times by chance, of few nodes and epochs. */
export const nonsense = (dice: Simulation.Dice, operations: number): ReadonlyArray<Operation> => {
  const length = 2 + dice.below(3 * operations)
  return timed(Array.from({ length: operations }, (): Drawn => {
    const invokedAt = dice.between(0, length)
    const returnedAt = invokedAt + dice.between(0.01, 3)
    return { ...drawnAnswer(dice), invokedAt, returnedAt }
  }))
}

const drawnAnswer = (dice: Simulation.Dice): Asked => {
  const op = drawnAsk(dice)
  if (dice.chance(0.15)) return { op, result: { _tag: "Unknown" } }
  const ref = { node: dice.pick(nodes.slice(0, 2)), epoch: 1 + dice.below(4) }
  const isFirst = dice.chance(0.6)
  if (op === "whereis") return { op, result: isFirst ? { _tag: "At", ref } : { _tag: "None" } }
  if (op === "unregister") return { op, result: { _tag: isFirst ? "Ok" : "NotRegistered" } }
  return { op, result: isFirst ? { _tag: "Ok", ref } : { _tag: "Taken", ref: dice.chance(0.5) ? ref : undefined } }
}

const changed = (dice: Simulation.Dice, ref: Ref): Ref =>
  dice.chance(0.5)
    ? { ...ref, node: dice.pick(nodes.filter((node) => node !== ref.node)) }
    : { ...ref, epoch: Math.max(1, ref.epoch + dice.pick([-2, -1, 1, 2])) }

/** The answer that a registry with a fault might have given instead. */
const corruptedAnswer = (dice: Simulation.Dice, asked: Asked, ref: Ref): Asked => {
  const { op, result } = asked
  if (op === "unregister") return { op, result: { _tag: result._tag === "Ok" ? "NotRegistered" : "Ok" } }
  if (op === "whereis") {
    if (result._tag !== "At") return { op, result: { _tag: "At", ref } }
    return { op, result: dice.chance(0.4) ? { _tag: "None" } : { _tag: "At", ref: changed(dice, result.ref) } }
  }
  if (result._tag !== "Ok") return { op, result: { _tag: "Ok", ref } }
  return { op, result: dice.chance(0.5) ? { _tag: "Taken" } : { _tag: "Ok", ref: changed(dice, result.ref) } }
}

/** The history with one answer changed; the same if it has none. */
export const corrupted = (dice: Simulation.Dice, history: ReadonlyArray<Operation>): ReadonlyArray<Operation> => {
  const known = history.filter((operation) => !isUnknown(operation))
  if (known.length === 0) return history
  const victim = dice.pick(known)
  const refs = history.map(refOf).filter((ref) => ref !== undefined)
  const ref = refs.length === 0 ? { node: "n1", epoch: 1 } : dice.pick(refs)
  return history.map((operation) =>
    operation === victim ? { ...operation, ...corruptedAnswer(dice, operation, ref) } : operation
  )
}
