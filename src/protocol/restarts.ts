/** Restart intensity of one process: at most `max` restarts within any window of `withinMs` milliseconds. */
export interface RestartLimit {
  readonly max: number
  readonly withinMs: number
}

/** When one process was restarted last; its own, so that no process uses up another's budget. */
export class RestartWindow {
  #times: Array<number> = []

  /** Has it been up for as long as crashes are counted? Then a back-off begins anew. */
  isFresh(nowMs: number, { withinMs }: RestartLimit): boolean {
    const last = this.#times.at(-1)
    return last === undefined || last <= nowMs - withinMs
  }

  /** Notes a crash at `nowMs`; `false` when the limit is passed and the process is to be given up. */
  allow(nowMs: number, limit: RestartLimit): boolean {
    this.#times = this.#times.filter((time) => time > nowMs - limit.withinMs)
    if (this.#times.length >= limit.max) return false
    this.#times.push(nowMs)
    return true
  }
}
