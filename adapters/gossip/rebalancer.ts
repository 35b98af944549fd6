/** Moves this node's processes to where placement wants them: after a change of members, on leaving, on command. */
import { Deferred, Effect, Latch } from "effect"
import type { LocalProcess } from "../../src/runtime/LocalProcess.ts"
import { debug, warn } from "../../src/runtime/log.ts"
import type { HandoffFailure } from "../../src/SwormError.ts"
import type { Budget } from "./budget.ts"
import type { Core } from "./core.ts"
import type { Mover } from "./mover.ts"

/** What could not be done now is tried again after this long. */
const SETTLE_MS = 50
/** A round that could not move everything is repeated after this long, twice as long each time; a change begins anew. */
const RETRY_MIN_MS = 1000
const RETRY_MAX_MS = 30_000
/**
 * Moves under way at a time from a node that gives everything away: each process that moves is frozen while all of these
 * take their turns, and more of them at a time are hardly sooner done.
 */
const LEAVING_MOVES = 64
/**
 * When so much of its time is over, there are more: on a machine whose processors are taken each round trip takes long,
 * and with few at a time a node of ten thousand did not get them all away.
 */
const LATE_SHARE = 0.25
const LATE_MOVES = 1024
/** Of large states at a time: each is in memory once more while it moves. */
const LARGE_MOVES = 4
/** What fails so fails again: a node that leaves doesn't wait for it. */
const neverMoves: ReadonlyArray<HandoffFailure> = ["Encoding", "StateTooLarge"]

export interface Rebalancer {
  /** Placement may want something elsewhere now. */
  readonly look: () => void
  /** Gives away every process of one sworm, or of all; answers how many went. Bounded by the shutdown timeout. */
  readonly giveAway: (sworm?: string) => Effect.Effect<number>
  /** Where a process of this node is about to move, if it is. */
  readonly target: (process: LocalProcess) => string | undefined
}

interface Pace {
  readonly concurrency: number
  readonly late?: { readonly afterMs: number; readonly concurrency: number }
}

interface Moving {
  /** Asked before each; where there is nothing to ask, they go. */
  readonly mayGo?: Effect.Effect<boolean>
  /** They go because there are too many here. */
  readonly isExcess?: boolean
  /** How many at a time; with how many more from when on. */
  readonly pace?: Pace
  /** Takes those that no further try would move. */
  readonly hopeless?: Set<LocalProcess>
}

export const make = Effect.fnUntraced(function* (core: Core, mover: Mover, budget: Budget) {
  const { members, node, nowMs, options, processes } = core.parts
  const wanted = Latch.makeUnsafe(false)
  const changed = Latch.makeUnsafe(false)

  /** Where a process should be instead; `undefined` when it is right here, or nowhere better. */
  const target = (process: LocalProcess, isExcess = false): string | undefined => {
    const { hosted, name, type } = process
    const here = core.placing.own(process.sworm, type.name)
    // cordoned it keeps what it has; where it leaves, or hosts it no more, it is none of the hosts
    if (here?.isCordoned === true) return undefined
    if (hosted.placement.isSticky !== true) {
      const home = core.placing.home(hosted, name, type.name)?.id
      return home === node.id ? undefined : home
    }
    if (here !== undefined && !isExcess && core.placing.mayHave(hosted, name, here)) return undefined
    const to = core.placing.target(hosted, name, type.name, "")?.id
    return to === node.id ? undefined : to
  }

  /** Asked before anything is frozen for it. */
  const isFull = ({ sworm, type }: LocalProcess, to: string): boolean =>
    core.placing.hosts(sworm, type.name).find(({ id }) => id === to)?.hasRoom === false

  /** The budget's turn, unless something has changed meanwhile: then it is looked at anew. */
  const turn: Effect.Effect<boolean> = Effect.suspend(() =>
    !budget.isPaced ? Effect.succeed(!budget.isPaused) : Effect.map(
      Effect.raceFirst(budget.turn, wanted.await),
      () => !budget.isPaused && !wanted.isOpen()
    )
  )

  const moveAll = (moving: ReadonlyArray<LocalProcess>, how: Moving): Effect.Effect<number> => {
    const { hopeless, isExcess = false, mayGo, pace = { concurrency: options.concurrentMoves } } = how
    let moved = 0
    const moveTo = (process: LocalProcess): Effect.Effect<void> => {
      const to = target(process, isExcess)
      if (to === undefined || isFull(process, to)) return Effect.void
      return Effect.matchEffect(mover.move(process, to), {
        onFailure: (error) => {
          if (neverMoves.includes(error.reason)) hopeless?.add(process)
          return debug(error.message)
        },
        onSuccess: () => {
          moved++
          return Effect.void
        }
      })
    }
    const move = (process: LocalProcess): Effect.Effect<void> =>
      mayGo === undefined ? moveTo(process) : Effect.flatMap(mayGo, (may) => may ? moveTo(process) : Effect.void)
    const isLarge = new Set(moving.filter((process) => mover.isLarge(process)))
    return Effect.all([
      inTurn(moving.filter((process) => !isLarge.has(process)), pace, move),
      inTurn(isLarge, { concurrency: Math.min(LARGE_MOVES, pace.concurrency) }, move)
    ], { concurrency: "unbounded", discard: true }).pipe(Effect.map(() => moved))
  }

  const mayMove = (process: LocalProcess): boolean =>
    (process.status === "running" || process.status === "passive") &&
    process.hosted.redistribution === "active" && !core.staying.has(process)

  const misplaced = (): Array<LocalProcess> =>
    [...processes.all()].filter((process) => mayMove(process) && target(process) !== undefined)

  /** For placements that go by load: the latest of those that are too many here. */
  const excess = (): Array<LocalProcess> =>
    [...processes.sworms()].flatMap((hosted) => {
      const candidates = core.placing.candidates(hosted.id)
      const here = candidates.find(({ id }) => id === node.id)
      const limit = here === undefined ? Infinity : hosted.placement.limit?.(here, candidates) ?? Infinity
      const count = candidates.length > 1 ? processes.count(hosted.id) - limit : 0
      return count > 0 ? [...processes.of(hosted.id)].filter(mayMove).slice(-count) : []
    })

  /** Those that may go now, and in how many ms the next may; `Infinity` when there is none. */
  const ripe = (moving: ReadonlyArray<LocalProcess>): readonly [Array<LocalProcess>, waitMs: number] => {
    const now: Array<LocalProcess> = []
    let waitMs = Infinity
    for (const process of moving) {
      const rest = budget.restOf(process)
      if (rest === 0) now.push(process)
      else waitMs = Math.min(waitMs, rest)
    }
    return [now, waitMs]
  }

  /** Without its quorum a sworm runs nothing: its names stay registered, and start again when there is one. */
  const stopMinority = Effect.suspend(() => {
    const stopped = [...processes.sworms()].filter((hosted) => !core.placing.hasQuorum(hosted))
      .flatMap((hosted) => [...processes.of(hosted.id)].filter(({ status }) => status !== "starting"))
    if (core.parts.authority === undefined) {
      return Effect.forEach(stopped, (process) => closeHere(core, process), { concurrency: "unbounded", discard: true })
    }
    // somebody else has its name in a moment: whatever is being done with it, and with those stopped before, isn't waited for
    return Effect.sync(() => {
      for (const process of stopped) {
        core.parts.fork(Effect.andThen(process.close("Shutdown"), closeHere(core, process)))
      }
    })
  })

  let failures = 0
  const look = (): void => {
    failures = 0
    changed.openUnsafe()
    wanted.openUnsafe()
  }

  const round = Effect.gen(function* () {
    yield* wanted.await
    // several changes close together are answered by one round of moves
    yield* Effect.sleep(options.redistributeAfterMs)
    yield* wanted.close
    yield* stopMinority
    if (members.self().status !== "alive" || budget.isPaused) return
    const all = misplaced()
    const [moving, restMs] = ripe(all)
    const [surplus, surplusRestMs] = ripe(all.length > 0 ? [] : excess())
    const moved = (yield* moveAll(moving, { mayGo: turn })) + (yield* moveAll(surplus, { mayGo: turn, isExcess: true }))
    const retryMs = moved >= moving.length
      ? Infinity
      : Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** Math.min(failures++, 8))
    const waitMs = Math.min(retryMs, restMs, surplusRestMs)
    if (waitMs === Infinity) return
    yield* Effect.raceFirst(Effect.sleep(waitMs), wanted.await)
    yield* wanted.open
  })
  // not held up by rounds: at once, and again for what has started meanwhile
  const minority = Effect.gen(function* () {
    yield* changed.await
    yield* changed.close
    yield* stopMinority
    yield* Effect.sleep(SETTLE_MS)
    yield* stopMinority
  })
  for (const loop of [round, minority]) {
    yield* Effect.forkScoped(Effect.forever(
      Effect.catchCause(
        loop,
        (cause) => Effect.andThen(warn("A round of moves failed", cause), Effect.sleep(RETRY_MIN_MS))
      )
    ))
  }

  const giveAway: Rebalancer["giveAway"] = (sworm) => {
    let total = 0
    const hopeless = new Set<LocalProcess>()
    const rest = (): Array<LocalProcess> => [...(sworm === undefined ? processes.all() : processes.of(sworm))]
    const movable = (): Array<LocalProcess> =>
      rest().filter((process) => !core.staying.has(process) && !hopeless.has(process) && target(process) !== undefined)
    const rounds = Effect.gen(function* () {
      const lateAtMs = nowMs() + LATE_SHARE * options.shutdownTimeoutMs
      for (let moving = movable(); moving.length > 0; moving = movable()) {
        const concurrency = Math.max(LEAVING_MOVES, options.concurrentMoves)
        const late = { afterMs: Math.max(0, lateAtMs - nowMs()), concurrency: LATE_MOVES }
        const moved = yield* moveAll(moving, { pace: { concurrency, late }, hopeless })
        total += moved
        if (moved === 0) yield* Effect.sleep(SETTLE_MS)
      }
    })
    return Effect.suspend(() => rounds).pipe(
      Effect.timeoutOrElse({ duration: options.shutdownTimeoutMs, orElse: () => Effect.void }),
      Effect.andThen(Effect.suspend(() => {
        const left = rest()
        // those that take as long as they take are not waited for longer than the node itself has
        const close = Effect.timeoutOrElse(closeInOrder(core, left), {
          duration: options.shutdownTimeoutMs,
          orElse: () => Effect.void
        })
        const lost = left.filter((process) => !core.staying.has(process))
        return lost.length === 0 || core.placing.candidates(lost[0]!.sworm).length === 0 ? close : Effect.andThen(
          warn(
            `${lost.length} processes could not be handed over: they start from their args where they are wanted`
          ),
          close
        )
      })),
      Effect.map(() => total)
    )
  }

  return { look, giveAway, target } satisfies Rebalancer
})

/** Does it with one after the other, by so many fibers; by more of them when that takes long. */
const inTurn = <A>(items: Iterable<A>, { concurrency, late }: Pace, work: (item: A) => Effect.Effect<void>) =>
  Effect.suspend((): Effect.Effect<unknown> => {
    const rest = [...items]
    let next = 0
    const worker = Effect.whileLoop({
      while: () => next < rest.length,
      body: () => work(rest[next++]!),
      step: () => {}
    })
    const workers = (count: number): Effect.Effect<unknown> => {
      const all = Array.from({ length: Math.min(count, rest.length - next) }, () => worker)
      return Effect.all(all, { concurrency: "unbounded", discard: true })
    }
    if (late === undefined) return workers(concurrency)
    const done = Deferred.makeUnsafe<void>()
    const isLate = Effect.raceFirst(
      Effect.as(Effect.sleep(late.afterMs), true),
      Effect.as(Deferred.await(done), false)
    )
    return Effect.all([
      Effect.ensuring(workers(concurrency), Deferred.succeed(done, undefined)),
      Effect.flatMap(isLate, (isLate) => isLate ? workers(late.concurrency) : Effect.void)
    ], { concurrency: "unbounded", discard: true })
  })

/**
 * As supervisors do: the last started first. Those that are linked end one after the other, the dependent ones before
 * what they depend on; the others need not wait for each other.
 */
const closeInOrder = (core: Core, processes: ReadonlyArray<LocalProcess>): Effect.Effect<void> => {
  const lines = new Map<unknown, Array<LocalProcess>>()
  for (const process of [...processes].reverse()) {
    const link = core.entry(process.sworm, process.name)?.claim?.extras?.link
    const line = link === undefined ? process : `${process.sworm}\n${link.names.join("\n")}`
    lines.set(line, [...lines.get(line) ?? [], process])
    const rank = ({ name }: LocalProcess): number => link?.names.indexOf(name) ?? 0
    if (link !== undefined) lines.get(line)!.sort((a, b) => rank(b) - rank(a))
  }
  // out of time: none waits for another any more, and all let go of their claims
  const abandon = (line: ReadonlyArray<LocalProcess>): Effect.Effect<void> =>
    Effect.sync(() => {
      for (const process of line) {
        core.parts.processes.remove(process)
        core.parts.fork(process.close("Shutdown"))
        release(core, process)
      }
    })
  const closeLine = (line: ReadonlyArray<LocalProcess>): Effect.Effect<void> =>
    Effect.onInterrupt(
      Effect.forEach(line, (process) => closeHere(core, process), { discard: true }),
      () => abandon(line)
    )
  return Effect.forEach(lines.values(), closeLine, { concurrency: "unbounded", discard: true })
}

/** Lets go of the claim that the process had; one that a later copy has written stays. */
const release = (core: Core, { epoch, name, sworm }: LocalProcess): void => {
  const claim = core.entry(sworm, name)?.claim
  if (claim?.epoch === epoch && claim.mode !== "released") core.writeClaim(sworm, name, { ...claim, mode: "released" })
}

/**
 * Stops a process whose registration goes on: another node may start it from its spec. Nothing is decided about the name
 * before it has ended; one that is moving is waited for.
 */
const closeHere = (core: Core, process: LocalProcess): Effect.Effect<void> =>
  Effect.suspend((): Effect.Effect<void> => {
    const { name, sworm } = process
    const { processes } = core.parts
    if (processes.get(sworm, name) !== process) return Effect.void
    const closing = Effect.andThen(
      process.close("Shutdown"),
      Effect.sync(() => {
        processes.remove(process)
        release(core, process)
      })
    )
    return core.exclusively(sworm, name, closing) ??
      Effect.andThen(Effect.sleep(SETTLE_MS), closeHere(core, process))
  })
