/** Questions from node to node, each answered once or failed by its deadline. */
import { Clock, Effect, type Scope } from "effect"
import { CallTable } from "../../src/protocol/calls.ts"
import { msgpack } from "../../src/protocol/codec.ts"
import { sectionId } from "../../src/protocol/ids.ts"
import { asArray, asCount, asFlag, Channel } from "../../src/protocol/wire.ts"
import { steadyMs } from "../../src/runtime/clocks.ts"
import type { Peer, Transport } from "../../src/Transport.ts"

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
  owed: 21
} as const

/** No answer: the node is out of reach, gone, or too slow. It may have done what was asked. */
export class NoAnswer {
  readonly _tag = "NoAnswer"
  readonly node: string
  readonly detail: string
  constructor(node: string, detail: string) {
    this.node = node
    this.detail = detail
  }
}

/** Answers a question; what it returns is plain data. A defect is answered with nothing but its text. */
export type Answer = (from: Peer, body: unknown) => Effect.Effect<unknown>

export interface Requests {
  readonly ask: (node: string, method: number, body: unknown, timeoutMs: number) => Effect.Effect<unknown, NoAnswer>
  readonly answer: (method: number, answer: Answer) => void
}

const QUESTION = 0
const ANSWER = 1

/** An unanswered question is asked again after this long: its frame, or the answer's, may have been lost. */
const RESEND_MS = 300

interface Waiting {
  readonly node: string
  readonly body: ReadonlyArray<unknown>
  readonly resume: (effect: Effect.Effect<unknown, NoAnswer>) => void
  resendAtMs: number
}

/** `flush` sends what replication has waiting, so that nobody hears of a change before the change itself. */
export const make = Effect.fnUntraced(function* (
  transport: Transport,
  flush: () => void
): Effect.fn.Return<Requests, never, Scope.Scope> {
  const waiting = new Map<number, Waiting>()
  const answers = new Map<number, Answer>()
  /** Each question is answered by one run of its answer, however often it is asked. */
  const asked = new CallTable()
  const scope = yield* Effect.scope
  const clock = yield* Clock.Clock
  const context = yield* Effect.context<never>()
  const nowMs = steadyMs(clock)
  let lastId = 0

  const send = (to: string, body: ReadonlyArray<unknown>): boolean => {
    flush()
    return transport.send(to, Channel.request, msgpack.encode(body), "protocol")
  }

  /** The lowest question still waited for. */
  const floor = (): number => {
    for (const id of waiting.keys()) return id
    return lastId + 1
  }

  const ask: Requests["ask"] = (node, method, body, timeoutMs) =>
    Effect.suspend(() => {
      const id = ++lastId
      return Effect.callback<unknown, NoAnswer>((resume) => {
        const question = { node, body: [method, body, Math.ceil(timeoutMs)], resume, resendAtMs: nowMs() + RESEND_MS }
        waiting.set(id, question)
        if (!send(node, [QUESTION, id, floor(), ...question.body])) {
          resume(Effect.fail(new NoAnswer(node, "it can't be reached")))
        }
      }).pipe(
        Effect.timeoutOrElse({
          duration: timeoutMs,
          orElse: () => Effect.fail(new NoAnswer(node, `no answer within ${timeoutMs} ms`))
        }),
        Effect.ensuring(Effect.sync(() => waiting.delete(id)))
      )
    })

  const resend = Effect.sync(() => {
    const now = nowMs()
    for (const [id, question] of waiting) {
      if (question.resendAtMs > now) continue
      question.resendAtMs = now + RESEND_MS
      send(question.node, [QUESTION, id, floor(), ...question.body])
    }
    asked.expire(now)
  })

  const respond = (from: Peer, id: number, method: number, body: unknown): Effect.Effect<void> => {
    const caller = sectionId(from.id, from.boot)
    const answer = answers.get(method)
    const found = answer === undefined ? Effect.die(`no method ${method}`) : Effect.suspend(() => answer(from, body))
    const reply = (ok: boolean, value: unknown): void => {
      asked.answer(caller, id, [ok, value])
      send(from.id, [ANSWER, id, ok, value])
    }
    return Effect.matchCause(found, {
      onSuccess: (value) => reply(true, value ?? null),
      onFailure: (cause) => reply(false, String(cause))
    })
  }

  const questioned = (from: Peer, frame: ReadonlyArray<unknown>): void => {
    const caller = sectionId(from.id, from.boot)
    const id = asCount(frame[1])
    asked.settleBelow(caller, asCount(frame[2]))
    const known = asked.receive(caller, id, "", nowMs() + asCount(frame[5]))
    if (known?._tag === "Answered") return void send(from.id, [ANSWER, id, ...known.reply as ReadonlyArray<unknown>])
    if (known !== undefined) return
    const response = respond(from, id, asCount(frame[3]), frame[4])
    Effect.runForkWith(context)(Effect.forkIn(response, scope, { startImmediately: true }))
  }

  const fail = (node: string, detail: string): void => {
    for (const question of [...waiting.values()]) {
      if (question.node === node) question.resume(Effect.fail(new NoAnswer(node, detail)))
    }
  }

  const endReceive = transport.receive(Channel.request, (from, bytes) => {
    const frame = asArray(msgpack.decode(bytes))
    if (frame[0] === QUESTION) return questioned(from, frame)
    const question = waiting.get(asCount(frame[1]))
    if (question?.node !== from.id) return
    question.resume(
      asFlag(frame[2]) ? Effect.succeed(frame[3]) : Effect.fail(new NoAnswer(from.id, `it failed: ${String(frame[3])}`))
    )
  })
  const endEvents = transport.subscribe({
    up: () => {},
    down: (peer) => fail(peer.id, "the connection ended"),
    unreachable: (node) => fail(node, "it can't be reached")
  })
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      endReceive()
      endEvents()
    })
  )
  yield* Effect.forkScoped(Effect.forever(Effect.andThen(Effect.sleep(RESEND_MS / 2), resend)))
  return { ask, answer: (method, answer) => void answers.set(method, answer) }
})
