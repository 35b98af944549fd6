/** Processes that write into etcd, fenced by their epochs, and a record of what they and their clients have seen. */
import { Effect, Schema } from "effect"
import { Rpc } from "effect/rpc"
import { Process, Sworm } from "@sworm/sworm"
import type { EtcdClient } from "../../adapters/etcd/client.ts"
import { type CopyEvent, fencing } from "../linearizability/fencing.ts"
import { type Asked, type Operation, show } from "../linearizability/history.ts"
import { findings } from "../linearizability/report.ts"

export const Writer = Process.make("Writer", {
  protocol: [
    /** Writes, and answers the epoch. */
    Rpc.make("Write", { success: Schema.Number })
  ]
})

export class Writers extends Sworm.Service<Writers>()("Writers", { processes: [Writer] }) {}

/** One attempt to write. */
interface Write {
  readonly name: string
  readonly node: string
  readonly epoch: number
  /** Places in the order of all events. */
  readonly begunAt: number
  doneAt: number | undefined
  /** The store's revision; undefined where it was refused, or nothing is known. */
  revision: number | undefined
  isRefused: boolean
}

/** A message that was taken up. */
interface Handled {
  readonly name: string
  readonly node: string
  readonly epoch: number
  readonly at: number
}

const DIGITS = 16

const pad = (epoch: number): string => String(epoch).padStart(DIGITS, "0")

/** How often a process writes by itself. */
const WRITE_EVERY = "100 millis"

/** All that happens in a run, in one order. */
export class Record {
  readonly operations: Array<Operation> = []
  readonly copies: Array<CopyEvent> = []
  readonly writes: Array<Write> = []
  readonly handled: Array<Handled> = []
  #at = 0

  now(): number {
    return ++this.#at
  }

  /** An operation of a client; whatever fails otherwise than it says, or takes longer than the limit, is unknown. */
  operation(
    client: string,
    name: string,
    op: Asked["op"],
    asked: Effect.Effect<Asked["result"]>
  ): Effect.Effect<Asked["result"]> {
    return Effect.suspend(() => {
      const invokedAt = this.now()
      const unknown = { _tag: "Unknown" } as const
      const note = (result: Asked["result"]): void => {
        // the result is of the operation's kind: both come from one place
        this.operations.push({ client, name, invokedAt, returnedAt: this.now(), ...({ op, result } as Asked) })
      }
      return asked.pipe(
        Effect.tap((result) => Effect.sync(() => note(result))),
        Effect.onInterrupt(() => Effect.sync(() => note(unknown)))
      )
    })
  }

  /** All of it, for people to read. */
  lines(): ReadonlyArray<string> {
    const events: Array<readonly [at: number, line: string]> = [
      ...this.operations.map((one) => [one.invokedAt, `${one.name} ${show(one)}`] as const),
      ...this.copies.map((copy) => [copy.at, JSON.stringify(copy)] as const),
      ...this.handled.map(({ at, ...one }) => [at, `handled ${JSON.stringify(one)}`] as const),
      ...this.notes
    ]
    return events.sort((a, b) => a[0] - b[0]).map(([at, line]) => `${at} ${line}`)
  }

  /** What befell the nodes. */
  readonly notes: Array<readonly [at: number, line: string]> = []

  note(line: string): void {
    this.notes.push([this.now(), line])
  }

  // ---- what is wrong

  findings(): ReadonlyArray<string> {
    return [
      ...findings(this.operations),
      ...fencing(this.copies),
      ...this.#backward(),
      ...this.#late(this.writes.map(({ begunAt, ...write }) => ({ ...write, at: begunAt, what: "wrote" }))),
      ...this.#late(this.handled.map((one) => ({ ...one, what: "took up a message" })))
    ]
  }

  /** Of the writes that were done none is of a lower epoch than one before. */
  #backward(): ReadonlyArray<string> {
    const highest = new Map<string, Write>()
    const wrong: Array<string> = []
    const done = this.writes.flatMap((write) => write.revision === undefined ? [] : [[write.revision, write] as const])
    for (const [, write] of done.sort((a, b) => a[0] - b[0])) {
      const before = highest.get(write.name)
      if (before === undefined || before.epoch <= write.epoch) highest.set(write.name, write)
      else wrong.push(`"${write.name}" was written at epoch ${write.epoch} after ${before.epoch}`)
    }
    return wrong
  }

  /** Nobody does anything once a later copy of the name has begun to serve: its node has lost its lease before. */
  #late(deeds: ReadonlyArray<Handled & { readonly what: string }>): ReadonlyArray<string> {
    return deeds.flatMap(({ at, epoch, name, node, what }) => {
      const later = this.copies.find((copy) =>
        copy.op === "started" && copy.name === name && copy.epoch > epoch && copy.at < at
      )
      return later === undefined || later.op === "killed"
        ? []
        : [`"${name}" ${what} at ${at} on ${node} at epoch ${epoch}; since ${later.at} it served at ${later.epoch}`]
    })
  }
}

export const keyOf = (prefix: string, name: string): string => `${prefix}${name}`

/** Makes the keys of the counters: a comparison is true of no key that isn't there. */
export const seed = (client: EtcdClient, prefix: string, names: ReadonlyArray<string>) =>
  Effect.forEach(names, (name) => client.put(keyOf(prefix, name), pad(0)), { discard: true })

/** What the processes of a run do: each writes its epoch and how many times it wrote, unless a later one has. */
export const writersOf = (record: Record, client: EtcdClient, prefix: string) => {
  let written = 0
  const write = (name: string, node: string, epoch: number): Effect.Effect<void> =>
    Effect.suspend(() => {
      const attempt: Write = {
        ...{ name, node, epoch, begunAt: record.now() },
        ...{ doneAt: undefined, revision: undefined, isRefused: false }
      }
      record.writes.push(attempt)
      const key = keyOf(prefix, name)
      const stored = client.txn({
        // what is there is at most of this epoch: all such texts come before the next epoch's
        when: [{ key, value: pad(epoch + 1), is: "<" }],
        then: [{ put: key, value: `${pad(epoch)} ${++written}` }]
      })
      return Effect.match(stored, {
        // nothing is known of it
        onFailure: () => {},
        onSuccess: ({ revision, succeeded }) => {
          attempt.doneAt = record.now()
          attempt.isRefused = !succeeded
          if (succeeded) attempt.revision = revision
        }
      })
    })
  return Writers.toLayer(Writer, {
    init: () => Effect.void,
    handlers: {
      Write: (_, self) => {
        const { epoch, name, node } = self
        record.handled.push({ name, node, epoch, at: record.now() })
        return Effect.as(write(name, node, epoch), epoch)
      }
    },
    // it serves for as long as this runs
    run: (self) =>
      Effect.suspend(() => {
        const { epoch, name, node } = self
        record.copies.push({ op: "started", name, node, epoch, at: record.now() })
        return Effect.forever(
          Effect.andThen(Effect.suspend(() => write(name, node, self.epoch)), Effect.sleep(WRITE_EVERY))
        )
          .pipe(
            Effect.ensuring(
              Effect.sync(() => record.copies.push({ op: "stopped", name, node, epoch, at: record.now() }))
            )
          )
      })
  })
}
