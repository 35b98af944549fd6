/** Every failure of etcd's client: a closed set of reasons that a caller can act upon. */
import { type Cause, Schema } from "effect"

const reasons = [
  "Unreachable",
  "Timeout",
  "Untrusted",
  "Unauthenticated",
  "PermissionDenied",
  "NoLeader",
  "NoSpace",
  "Overloaded",
  "Compacted",
  "FutureRevision",
  "LeaseNotFound",
  "TooLarge",
  "TooOld",
  "Invalid",
  "Unexpected"
] as const

/**
 * Why etcd did not do it:
 *
 * - `Unreachable`: no endpoint took the connection, or it broke.
 * - `Timeout`: no answer within the limit.
 * - `Untrusted`: TLS: one side does not trust the other's certificate.
 * - `Unauthenticated`: no user, or a wrong password.
 * - `PermissionDenied`: the user may not do this.
 * - `NoLeader`: the member has no leader: most of the members are down or cut off.
 * - `NoSpace`: the database is full; reads and deletions work.
 * - `Overloaded`: too many requests wait in etcd.
 * - `Compacted`: the revision is gone; `compactRevision` is the oldest that is left, where etcd said so.
 * - `FutureRevision`: the revision has not been yet.
 * - `LeaseNotFound`: the lease has ended, or never was.
 * - `TooLarge`: the request is above etcd's limit, or the answer above `maxAnswerBytes`.
 * - `TooOld`: a server that does not know the request: etcd before 3.4, or not etcd.
 * - `Invalid`: the request makes no sense.
 * - `Unexpected`: an answer that makes no sense, or a failure that is not known here.
 */
export type EtcdReason = (typeof reasons)[number]

const advice: Readonly<Record<EtcdReason, string>> = {
  Unreachable: "check the endpoints and the network",
  Timeout: "check the network and etcd's disks, or raise requestTimeout",
  Untrusted: "check tls.ca, tls.cert and tls.key, and the names in the server's certificate",
  Unauthenticated: "check auth.user and auth.password",
  PermissionDenied: "grant the user's role what it needs",
  NoLeader: "bring most of etcd's members up",
  NoSpace: "compact and defragment etcd, then disarm its alarm; or raise its quota",
  Overloaded: "send less at a time",
  Compacted: "read what is there now, and go on from its revision",
  FutureRevision: "check whether this is the cluster that the revision is from",
  LeaseNotFound: "grant a new lease",
  TooLarge: "send or ask for less",
  TooOld: "use etcd 3.4 or later, with its HTTP gateway",
  Invalid: "check the request",
  Unexpected: "check that the endpoint is etcd, and its log"
}

const EtcdErrorBase: Schema.Class<
  EtcdError,
  Schema.TaggedStruct<"EtcdError", {
    readonly reason: Schema.Literals<typeof reasons>
    readonly operation: typeof Schema.String
    readonly endpoint: typeof Schema.String
    readonly detail: typeof Schema.String
    readonly isUnknown: typeof Schema.Boolean
    readonly compactRevision: Schema.optionalKey<typeof Schema.Number>
  }>,
  Cause.YieldableError
> = Schema.TaggedError<EtcdError>()("EtcdError", {
  reason: Schema.Literals(reasons),
  /** What was asked, like `put`. */
  operation: Schema.String,
  /** Who was asked last. */
  endpoint: Schema.String,
  detail: Schema.String,
  /** A write that may have been done, or may yet be: read before you repeat it. `false`: nothing was changed. */
  isUnknown: Schema.Boolean,
  compactRevision: Schema.optionalKey(Schema.Number)
})

/** Etcd did not do it, or did not say that it has. */
export class EtcdError extends EtcdErrorBase {
  override get message(): string {
    const unknown = this.isUnknown ? "; it may have been done: read before you repeat it" : ""
    return `Cannot ${this.operation} at ${this.endpoint}: ${this.detail}${unknown}. Advice: ${advice[this.reason]}`
  }
}
