/**
 * A machine in a simulation: Effect's scheduler and clock for everything that runs on it. It can be held up, lose
 * everything at once, and have a clock that is wrong.
 */
import { Clock, Context, Duration, Effect, Logger, Random, Scheduler } from "effect"
import { seededRandom } from "../../protocol/random.ts"
import type { Timeline } from "./Timeline.ts"

type Task = () => void

/** The wall clock of every simulation starts here, in ms: a constant, since a seed must mean one history. */
export const EPOCH_MS = 1_800_000_000_000

const NANOS = 1_000_000n

export class Machine {
  readonly id: string
  readonly #timeline: Timeline
  readonly #random: () => number
  #tasks: Array<Task> = []
  #heldSinceMs: number | undefined
  #heldMs = 0
  #isDead = false
  /** The wall clock is this far ahead of the true time; */
  #aheadMs = 0
  /** both clocks pass this much faster, since then. */
  #rate = 1
  #since = { trueMs: 0, localMs: 0 }
  /** Timers that wait on this machine. */
  #sleepers = 0
  /** Lines logged at warning or above. */
  readonly warnings: Array<string> = []

  constructor(id: string, timeline: Timeline, seed: number) {
    this.id = id
    this.#timeline = timeline
    this.#random = seededRandom(seed)
  }

  /** The true time, whatever its clocks say: ms since the simulation began. */
  get nowMs(): number {
    return this.#timeline.nowMs
  }

  // ---- its condition

  get isDead(): boolean {
    return this.#isDead
  }

  get isHeld(): boolean {
    return this.#heldSinceMs !== undefined
  }

  /** For how long it was held up, all in all. */
  get heldMs(): number {
    return this.#heldMs + (this.#heldSinceMs === undefined ? 0 : this.nowMs - this.#heldSinceMs)
  }

  /** Timers and tasks that wait on it: none, when everything on it has ended. */
  get pending(): number {
    return this.#tasks.length + this.#sleepers
  }

  /** As SIGSTOP and SIGCONT do: nothing runs, and what was due meanwhile is late. */
  hold(isHeld: boolean): void {
    if (isHeld === this.isHeld) return
    if (!isHeld) this.#heldMs = this.heldMs
    this.#heldSinceMs = isHeld ? this.nowMs : undefined
  }

  /** As SIGKILL does: whatever ran here never goes on. */
  die(): void {
    this.#isDead = true
    this.#tasks = []
  }

  /** The wall clock is set, forward or back. */
  jump(byMs: number): void {
    this.#aheadMs += byMs
  }

  /** Its clocks pass `rate` times as fast as the time. */
  drift(rate: number): void {
    const trueMs = this.#timeline.nowMs
    this.#since = { trueMs, localMs: this.#localMs() }
    this.#rate = rate
  }

  // ---- running

  get isRunnable(): boolean {
    return this.#tasks.length > 0 && !this.isHeld
  }

  /** One turn of its event loop. */
  turn(): void {
    const tasks = this.#tasks
    this.#tasks = []
    for (const task of tasks) if (!this.#isDead) task()
  }

  /** To be run in its next turn. */
  soon(task: Task): void {
    if (!this.#isDead) this.#tasks.push(task)
  }

  /** To be run after so many ms of its own time. */
  later(millis: number, task: Task): () => void {
    this.#sleepers++
    return this.#timeline.at(this.#timeline.nowMs + millis / this.#rate, () => {
      this.#sleepers--
      this.soon(task)
    }, () => void this.#sleepers--)
  }

  /** What fibers need that are to run here. */
  get context(): Context.Context<never> {
    const context = Context.make(Scheduler.Scheduler, this.#scheduler).pipe(
      Context.add(Clock.Clock, this.#clock),
      Context.add(Random.Random, {
        nextIntUnsafe: () => Math.floor(this.#random() * 0x7fffffff),
        nextDoubleUnsafe: this.#random
      }),
      Context.add(Logger.CurrentLoggers, new Set([this.#logger]))
    )
    return context as Context.Context<never>
  }

  // ---- what Effect asks of it

  #localMs(): number {
    return this.#since.localMs + (this.#timeline.nowMs - this.#since.trueMs) * this.#rate
  }

  readonly #logger = Logger.make<unknown, void>(({ logLevel, message }) => {
    if (logLevel === "Warn" || logLevel === "Error" || logLevel === "Fatal") this.warnings.push(String(message))
  })

  readonly #scheduler: Scheduler.Scheduler = {
    executionMode: "async",
    shouldYield: (fiber) => fiber.currentOpCount >= fiber.cache.maxOpsBeforeYield,
    makeDispatcher: () => ({
      scheduleTask: (task) => this.soon(task),
      flush: () => {}
    })
  }

  get #clock(): Clock.Clock {
    const wallMs = (): number => Math.floor(EPOCH_MS + this.#aheadMs + this.#localMs())
    const monotonic = (): bigint => BigInt(Math.floor(this.#localMs() * 1000)) * 1000n
    return {
      currentTimeMillisUnsafe: wallMs,
      currentTimeMillis: Effect.sync(wallMs),
      currentTimeNanosUnsafe: () => BigInt(wallMs()) * NANOS,
      currentTimeNanos: Effect.sync(() => BigInt(wallMs()) * NANOS),
      monotonicTimeNanosUnsafe: monotonic,
      monotonicTimeNanos: Effect.sync(monotonic),
      sleep: (duration) => this.#sleep(Duration.toMillis(duration))
    }
  }

  #sleep(millis: number): Effect.Effect<void> {
    if (!Number.isFinite(millis)) return Effect.never
    return Effect.callback<void>((resume) => {
      const cancel = this.later(Math.max(0, millis), () => resume(Effect.void))
      return Effect.sync(cancel)
    })
  }
}
