/** A message's way to its process: local at once, remote by frame, waiting while it moves. */
import { Clock, Context, Duration, Effect, type Scope, Stream } from "effect"
import type { CallTable, MovedCall } from "./protocol/calls.ts"
import { nodeOf, type SectionId } from "./protocol/ids.ts"
import { Channel } from "./protocol/wire.ts"
import { Caller } from "./runtime/Caller.ts"
import type { Forwarded } from "./runtime/callFrames.ts"
import { Caster } from "./runtime/Caster.ts"
import type { CastReceiver } from "./runtime/CastReceiver.ts"
import type { Directory } from "./runtime/Directory.ts"
import type { Message } from "./runtime/Hosted.ts"
import { CurrentProcess, type LocalProcess } from "./runtime/LocalProcess.ts"
import { NO_CHAIN } from "./runtime/Mailbox.ts"
import type { LocalProcesses } from "./runtime/LocalProcesses.ts"
import { Receiver } from "./runtime/Receiver.ts"
import type { CallError } from "./SwormError.ts"
import { steadyMs } from "./runtime/clocks.ts"
import type { Transport } from "./Transport.ts"

export type { Directory, Location } from "./runtime/Directory.ts"

export interface CallOptions {
  /** Default 5 seconds; at most 24 days. */
  readonly timeout?: Duration.Input | undefined
}

export interface Dispatch {
  /** Calls a process by name and waits for its answer; fails with `CallError`, or with what the protocol declares. */
  readonly call: (
    sworm: string,
    name: string,
    message: Message,
    payload: unknown,
    options?: CallOptions
  ) => Effect.Effect<unknown, unknown>
  /** Calls a message that is answered by a stream. The timeout is for its beginning; its reader decides on the rest. */
  readonly stream: (
    sworm: string,
    name: string,
    message: Message,
    payload: unknown,
    options?: CallOptions
  ) => Stream.Stream<unknown, unknown>
  /** Sends without waiting for an answer; `false` when there was no process or no way to it. */
  readonly cast: (sworm: string, name: string, message: Message, payload: unknown) => Effect.Effect<boolean, CallError>
  /** For backends: messages that a move brought, in the order they waited; before all that came here by itself. */
  readonly adopt: (process: LocalProcess, forwarded: ReadonlyArray<Forwarded>) => void
  /** For backends: what was answered for a process, for the node that takes it over. */
  readonly calls: CallTable
  /** For backends: how far a process has come with what was cast to it, for the node that takes it over. */
  readonly casts: Pick<CastReceiver, "progress" | "absorb" | "takeEarly">
  /** For backends: what was answered where a state has come from. One of these that waits here is answered, not done. */
  readonly absorb: (process: string, answered: ReadonlyArray<MovedCall>) => void
}

export const Dispatch: Context.Service<Dispatch, Dispatch> = Context.Service<Dispatch>("sworm/Dispatch")

const DEFAULT_TIMEOUT_MS = 5000
/** Every wait has a limit; timers have none above this. */
const MAX_TIMEOUT_MS = 0x7fffffff

/** For backends: dispatch over a transport, for the processes of one node. */
export const make: (
  node: { readonly id: string; readonly section: SectionId },
  transport: Transport,
  processes: LocalProcesses,
  directory: Directory
) => Effect.Effect<Dispatch, never, Scope.Scope> = Effect.fnUntraced(function* (node, transport, processes, directory) {
  const clock = yield* Clock.Clock
  const nowMs = steadyMs(clock)
  const scope = yield* Effect.scope
  const context = yield* Effect.context<never>()
  const after = (millis: number, run: () => void): void => {
    const later = Effect.andThen(Effect.sleep(millis), Effect.sync(run))
    Effect.runForkWith(context)(Effect.forkIn(later, scope, { startImmediately: true }))
  }
  const parts = { node, transport, processes, directory, nowMs, after }
  const caller: Caller = new Caller(parts, () => receiver)
  const receiver: Receiver = new Receiver({ ...parts, caller })
  const caster = new Caster({ ...parts, caller, receiver: receiver.casts })

  const endReceive = transport.receive(Channel.call, receiver.take)
  const endEvents = transport.subscribe({
    up: () => {},
    down: (peer) => {
      caller.lose(peer.id, { _tag: "Lost" })
      receiver.streams.lose((section) => nodeOf(section) === peer.id)
    },
    unreachable: (peer) => {
      caller.lose(peer, { _tag: "NotHere" })
      receiver.streams.lose((section) => nodeOf(section) === peer)
    }
  })
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      endReceive()
      endEvents()
    })
  )
  const tend = Effect.sync(() => {
    caller.resend()
    receiver.streams.resend()
    receiver.expire(nowMs())
    caster.expire(nowMs())
  })
  yield* Effect.forkScoped(Effect.forever(Effect.andThen(Effect.sleep("250 millis"), tend)))

  const call: Dispatch["call"] = (sworm, name, message, payload, options) =>
    Effect.withFiber((fiber) => {
      const process = fiber.getRef(CurrentProcess)
      const chain = process?.chainOn(fiber)
      const from = chain === undefined ? undefined : process
      const timeoutMs = timeoutMillis(options)
      const outgoing = { sworm, name, message, payload, from, chain: chain ?? NO_CHAIN, timeoutMs }
      return from === undefined ? caller.call(outgoing) : from.calling(Effect.suspend(() => caller.call(outgoing)))
    })

  return {
    call,
    stream: (sworm, name, message, payload, options) =>
      Stream.unwrap(
        call(sworm, name, message, payload, options) as Effect.Effect<Stream.Stream<unknown, unknown>, unknown>
      ),
    cast: (sworm, name, message, payload) => caster.cast(sworm, name, message, payload, DEFAULT_TIMEOUT_MS),
    adopt: (process, forwarded) => receiver.adopt(process, forwarded),
    calls: receiver.calls,
    absorb: receiver.absorb,
    casts: receiver.casts
  }
})

const timeoutMillis = (options: CallOptions | undefined): number =>
  options?.timeout === undefined
    ? DEFAULT_TIMEOUT_MS
    : Math.min(MAX_TIMEOUT_MS, Math.max(0, Math.ceil(Duration.toMillis(Duration.fromInputUnsafe(options.timeout)))))
