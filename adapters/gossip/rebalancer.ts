/** Moves this node's processes to where placement wants them: after a change of members, on leaving, on command. */
import { Effect, Latch } from "effect"
import type { LocalProcess } from "../../src/runtime/LocalProcess.ts"
import type { Core } from "./core.ts"
import type { Mover } from "./mover.ts"

/** Several changes close together are answered by one round of moves. */
const SETTLE_MS = 50
/** A round that could not move everything is repeated after this long. */
const RETRY_MS = 1000

export interface Rebalancer {
  /** Placement may want something elsewhere now. */
  readonly look: () => void
  /** Gives away every process of one sworm, or of all; answers how many went. Bounded by the shutdown timeout. */
  readonly giveAway: (sworm?: string) => Effect.Effect<number>
}

export const make = Effect.fnUntraced(function* (core: Core, mover: Mover) {
  const { members, node, options, processes } = core.parts
  const wanted = Latch.makeUnsafe(false)

  const target = (process: LocalProcess): string | undefined => {
    const home = core.home(process.hosted, process.name)?.id
    return home === node.id ? undefined : home
  }

  const moveAll = (moving: ReadonlyArray<LocalProcess>): Effect.Effect<number> => {
    let moved = 0
    return Effect.forEach(
      moving,
      (process) =>
        Effect.suspend(() => {
          const to = target(process)
          return to === undefined ? Effect.void : Effect.matchEffect(mover.move(process, to), {
            onFailure: (error) => Effect.logDebug(error.message),
            onSuccess: () => Effect.sync(() => void moved++)
          })
        }),
      { concurrency: options.concurrentMoves, discard: true }
    ).pipe(Effect.map(() => moved))
  }

  const misplaced = (): Array<LocalProcess> =>
    [...processes.all()].filter((process) =>
      process.status === "running" && process.hosted.redistribution === "active" && target(process) !== undefined
    )

  const round = Effect.gen(function* () {
    yield* wanted.await
    yield* Effect.sleep(SETTLE_MS)
    yield* wanted.close
    if (members.self().status !== "alive") return
    const moving = misplaced()
    if (moving.length === 0) return
    const moved = yield* moveAll(moving)
    if (moved < moving.length) {
      yield* Effect.sleep(RETRY_MS)
      yield* wanted.open
    }
  })
  yield* Effect.forkScoped(Effect.forever(
    Effect.catchCause(
      round,
      (cause) => Effect.andThen(Effect.logWarning("A round of moves failed", cause), Effect.sleep(RETRY_MS))
    )
  ))

  const giveAway: Rebalancer["giveAway"] = (sworm) => {
    let total = 0
    const rest = (): Array<LocalProcess> => [...(sworm === undefined ? processes.all() : processes.of(sworm))]
    const rounds = Effect.gen(function* () {
      while (rest().some((process) => target(process) !== undefined)) {
        const moved = yield* moveAll(rest())
        total += moved
        if (moved === 0) yield* Effect.sleep(SETTLE_MS)
      }
    })
    return Effect.suspend(() => rounds).pipe(
      Effect.timeoutOrElse({ duration: options.shutdownTimeoutMs, orElse: () => Effect.void }),
      Effect.andThen(Effect.suspend(() => {
        const left = rest()
        const close = Effect.forEach(left, (process) => closeHere(core, process), {
          concurrency: "unbounded",
          discard: true
        })
        return left.length === 0 || core.candidates(left[0]!.sworm).length === 0 ? close : Effect.andThen(
          Effect.logWarning(
            `${left.length} processes could not be handed over in time: they start from their args elsewhere`
          ),
          close
        )
      })),
      Effect.map(() => total)
    )
  }

  return { look: () => wanted.openUnsafe(), giveAway } satisfies Rebalancer
})

/** Stops a process whose registration goes on: another node may start it from its spec. */
const closeHere = (core: Core, process: LocalProcess): Effect.Effect<void> =>
  Effect.suspend(() => {
    const { name, sworm } = process
    core.parts.processes.remove(process)
    return Effect.andThen(
      process.close("Shutdown"),
      Effect.sync(() => {
        const claim = core.entry(sworm, name)?.claim
        if (claim !== undefined) core.writeClaim(sworm, name, { ...claim, mode: "released" })
      })
    )
  })
