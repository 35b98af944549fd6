/** Etcd has the last word: a process runs where its name is held there, and for as long as this node's lease holds. */
import { Effect } from "effect"
import type { NameEntry } from "../../../src/protocol/claims.ts"
import { nodeOf } from "../../../src/protocol/ids.ts"
import { nameKey } from "../../../src/protocol/wire.ts"
import type { LocalProcess } from "../../../src/runtime/LocalProcess.ts"
import { type ProcessRef, Unavailable } from "../../../src/SwormError.ts"
import type { Acquired, Authority, NotKept, Refused } from "../../gossip/ground.ts"
import type { EtcdClient } from "../client.ts"
import type { Commits, Gained } from "./Commits.ts"
import { decodeName, decodeState, encodeState, type Layout, type NameRecord } from "./layout.ts"
import type { Mirror } from "./mirror.ts"
import type { Sections } from "./Sections.ts"
import type { Tenure } from "./Tenure.ts"

const ACQUIRE_TIMEOUT_MS = 5000
const LOOKUP_STEP_MS = 50
const LOOKUP_TIMEOUT_MS = 10_000

export interface NamesParts {
  readonly client: EtcdClient
  readonly layout: Layout
  readonly mirror: Mirror
  readonly commits: Commits
  readonly sections: Sections
  readonly tenure: Tenure
  readonly maxKeptBytes: number
}

export class Names implements Authority {
  readonly #parts: NamesParts
  /** Taken by this node for a process that starts: there is no claim of it yet. */
  readonly #acquired = new Set<string>()
  /** States that this node has given to etcd, until it takes them back. */
  readonly #keeping = new Map<string, Uint8Array>()
  /** Processes that serve once the name is this node's. */
  readonly #waiting = new Map<string, { readonly process: LocalProcess; readonly epoch: number }>()

  constructor(parts: NamesParts) {
    this.#parts = parts
  }

  holds(): boolean {
    return this.#parts.tenure.holds()
  }

  #isMine(name: string): boolean {
    const record = this.#parts.mirror.names.get(name)?.record
    return record?._tag === "Held" && record.holder === this.#parts.sections.replica.own
  }

  acquire(sworm: string, name: string, epoch: number): Effect.Effect<Acquired, Refused | Unavailable> {
    return Effect.map(this.#acquire(sworm, name, epoch), ({ before, epoch, state }) => {
      const kept = state === undefined ? undefined : decodeState(state)
      // nobody has served from it: then the name would be held at its epoch, or above
      const isLost = kept !== undefined && before?._tag === "Held" && kept.epoch > before.epoch
      return { epoch, state: isLost ? { encoded: kept.state } : undefined }
    })
  }

  keep(sworm: string, name: string, epoch: number, state: unknown): Effect.Effect<void, NotKept> {
    const { commits, layout, maxKeptBytes } = this.#parts
    const value = encodeState(epoch, state)
    if (value.byteLength > maxKeptBytes) {
      const detail = `its state takes ${value.byteLength} bytes in etcd, maxKeptBytes is ${maxKeptBytes}`
      return Effect.fail({ _tag: "NotKept", reason: "StateTooLarge", detail })
    }
    this.#keeping.set(nameKey(sworm, name), value)
    const kept = Effect.callback<void, NotKept>((done) => {
      let isWanted = true
      commits.add({
        wishes: [],
        writes: [{ put: layout.state(nameKey(sworm, name)), value }],
        isWanted: () => isWanted,
        onDone: () => done(Effect.void),
        onRefused: () =>
          done(Effect.fail({
            _tag: "NotKept",
            reason: "StateTooLarge",
            detail: "etcd does not take its state: raise its --max-request-bytes, or lower maxKeptBytes"
          }))
      })
      return Effect.sync(() => void (isWanted = false))
    })
    return Effect.timeoutOrElse(kept, {
      duration: ACQUIRE_TIMEOUT_MS,
      orElse: () =>
        Effect.fail<NotKept>({
          _tag: "NotKept",
          reason: "Unreachable",
          detail: `etcd has not taken its state within ${ACQUIRE_TIMEOUT_MS} ms`
        })
    })
  }

  forget(sworm: string, name: string): void {
    const { commits, layout } = this.#parts
    const moved = nameKey(sworm, name)
    const value = this.#keeping.get(moved)
    if (value === undefined) return
    this.#keeping.delete(moved)
    const key = layout.state(moved)
    commits.add({
      wishes: [],
      // the next move may have put another there
      when: [{ key, value }],
      writes: [{ deleteRange: { key } }],
      onDone: () => {},
      onRefused: () => {}
    })
  }

  #acquire(sworm: string, name: string, epoch: number): Effect.Effect<Gained, Refused | Unavailable> {
    const key = nameKey(sworm, name)
    return Effect.callback<Gained, Refused | Unavailable>((done) => {
      let isWanted = true
      this.#acquired.add(key)
      this.#parts.commits.add({
        wishes: [[key, { _tag: "Hold", epoch, isNew: true }]],
        writes: [],
        isWanted: () => isWanted,
        onDone: (epochs) => {
          // nobody waits for it any more
          if (!isWanted) return this.release(sworm, name)
          isWanted = false
          done(Effect.succeed(epochs.get(key) ?? { epoch, before: undefined, state: undefined }))
        },
        onRefused: (_, by) => {
          isWanted = false
          this.#acquired.delete(key)
          done(Effect.fail({ _tag: "Refused", ref: refOf(sworm, name, by) }))
        }
      })
      return Effect.sync(() => {
        if (!isWanted) return
        isWanted = false
        this.#acquired.delete(key)
      })
    }).pipe(Effect.timeoutOrElse({
      duration: ACQUIRE_TIMEOUT_MS,
      orElse: () =>
        Effect.fail(
          new Unavailable({
            operation: `start "${name}"`,
            detail: `etcd has not given the name to this node within ${ACQUIRE_TIMEOUT_MS} ms`
          })
        )
    }))
  }

  release(sworm: string, name: string): void {
    const key = nameKey(sworm, name)
    this.#acquired.delete(key)
    this.#giveUp(key)
  }

  #giveUp(name: string): void {
    const record = this.#parts.mirror.names.get(name)?.record
    if (record?._tag !== "Held" || !this.#isMine(name)) return
    // without a claim anywhere nobody knows what would be started: the registration has ended
    const isOver = record.isNew || !this.#isClaimed(name)
    this.#parts.commits.add({
      wishes: [[name, isOver ? { _tag: "Free" } : { _tag: "Pass", to: "", epoch: record.epoch }]],
      writes: [],
      isWanted: () => this.#isMine(name) && this.#isUnused(name),
      onDone: () => {},
      onRefused: () => {}
    })
  }

  #isClaimed(name: string): boolean {
    const { replica } = this.#parts.sections
    for (const section of replica.sections()) {
      if ((replica.get(section, name) as NameEntry | undefined)?.claim !== undefined) return true
    }
    return false
  }

  /** Its process has started, and has a claim: from now on that says whether the name is used. */
  claimed(name: string): void {
    this.#acquired.delete(name)
  }

  /** Is nothing here that could run it? */
  #isUnused(name: string): boolean {
    if (this.#acquired.has(name)) return false
    const { replica } = this.#parts.sections
    const claim = (replica.get(replica.own, name) as NameEntry | undefined)?.claim
    return claim === undefined || claim.mode === "released"
  }

  /** Gives up what was passed to this node, or taken by it, and is not used. Called now and then. */
  sweep(): void {
    const { mirror, sections: { replica } } = this.#parts
    for (const [name, { record }] of mirror.names) {
      if (record._tag === "Held" && record.holder === replica.own && this.#isUnused(name)) this.#giveUp(name)
    }
  }

  admits(process: LocalProcess, epoch: number): boolean {
    const key = nameKey(process.sworm, process.name)
    if (this.#isMine(key) && this.holds()) {
      this.#waiting.delete(key)
      return true
    }
    this.#waiting.set(key, { process, epoch })
    return false
  }

  awaits(process: LocalProcess): boolean {
    return this.#waiting.get(nameKey(process.sworm, process.name))?.process === process
  }

  /** Who has a name has changed. */
  changed(name: string): void {
    const waiting = this.#waiting.get(name)
    if (waiting === undefined || !this.#isMine(name) || !this.holds()) return
    this.#waiting.delete(name)
    waiting.process.serve(waiting.epoch)
  }

  /** Of a name that is somebody else's nothing waits any more. */
  lost(name: string): void {
    this.#waiting.delete(name)
    this.#acquired.delete(name)
  }

  forgetAll(): void {
    this.#waiting.clear()
    this.#acquired.clear()
    this.#keeping.clear()
  }

  accepted(version: number): Effect.Effect<boolean> {
    const { sections } = this.#parts
    return sections.stored(version, "write").pipe(Effect.as(true), Effect.orElseSucceed(() => false))
  }

  registered(
    sworm: string,
    name: string
  ): Effect.Effect<ProcessRef | { readonly waitsAt: number } | undefined, Unavailable> {
    const operation = `look up "${name}"`
    const { client, layout } = this.#parts
    const read = (asked: string): Effect.Effect<ProcessRef | { readonly waitsAt: number } | undefined, Unavailable> =>
      client.get(layout.name(nameKey(sworm, asked))).pipe(
        Effect.mapError((error) => new Unavailable({ operation, detail: error.message })),
        Effect.flatMap((kv) => {
          const record = kv === undefined ? undefined : decodeName(kv.value)
          if (record === undefined) return Effect.succeed(undefined)
          if (record._tag === "Alias") return read(record.of.slice(record.of.indexOf("\n") + 1))
          if (record.isNew) return Effect.succeed(undefined)
          return Effect.succeed(refOf(sworm, asked, record) ?? { waitsAt: record.epoch })
        })
      )
    return read(name)
  }

  lookup(sworm: string, name: string): Effect.Effect<ProcessRef | undefined, Unavailable> {
    const operation = `look up "${name}"`
    const loop: Effect.Effect<ProcessRef | undefined, Unavailable> = Effect.flatMap(
      this.registered(sworm, name),
      (found) =>
        found !== undefined && "waitsAt" in found
          ? Effect.andThen(Effect.sleep(LOOKUP_STEP_MS), loop)
          : Effect.succeed(found)
    )
    const detail = `it is registered, and no node has it within ${LOOKUP_TIMEOUT_MS} ms`
    return Effect.timeoutOrElse(loop, {
      duration: LOOKUP_TIMEOUT_MS,
      orElse: () => Effect.fail(new Unavailable({ operation, detail }))
    })
  }
}

/** A name that waits for a node has no ref. */
const refOf = (sworm: string, name: string, record: NameRecord): ProcessRef | undefined =>
  record._tag === "Alias" || record.holder === ""
    ? undefined
    : { sworm, name, node: nodeOf(record.holder), epoch: record.epoch }
