/** Empties a node that stays a member: cordoned, it gives every process away, one after the other is told of. */
import { Deferred, Effect } from "effect"
import type { DrainProgress, Stay } from "../../src/Handoff.ts"
import type { LocalProcess } from "../../src/runtime/LocalProcess.ts"
import type { Core } from "./core.ts"
import type { Mover } from "./mover.ts"

/** What could not be moved is tried again after this long, twice as long each time. */
const RETRY_MIN_MS = 50
const RETRY_MAX_MS = 1000
const MAX_STAYS = 100

/** One drain of this node, from its beginning to its end. */
class Drain {
  readonly ended = Deferred.makeUnsafe<void>()
  readonly failures = new WeakMap<LocalProcess, string>()
  moved = 0
  /** What it came to, once it has ended. */
  final: DrainProgress | undefined
}

export class Draining {
  readonly #core: Core
  readonly #mover: Mover
  #last: Drain | undefined

  constructor(core: Core, mover: Mover) {
    this.#core = core
    this.#mover = mover
  }

  /** Cordons this node and begins to empty it; where that is under way it goes on to its own deadline. */
  begin(deadlineMs: number): void {
    const { fork, members } = this.#core.parts
    if (members.self().cordoned !== true) members.announce({ cordoned: true })
    if (this.#last !== undefined && this.#last.final === undefined) return
    const drain = this.#last = new Drain()
    // the end is told at once, also while moves under way are being undone
    const late = Effect.andThen(
      Effect.sleep(deadlineMs),
      Effect.sync(() => this.#end(drain, "no time was left for it"))
    )
    fork(Effect.ensuring(
      Effect.raceFirst(this.#run(drain), Effect.raceFirst(late, Deferred.await(drain.ended))),
      Effect.sync(() => this.#end(drain, "the drain was interrupted"))
    ))
  }

  /** Ends the one under way; what has not gone stays. */
  cancel(): void {
    if (this.#last !== undefined) this.#end(this.#last, "the node was uncordoned")
  }

  /** How far the latest is, at once if it has ended, else after so long; `undefined` before the first. */
  progress(waitMs: number): Effect.Effect<DrainProgress | undefined> {
    return Effect.suspend(() => {
      const drain = this.#last
      if (drain === undefined) return Effect.succeed(undefined)
      const waited = Effect.raceFirst(Deferred.await(drain.ended), Effect.sleep(waitMs))
      return Effect.map(waited, () => drain.final ?? this.#read(drain, undefined))
    })
  }

  #end(drain: Drain, why: string): void {
    if (drain.final !== undefined) return
    drain.final = this.#read(drain, why)
    Deferred.doneUnsafe(drain.ended, Effect.void)
  }

  /** `why`: what is said of those that were not tried, at the end. */
  #read(drain: Drain, why: string | undefined): DrainProgress {
    const { node, processes } = this.#core.parts
    const stays: Array<Stay> = []
    let left = 0
    let failed = 0
    for (const process of processes.all()) {
      left++
      const failure = drain.failures.get(process) ?? this.#refusal(process)
      if (failure !== undefined) failed++
      const detail = failure ?? why
      if (detail !== undefined && stays.length < MAX_STAYS) {
        stays.push({ sworm: process.sworm, name: process.name, detail })
      }
    }
    return { node: node.id, moved: drain.moved, left, failed, stays, isFinal: why !== undefined }
  }

  /** Why a process will not go, however often it is tried. */
  #refusal(process: LocalProcess): string | undefined {
    return this.#core.staying.has(process) ? "its process type answered ignore" : undefined
  }

  #goesOn(): boolean {
    const { cordoned, status } = this.#core.parts.members.self()
    return cordoned === true && status === "alive"
  }

  readonly #run = Effect.fnUntraced({ self: this }, function* (this: Draining, drain: Drain) {
    const { options } = this.#core.parts
    let waitMs = RETRY_MIN_MS
    while (this.#goesOn()) {
      const { isWaiting, movable } = this.#look(drain)
      if (movable.length === 0 && !isWaiting) return this.#end(drain, "placement accepts no other node for it")
      const before = drain.moved
      yield* Effect.forEach(movable, (process) => this.#move(drain, process), {
        concurrency: options.concurrentMoves,
        discard: true
      })
      waitMs = drain.moved > before ? RETRY_MIN_MS : Math.min(RETRY_MAX_MS, 2 * waitMs)
      if (drain.moved === before) yield* Effect.sleep(waitMs)
    }
    this.#end(drain, "the node leaves")
  })

  /** What can go now; and whether there is more that may go later, which starts or is about to end. */
  #look(drain: Drain): { readonly movable: ReadonlyArray<LocalProcess>; readonly isWaiting: boolean } {
    const movable: Array<LocalProcess> = []
    let isWaiting = false
    for (const process of this.#core.parts.processes.all()) {
      if (process.status !== "running" && process.status !== "passive") isWaiting = true
      else if (this.#refusal(process) === undefined && this.#target(drain, process) !== undefined) movable.push(process)
    }
    return { movable, isWaiting }
  }

  #target(drain: Drain, process: LocalProcess): string | undefined {
    const { hosted, name, sworm, type } = process
    const to = this.#core.placing.elsewhere(hosted, name, type.name)?.id
    if (to === undefined) {
      drain.failures.set(process, "placement accepts no other node for it")
      return undefined
    }
    if (this.#core.placing.hosts(sworm, type.name).find(({ id }) => id === to)?.hasRoom !== false) return to
    drain.failures.set(process, `"${to}" has no room for it`)
    return undefined
  }

  #move(drain: Drain, process: LocalProcess): Effect.Effect<void> {
    return Effect.suspend(() => {
      const to = this.#goesOn() ? this.#target(drain, process) : undefined
      if (to === undefined) return Effect.void
      return Effect.match(this.#mover.move(process, to), {
        onFailure: ({ detail }) => void drain.failures.set(process, detail),
        onSuccess: () => void drain.moved++
      })
    })
  }
}
