/** What a person sees while the demo runs: a table drawn anew on a terminal; elsewhere a line a second and a phase. */
import { Effect, type Scope } from "effect"
import process from "node:process"

export interface Progress {
  readonly phase: string
  readonly records: number
  readonly total: number
  readonly perSecond: number
  readonly moved: number
  readonly failed: number
  /** Processes on each node, with its runtime. */
  readonly nodes: ReadonlyArray<{ readonly id: string; readonly runtime: string; readonly processes: number }>
}

const BAR = 32

export const bar = (share: number, width = BAR): string => {
  const full = Math.round(Math.min(1, Math.max(0, share)) * width)
  return "█".repeat(full) + "░".repeat(width - full)
}

const linesOf = (progress: Progress): Array<string> => {
  const { failed, moved, nodes, perSecond, phase, records, total } = progress
  const most = Math.max(1, ...nodes.map(({ processes }) => processes))
  return [
    `${bar(records / total)} ${records.toLocaleString("en")} of ${total.toLocaleString("en")} records`,
    `${Math.round(perSecond).toLocaleString("en")} records/s · ${moved} moved · ${failed} calls failed · ${phase}`,
    ...nodes.map(({ id, processes, runtime }) =>
      `  ${id.padEnd(8)} ${runtime.padEnd(5)} ${String(processes).padStart(5)} ${bar(processes / most, 24)}`
    )
  ]
}

/** Shows progress on stderr until the scope closes. */
export const show = (now: () => Progress): Effect.Effect<void, never, Scope.Scope> => {
  const live = process.stderr.isTTY === true && process.env["CI"] === undefined
  let drawn = 0
  const redraw = (): void => {
    const lines = linesOf(now())
    process.stderr.write(
      (drawn > 0 ? `\x1b[${drawn}A` : "") + lines.map((line) => `\x1b[2K${line}\n`).join("") + "\x1b[J"
    )
    drawn = lines.length
  }
  let saidPhase: string | undefined
  let saidAt = 0
  const say = (): void => {
    const { phase } = now()
    if (phase === saidPhase && performance.now() - saidAt < 1000) return
    saidPhase = phase
    saidAt = performance.now()
    process.stderr.write(linesOf(now()).slice(0, 2).join(" · ") + "\n")
  }
  const step = Effect.sync(live ? redraw : say)
  return Effect.gen(function* () {
    yield* Effect.addFinalizer(() => step)
    yield* Effect.forkScoped(Effect.forever(Effect.andThen(step, Effect.sleep(live ? 150 : 50))))
  })
}
