/** What is done to one name, one after the other. A disk that hangs makes nothing pile up: one waits at most. */
export class Turns {
  readonly #lines = new Map<string, Line>()

  /** Of several that wait the last alone is done: it stands for those before it, which end as it does. */
  run(key: string, work: () => Promise<void>): Promise<void> {
    const line = this.#lines.get(key) ?? { last: Promise.resolve(), next: undefined }
    this.#lines.set(key, line)
    if (line.next !== undefined) {
      line.next.work = work
      return line.next.done
    }
    const turn = { work }
    const done = line.last.then(() => {
      line.next = undefined
      return turn.work()
    })
    line.next = Object.assign(turn, { done })
    const ended = () => {
      if (line.next === undefined) this.#lines.delete(key)
    }
    line.last = done.then(ended, ended)
    return done
  }

  /** Names that something is being done to. */
  get size(): number {
    return this.#lines.size
  }
}

interface Line {
  /** Done, however it went, when the next may begin. */
  last: Promise<void>
  /** It has not begun yet. */
  next: { work: () => Promise<void>; readonly done: Promise<void> } | undefined
}
