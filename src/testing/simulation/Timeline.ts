/** The true time of a simulation: what is due when. It passes only when everything that can run has run. */
import { seededRandom } from "../../protocol/random.ts"
import type { Machine } from "./Machine.ts"

interface Due {
  readonly atMs: number
  readonly order: number
  run: (() => void) | undefined
}

const isBefore = (a: Due, b: Due): boolean => a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)

/** The program's own loop gets a turn, so that promises of user code settle: microtasks, and what they start. */
const breathe = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

export class Timeline {
  nowMs = 0
  readonly machines: Array<Machine> = []
  readonly #random: () => number
  /** A binary heap, the earliest first. */
  readonly #heap: Array<Due> = []
  #order = 0

  constructor(seed: number) {
    this.#random = seededRandom(seed)
  }

  /** Runs something at a time. Until then it can be taken back. */
  at(atMs: number, run: () => void, cancelled: () => void = () => {}): () => void {
    const due: Due = { atMs: Math.max(atMs, this.nowMs), order: this.#order++, run }
    this.#push(due)
    return () => {
      if (due.run === undefined) return
      due.run = undefined
      cancelled()
    }
  }

  /** Lets time pass until then, or until a condition holds; it is looked at between two instants. */
  async pass(untilMs: number, isDone: () => boolean = () => false): Promise<void> {
    for (;;) {
      await this.#settle()
      const next = this.#next()
      if (isDone()) return
      if (next === undefined || next.atMs > untilMs) break
      this.nowMs = next.atMs
      for (let due = this.#next(); due !== undefined && due.atMs <= this.nowMs; due = this.#next()) {
        this.#pop()
        const { run } = due
        due.run = undefined
        run?.()
      }
    }
    this.nowMs = Math.max(this.nowMs, untilMs)
  }

  /** Runs all that can run now: machine by machine, in an order that chance decides. */
  async #settle(): Promise<void> {
    for (;;) {
      const runnable = this.machines.filter((machine) => machine.isRunnable)
      if (runnable.length === 0) return
      while (runnable.length > 0) {
        const index = Math.floor(this.#random() * runnable.length)
        const [machine] = runnable.splice(index, 1)
        machine!.turn()
      }
      await breathe()
    }
  }

  #next(): Due | undefined {
    while (this.#heap.length > 0 && this.#heap[0]!.run === undefined) this.#pop()
    return this.#heap[0]
  }

  #push(due: Due): void {
    const heap = this.#heap
    let index = heap.push(due) - 1
    while (index > 0) {
      const parent = (index - 1) >>> 1
      if (!isBefore(due, heap[parent]!)) break
      heap[index] = heap[parent]!
      index = parent
    }
    heap[index] = due
  }

  #pop(): void {
    const heap = this.#heap
    const last = heap.pop()!
    if (heap.length === 0) return
    let index = 0
    for (;;) {
      let child = 2 * index + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++
      if (!isBefore(heap[child]!, last)) break
      heap[index] = heap[child]!
      index = child
    }
    heap[index] = last
  }
}
