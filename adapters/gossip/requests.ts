/** Questions from node to node, each answered once or failed by its deadline. */
import { type Cause, Clock, Effect, Exit, Fiber, Scope } from "effect"
import { CallTable } from "../../src/protocol/calls.ts"
import { msgpack } from "../../src/protocol/codec.ts"
import { sectionId } from "../../src/protocol/ids.ts"
import { asArray, asCount, asFlag, BadFrame, Channel } from "../../src/protocol/wire.ts"
import { steadyMs } from "../../src/runtime/clocks.ts"
import type { Peer, Transport } from "../../src/Transport.ts"
import { Outbox } from "./outbox.ts"
import { IncomingParcels, MIN_CHUNK_BYTES, OutgoingParcels, Parcel, type Refusal } from "./parcels.ts"

/** What one node asks another. */
export const Method = {
  register: 1,
  start: 2,
  reserved: 3,
  locate: 4,
  unregister: 5,
  change: 6,
  confirm: 7,
  offer: 8,
  commit: 9,
  settle: 10,
  move: 11,
  home: 12,
  ended: 13,
  takeOver: 14,
  starting: 15,
  contact: 16,
  silence: 17,
  relaySettle: 18,
  keep: 19,
  recall: 20,
  control: 21,
  owed: 22
} as const

/** Why there is no answer. */
export type NoAnswerReason =
  /** The node can't be reached, is gone, or too slow. */
  | "Unreachable"
  /** The question is more than the other side takes. */
  | "TooLarge"
  /** Too much is on its way to that node, or to nobody who can take it. */
  | "TooMuch"
  /** The question is nothing that a wire can carry. */
  | "Encoding"
  /** What was asked died over there. */
  | "Died"

/** No answer. The node may have done what was asked. */
export class NoAnswer {
  readonly _tag = "NoAnswer"
  readonly node: string
  readonly detail: string
  readonly reason: NoAnswerReason
  constructor(node: string, detail: string, reason: NoAnswerReason = "Unreachable") {
    this.node = node
    this.detail = detail
    this.reason = reason
  }
}

/** Answers a question; what it returns is plain data. A defect is answered with nothing but its text. */
export type Answer = (from: Peer, body: unknown) => Effect.Effect<unknown>

export interface Requests {
  readonly ask: (node: string, method: number, body: unknown, timeoutMs: number) => Effect.Effect<unknown, NoAnswer>
  readonly answer: (method: number, answer: Answer) => void
}

export interface RequestLimits {
  /** A frame holds about so much of what is said within a turn; a message that is larger goes in chunks. */
  readonly frameBytes: number
  /** So much of one peer is kept in parts. */
  readonly partsBytes: number
}

const QUESTION = 0
const ANSWER = 1
/** The question is known, or on its way in chunks: only the answer is missing. */
const AGAIN = 2

const CHUNK_BYTES = 128 * 1024

/** An unanswered question is asked again after this long: its frame, or the answer's, may have been lost. */
const RESEND_MS = 300
const TICK_MS = RESEND_MS / 2

const CLOSED = "this node has left"

const refusals: Readonly<Record<Refusal, string>> = {
  TooLarge: "it is more than that node takes",
  TooMuch: "too much is on its way to that node",
  Unreachable: "it can't be reached"
}

interface Waiting {
  readonly node: string
  /** To be asked again with; only with its number once it is in chunks. */
  bytes: Uint8Array | undefined
  readonly resume: (effect: Effect.Effect<unknown, NoAnswer>) => void
  readonly timeoutMs: number
  readonly deadlineMs: number
  /** Its end is near, and somebody sleeps until then. */
  isTimed: boolean
  resendAtMs: number
}

/** What is sent in chunks is known by the number of its question. */
const questionKey = (id: number): number => 2 * id
const answerKey = (id: number): number => 2 * id + 1

/** `flush` sends what replication has waiting, so that nobody hears of a change before the change itself. */
export const make = Effect.fnUntraced(function* (
  transport: Transport,
  limits: RequestLimits,
  flush: () => void
): Effect.fn.Return<Requests, never, Scope.Scope> {
  const scope = yield* Effect.scope
  const clock = yield* Clock.Clock
  const context = yield* Effect.context<never>()
  const exchange = new Exchange(transport, limits, flush, steadyMs(clock), (effect) => {
    // most are done at once: those need no place in the scope
    Fiber.runIn(Effect.runForkWith(context)(effect), scope)
  })
  const endReceive = transport.receive(Channel.request, exchange.receive)
  const endEvents = transport.subscribe({
    up: () => {},
    down: (peer) => exchange.down(peer),
    unreachable: (node) => exchange.fail(node, "it can't be reached")
  })
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      endReceive()
      endEvents()
      exchange.close()
    })
  )
  yield* Effect.forkScoped(Effect.forever(Effect.andThen(Effect.sleep(TICK_MS), Effect.sync(() => exchange.tick()))))
  return { ask: exchange.ask, answer: exchange.answer }
})

class Exchange implements Requests {
  readonly #frameBytes: number
  readonly #nowMs: () => number
  readonly #fork: (effect: Effect.Effect<unknown>) => void
  readonly #waiting = new Map<number, Waiting>()
  readonly #answers = new Map<number, Answer>()
  /** Each question is answered by one run of its answer, however often it is asked. */
  readonly #asked = new CallTable()
  readonly #outbox: Outbox
  readonly #outgoing: OutgoingParcels
  readonly #incoming: IncomingParcels
  #lastId = 0
  #isClosed = false

  constructor(
    transport: Transport,
    { frameBytes, partsBytes }: RequestLimits,
    flush: () => void,
    nowMs: () => number,
    fork: (effect: Effect.Effect<unknown>) => void
  ) {
    this.#frameBytes = frameBytes
    this.#nowMs = nowMs
    this.#fork = fork
    const outbox = this.#outbox = new Outbox({
      frameBytes,
      header: () => this.#floor(),
      send: (to, frame) => {
        flush()
        return transport.send(to, Channel.request, frame, "protocol")
      }
    })
    const parcels = {
      chunkBytes: Math.max(MIN_CHUNK_BYTES, Math.min(CHUNK_BYTES, frameBytes)),
      limitBytes: partsBytes,
      nowMs,
      sendNow: (to: string, message: Uint8Array) => outbox.sendNow(to, message),
      post: (to: string, message: Uint8Array) => outbox.post(to, message)
    }
    this.#outgoing = new OutgoingParcels(parcels)
    this.#incoming = new IncomingParcels(parcels)
  }

  /** The lowest question still waited for. */
  #floor(): number {
    for (const id of this.#waiting.keys()) return id
    return this.#lastId + 1
  }

  // ---- whoever asks

  readonly ask: Requests["ask"] = (node, method, body, timeoutMs) =>
    Effect.callback<unknown, NoAnswer>((resume) => {
      if (this.#isClosed) return resume(Effect.fail(new NoAnswer(node, CLOSED)))
      const id = ++this.#lastId
      const bytes = encode([QUESTION, id, method, body, Math.ceil(timeoutMs)])
      if (bytes === undefined) return resume(Effect.fail(new NoAnswer(node, "it does not encode", "Encoding")))
      const now = this.#nowMs()
      const isLarge = bytes.byteLength > this.#frameBytes
      const question: Waiting = {
        node,
        bytes: isLarge ? undefined : bytes,
        resume,
        timeoutMs,
        deadlineMs: now + timeoutMs,
        isTimed: false,
        resendAtMs: now + RESEND_MS
      }
      this.#waiting.set(id, question)
      this.#timeSoon(id, question, now)
      const unsent = (refusal: Refusal): void => {
        const reason = refusal === "Unreachable" ? undefined : refusal
        this.#end(id, Effect.fail(new NoAnswer(node, refusals[refusal], reason)))
      }
      if (isLarge) this.#outgoing.send(node, questionKey(id), bytes, question.deadlineMs, unsent)
      else this.#outbox.post(node, bytes, () => unsent("Unreachable"))
      return Effect.sync(() => this.#end(id, Effect.interrupt))
    })

  #end(id: number, how: Effect.Effect<unknown, NoAnswer>): void {
    const question = this.#waiting.get(id)
    if (question === undefined) return
    this.#waiting.delete(id)
    if (question.bytes === undefined) this.#outgoing.abandon(question.node, questionKey(id))
    question.resume(how)
  }

  /** Nearly all are answered long before their deadline: a fiber waits for it only when it is near. */
  #timeSoon(id: number, question: Waiting, now: number): void {
    if (question.isTimed || question.deadlineMs > now + TICK_MS) return
    question.isTimed = true
    const { node, timeoutMs } = question
    const late = new NoAnswer(node, `no answer within ${timeoutMs} ms`)
    const end = Effect.sync(() => this.#end(id, Effect.fail(late)))
    this.#fork(Effect.andThen(Effect.sleep(Math.max(0, question.deadlineMs - now)), end))
  }

  fail(node: string, detail: string): void {
    for (const [id, question] of [...this.#waiting]) {
      if (question.node === node) this.#end(id, Effect.fail(new NoAnswer(node, detail)))
    }
  }

  /** This node's run has ended: nothing tells the time here any more, and whoever waits would wait for ever. */
  close(): void {
    this.#isClosed = true
    for (const [id, { node }] of [...this.#waiting]) this.#end(id, Effect.fail(new NoAnswer(node, CLOSED)))
  }

  down(peer: Peer): void {
    this.#outgoing.forget(peer.id)
    this.#incoming.forget(peer)
    this.fail(peer.id, "the connection ended")
  }

  tick(): void {
    const now = this.#nowMs()
    for (const [id, question] of this.#waiting) {
      this.#timeSoon(id, question, now)
      if (question.resendAtMs > now) continue
      question.resendAtMs = now + RESEND_MS
      // its chunks are sent again one by one
      if (this.#outgoing.has(question.node, questionKey(id))) continue
      this.#outbox.post(question.node, question.bytes ?? msgpack.encode([AGAIN, id]))
    }
    this.#outgoing.tick(now)
    this.#incoming.tick(now)
    this.#asked.expire(now)
  }

  // ---- whoever answers

  readonly answer: Requests["answer"] = (method, answer) => void this.#answers.set(method, answer)

  readonly receive = (from: Peer, frame: Uint8Array): void => {
    const [floor, ...messages] = asArray(msgpack.decode(frame))
    this.#asked.settleBelow(sectionId(from.id, from.boot), asCount(floor))
    for (const message of messages) this.#take(from, asArray(message))
  }

  #take(from: Peer, message: ReadonlyArray<unknown>): void {
    switch (message[0]) {
      case QUESTION:
        return this.#questioned(from, message)
      case ANSWER:
        return this.#answered(from, message)
      case AGAIN: {
        const id = asCount(message[1])
        const known = this.#asked.find(sectionId(from.id, from.boot), id)
        return known?._tag === "Answered" ? this.#reply(from, id, known.reply, known.deadlineMs) : undefined
      }
      case Parcel.chunk: {
        const whole = this.#incoming.chunk(from, message)
        return whole === undefined ? undefined : this.#take(from, this.#unpacked(whole))
      }
      case Parcel.got:
      case Parcel.refused:
        return this.#outgoing.answered(from.id, message)
      case Parcel.dropped:
        return this.#incoming.dropped(from, message)
      default:
        throw new BadFrame("Expected a question or an answer")
    }
  }

  /** Only what is said to a node comes in chunks. */
  #unpacked(bytes: Uint8Array): ReadonlyArray<unknown> {
    const message = asArray(msgpack.decode(bytes))
    if (message[0] !== QUESTION && message[0] !== ANSWER) throw new BadFrame("Expected a question or an answer")
    return message
  }

  #questioned(from: Peer, message: ReadonlyArray<unknown>): void {
    const [, idField, methodField, body, timeoutField] = asArray(message, 5)
    const caller = sectionId(from.id, from.boot)
    const id = asCount(idField)
    const method = asCount(methodField)
    const deadlineMs = this.#nowMs() + asCount(timeoutField)
    const known = this.#asked.receive(caller, id, "", deadlineMs)
    if (known?._tag === "Answered") return this.#reply(from, id, known.reply, known.deadlineMs)
    if (known !== undefined) return
    const answer = this.#answers.get(method)
    const reply = (ok: boolean, value: unknown): void => {
      this.#asked.answer(caller, id, [ok, value])
      this.#reply(from, id, [ok, value], deadlineMs)
    }
    const found = answer === undefined ? Exit.die(`no method ${method}`) : begun(answer, from, body)
    const how = {
      onSuccess: (value: unknown) => reply(true, value ?? null),
      onFailure: (cause: Cause.Cause<unknown>) => reply(false, String(cause))
    }
    // what is known at once needs no fiber
    if (Exit.isExit(found)) Exit.match(found, how)
    else this.#fork(Effect.matchCause(found, how))
  }

  #reply(to: Peer, id: number, reply: unknown, deadlineMs: number): void {
    const bytes = encode([ANSWER, id, ...asArray(reply)]) ??
      msgpack.encode([ANSWER, id, false, "its answer does not encode"])
    if (bytes.byteLength <= this.#frameBytes) return this.#outbox.post(to.id, bytes)
    // who can't take it waits until its deadline
    this.#outgoing.send(to.id, answerKey(id), bytes, deadlineMs, () => {})
  }

  #answered(from: Peer, message: ReadonlyArray<unknown>): void {
    const id = asCount(message[1])
    if (this.#waiting.get(id)?.node !== from.id) return
    const failed = (): NoAnswer => new NoAnswer(from.id, `it failed: ${String(message[3])}`, "Died")
    this.#end(id, asFlag(message[2]) ? Effect.succeed(message[3]) : Effect.fail(failed()))
  }
}

const begun = (answer: Answer, from: Peer, body: unknown): Effect.Effect<unknown> => {
  try {
    return answer(from, body)
  } catch (defect) {
    return Exit.die(defect)
  }
}

/** What a schema lets through may still be nothing that a wire can carry: a cycle, a symbol. */
const encode = (message: ReadonlyArray<unknown>): Uint8Array | undefined => {
  try {
    return msgpack.encode(message)
  } catch {
    return undefined
  }
}
