/**
 * A watch that outlives its connections. Each connection asks for the revision after the last that was given, so that
 * nothing is lost or given twice. One that says nothing for a while is replaced: a connection that died without a word
 * looks like one on which nothing happens.
 */
import { Effect, Pull, Queue, Stream } from "effect"
import { backOffMs } from "./endpoints.ts"
import { EtcdError } from "./EtcdError.ts"
import { type Asked, isPassing, toError } from "./failures.ts"
import { describeKeys } from "./keys.ts"
import { decodeWatch, encodeWatch, type WatchMessage } from "./messages.ts"
import type { Connection, Session } from "./session.ts"
import type { Keys, WatchBatch, WatchEvent, WatchOptions } from "./types.ts"

/** Batches that wait for the reader; etcd keeps what comes after them. */
const BUFFERED = 16

export interface WatchLimits {
  readonly watchIdleMs: number
  readonly watchRetryForMs: number
}

export const watch = (
  session: Session,
  limits: WatchLimits,
  keys: Keys,
  options: WatchOptions = {}
): Stream.Stream<WatchBatch, EtcdError> =>
  Stream.callback<WatchBatch, EtcdError>(
    (queue) => new Watch(session, limits, keys, options, queue).run(),
    { bufferSize: BUFFERED, strategy: "suspend" }
  )

class Watch {
  readonly #session: Session
  readonly #limits: WatchLimits
  readonly #keys: Keys
  readonly #options: WatchOptions
  readonly #queue: Queue.Enqueue<WatchBatch, EtcdError>
  readonly #operation: string
  /** The first revision that has not been given. */
  #next: number | undefined
  /** Since when it has had no connection that worked, and how often it tried since. */
  #brokenAtMs: number | undefined
  #attempts = 0
  #triedNewToken = false
  #connection: Connection | undefined

  constructor(
    session: Session,
    limits: WatchLimits,
    keys: Keys,
    options: WatchOptions,
    queue: Queue.Enqueue<WatchBatch, EtcdError>
  ) {
    this.#session = session
    this.#limits = limits
    this.#keys = keys
    this.#options = options
    this.#queue = queue
    this.#operation = `watch ${describeKeys(keys)}`
    this.#next = options.from
  }

  run(): Effect.Effect<never, EtcdError> {
    return Effect.gen({ self: this }, function* () {
      while (true) {
        const error = yield* Effect.flip(Effect.scoped(this.#connect()))
        if (error === "idle") continue
        yield* this.#recover(error)
      }
    })
  }

  /** Waits before the next connection, or gives up. */
  #recover(error: EtcdError): Effect.Effect<void, EtcdError> {
    return Effect.gen({ self: this }, function* () {
      if (!this.#triedNewToken && this.#connection?.forgetToken(error) === true) {
        this.#triedNewToken = true
        return
      }
      if (!isPassing(error.reason)) return yield* error
      yield* this.#session.failed(error)
      const now = this.#session.nowMs()
      this.#brokenAtMs ??= now
      const waitMs = yield* backOffMs(this.#attempts++)
      if (now + waitMs - this.#brokenAtMs >= this.#limits.watchRetryForMs) return yield* error
      yield* Effect.sleep(waitMs)
    })
  }

  /** One connection, until it ends. */
  #connect() {
    return Effect.gen({ self: this }, function* () {
      const asked: Asked = { operation: this.#operation, endpoint: this.#session.endpoint, isRepeatable: true }
      const body = encodeWatch(this.#keys, this.#next, this.#options.previous)
      this.#connection = this.#session.connect(asked, "/v3/watch", body)
      const pull = yield* Stream.toPull(this.#connection.messages)
      let isOpen = false
      while (true) {
        const messages = yield* this.#pulled(pull, asked, isOpen)
        for (const message of messages) {
          const read = yield* Effect.mapError(
            decodeWatch(message),
            (error) => this.#error(asked, "Unexpected", `the message is not etcd's: ${error.message.slice(0, 200)}`)
          )
          yield* this.#take(read, asked)
          isOpen = true
        }
      }
    })
  }

  #pulled(pull: Pull.Pull<ReadonlyArray<unknown>, EtcdError>, asked: Asked, isOpen: boolean) {
    const { requestTimeoutMs } = this.#session
    const unanswered = this.#error(asked, "Timeout", `no answer within ${requestTimeoutMs} ms`)
    return pull.pipe(
      Pull.catchDone(() => Effect.fail(this.#error(asked, "Unreachable", "the server ended the watch"))),
      Effect.timeoutOrElse({
        duration: isOpen ? this.#limits.watchIdleMs : requestTimeoutMs,
        orElse: (): Effect.Effect<never, EtcdError | "idle"> => Effect.fail(isOpen ? "idle" : unanswered)
      })
    )
  }

  #take(message: WatchMessage, asked: Asked): Effect.Effect<void, EtcdError> {
    if (message.canceled !== undefined) return Effect.fail(this.#canceled(message.canceled, asked))
    this.#brokenAtMs = undefined
    this.#attempts = 0
    this.#triedNewToken = false
    // some versions of etcd may say an event twice
    const events = message.events.filter((event) => revisionOf(event) >= (this.#next ?? 0))
    const last = events.at(-1)
    // the header may be ahead of them, while more of what was missed is under way
    if (last !== undefined) return this.#give(revisionOf(last), events)
    // a member that lags says a revision that has been given
    if (message.events.length > 0 || message.revision < (this.#next ?? 0)) return Effect.void
    // what happened before it was there does not belong to it; else the events up to this revision are yet to come
    return message.isCreated && this.#next !== undefined ? Effect.void : this.#give(message.revision, [])
  }

  #give(revision: number, events: WatchBatch["events"]): Effect.Effect<void> {
    this.#next = revision + 1
    return Effect.asVoid(Queue.offer(this.#queue, { revision, events }))
  }

  #canceled(canceled: NonNullable<WatchMessage["canceled"]>, asked: Asked): EtcdError {
    const { compactRevision, detail } = canceled
    if (compactRevision === 0) {
      return toError({ _tag: "Refused", status: 200, code: 14, detail: detail || "the server ended the watch" }, asked)
    }
    return new EtcdError({
      reason: "Compacted",
      operation: this.#operation,
      endpoint: asked.endpoint,
      detail: `events before revision ${compactRevision} are gone, and ${this.#next} was wanted`,
      isUnknown: false,
      compactRevision
    })
  }

  #error(asked: Asked, reason: EtcdError["reason"], detail: string): EtcdError {
    return toError({ _tag: "Broken", reason, detail, isSent: true }, asked)
  }
}

const revisionOf = (event: WatchEvent): number => event.type === "put" ? event.kv.modRevision : event.revision
