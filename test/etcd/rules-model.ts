/** A store of keys with revisions, transactions in one step, and nodes that hear of them late: for tests of the rules. */
import { decodeName, Layout, type NameRecord } from "../../adapters/etcd/ground/layout.ts"
import { type Known, type Plan, planFor, type Wish } from "../../adapters/etcd/ground/rules.ts"
import type { Compare, Operation } from "../../adapters/etcd/types.ts"

interface Stored {
  readonly value: Uint8Array
  readonly create: number
  readonly mod: number
}

interface Happened {
  readonly key: string
  readonly revision: number
  /** Without one it was deleted. */
  readonly value: Uint8Array | undefined
}

/** A process began to run, and the highest epoch that its name ever had before. */
export interface Started {
  readonly name: string
  readonly epoch: number
  readonly before: number
}

const EMPTY = new Uint8Array()

export class Etcd {
  readonly layout = new Layout("p/")
  readonly names: ReadonlyArray<string>
  readonly nodes: ReadonlyArray<ModelNode>
  readonly starts: Array<Started> = []
  readonly seen = { starts: 0, takeovers: 0, ends: 0, refused: 0, answersLost: 0 }
  readonly highest = new Map<string, number>()
  readonly log: Array<Happened> = []
  readonly #keys = new Map<string, Stored>()
  revision = 1

  constructor(nodes: ReadonlyArray<string>, names: ReadonlyArray<string>) {
    this.names = names.map((name) => `Things\n${name}`)
    this.nodes = nodes.map((node) => new ModelNode(this, `1/${node}`))
  }

  get(key: string): Stored | undefined {
    return this.#keys.get(key)
  }

  get keys(): ReadonlyMap<string, Stored> {
    return this.#keys
  }

  #isTrue(compare: Compare): boolean {
    const stored = this.#keys.get(compare.key)
    const [there, wanted] = "createRevision" in compare
      ? [stored?.create ?? 0, compare.createRevision]
      : "modRevision" in compare
      ? [stored?.mod ?? 0, compare.modRevision]
      : [NaN, NaN]
    return compare.is === "<" ? there < wanted : compare.is === undefined && there === wanted
  }

  txn(when: ReadonlyArray<Compare>, then: ReadonlyArray<Operation>): boolean {
    if (!when.every((compare) => this.#isTrue(compare))) return false
    if (then.length > 0) this.revision++
    for (const operation of then) {
      if ("put" in operation) this.#put(operation.put, operation.value)
      else if ("deleteRange" in operation && "key" in operation.deleteRange) this.#delete(operation.deleteRange.key)
      else if (!("range" in operation)) throw new Error("the rules ask for nothing else")
    }
    return true
  }

  #put(key: string, value: string | Uint8Array): void {
    const bytes = typeof value === "string" ? EMPTY : value
    this.#keys.set(key, { value: bytes, create: this.#keys.get(key)?.create ?? this.revision, mod: this.revision })
    this.log.push({ key, revision: this.revision, value: bytes })
  }

  #delete(key: string): void {
    if (this.#keys.delete(key)) this.log.push({ key, revision: this.revision, value: undefined })
  }

  raise(name: string, epoch: number): void {
    this.highest.set(name, Math.max(epoch, this.highest.get(name) ?? 0))
  }
}

type WritePlan = Extract<Plan, { readonly _tag: "Write" }>

interface Sent {
  readonly name: string
  readonly wish: Wish
  readonly plan: WritePlan
  readonly stay: number
  readonly had: NameRecord | undefined
}

/** What a node does with its names, as far as the rules see it. */
export class ModelNode {
  readonly section: string
  readonly #etcd: Etcd
  readonly #names = new Map<string, Known>()
  readonly #members = new Set<string>()
  /** The names whose processes it runs, and their epochs. */
  readonly runs = new Map<string, number>()
  #heard = 0
  #applied = 0
  /** The revision of its member's key; `undefined`: its lease has ended, as it knows before anybody else does. */
  #stay: number | undefined
  #sent: Sent | undefined

  constructor(etcd: Etcd, section: string) {
    this.#etcd = etcd
    this.section = section
  }

  get isStanding(): boolean {
    return this.#stay !== undefined
  }

  recordOf(name: string): NameRecord | undefined {
    return this.#names.get(name)?.record
  }

  // ---- stays

  /** It stops what it runs, and only then its lease ends. */
  lose(): void {
    this.#stay = undefined
    this.runs.clear()
    this.#etcd.txn([], [{ deleteRange: { key: this.#etcd.layout.member(this.section) } }])
  }

  /** What it had sent in an earlier stay may still be under way. */
  join(): void {
    if (this.#stay !== undefined) return
    const { layout } = this.#etcd
    this.#etcd.txn([], [{ put: layout.member(this.section), value: "" }])
    this.#stay = this.#etcd.revision
    this.#names.clear()
    this.#members.clear()
    for (const [key, { mod, value }] of this.#etcd.keys) this.#learn({ key, revision: mod, value })
    this.#heard = this.#etcd.log.length
    this.#applied = this.#etcd.revision
  }

  // ---- news

  hear(count: number): void {
    for (const event of this.#etcd.log.slice(this.#heard, this.#heard + count)) {
      this.#learn(event)
      this.#heard++
      this.#applied = Math.max(this.#applied, event.revision)
    }
  }

  #learn({ key, revision, value }: Happened): void {
    const place = this.#etcd.layout.placeOf(key)
    if (place?._tag === "Member") {
      if (value === undefined) this.#members.delete(place.section)
      else this.#members.add(place.section)
    }
    if (place?._tag === "Name") this.#know(place.name, value === undefined ? undefined : decodeName(value), revision)
  }

  #know(name: string, record: NameRecord | undefined, revision: number): void {
    if ((this.#names.get(name)?.revision ?? 0) > revision) return
    if (record === undefined) this.#names.delete(name)
    else this.#names.set(name, { record, revision })
  }

  #look(name: string): void {
    const stored = this.#etcd.get(this.#etcd.layout.name(name))
    this.#know(name, stored === undefined ? undefined : decodeName(stored.value), stored?.mod ?? this.#etcd.revision)
    this.#applied = Math.max(this.#applied, this.#etcd.revision)
  }

  // ---- wishes

  /** It thinks of something to do, by what it knows; one thing is under way at a time. */
  ask(random: () => number, epoch: number): void {
    if (this.#sent !== undefined || this.#stay === undefined) return
    const { names, nodes } = this.#etcd
    const pick = <A>(from: ReadonlyArray<A>): A => from[Math.floor(random() * from.length)]!
    const name = pick(names)
    const other = names.find((one) => one !== name)!
    const own = this.runs.get(name)
    const wish: Wish = own !== undefined
      ? pick<Wish>([
        { _tag: "Hold", epoch: own, isNew: false },
        { _tag: "Pass", to: pick(["", ...nodes.map(({ section }) => section)]), epoch: own },
        { _tag: "Free" }
      ])
      : pick<Wish>([
        { _tag: "Hold", epoch, isNew: true },
        { _tag: "Hold", epoch, isNew: true },
        { _tag: "Free" },
        { _tag: "Alias", of: other },
        { _tag: "Unalias", of: other }
      ])
    this.#plan(name, wish)
  }

  #plan(name: string, wish: Wish): Plan {
    const known = this.#names.get(name)
    const plan = planFor(
      {
        layout: this.#etcd.layout,
        self: this.section,
        isLiving: (section) => this.#members.has(section),
        known: (of) => this.#names.get(of),
        revision: () => this.#applied
      },
      name,
      wish
    )
    if (plan._tag === "Refused") this.#etcd.seen.refused++
    if (plan._tag !== "Write" || this.#stay === undefined) return plan
    // who gives a name away has stopped before
    if (wish._tag !== "Hold") this.runs.delete(name)
    this.#sent = { name, wish, plan, stay: this.#stay, had: known?.record }
    return plan
  }

  /** What was sent arrives. Its answer may be lost: then this node doesn't know. */
  send(isAnswerLost: boolean): boolean {
    const sent = this.#sent
    if (sent === undefined) return false
    this.#sent = undefined
    const { layout } = this.#etcd
    const isDone = this.#etcd.txn(
      [{ key: layout.member(this.section), createRevision: sent.stay }, ...sent.plan.when],
      sent.plan.then
    )
    const { becomes } = sent.plan
    if (isDone && becomes?._tag === "Held") this.#etcd.raise(sent.name, this.runs.get(sent.name) ?? 0)
    if (isDone && becomes === undefined) this.#etcd.seen.ends++
    if (isAnswerLost && this.#stay !== undefined) {
      this.#etcd.seen.answersLost++
      return false
    }
    if (this.#stay !== sent.stay) return false
    if (!isDone) {
      this.#look(sent.name)
      return false
    }
    if (sent.plan.then.length > 0) this.#know(sent.name, becomes, this.#etcd.revision)
    if (becomes?._tag === "Held" && becomes.holder === this.section) this.#run(sent, becomes.epoch)
    return true
  }

  #run({ had, name, wish }: Sent, epoch: number): void {
    if (wish._tag !== "Hold") return
    const before = this.#etcd.highest.get(name) ?? 0
    // what it is given again is what it was given before, when it was not told
    const isOwn = had?._tag === "Held" && had.holder === this.section
    if (!this.runs.has(name) && !isOwn) {
      this.#etcd.starts.push({ name, epoch, before })
      this.#etcd.seen.starts++
      if (had?._tag === "Held" && had.holder !== "") this.#etcd.seen.takeovers++
    }
    this.runs.set(name, Math.max(epoch, this.runs.get(name) ?? 0))
    this.#etcd.raise(name, this.runs.get(name)!)
  }

  /** Its processes start again, each above its epoch, and nobody is told yet. */
  crashAndRestart(random: () => number): void {
    for (const [name, epoch] of this.runs) {
      const next = epoch + 1 + Math.floor(random() * 3)
      this.runs.set(name, next)
      this.#etcd.raise(name, next)
    }
  }

  /** Knowing all, it asks until it is done or refused. */
  settle(name: string, wish: Wish): "done" | "refused" {
    this.#sent = undefined
    for (let times = 0; times < 10; times++) {
      if (this.#plan(name, wish)._tag === "Refused") return "refused"
      if (this.send(false)) return "done"
    }
    throw new Error("it is neither done nor refused")
  }
}
