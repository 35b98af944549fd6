/**
 * A message's way to its process: local at once, remote by frame, waiting while it moves. A call is numbered once and
 * keeps its number through every retry, so the holder executes it at most once (PROTOCOL H21).
 */
import { Clock, Context, Duration, Effect, Exit, Metric, type Scope } from "effect"
import { CallTable } from "./protocol/calls.ts"
import { msgpack } from "./protocol/codec.ts"
import { nodeOf, type SectionId } from "./protocol/ids.ts"
import { asArray, asCount, asText, Channel } from "./protocol/wire.ts"
import { describe, type HostedType, type Message } from "./runtime/Hosted.ts"
import { CurrentProcess, type Envelope, type Forwarded, type LocalProcess } from "./runtime/LocalProcess.ts"
import type { LocalProcesses } from "./runtime/LocalProcesses.ts"
import { CallError, type CallFailure } from "./SwormError.ts"
import type { Peer, Transport } from "./Transport.ts"

/** Where a name is, as the backend knows it. */
export interface Location {
  readonly section: SectionId
  readonly epoch: number
  /** Same as before: the process that was called lives on, and with it what it remembers of calls. */
  readonly continuity: number
}

/** What dispatch asks of the backend. */
export interface Directory {
  /** What this node knows; no message. */
  readonly find: (sworm: string, name: string) => Location | undefined
  /**
   * Looks further where `find` knows nothing: `"moving"` when the name is registered, or may be, but nobody can be
   * called for it just now; `undefined` only when it is not registered.
   */
  readonly locate: (sworm: string, name: string) => Effect.Effect<Location | "moving" | undefined>
  /** Done at the next change of the name. */
  readonly changed: (sworm: string, name: string) => Effect.Effect<void>
}

export interface CallOptions {
  /** Default 5 seconds. */
  readonly timeout?: Duration.Input | undefined
}

export interface Dispatch {
  readonly call: (
    sworm: string,
    type: HostedType,
    name: string,
    message: Message,
    payload: unknown,
    options?: CallOptions
  ) => Effect.Effect<unknown, unknown>
  /** Sends without waiting for an answer; `false` when there was no process or no way to it. */
  readonly cast: (
    sworm: string,
    type: HostedType,
    name: string,
    message: Message,
    payload: unknown
  ) => Effect.Effect<boolean, CallError>
  /** Messages that a move brought, in the order they waited. */
  readonly adopt: (process: LocalProcess, forwarded: ReadonlyArray<Forwarded>) => void
  /** What was answered for a process, for the node that takes it over. */
  readonly calls: CallTable
}

export const Dispatch: Context.Service<Dispatch, Dispatch> = Context.Service<Dispatch>("sworm/Dispatch")

// ---- frames

const CALL = 0
const REPLY = 1
const CANCEL = 2
const CAST = 3

const SUCCESS = 0
const FAILURE = 1
const CALL_ERROR = 2
const NOT_HERE = 3

type Reply =
  | { readonly _tag: "Answer"; readonly kind: number; readonly value: unknown }
  /** It is not there (any more), or the call never left: look again. */
  | { readonly _tag: "NotHere" }
  /** The connection ended after the call was sent: it may have been executed. */
  | { readonly _tag: "Lost" }

interface Pending {
  readonly node: string
  readonly resume: (reply: Reply) => void
}

const DEFAULT_TIMEOUT_MS = 5000
const RETRY_MS = 50
/** How often a cast is sent on by nodes that no longer have its process. */
const MAX_HOPS = 3

const droppedCasts = Metric.counter("sworm_casts_dropped", {
  description: "Casts that reached a node without their process, which knew of no other node to send them on to"
})

/** Takes messages, now or once it serves. */
const isOpen = ({ status }: LocalProcess): boolean => status !== "closed" && status !== "starting"

export const make = Effect.fnUntraced(function* (
  node: { readonly id: string; readonly section: SectionId },
  transport: Transport,
  processes: LocalProcesses,
  directory: Directory
): Effect.fn.Return<Dispatch, never, Scope.Scope> {
  const clock = yield* Clock.Clock
  const context = yield* Effect.context<never>()
  const pending = new Map<number, Pending>()
  const calls = new CallTable()
  const running = new Map<string, () => void>()
  let lastSeq = 0

  const callError = (name: string, reason: CallFailure, detail = ""): CallError =>
    new CallError({ name, reason, detail })

  const send = (to: string, body: ReadonlyArray<unknown>): boolean =>
    transport.send(to, Channel.call, msgpack.encode(body), "user")

  /** The lowest number still waited for: the holder may forget its answers to all below. */
  const floor = (): number => {
    for (const seq of pending.keys()) return seq
    return lastSeq + 1
  }

  // ---- local

  const callLocal = (
    process: LocalProcess,
    message: Message,
    payload: unknown,
    from: LocalProcess | undefined,
    timeoutMs: number
  ): Effect.Effect<unknown, unknown> => {
    let exit: Exit.Exit<unknown, unknown> | undefined
    let resume: ((exit: Effect.Effect<unknown, unknown>) => void) | undefined
    let forwardedAs: number | undefined
    const envelope: Envelope = {
      message,
      payload,
      from,
      answer: (answer) => {
        exit = answer
        resume?.(answer)
      },
      // its caller is here: it becomes a call to the node that the process moves to
      forward: () => {
        const seq = ++lastSeq
        forwardedAs = seq
        pending.set(seq, {
          node: "",
          resume: (reply) => {
            pending.delete(seq)
            envelope.answer(
              reply._tag === "Answer" ? readAnswer(process.name, message, reply) : Exit.fail(
                callError(process.name, "OutcomeUnknown", "the node that it moved to was lost")
              )
            )
          }
        })
        const encoded = message.payload.encode(payload)
        return {
          caller: node.section,
          seq,
          tag: message.tag,
          payload: encoded._tag === "Success" ? encoded.value : undefined,
          deadlineMs: clock.currentTimeMillisUnsafe() + timeoutMs
        }
      }
    }
    process.receive(envelope)
    if (exit !== undefined) return exit
    return Effect.callback<unknown, unknown>((done) => {
      if (exit !== undefined) return done(exit)
      resume = done
      return Effect.sync(() => {
        if (forwardedAs === undefined) process.cancel(envelope)
        else pending.delete(forwardedAs)
      })
    }).pipe(Effect.timeoutOrElse({
      duration: timeoutMs,
      orElse: () => Effect.fail(callError(process.name, "Timeout", `no answer within ${timeoutMs} ms`))
    }))
  }

  // ---- remote, the caller's side

  const readAnswer = (
    name: string,
    message: Message,
    answer: { readonly kind: number; readonly value: unknown }
  ): Exit.Exit<unknown, unknown> => {
    if (answer.kind === CALL_ERROR) {
      const [reason, detail] = answer.value as [CallFailure, string]
      return Exit.fail(callError(name, reason, detail))
    }
    const decoded = (answer.kind === SUCCESS ? message.success : message.error).decode(answer.value)
    if (decoded._tag === "Failure") return Exit.fail(callError(name, "Encoding", describe(decoded)))
    return answer.kind === SUCCESS ? decoded : Exit.fail(decoded.value)
  }

  const awaitReply = (seq: number, to: string, frame: () => ReadonlyArray<unknown>): Effect.Effect<Reply> =>
    Effect.callback<Reply>((done) => {
      pending.set(seq, { node: to, resume: (reply) => done(Effect.succeed(reply)) })
      if (!send(to, frame())) done(Effect.succeed({ _tag: "NotHere" }))
      return Effect.sync(() => {
        send(to, [CANCEL, seq])
      })
    })

  const callRemote = Effect.fnUntraced(function* (
    sworm: string,
    name: string,
    message: Message,
    payload: unknown,
    from: LocalProcess | undefined,
    deadline: number
  ): Effect.fn.Return<unknown, unknown> {
    const encoded = message.payload.encode(payload)
    if (encoded._tag === "Failure") return yield* Effect.fail(callError(name, "Encoding", describe(encoded)))
    const seq = ++lastSeq
    let sentTo: Location | undefined
    let missed: string | undefined
    const attempts = Effect.gen(function* (): Effect.fn.Return<unknown, unknown> {
      while (true) {
        const remaining = deadline - clock.currentTimeMillisUnsafe()
        const at = directory.find(sworm, name) ?? (yield* directory.locate(sworm, name))
        if (at === "moving") {
          yield* Effect.raceFirst(directory.changed(sworm, name), Effect.sleep(RETRY_MS))
          continue
        }
        if (sentTo !== undefined && at?.continuity !== sentTo.continuity) {
          // the process that may have executed the call is gone, and nobody remembers for it
          return yield* Effect.fail(callError(name, "OutcomeUnknown", "its process was lost with the call under way"))
        }
        if (at === undefined) return yield* Effect.fail(callError(name, "NotRegistered"))
        const here = at.section === node.section ? processes.get(sworm, name) : undefined
        if (here !== undefined && isOpen(here) && sentTo === undefined) {
          return yield* callLocal(here, message, payload, from, remaining)
        }
        const attempt = `${at.section}@${at.epoch}`
        if (at.section === node.section || attempt === missed) {
          // what this node knows is not what is: wait for news, but not only for them
          yield* Effect.raceFirst(directory.changed(sworm, name), Effect.sleep(RETRY_MS))
          missed = undefined
          continue
        }
        const to = nodeOf(at.section)
        const reply = yield* awaitReply(seq, to, () => [
          CALL,
          seq,
          floor(),
          sworm,
          name,
          message.tag,
          encoded.value,
          Math.max(0, Math.ceil(deadline - clock.currentTimeMillisUnsafe())),
          from?.name ?? null
        ])
        if (reply._tag === "Answer") return yield* readAnswer(name, message, reply)
        // after a loss the call may have been executed there; a "not here" from elsewhere does not change that
        if (reply._tag === "Lost") sentTo ??= at
        missed = attempt
      }
    })
    return yield* attempts.pipe(
      Effect.timeoutOrElse({
        duration: Math.max(0, deadline - clock.currentTimeMillisUnsafe()),
        orElse: () => Effect.fail(callError(name, "Timeout", "no answer within its deadline"))
      }),
      Effect.ensuring(Effect.sync(() => pending.delete(seq)))
    )
  })

  // ---- remote, the holder's side

  const encodeExit = (
    name: string,
    message: Message,
    exit: Exit.Exit<unknown, unknown>
  ): readonly [number, unknown] => {
    if (exit._tag === "Success") {
      const encoded = message.success.encode(exit.value)
      return encoded._tag === "Success" ? [SUCCESS, encoded.value] : [CALL_ERROR, ["Encoding", describe(encoded)]]
    }
    const reason = exit.cause.reasons[0]
    const error = reason?._tag === "Fail" ? reason.error : undefined
    if (error instanceof CallError && error.name === name) return [CALL_ERROR, [error.reason, error.detail]]
    const encoded = message.error.encode(error)
    return encoded._tag === "Success" ? [FAILURE, encoded.value] : [CALL_ERROR, ["Encoding", describe(encoded)]]
  }

  const reply = (caller: SectionId, seq: number, kind: number, value: unknown): void => {
    if (!send(nodeOf(caller), [REPLY, seq, kind, value])) {
      // a reply that can't leave (too large, or the caller is out of reach) is not a reason to keep the caller waiting
      send(nodeOf(caller), [REPLY, seq, CALL_ERROR, ["Encoding", "the reply could not be sent"]])
    }
  }

  const deliver = (process: LocalProcess, forwarded: Forwarded): void => {
    const { caller, deadlineMs, payload, seq, tag } = forwarded
    const message = process.type.messages.get(tag)
    const decoded = message?.payload.decode(payload)
    const key = `${caller}:${seq}`
    const id = `${process.sworm}\n${process.name}`
    const answer = (exit: Exit.Exit<unknown, unknown>): void => {
      running.delete(key)
      if (seq === undefined || message === undefined) return
      const [kind, value] = encodeExit(process.name, message, exit)
      if (kind === CALL_ERROR && (value as [CallFailure])[0] === "Stopped") {
        calls.forget(caller, seq)
        return reply(caller, seq, NOT_HERE, null)
      }
      calls.answer(caller, seq, [kind, value])
      reply(caller, seq, kind, value)
    }
    if (seq !== undefined) {
      const known = calls.receive(caller, seq, id, deadlineMs)
      if (known?._tag === "Answered") {
        const [kind, value] = known.reply as [number, unknown]
        return reply(caller, seq, kind, value)
      }
      if (known !== undefined) return
    }
    if (message === undefined || decoded === undefined) {
      if (seq !== undefined) {
        calls.forget(caller, seq)
        reply(caller, seq, CALL_ERROR, ["UnknownMessage", `"${process.type.name}" has no message "${tag}"`])
      }
      return
    }
    if (decoded._tag === "Failure") return answer(Exit.fail(callError(process.name, "Encoding", describe(decoded))))
    const envelope: Envelope = {
      message,
      payload: decoded.value,
      from: undefined,
      answer,
      forward: () => {
        running.delete(key)
        if (seq !== undefined) calls.forget(caller, seq)
        return forwarded
      }
    }
    if (seq !== undefined) running.set(key, () => process.cancel(envelope))
    process.receive(envelope)
  }

  const take = (from: Peer, body: Uint8Array): void => {
    const frame = asArray(msgpack.decode(body))
    const caller: SectionId = `${from.boot}/${from.id}`
    switch (frame[0]) {
      case CALL: {
        const seq = asCount(frame[1])
        calls.settleBelow(caller, asCount(frame[2]))
        const process = processes.get(asText(frame[3]), asText(frame[4]))
        const deadlineMs = clock.currentTimeMillisUnsafe() + asCount(frame[7])
        if (process === undefined || !isOpen(process)) {
          return reply(caller, seq, NOT_HERE, null)
        }
        return deliver(process, { caller, seq, tag: asText(frame[5]), payload: frame[6], deadlineMs })
      }
      case REPLY:
        return pending.get(asCount(frame[1]))?.resume(
          frame[2] === NOT_HERE ? { _tag: "NotHere" } : { _tag: "Answer", kind: asCount(frame[2]), value: frame[3] }
        )
      case CANCEL:
        return running.get(`${caller}:${asCount(frame[1])}`)?.()
      case CAST: {
        const sworm = asText(frame[1])
        const name = asText(frame[2])
        const process = processes.get(sworm, name)
        if (process !== undefined && isOpen(process)) {
          return deliver(process, { caller, seq: undefined, tag: asText(frame[3]), payload: frame[4], deadlineMs: 0 })
        }
        // it has moved on since the sender looked: so does the message
        const at = directory.find(sworm, name)
        const hops = asCount(frame[5])
        if (at !== undefined && at.section !== node.section && hops > 0) {
          send(nodeOf(at.section), [CAST, sworm, name, frame[3], frame[4], hops - 1])
        } else {
          Effect.runForkWith(context)(Metric.update(droppedCasts, 1))
        }
        return
      }
    }
  }

  const lose = (nodeId: string, reply: Reply): void => {
    for (const call of [...pending.values()]) if (call.node === nodeId) call.resume(reply)
  }

  const endReceive = transport.receive(Channel.call, take)
  const endEvents = transport.subscribe({
    up: () => {},
    down: (peer) => lose(peer.id, { _tag: "Lost" }),
    unreachable: (peer) => lose(peer, { _tag: "NotHere" })
  })
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      endReceive()
      endEvents()
    })
  )
  yield* Effect.forkScoped(
    Effect.forever(
      Effect.andThen(Effect.sleep("1 second"), Effect.sync(() => calls.expire(clock.currentTimeMillisUnsafe())))
    )
  )

  const call: Dispatch["call"] = (sworm, _type, name, message, payload, options) =>
    Effect.withFiber((fiber) => {
      const from = fiber.getRef(CurrentProcess)
      const timeoutMs = options?.timeout === undefined
        ? DEFAULT_TIMEOUT_MS
        : Duration.toMillis(Duration.fromInputUnsafe(options.timeout))
      const process = processes.get(sworm, name)
      if (process !== undefined && isOpen(process)) {
        return callLocal(process, message, payload, from, timeoutMs)
      }
      return callRemote(sworm, name, message, payload, from, clock.currentTimeMillisUnsafe() + timeoutMs)
    })

  const cast: Dispatch["cast"] = Effect.fnUntraced(function* (sworm, _type, name, message, payload) {
    const encoded = message.payload.encode(payload)
    if (encoded._tag === "Failure") return yield* Effect.fail(callError(name, "Encoding", describe(encoded)))
    const deadline = clock.currentTimeMillisUnsafe() + DEFAULT_TIMEOUT_MS
    while (clock.currentTimeMillisUnsafe() < deadline) {
      const process = processes.get(sworm, name)
      if (process !== undefined && isOpen(process)) {
        process.receive({
          message,
          payload,
          from: undefined,
          answer: () => {},
          forward: () => ({
            caller: node.section,
            seq: undefined,
            tag: message.tag,
            payload: encoded.value,
            deadlineMs: 0
          })
        })
        return true
      }
      const at = directory.find(sworm, name) ?? (yield* directory.locate(sworm, name))
      if (at === undefined) return false
      if (at !== "moving" && at.section !== node.section) {
        return send(nodeOf(at.section), [CAST, sworm, name, message.tag, encoded.value, MAX_HOPS])
      }
      yield* Effect.raceFirst(directory.changed(sworm, name), Effect.sleep(RETRY_MS))
    }
    return false
  })

  const adopt: Dispatch["adopt"] = (process, forwarded) => {
    for (const message of forwarded) deliver(process, message)
  }

  return { call, cast, adopt, calls }
})
