/** A registration as data: what it may hold, how long it may take, and how it and its outcome cross the wire. */
import { Effect, type Exit } from "effect"
import type { Spec, SpecOptions } from "../../src/protocol/claims.ts"
import type { SectionId } from "../../src/protocol/ids.ts"
import { weigh } from "../../src/protocol/replica.ts"
import { asArray, asCount, asMillis, asText, decodeSpec, optional } from "../../src/protocol/wire.ts"
import {
  decodeRegisterError,
  encodeRegisterError,
  InvalidInput,
  type RegisterError,
  StartFailed
} from "../../src/SwormError.ts"
import { AGAIN, again, checkMetadata, checkName } from "./attempts.ts"

/** What is to be registered. */
export interface Registration {
  readonly sworm: string
  readonly name: string
  /** Missing for something that runs already, on the node that registers it. */
  readonly spec: Spec | undefined
  readonly metadata: unknown
  readonly leaseMs?: number | undefined
  /** One more name of a process that is registered already, under this one. */
  readonly aliasOf?: string | undefined
}

/** A registration as it was made: the claim stands in this section from this version on. */
export interface Registered {
  readonly section: SectionId
  readonly version: number
  readonly epoch: number
}

/** What `init` has by default, and what a registration needs besides: to ask its way there and back, and to be stored. */
const START_TIMEOUT_MS = 30_000
const MARGIN_MS = 5000

export const startMillis = (spec: Spec | undefined): number =>
  Math.min(MAX_WAIT_MS, Math.max(START_TIMEOUT_MS, spec?.options?.startTimeoutMs ?? 0) + MARGIN_MS)

export const registerMillis = (spec: Spec | undefined): number => startMillis(spec) + MARGIN_MS

/** Timers have none above it. */
const MAX_WAIT_MS = 0x7fff0000

/** Args and metadata are told to every node: they must be plain, and small. */
export const checkData = (registration: Registration, maxBytes: number): InvalidInput | undefined => {
  const { aliasOf, leaseMs, metadata, name, spec } = registration
  const invalid = checkOptions(spec?.options) ?? checkLease(leaseMs) ?? checkMetadata(name, metadata, maxBytes) ??
    (aliasOf === undefined ? undefined : checkName("name", aliasOf))
  if (invalid !== undefined || weigh(spec?.args) + weigh(metadata) <= maxBytes) return invalid
  const detail = `args and metadata of "${name}" take more than ${maxBytes} bytes: keep large data elsewhere`
  return new InvalidInput({ what: "registration", detail })
}

/** No number that another node would not take. */
const checkOptions = (options: SpecOptions = {}): InvalidInput | undefined => {
  const { mailboxCapacity, restartLimit, ...rest } = options
  const isLimit = (n = 0): boolean => n === Infinity || (Number.isSafeInteger(n) && n >= 0)
  const refuse = (what: string): InvalidInput => new InvalidInput({ what, detail: "it is not a number of at least 0" })
  if (!isLimit(mailboxCapacity)) return refuse("mailboxCapacity")
  if (!isLimit(restartLimit?.max) || !((restartLimit?.withinMs ?? 0) >= 0)) return refuse("restartLimit")
  for (const [what, value] of Object.entries(rest)) if (typeof value === "number" && !(value >= 0)) return refuse(what)
  return undefined
}

const checkLease = (leaseMs = 1): InvalidInput | undefined =>
  leaseMs > 0 && leaseMs < Infinity
    ? undefined
    : new InvalidInput({ what: "lease", detail: `${leaseMs} ms: give a finite time, or none` })

export const readRegistration = (u: unknown): Registration => {
  const [sworm, name, spec, metadata, leaseMs, aliasOf] = asArray(u, 6)
  return {
    sworm: asText(sworm),
    name: asText(name),
    spec: spec === null ? undefined : decodeSpec(spec),
    metadata: metadata ?? undefined,
    leaseMs: optional(leaseMs, asMillis),
    aliasOf: aliasOf === null ? undefined : asText(aliasOf)
  }
}

// ---- outcomes on the wire

export const writeOutcome = (exit: Exit.Exit<Registered | typeof AGAIN, RegisterError>): unknown => {
  if (exit._tag === "Failure") {
    const reason = exit.cause.reasons[0]
    const error = reason?._tag === "Fail"
      ? reason.error
      : new StartFailed({ name: "", node: "", detail: String(exit.cause) })
    return [1, encodeRegisterError(error)]
  }
  return exit.value === AGAIN ? [2] : [0, exit.value.section, exit.value.version, exit.value.epoch]
}

export const readOutcome = (u: unknown): Effect.Effect<Registered | typeof AGAIN, RegisterError> => {
  const [kind, first, version, epoch] = asArray(u)
  if (kind === 0) {
    return Effect.succeed({ section: asText(first), version: asCount(version), epoch: asCount(epoch) })
  }
  return kind === 1 ? Effect.fail(decodeRegisterError(first)) : again
}
