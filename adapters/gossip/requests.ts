/** Questions from node to node, each answered once or failed by its deadline. */
import { Effect, type Scope } from "effect"
import { msgpack } from "../../src/protocol/codec.ts"
import { asArray, asCount, asFlag, Channel } from "../../src/protocol/wire.ts"
import type { Peer, Transport } from "../../src/Transport.ts"

/** What one node asks another. */
export const Method = {
  register: 1,
  start: 2,
  reserved: 3,
  locate: 4,
  unregister: 5,
  join: 6,
  leave: 7,
  offer: 8,
  commit: 9,
  settle: 10,
  move: 11,
  home: 12
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

interface Waiting {
  readonly node: string
  readonly resume: (effect: Effect.Effect<unknown, NoAnswer>) => void
}

/** `flush` sends what replication has waiting, so that nobody hears of a change before the change itself. */
export const make = Effect.fnUntraced(function* (
  transport: Transport,
  flush: () => void
): Effect.fn.Return<Requests, never, Scope.Scope> {
  const waiting = new Map<number, Waiting>()
  const answers = new Map<number, Answer>()
  const scope = yield* Effect.scope
  let lastId = 0

  const send = (to: string, body: ReadonlyArray<unknown>): boolean => {
    flush()
    return transport.send(to, Channel.request, msgpack.encode(body), "protocol")
  }

  const ask: Requests["ask"] = (node, method, body, timeoutMs) =>
    Effect.suspend(() => {
      const id = ++lastId
      return Effect.callback<unknown, NoAnswer>((resume) => {
        waiting.set(id, { node, resume })
        if (!send(node, [QUESTION, id, method, body])) resume(Effect.fail(new NoAnswer(node, "it can't be reached")))
      }).pipe(
        Effect.timeoutOrElse({
          duration: timeoutMs,
          orElse: () => Effect.fail(new NoAnswer(node, `no answer within ${timeoutMs} ms`))
        }),
        Effect.ensuring(Effect.sync(() => waiting.delete(id)))
      )
    })

  const respond = (from: Peer, id: number, method: number, body: unknown): Effect.Effect<void> => {
    const answer = answers.get(method)
    const found = answer === undefined ? Effect.die(`no method ${method}`) : Effect.suspend(() => answer(from, body))
    return Effect.matchCause(found, {
      onSuccess: (value) => void send(from.id, [ANSWER, id, true, value ?? null]),
      onFailure: (cause) => void send(from.id, [ANSWER, id, false, String(cause)])
    })
  }

  const fail = (node: string, detail: string): void => {
    for (const question of [...waiting.values()]) {
      if (question.node === node) question.resume(Effect.fail(new NoAnswer(node, detail)))
    }
  }

  const context = yield* Effect.context<never>()
  const endReceive = transport.receive(Channel.request, (from, bytes) => {
    const frame = asArray(msgpack.decode(bytes), 4)
    const id = asCount(frame[1])
    if (frame[0] === QUESTION) {
      Effect.runForkWith(context)(
        Effect.forkIn(respond(from, id, asCount(frame[2]), frame[3]), scope, { startImmediately: true })
      )
      return
    }
    const question = waiting.get(id)
    if (frame[0] !== ANSWER || question === undefined || question.node !== from.id) return
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
  return { ask, answer: (method, answer) => void answers.set(method, answer) }
})
