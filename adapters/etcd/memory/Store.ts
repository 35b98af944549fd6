/**
 * What etcd keeps: keys with their past, leases, and the events since the last compaction. Time is an argument. Keys
 * are binary strings, a character per byte: so they compare as etcd's do.
 */
export interface Entry {
  readonly key: string
  /** In base64, as it came. */
  readonly value: string
  readonly create: number
  readonly mod: number
  readonly version: number
  readonly lease: string
}

/** `entry` is missing where the key was deleted. */
export interface Change {
  readonly revision: number
  readonly key: string
  readonly entry: Entry | undefined
  readonly before: Entry | undefined
}

/** From a key up to another, without that; `to` undefined: that key alone; `"\0"`: all that follow. */
export interface Span {
  readonly from: string
  readonly to: string | undefined
}

export interface Lease {
  readonly id: string
  readonly ttlSeconds: number
  endsAtMs: number
  readonly keys: Set<string>
}

export const isIn = ({ from, to }: Span, key: string): boolean =>
  to === undefined ? key === from : key >= from && (to === "\0" || key < to)

export class Store {
  readonly leases = new Map<string, Lease>()
  readonly #now = new Map<string, Entry>()
  #changes: Array<Change> = []
  /** What was there at `compacted`. */
  #base = new Map<string, Entry>()
  #revision = 1
  #compacted = 0
  #grants = 0

  get revision(): number {
    return this.#revision
  }

  /** The oldest revision that can be read; 0: none is gone. */
  get compacted(): number {
    return this.#compacted
  }

  get(key: string): Entry | undefined {
    return this.#now.get(key)
  }

  /** Ordered by key. `revision` is one that is there. */
  range(span: Span, revision = this.#revision): Array<Entry> {
    const all = revision === this.#revision ? this.#now : this.#at(revision)
    const found = span.to === undefined
      ? [all.get(span.from)].filter((entry) => entry !== undefined)
      : [...all.values()].filter(({ key }) => isIn(span, key))
    return found.sort((a, b) => a.key < b.key ? -1 : 1)
  }

  /** The changes from a revision on; in one revision in the order they were made. */
  changes(span: Span, from: number): Array<Change> {
    let first = this.#changes.length
    while (first > 0 && this.#changes[first - 1]!.revision >= from) first--
    return this.#changes.slice(first).filter(({ key }) => isIn(span, key))
  }

  /** Writes that belong together: they make one revision, or none if nothing changes. */
  write<A>(act: (writer: Writer) => A): A {
    const revision = this.#revision + 1
    const change = (key: string, entry: Entry | undefined): Entry | undefined => {
      const before = this.#now.get(key)
      if (before !== undefined) this.leases.get(before.lease)?.keys.delete(key)
      if (entry === undefined) this.#now.delete(key)
      else this.#now.set(key, entry)
      if (entry !== undefined) this.leases.get(entry.lease)?.keys.add(key)
      this.#changes.push({ revision, key, entry, before })
      this.#revision = revision
      return before
    }
    return act({
      put: (key, value, lease) => {
        const before = this.#now.get(key)
        const create = before?.create ?? revision
        return change(key, { key, value, create, mod: revision, version: (before?.version ?? 0) + 1, lease })
      },
      remove: (key) => change(key, undefined)
    })
  }

  compact(revision: number): void {
    this.#base = this.#at(revision)
    this.#compacted = revision
    this.#changes = this.#changes.filter((change) => change.revision >= revision)
  }

  #at(revision: number): Map<string, Entry> {
    const all = new Map(this.#base)
    for (const change of this.#changes) {
      if (change.revision > revision) break
      if (change.entry === undefined) all.delete(change.key)
      else all.set(change.key, change.entry)
    }
    return all
  }

  // ---- leases

  grant(ttlSeconds: number, nowMs: number): Lease {
    // beyond what a number holds, as etcd's are
    const id = String(7_587_000_000_000_000_000n + BigInt(++this.#grants))
    const lease = { id, ttlSeconds, endsAtMs: nowMs + ttlSeconds * 1000, keys: new Set<string>() }
    this.leases.set(id, lease)
    return lease
  }

  revoke(lease: Lease): void {
    this.write(({ remove }) => {
      for (const key of [...lease.keys].sort()) remove(key)
    })
    this.leases.delete(lease.id)
  }

  expire(nowMs: number): void {
    for (const lease of [...this.leases.values()]) if (lease.endsAtMs <= nowMs) this.revoke(lease)
  }
}

/** Both answer what was there. */
export interface Writer {
  readonly put: (key: string, value: string, lease: string) => Entry | undefined
  readonly remove: (key: string) => Entry | undefined
}
