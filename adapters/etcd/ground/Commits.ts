/**
 * What this node writes into etcd: one transaction after the other, each of many changes (group commit), and each only
 * while this node's lease holds. A change that others have come before is refused by itself.
 */
import { Effect, Latch } from "effect"
import type { SectionId } from "../../../src/protocol/ids.ts"
import { backOffMs } from "../endpoints.ts"
import type { EtcdClient } from "../client.ts"
import type { EtcdError } from "../EtcdError.ts"
import type { Compare, Operation } from "../types.ts"
import { decodeName, type Layout, type NameRecord } from "./layout.ts"
import type { Mirror } from "./mirror.ts"
import { type Plan, planFor, type Situation, type Wish } from "./rules.ts"

export interface Change {
  /** Names, and what is wanted of them: all, or nothing is done. */
  readonly wishes: ReadonlyArray<readonly [name: string, wish: Wish]>
  /** What is written besides. */
  readonly writes: ReadonlyArray<Operation>
  /** What has to be true besides. */
  readonly when?: ReadonlyArray<Compare> | undefined
  /** Asked just before it is sent: is it still wanted? */
  readonly isWanted?: (() => boolean) | undefined
  /** Done; `epochs`: of the names that this node holds by it. */
  readonly onDone: (epochs: ReadonlyMap<string, number>) => void
  /** Not done: the name is somebody else's. */
  readonly onRefused: (name: string, by: NameRecord) => void
}

/** This node's place among the members, while it has one. */
export interface Standing {
  /** The revision that made its member's key: with another one it is another stay. */
  readonly revision: number
}

export interface CommitsParts {
  readonly client: EtcdClient
  readonly layout: Layout
  readonly mirror: Mirror
  readonly self: SectionId
  /** `undefined`: nothing may be written now. */
  readonly standing: () => Standing | undefined
  /** Its member's key is not there any more. */
  readonly onLost: () => void
  readonly onTrouble: (error: EtcdError) => void
}

/** Etcd takes 128 operations in a transaction, unless it is told otherwise. */
const MAX_OPERATIONS = 100
const MAX_BYTES = 512 * 1024
/** A change that is neither done nor refused after so many looks is in a race with others: it is refused. */
const MAX_ATTEMPTS = 16

interface Prepared {
  readonly change: Change
  readonly when: ReadonlyArray<Compare>
  readonly then: ReadonlyArray<Operation>
  readonly becomes: ReadonlyArray<readonly [name: string, record: NameRecord | undefined, isWritten: boolean]>
}

export class Commits {
  readonly #parts: CommitsParts
  readonly #situation: Situation
  #queue: Array<Change> = []
  readonly #work = Latch.makeUnsafe(false)

  constructor(parts: CommitsParts) {
    this.#parts = parts
    const { layout, mirror, self } = parts
    this.#situation = {
      layout,
      self,
      isLiving: (section) => mirror.members.has(section),
      known: (name) => mirror.names.get(name),
      revision: () => mirror.revision
    }
  }

  add(change: Change): void {
    this.#queue.push(change)
    this.#work.openUnsafe()
  }

  /** What is waiting is not sent: it is made anew by whoever wants it. */
  clear(): ReadonlyArray<Change> {
    const dropped = this.#queue
    this.#queue = []
    return dropped
  }

  /** Does the work as it comes; to be run while the node stands. */
  readonly drive: Effect.Effect<never> = Effect.forever(Effect.suspend(() => {
    if (this.#queue.length > 0) return this.#some
    this.#work.closeUnsafe()
    return this.#work.await
  }))

  readonly #some: Effect.Effect<void> = Effect.suspend(() => {
    const [batch, rest] = this.#take()
    this.#queue = rest
    if (batch.length === 0) return Effect.void
    return this.#write(batch)
  })

  /** As many as fit one transaction; a name is in it once. */
  #take(): readonly [batch: ReadonlyArray<Change>, rest: Array<Change>] {
    const batch: Array<Change> = []
    const touched = new Set<string>()
    let operations = 0
    let bytes = 0
    let index = 0
    for (; index < this.#queue.length; index++) {
      const change = this.#queue[index]!
      if (change.isWanted?.() === false) continue
      const keys = [...change.wishes.map(([name]) => name), ...change.writes.map(keyOf)]
      // each wish compares twice at most, and writes or deletes once
      const size = 2 * change.wishes.length + change.writes.length + 3
      const weight = change.writes.reduce((sum, write) => sum + weightOf(write), 0)
      const isFull = operations + size > MAX_OPERATIONS || bytes + weight > MAX_BYTES
      if (batch.length > 0 && (isFull || keys.some((key) => touched.has(key)))) break
      for (const key of keys) touched.add(key)
      operations += size
      bytes += weight
      batch.push(change)
    }
    return [batch, this.#queue.slice(index)]
  }

  /** All in one; where that fails, each by itself. Always in their order: versions of a section only go up. */
  #write(batch: ReadonlyArray<Change>): Effect.Effect<void> {
    return Effect.suspend(() => {
      const prepared: Array<Prepared> = []
      let doubtful: Change | undefined
      for (const change of batch) {
        const one = this.#prepare(change)
        if (!("refusedBy" in one)) prepared.push(one)
        else doubtful = change
        if (doubtful !== undefined) break
      }
      const rest = batch.slice(prepared.length + 1)
      return this.#together(prepared).pipe(
        Effect.andThen(doubtful === undefined ? Effect.void : this.#alone(doubtful)),
        Effect.andThen(rest.length === 0 ? Effect.void : this.#write(rest))
      )
    })
  }

  #together(prepared: ReadonlyArray<Prepared>): Effect.Effect<void> {
    if (prepared.length === 0) return Effect.void
    return Effect.flatMap(
      this.#commit(prepared),
      (isDone) =>
        isDone ? Effect.void : Effect.forEach(prepared, ({ change }) => this.#alone(change), { discard: true })
    )
  }

  /** Until it is done, or refused by what is there and not by what was known. */
  #alone(change: Change): Effect.Effect<void> {
    const attempt = (times: number): Effect.Effect<void> =>
      Effect.suspend(() => {
        if (change.isWanted?.() === false) return Effect.void
        const one = this.#prepare(change)
        const isLast = times >= MAX_ATTEMPTS
        if ("refusedBy" in one && (times > 0 || isLast)) {
          return Effect.sync(() => change.onRefused(one.name, one.refusedBy))
        }
        const done = "refusedBy" in one ? Effect.succeed(false) : this.#commit([one])
        return Effect.flatMap(done, (isDone) => {
          if (isDone) return Effect.void
          if (isLast) {
            const [name] = change.wishes[0] ?? [""]
            return Effect.sync(() => change.onRefused(name, { _tag: "Held", holder: "", epoch: 0, isNew: false }))
          }
          return Effect.andThen(this.#look(change), attempt(times + 1))
        })
      })
    return attempt(0)
  }

  #prepare(change: Change): Prepared | { readonly refusedBy: NameRecord; readonly name: string } {
    const when: Array<Compare> = [...change.when ?? []]
    const then: Array<Operation> = []
    const becomes: Array<readonly [string, NameRecord | undefined, boolean]> = []
    for (const [name, wish] of change.wishes) {
      const plan: Plan = planFor(this.#situation, name, wish)
      if (plan._tag === "Refused") return { refusedBy: plan.by, name }
      if (plan._tag === "Nothing") continue
      when.push(...plan.when)
      then.push(...plan.then)
      becomes.push([name, plan.becomes, plan.then.length > 0])
    }
    return { change, when, then: [...then, ...change.writes], becomes }
  }

  /** `false`: something is not as it was known. Without etcd it is tried for as long as the node stands. */
  #commit(prepared: ReadonlyArray<Prepared>): Effect.Effect<boolean> {
    const { client, layout, mirror, onLost, onTrouble, self, standing } = this.#parts
    const attempt = (times: number): Effect.Effect<boolean> =>
      Effect.suspend(() => {
        const own = standing()
        if (own === undefined) return Effect.never
        const member = layout.member(self)
        const asked = client.txn({
          when: [{ key: member, createRevision: own.revision }, ...prepared.flatMap(({ when }) => when)],
          then: once(prepared.flatMap(({ then }) => then)),
          otherwise: [{ range: { key: member } }]
        })
        return Effect.matchEffect(asked, {
          onFailure: (error) => {
            onTrouble(error)
            if (error.reason === "LeaseNotFound") {
              onLost()
              return Effect.never
            }
            return Effect.andThen(
              Effect.flatMap(backOffMs(times), Effect.sleep),
              attempt(times + 1)
            )
          },
          onSuccess: (result) => {
            mirror.heard(result.revision)
            if (!result.succeeded) {
              if (result.results[0].kvs[0]?.createRevision === own.revision) return Effect.succeed(false)
              onLost()
              return Effect.never
            }
            return Effect.sync(() => {
              if (prepared.some(({ then }) => then.length > 0)) mirror.wrote(result.revision)
              for (const one of prepared) this.#done(one, result.revision)
              return true
            })
          }
        })
      })
    return attempt(0)
  }

  #done({ becomes, change }: Prepared, revision: number): void {
    const epochs = new Map<string, number>()
    for (const [name, record, isWritten] of becomes) {
      // one that was compared and not written stands as it was, at the revision that it has
      if (isWritten) this.#parts.mirror.learn(name, record, revision)
      if (record?._tag === "Held" && record.holder === this.#parts.self) epochs.set(name, record.epoch)
    }
    change.onDone(epochs)
  }

  /** Reads what the change depends on, and that may be otherwise than this node knows. */
  #look(change: Change): Effect.Effect<void> {
    const { client, layout, mirror, onTrouble } = this.#parts
    return Effect.forEach(change.wishes, ([name]) =>
      client.range({ key: layout.name(name) }).pipe(
        Effect.flatMap(({ kvs, revision }) => {
          mirror.heard(revision)
          const record = kvs[0] === undefined ? undefined : decodeName(kvs[0].value)
          mirror.learn(name, record, kvs[0]?.modRevision ?? revision)
          return record?._tag === "Held" && record.holder !== "" ? this.#lookFor(record.holder) : Effect.void
        }),
        Effect.catch((error) =>
          Effect.andThen(Effect.sync(() => onTrouble(error)), Effect.flatMap(backOffMs(2), Effect.sleep))
        )
      ), { discard: true })
  }

  /** A holder that is gone there, and not yet here, or the other way about. */
  #lookFor(section: SectionId): Effect.Effect<void, EtcdError> {
    const { client, layout, mirror } = this.#parts
    return Effect.flatMap(client.range({ key: layout.member(section) }), ({ kvs, revision }) => {
      const isThere = kvs.length > 0
      if (isThere === mirror.members.has(section)) return Effect.void
      // the watch is about to say so
      return Effect.raceFirst(mirror.reached(revision), Effect.sleep(MIRROR_MS))
    })
  }
}

const MIRROR_MS = 200

const keyOf = (operation: Operation): string => "put" in operation ? operation.put : ""

const weightOf = (operation: Operation): number => "put" in operation ? operation.value.length : 0

/** A transaction may write a key once: the last one counts. */
const once = (operations: ReadonlyArray<Operation>): ReadonlyArray<Operation> => {
  const all = new Map<string, Operation>()
  for (const operation of operations) {
    all.set("put" in operation ? operation.put : JSON.stringify(operation), operation)
  }
  return [...all.values()]
}
