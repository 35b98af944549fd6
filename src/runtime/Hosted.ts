/** A sworm as the machine sees it: implementations without their types, codecs made once per process type. */
import { Context, Duration, type Effect, Exit, Schema, type Stream } from "effect"
import { type Rpc, RpcSchema } from "effect/rpc"
import type { HandoffAnswer } from "../Handoff.ts"
import type { Placement } from "../Placement.ts"
import type { SpecOptions } from "../protocol/claims.ts"
import type { RestartLimit } from "../protocol/restarts.ts"
import type * as Process from "../Process.ts"
import { InvalidInput } from "../SwormError.ts"

/** Encodes to plain data and back; a failure is the text of what does not fit. */
export interface PlainCodec {
  readonly encode: (value: unknown) => Exit.Exit<unknown, unknown>
  readonly decode: (data: unknown) => Exit.Exit<unknown, unknown>
}

export interface Message {
  /** Name of the process type that has it. */
  readonly type: string
  readonly tag: string
  readonly make: (input: unknown) => unknown
  readonly payload: PlainCodec
  /** Of the answer; of one element, where the answer is a stream. */
  readonly success: PlainCodec
  readonly error: PlainCodec
  readonly isStream: boolean
}

export interface HostedType {
  readonly name: string
  readonly args: PlainCodec
  readonly state: PlainCodec
  readonly hasState: boolean
  readonly messages: ReadonlyMap<string, Message>
  readonly options: ResolvedOptions
  readonly implementation: ErasedImplementation | undefined
  /** The services that its code was built with. */
  readonly context: Context.Context<never>
}

// The implementations of all types of a sworm stand in one table; what each takes and gives was checked where it was
// bound, by `Sworm.toLayer`. Here only `unknown` is left of it.
export interface ErasedImplementation {
  readonly init: (context: Process.InitContext<unknown, unknown>) => Effect.Effect<unknown, unknown>
  readonly handlers: Readonly<
    Record<
      string,
      (
        payload: unknown,
        self: Process.Self<unknown>
      ) => Effect.Effect<unknown, unknown> | Stream.Stream<unknown, unknown>
    >
  >
  readonly run: ((self: Process.Self<unknown>) => Effect.Effect<unknown, unknown>) | undefined
  readonly beginHandoff: ((self: Process.Self<unknown>) => Effect.Effect<HandoffAnswer<unknown>>) | undefined
  readonly resolveConflict:
    | ((mine: unknown, theirs: unknown, context: Process.ConflictContext) => unknown)
    | undefined
  readonly stop: ((reason: Process.StopReason, self: Process.Self<unknown>) => Effect.Effect<void>) | undefined
}

export interface ResolvedOptions {
  readonly restart: Process.Restart
  readonly restartLimit: RestartLimit
  readonly backoff: Process.ProcessOptions["backoff"]
  readonly startTimeoutMs: number
  readonly mailboxCapacity: number
  readonly handoff: boolean
  /** 0: brutal; `Infinity`: as long as it takes. */
  readonly shutdownTimeoutMs: number
  readonly idleTimeoutMs: number | undefined
  readonly reentrant: boolean
  readonly snapshot: SnapshotPlan | undefined
}

export interface SnapshotPlan {
  /** 0: with each call. */
  readonly everyMs: number
  readonly replicas: number
}

/** A sworm with what this node can run of it. */
export interface Hosted {
  readonly id: string
  readonly types: ReadonlyMap<string, HostedType>
  readonly placement: Placement
  readonly redistribution: "active" | "passive"
  /** On this node; `Infinity` for no limit. */
  readonly maxChildren: number
  readonly maxResident: number
}

export const resolveOptions = (...layers: ReadonlyArray<Process.ProcessOptions>): ResolvedOptions => {
  const pick = <K extends keyof Process.ProcessOptions>(key: K): Process.ProcessOptions[K] => {
    for (const layer of layers) if (layer[key] !== undefined) return layer[key]
    return undefined
  }
  const limit = pick("restartLimit")
  return {
    restart: pick("restart") ?? "transient",
    restartLimit: { max: limit?.max ?? 3, withinMs: Duration.toMillis(limit?.within ?? "5 seconds") },
    backoff: pick("backoff"),
    startTimeoutMs: Duration.toMillis(pick("startTimeout") ?? "30 seconds"),
    mailboxCapacity: pick("mailboxCapacity") ?? 1024,
    handoff: pick("handoff") ?? true,
    shutdownTimeoutMs: shutdownMillis(pick("shutdownTimeout") ?? "5 seconds"),
    idleTimeoutMs: optionalMillis(pick("idleTimeout")),
    reentrant: pick("reentrant") ?? false,
    snapshot: snapshotPlan(pick("snapshot"))
  }
}

const snapshotPlan = (wanted: Process.ProcessOptions["snapshot"]): SnapshotPlan | undefined => {
  if (wanted === undefined) return undefined
  if (wanted === "eachCall") return { everyMs: 0, replicas: 1 }
  const { every, replicas = 1 } = wanted
  if (!Number.isInteger(replicas) || replicas < 0) {
    throw new InvalidInput({ what: "snapshot", detail: `replicas is a count, not ${replicas}` })
  }
  // more often than this would be with each call, without its promise
  return { everyMs: every === "call" ? 0 : Math.max(10, Duration.toMillis(Duration.fromInputUnsafe(every))), replicas }
}

const shutdownMillis = (timeout: NonNullable<Process.ProcessOptions["shutdownTimeout"]>): number =>
  timeout === "brutal" ? 0 : timeout === "infinite" ? Infinity : Duration.toMillis(Duration.fromInputUnsafe(timeout))

const optionalMillis = (input: Duration.Input | undefined): number | undefined =>
  input === undefined ? undefined : Duration.toMillis(Duration.fromInputUnsafe(input))

/** The options of one registration, as data that travels with its spec; `undefined` when there are none. */
export const specOptions = (options: Process.ProcessOptions): SpecOptions | undefined => {
  const { handoff, idleTimeout, mailboxCapacity, restartLimit, shutdownTimeout, startTimeout } = options
  const wanted: SpecOptions = {
    restartLimit: restartLimit === undefined
      ? undefined
      : { max: restartLimit.max, withinMs: Duration.toMillis(Duration.fromInputUnsafe(restartLimit.within)) },
    startTimeoutMs: optionalMillis(startTimeout),
    shutdownTimeoutMs: shutdownTimeout === undefined ? undefined : shutdownMillis(shutdownTimeout),
    idleTimeoutMs: optionalMillis(idleTimeout),
    mailboxCapacity,
    handoff
  }
  return Object.values(wanted).some((value) => value !== undefined) ? wanted : undefined
}

/** A type's options, with what one registration wants otherwise. */
export const optionsFor = (options: ResolvedOptions, wanted: SpecOptions | undefined): ResolvedOptions => {
  if (wanted === undefined) return options
  return {
    ...options,
    restartLimit: wanted.restartLimit ?? options.restartLimit,
    startTimeoutMs: wanted.startTimeoutMs ?? options.startTimeoutMs,
    shutdownTimeoutMs: wanted.shutdownTimeoutMs ?? options.shutdownTimeoutMs,
    idleTimeoutMs: wanted.idleTimeoutMs ?? options.idleTimeoutMs,
    mailboxCapacity: wanted.mailboxCapacity ?? options.mailboxCapacity,
    handoff: wanted.handoff ?? options.handoff
  }
}

/** JSON-shaped data for any schema: what goes through it survives every wire and every store. */
export const plainCodec = (schema: Schema.Top): PlainCodec => {
  const codec = Schema.toCodecJson(schema) as unknown as Schema.Codec<unknown>
  return { encode: Schema.encodeUnknownExit(codec), decode: Schema.decodeUnknownExit(codec) }
}

const compileMessage = (type: string, rpc: Rpc.Any): Message => {
  const { _tag, errorSchema, payloadSchema, successSchema } = rpc as Rpc.AnyWithProps
  const isStream = RpcSchema.isStreamSchema(successSchema)
  return {
    type,
    tag: _tag,
    make: (input) => payloadSchema.make(input as never),
    payload: plainCodec(payloadSchema),
    success: plainCodec(isStream ? successSchema.success : successSchema),
    error: plainCodec(isStream ? successSchema.error : errorSchema),
    isStream
  }
}

/** Makes the codecs of a process type; `implementation` is missing where this node only calls. */
export const compileType = (
  type: Process.Any,
  defaults: Process.ProcessOptions,
  implementation: ErasedImplementation | undefined,
  context: Context.Context<never> = Context.empty()
): HostedType => ({
  name: type.name,
  args: plainCodec(type.args),
  state: plainCodec(type.state),
  hasState: type.state !== (Schema.Void as Schema.Top),
  messages: new Map(type.protocol.map((rpc) => [rpc._tag, compileMessage(type.name, rpc)])),
  options: resolveOptions(type.options, defaults),
  implementation,
  context
})

const MAX_DETAIL = 2000

/** The text of a failure, for errors that people read. */
export const describe = (exit: Exit.Exit<unknown, unknown>): string => {
  if (exit._tag === "Success") return ""
  const reason = exit.cause.reasons[0]
  const what = reason === undefined
    ? "interrupted"
    : reason._tag === "Fail"
    ? reason.error
    : reason._tag === "Die"
    ? reason.defect
    : "interrupted"
  try {
    // it is told to other nodes, and kept by them
    return (what instanceof Error ? `${what.name}: ${what.message}` : String(what)).slice(0, MAX_DETAIL)
  } catch {
    return "something that has no text"
  }
}
