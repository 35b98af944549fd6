/** The timers of this node's processes, by when they fire. One fiber waits for the next. */
import { Clock, Effect, Latch, type Scope } from "effect"
import { nextAt, type Timer } from "../protocol/extras.ts"
import type { LocalProcess } from "./LocalProcess.ts"

interface Armed {
  readonly process: LocalProcess
  readonly timer: Timer
  atMs: number
  /** Cleared, or set anew: it stays in the heap until its time comes, and does nothing. */
  isCleared: boolean
}

/** A timer whose process can't take its message now is tried again after this long. */
const RETRY_MS = 100

export class TimerQueue {
  readonly #nowMs: () => number
  readonly #changed: Latch.Latch
  /** A binary heap, the next to fire first. */
  readonly #heap: Array<Armed> = []
  #cleared = 0
  readonly #of = new Map<LocalProcess, Map<string, Armed>>()

  constructor(nowMs: () => number, changed: Latch.Latch) {
    this.#nowMs = nowMs
    this.#changed = changed
  }

  set(process: LocalProcess, timer: Timer): void {
    let timers = this.#of.get(process)
    if (timers === undefined) this.#of.set(process, timers = new Map())
    const before = timers.get(timer.id)
    if (before?.timer === timer) return
    if (before !== undefined) this.#forget(before)
    const atMs = timer.everyMs === undefined ? timer.atMs : nextAt(timer.atMs, timer.everyMs, this.#nowMs())
    const armed = { process, timer, atMs, isCleared: false }
    timers.set(timer.id, armed)
    this.#push(armed)
    if (this.#heap[0] === armed) this.#changed.openUnsafe()
  }

  /** Disarms one timer of a process, or all. */
  clear(process: LocalProcess, id?: string): void {
    const timers = this.#of.get(process)
    if (timers === undefined) return
    for (const [key, armed] of timers) {
      if (id !== undefined && key !== id) continue
      this.#forget(armed)
      timers.delete(key)
    }
    if (timers.size === 0) this.#of.delete(process)
  }

  /** Forgotten ones are left in the heap; when they are most of it, it is made anew. */
  #forget(armed: Armed): void {
    if (armed.isCleared) return
    armed.isCleared = true
    this.#cleared++
    if (this.#cleared < 64 || this.#cleared * 2 < this.#heap.length) return
    const left = this.#heap.filter(({ isCleared }) => !isCleared)
    this.#heap.length = 0
    this.#cleared = 0
    for (const one of left) this.#push(one)
  }

  get size(): number {
    return this.#heap.length
  }

  /** When the next one fires, in ms; `Infinity` without any. */
  get nextMs(): number {
    while (this.#heap[0]?.isCleared === true) {
      this.#pop()
      this.#cleared--
    }
    return this.#heap[0]?.atMs ?? Infinity
  }

  /** Fires what is due. */
  fire(): void {
    const now = this.#nowMs()
    while (this.nextMs <= now) {
      const armed = this.#pop()!
      const { process, timer } = armed
      const isTaken = process.takesTimer()
      if (timer.everyMs !== undefined) armed.atMs = nextAt(timer.atMs, timer.everyMs, now)
      else if (!isTaken) armed.atMs = now + RETRY_MS
      else this.clear(process, timer.id)
      if (!armed.isCleared) this.#push(armed)
      if (isTaken) process.fire(timer)
    }
  }

  #push(armed: Armed): void {
    const heap = this.#heap
    let at = heap.push(armed) - 1
    while (at > 0) {
      const parent = (at - 1) >>> 1
      if (heap[parent]!.atMs <= armed.atMs) break
      heap[at] = heap[parent]!
      at = parent
    }
    heap[at] = armed
  }

  #pop(): Armed | undefined {
    const heap = this.#heap
    const first = heap[0]
    const last = heap.pop()
    if (first === undefined || last === undefined || first === last) return first
    let at = 0
    for (;;) {
      const left = 2 * at + 1
      if (left >= heap.length) break
      const right = left + 1
      const child = right < heap.length && heap[right]!.atMs < heap[left]!.atMs ? right : left
      if (heap[child]!.atMs >= last.atMs) break
      heap[at] = heap[child]!
      at = child
    }
    heap[at] = last
    return first
  }
}

/** No wait is longer, so that a clock that is set is noticed. */
const LONGEST_MS = 60_000

export const make: Effect.Effect<TimerQueue, never, Scope.Scope> = Effect.gen(function* () {
  const clock = yield* Clock.Clock
  const changed = Latch.makeUnsafe(false)
  const queue = new TimerQueue(() => clock.currentTimeMillisUnsafe(), changed)
  const next = Effect.suspend(() => {
    const wait = Math.min(LONGEST_MS, queue.nextMs - clock.currentTimeMillisUnsafe())
    return Effect.raceFirst(Effect.sleep(Math.max(0, wait)), changed.await)
  })
  yield* Effect.forkScoped(Effect.forever(Effect.andThen(
    next,
    Effect.andThen(changed.close, Effect.sync(() => queue.fire()))
  )))
  return queue
})
