/** What etcd's refusals mean. Its codes are too coarse, so its texts count first; they are the same from 3.4 on. */
import { EtcdError, type EtcdReason } from "./EtcdError.ts"
import type { GatewayFailure } from "./gateway.ts"

/** Codes that etcd answers with before it does anything, or when it has found that nothing is to be done. */
const refusals = [3, 5, 6, 7, 8, 9, 10, 11, 12, 16]

const byText: ReadonlyArray<readonly [RegExp, EtcdReason]> = [
  [/has been compacted/, "Compacted"],
  [/future revision/, "FutureRevision"],
  [/lease not found/, "LeaseNotFound"],
  [/database space exceeded/, "NoSpace"],
  [/request is too large|message larger than max/, "TooLarge"],
  [/too many requests|rate limit/, "Overloaded"],
  [/timed out|context deadline exceeded/, "Timeout"],
  [/no leader|not leader|leader changed/, "NoLeader"],
  [/permission denied/, "PermissionDenied"],
  [/invalid auth token|authentication failed|user name is empty|revision in header is old/, "Unauthenticated"],
  [/invalid user ID|user name not found/, "Unauthenticated"],
  [/authentication is not enabled/, "Invalid"],
  [/unknown (method|service)|not capable/, "TooOld"]
]

const byCode: Readonly<Record<number, EtcdReason>> = {
  1: "Unreachable",
  3: "Invalid",
  4: "Timeout",
  5: "Invalid",
  6: "Invalid",
  7: "PermissionDenied",
  8: "Overloaded",
  9: "Invalid",
  11: "Invalid",
  12: "TooOld",
  14: "Unreachable",
  16: "Unauthenticated"
}

const byStatus = (status: number): EtcdReason => {
  if (status === 404 || status === 405 || status === 501) return "TooOld"
  if (status === 401) return "Unauthenticated"
  if (status === 403) return "PermissionDenied"
  if (status === 413) return "TooLarge"
  if (status === 429) return "Overloaded"
  return status >= 502 && status <= 504 ? "Unreachable" : "Unexpected"
}

/** No code came with it: something before etcd spoke, or etcd does not know the path. */
export const NO_CODE = -1

const reasonOf = (status: number, code: number, detail: string): EtcdReason =>
  byText.find(([text]) => text.test(detail))?.[1] ?? (code === NO_CODE ? byStatus(status) : byCode[code]) ??
    "Unexpected"

/** The token was not taken: it has expired, the server forgot it when it restarted, or users were changed since. */
export const isStaleToken = (failure: GatewayFailure): boolean =>
  failure._tag === "Refused" && /invalid auth token|revision in header is old/.test(failure.detail)

/** Another endpoint may do better, or this one a little later. */
export const isPassing = (reason: EtcdReason): boolean =>
  reason === "Unreachable" || reason === "Timeout" || reason === "NoLeader" || reason === "Overloaded"

export interface Asked {
  readonly operation: string
  readonly endpoint: string
  /** It changes nothing, or nothing more when it is done twice. */
  readonly isRepeatable: boolean
}

export const toError = (failure: GatewayFailure, { endpoint, isRepeatable, operation }: Asked): EtcdError => {
  const { detail } = failure
  if (failure._tag === "Broken") {
    return new EtcdError({
      reason: failure.reason,
      operation,
      endpoint,
      detail,
      isUnknown: failure.isSent && !isRepeatable
    })
  }
  const reason = reasonOf(failure.status, failure.code, detail)
  return new EtcdError({ reason, operation, endpoint, detail, isUnknown: !isRepeatable && mayBeDone(failure) })
}

/** Whether etcd may have done what it was asked, and doesn't know or say; a proxy that lost it does not know either. */
const mayBeDone = ({ code, detail, status }: Extract<GatewayFailure, { readonly _tag: "Refused" }>): boolean => {
  if (/no leader/.test(detail)) return false
  return code === NO_CODE ? status < 400 || status >= 500 : !refusals.includes(code)
}
