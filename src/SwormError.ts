/**
 * Every failure that Sworm reports, typed. Each is a schema, so it crosses nodes and logs as data; each message says what
 * went wrong and what to do.
 */
import { type Cause, Schema } from "effect"

/** A process as it was when it was looked up: which node ran it, at which epoch. */
export interface ProcessRef {
  readonly sworm: string
  readonly name: string
  readonly node: string
  readonly epoch: number
}

export const ProcessRef: Schema.Codec<ProcessRef> = Schema.Struct({
  sworm: Schema.String,
  name: Schema.String,
  node: Schema.String,
  epoch: Schema.Number
})

type ErrorClass<Self, Tag extends string, Fields extends Schema.Struct.Fields> = Schema.Class<
  Self,
  Schema.TaggedStruct<Tag, Fields>,
  Cause.YieldableError
>

const NameTakenBase: ErrorClass<NameTaken, "NameTaken", { readonly ref: typeof ProcessRef }> = Schema.TaggedError<
  NameTaken
>()("NameTaken", { ref: ProcessRef })

/** The name is registered already; `ref` is the process that has it. */
export class NameTaken extends NameTakenBase {
  override get message(): string {
    const { epoch, name, node, sworm } = this.ref
    return `Cannot register "${name}" in "${sworm}": it runs on "${node}" at epoch ${epoch}. Use whereisOrRegister to share it`
  }
}

const StartFailedBase: ErrorClass<
  StartFailed,
  "StartFailed",
  { readonly name: typeof Schema.String; readonly node: typeof Schema.String; readonly detail: typeof Schema.String }
> = Schema.TaggedError<StartFailed>()("StartFailed", {
  name: Schema.String,
  node: Schema.String,
  detail: Schema.String
})

/** The process did not start: its `init` failed, died or took longer than `startTimeout`; or its args do not decode. */
export class StartFailed extends StartFailedBase {
  override get message(): string {
    return `Cannot start "${this.name}" on "${this.node}": ${this.detail}`
  }
}

const InvalidInputBase: ErrorClass<
  InvalidInput,
  "InvalidInput",
  { readonly what: typeof Schema.String; readonly detail: typeof Schema.String }
> = Schema.TaggedError<InvalidInput>()("InvalidInput", { what: Schema.String, detail: Schema.String })

/** A name, args, group or option that is not acceptable; nothing was done. */
export class InvalidInput extends InvalidInputBase {
  override get message(): string {
    return `Invalid ${this.what}: ${this.detail}`
  }
}

const NotRegisteredBase: ErrorClass<
  NotRegistered,
  "NotRegistered",
  { readonly sworm: typeof Schema.String; readonly name: typeof Schema.String }
> = Schema.TaggedError<NotRegistered>()("NotRegistered", { sworm: Schema.String, name: Schema.String })

/** No process has the name. */
export class NotRegistered extends NotRegisteredBase {
  override get message(): string {
    return `"${this.name}" is not registered in "${this.sworm}": register it first, or use whereisOrRegister`
  }
}

const UnregisteredBase: ErrorClass<
  Unregistered,
  "Unregistered",
  { readonly sworm: typeof Schema.String; readonly name: typeof Schema.String }
> = Schema.TaggedError<Unregistered>()("Unregistered", { sworm: Schema.String, name: Schema.String })

/** The registration was made and ended again (by `unregister`, or by its process) before `register` could answer. */
export class Unregistered extends UnregisteredBase {
  override get message(): string {
    return `"${this.name}" in "${this.sworm}" was unregistered while it was being registered: register it again if you want it`
  }
}

const NotOwnerBase: ErrorClass<NotOwner, "NotOwner", { readonly ref: typeof ProcessRef }> = Schema.TaggedError<
  NotOwner
>()("NotOwner", { ref: ProcessRef })

/** Only the node that holds the name can do this. */
export class NotOwner extends NotOwnerBase {
  override get message(): string {
    return `"${this.ref.name}" is held by "${this.ref.node}": do this there, from a handler for instance, or use setMetadata`
  }
}

const TooManyProcessesBase: ErrorClass<
  TooManyProcesses,
  "TooManyProcesses",
  { readonly sworm: typeof Schema.String; readonly node: typeof Schema.String; readonly max: typeof Schema.Number }
> = Schema.TaggedError<TooManyProcesses>()("TooManyProcesses", {
  sworm: Schema.String,
  node: Schema.String,
  max: Schema.Number
})

/** The node that placement picked has `maxChildren` processes of the sworm already; nothing was registered. */
export class TooManyProcesses extends TooManyProcessesBase {
  override get message(): string {
    return `"${this.node}" runs ${this.max} processes of "${this.sworm}" already: add a node, or raise maxChildren`
  }
}

const UnavailableBase: ErrorClass<
  Unavailable,
  "Unavailable",
  { readonly operation: typeof Schema.String; readonly detail: typeof Schema.String }
> = Schema.TaggedError<Unavailable>()("Unavailable", { operation: Schema.String, detail: Schema.String })

/**
 * The cluster could not do it within the time limit: no node hosts the sworm, this node has not joined yet, or nodes
 * could not be reached. It may or may not have happened; asking again is safe.
 */
export class Unavailable extends UnavailableBase {
  override get message(): string {
    return `Cannot ${this.operation}: ${this.detail}`
  }
}

/** Why a call was not answered by its handler. */
export type CallFailure =
  /** No process has the name. */
  | "NotRegistered"
  /** The process's mailbox is full: slow down, or raise `mailboxCapacity`. */
  | "MailboxFull"
  /** No answer within the deadline. A handler that was under way has been interrupted. */
  | "Timeout"
  /** The node died, or the process was restarted, with the call under way: it may have been executed. */
  | "OutcomeUnknown"
  /** The handler died; the process is restarted as its policy says. */
  | "Crashed"
  /** The process ended before it took up the call. */
  | "Stopped"
  /** The process called itself, or round a circle back to a process that waits for it. */
  | "Reentrant"
  /** Payload, reply or error does not fit its schema. */
  | "Encoding"
  /** The process type has no such message. */
  | "UnknownMessage"

export const CallFailure: Schema.Literals<
  readonly [
    "NotRegistered",
    "MailboxFull",
    "Timeout",
    "OutcomeUnknown",
    "Crashed",
    "Stopped",
    "Reentrant",
    "Encoding",
    "UnknownMessage"
  ]
> = Schema.Literals([
  "NotRegistered",
  "MailboxFull",
  "Timeout",
  "OutcomeUnknown",
  "Crashed",
  "Stopped",
  "Reentrant",
  "Encoding",
  "UnknownMessage"
])

const CallErrorBase: ErrorClass<
  CallError,
  "CallError",
  {
    readonly name: typeof Schema.String
    readonly reason: typeof CallFailure
    readonly detail: typeof Schema.String
  }
> = Schema.TaggedError<CallError>()("CallError", {
  name: Schema.String,
  reason: CallFailure,
  detail: Schema.String
})

/** A call that no handler answered. Errors that the protocol declares come back as themselves, never as this. */
export class CallError extends CallErrorBase {
  override get message(): string {
    return `Call to "${this.name}" failed: ${this.reason}${this.detail === "" ? "" : `: ${this.detail}`}`
  }
}

/** What went wrong between nodes. */
export type TransportFailure =
  /** The port to listen on is taken or not ours. */
  | "Listen"
  /** Nobody listens there. */
  | "Refused"
  /** No answer in time. */
  | "Timeout"
  /** The other side is of another cluster, protocol or hash, or did not prove that it knows the secret. */
  | "Handshake"
  /** The connection ended. */
  | "Closed"
  /** The address is this node's own. */
  | "Self"
  /** An address or option that cannot be used. */
  | "Configuration"

export const TransportFailure: Schema.Literals<
  readonly ["Listen", "Refused", "Timeout", "Handshake", "Closed", "Self", "Configuration"]
> = Schema.Literals(["Listen", "Refused", "Timeout", "Handshake", "Closed", "Self", "Configuration"])

const TransportErrorBase: ErrorClass<
  TransportError,
  "TransportError",
  {
    readonly reason: typeof TransportFailure
    readonly address: typeof Schema.String
    readonly detail: typeof Schema.String
  }
> = Schema.TaggedError<TransportError>()("TransportError", {
  reason: TransportFailure,
  address: Schema.String,
  detail: Schema.String
})

/** A failure of listening, dialling or sending. */
export class TransportError extends TransportErrorBase {
  override get message(): string {
    return `Transport failure (${this.reason}) at "${this.address}": ${this.detail}`
  }
}

/** Why a process was not moved. */
export type HandoffFailure =
  /** Something else is being done with it, or a message at hand takes too long: try again. */
  | "Busy"
  /** It does not run where it was asked of, has ended meanwhile, or was registered by hand. */
  | "NotRunning"
  /** There is no such other node. */
  | "UnknownNode"
  /** Its process type answered that it stays. */
  | "Ignored"
  /** Its state does not encode, or does not decode on the other node: nothing but other code helps. */
  | "Encoding"
  /** Its state is larger than `maxStateBytes`, here or on the other node. */
  | "StateTooLarge"
  /** The other node would not take it: it leaves, is full, its `init` failed, or it knows better. */
  | "Refused"
  /** No answer from the other node in time. */
  | "Unreachable"
  /** `beginHandoff` died. */
  | "Died"

const handoffFailures = [
  "Busy",
  "NotRunning",
  "UnknownNode",
  "Ignored",
  "Encoding",
  "StateTooLarge",
  "Refused",
  "Unreachable",
  "Died"
] as const

export const HandoffFailure: Schema.Literals<
  readonly [
    "Busy",
    "NotRunning",
    "UnknownNode",
    "Ignored",
    "Encoding",
    "StateTooLarge",
    "Refused",
    "Unreachable",
    "Died"
  ]
> = Schema.Literals(handoffFailures)

const HandoffErrorBase: ErrorClass<
  HandoffError,
  "HandoffError",
  {
    readonly name: typeof Schema.String
    readonly node: typeof Schema.String
    readonly reason: typeof HandoffFailure
    readonly detail: typeof Schema.String
  }
> = Schema.TaggedError<HandoffError>()("HandoffError", {
  name: Schema.String,
  node: Schema.String,
  reason: HandoffFailure,
  detail: Schema.String
})

/** A process was not moved; it goes on where it was, with its state. */
export class HandoffError extends HandoffErrorBase {
  override get message(): string {
    return `"${this.name}" was not moved to "${this.node}" (${this.reason}): ${this.detail}`
  }
}

/** The reason that another node gave; what this node doesn't know of is a refusal. */
export const asHandoffFailure = (reason: unknown): HandoffFailure =>
  handoffFailures.find((known) => known === reason) ?? "Refused"

/** What `register` can fail with. */
export type RegisterError = NameTaken | StartFailed | TooManyProcesses | InvalidInput | Unregistered | Unavailable

const RegisterErrorSchema: Schema.Codec<RegisterError, unknown> = Schema.Union([
  NameTaken,
  StartFailed,
  TooManyProcesses,
  InvalidInput,
  Unregistered,
  Unavailable
])

const encodeError = Schema.encodeUnknownExit(RegisterErrorSchema)
const decodeError = Schema.decodeUnknownExit(RegisterErrorSchema)

/** Plain data for an error that crosses nodes. */
export const encodeRegisterError = (error: RegisterError): unknown => {
  const exit = encodeError(error)
  return exit._tag === "Success" ? exit.value : { _tag: "Unavailable", operation: "register", detail: String(error) }
}

export const decodeRegisterError = (data: unknown): RegisterError => {
  const exit = decodeError(data)
  return exit._tag === "Success"
    ? exit.value
    : new Unavailable({ operation: "register", detail: "the answer of the other node is not readable" })
}

const SnapshotStoreErrorBase: ErrorClass<
  SnapshotStoreError,
  "SnapshotStoreError",
  { readonly detail: typeof Schema.String }
> = Schema.TaggedError<SnapshotStoreError>()("SnapshotStoreError", { detail: Schema.String })

/** A store for snapshots could not do what it was asked for; it is asked again with the next snapshot. */
export class SnapshotStoreError extends SnapshotStoreErrorBase {
  override get message(): string {
    return `The snapshot store failed: ${this.detail}`
  }
}

const FencedStoreErrorBase: ErrorClass<
  FencedStoreError,
  "FencedStoreError",
  { readonly detail: typeof Schema.String }
> = Schema.TaggedError<FencedStoreError>()("FencedStoreError", { detail: Schema.String })

/** A process's own storage could not be read or written. */
export class FencedStoreError extends FencedStoreErrorBase {
  override get message(): string {
    return `The fenced store failed: ${this.detail}`
  }
}

const Token: Schema.Codec<{ readonly epoch: number; readonly node: string; readonly boot: number }> = Schema.Struct({
  epoch: Schema.Number,
  node: Schema.String,
  boot: Schema.Number
})

const StaleTokenBase: ErrorClass<
  StaleToken,
  "StaleToken",
  { readonly name: typeof Schema.String; readonly token: typeof Token; readonly newer: typeof Token }
> = Schema.TaggedError<StaleToken>()("StaleToken", { name: Schema.String, token: Token, newer: Token })

/** A later copy of the process has written already: this one has lost its name, and is ended soon. Nothing was written. */
export class StaleToken extends StaleTokenBase {
  override get message(): string {
    const { epoch, node } = this.newer
    return `"${this.name}" goes on at "${node}" under epoch ${epoch}: this copy, of epoch ${this.token.epoch}, may not write`
  }
}
