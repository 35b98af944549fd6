/**
 * Requests with a limit on each wait: the next endpoint after a failure, the user's token, errors in the client's
 * terms.
 */
import { Clock, Effect, Redacted, Semaphore, Stream } from "effect"
import { steadyMs } from "../../src/runtime/clocks.ts"
import { warn } from "../../src/runtime/log.ts"
import { backOffMs, type Endpoints } from "./endpoints.ts"
import { EtcdError } from "./EtcdError.ts"
import { type Asked, isPassing, isStaleToken, toError } from "./failures.ts"
import type { Gateway, GatewayFailure } from "./gateway.ts"
import { type Decode, decodeToken } from "./messages.ts"

const LOG_EVERY_MS = 30_000

export interface SessionOptions {
  readonly requestTimeoutMs: number
  readonly retryForMs: number
  readonly user: string
  readonly password: Redacted.Redacted | undefined
}

export interface Request<A> {
  /** For messages: `put "a"`. */
  readonly operation: string
  readonly path: string
  readonly body: unknown
  readonly decode: Decode<A>
  /** It changes nothing, or nothing more when it is done twice: it may be asked again though its outcome is unknown. */
  readonly isRepeatable: boolean
  /** Default `true`: a member without a leader says so at once, instead of waiting for one. */
  readonly needsLeader?: boolean
}

export interface Connection {
  readonly messages: Stream.Stream<unknown, EtcdError>
  /** Whether it failed because of its token; then the next one gets another. */
  readonly forgetToken: (error: EtcdError) => boolean
}

export class Session {
  readonly #gateway: Gateway
  readonly #endpoints: Endpoints
  readonly #options: SessionOptions
  readonly #nowMs: () => number
  readonly #authenticating = Semaphore.makeUnsafe(1)
  readonly #loggedAt = new Map<string, number>()
  #token: string | undefined

  constructor(gateway: Gateway, endpoints: Endpoints, options: SessionOptions, clock: Clock.Clock) {
    this.#gateway = gateway
    this.#endpoints = endpoints
    this.#options = options
    this.#nowMs = steadyMs(clock)
  }

  get requestTimeoutMs(): number {
    return this.#options.requestTimeoutMs
  }

  get endpoint(): string {
    return this.#endpoints.current
  }

  nowMs(): number {
    return this.#nowMs()
  }

  /** Asks endpoint after endpoint for as long as `retryFor` says, as far as asking again can do no harm. */
  ask<A>(request: Request<A>): Effect.Effect<A, EtcdError> {
    return Effect.gen({ self: this }, function* () {
      const startMs = this.#nowMs()
      for (let attempt = 0;; attempt++) {
        const endpoint = this.#endpoints.current
        const result = yield* Effect.result(this.#once(endpoint, request))
        if (result._tag === "Success") return result.success
        const error = result.failure
        yield* this.failed(error)
        const isOthersTurn = attempt + 1 < this.#endpoints.size && error.reason !== "Overloaded"
        const waitMs = isOthersTurn ? 0 : yield* backOffMs(attempt + 1 - this.#endpoints.size)
        const isOver = this.#nowMs() + waitMs - startMs >= this.#options.retryForMs
        if (!isPassing(error.reason) || error.isUnknown || isOver) return yield* error
        if (waitMs > 0) yield* Effect.sleep(waitMs)
      }
    })
  }

  /** Moves on from an endpoint that can't do it. */
  failed(error: EtcdError): Effect.Effect<void> {
    if (!isPassing(error.reason) || error.reason === "Overloaded") return Effect.void
    this.#endpoints.failed(error.endpoint)
    return this.complain(error.reason, error.message)
  }

  /** Says so in the log, at most once per kind every 30 seconds. */
  complain(kind: string, text: string): Effect.Effect<void> {
    const now = this.#nowMs()
    if (now - (this.#loggedAt.get(kind) ?? -Infinity) < LOG_EVERY_MS) return Effect.void
    this.#loggedAt.set(kind, now)
    return warn(text)
  }

  /** One connection to an endpoint. To log in has a limit; for the messages the reader sets one. */
  connect(asked: Asked, path: string, body: unknown): Connection {
    let token: string | undefined
    const open = Effect.gen({ self: this }, function* () {
      token = yield* this.#authenticate(asked.endpoint)
      const call = { path, body, headers: headersOf(token, true) }
      return Stream.mapError(this.#gateway.stream(asked.endpoint, call), (failure) => toError(failure, asked))
    })
    return {
      messages: Stream.unwrap(this.#limited(open, asked, () => false)),
      forgetToken: (error) => this.#forget({ _tag: "Refused", status: 200, code: 16, detail: error.detail }, token)
    }
  }

  #once<A>(endpoint: string, request: Request<A>): Effect.Effect<A, EtcdError> {
    const { isRepeatable, operation } = request
    const asked = { operation, endpoint, isRepeatable }
    let isSent = false
    const attempt = Effect.gen({ self: this }, function* () {
      const token = yield* this.#authenticate(endpoint)
      isSent = true
      const answer = yield* Effect.result(this.#post(endpoint, request, token))
      if (answer._tag === "Success") return answer.success
      if (!this.#forget(answer.failure, token)) return yield* toError(answer.failure, asked)
      // refused before anything was done
      isSent = false
      const fresh = yield* this.#authenticate(endpoint)
      isSent = true
      return yield* Effect.mapError(this.#post(endpoint, request, fresh), (failure) => {
        this.#forget(failure, fresh)
        return toError(failure, asked)
      })
    })
    return this.#limited(attempt, asked, () => isSent)
  }

  #post<A>(endpoint: string, request: Request<A>, token: string | undefined): Effect.Effect<A, GatewayFailure> {
    const headers = headersOf(token, request.needsLeader ?? true)
    return Effect.flatMap(
      this.#gateway.post(endpoint, { path: request.path, body: request.body, headers }),
      (answer) => Effect.mapError(request.decode(answer), misunderstood)
    )
  }

  #limited<A>(
    effect: Effect.Effect<A, EtcdError>,
    asked: Asked,
    isSent: () => boolean
  ): Effect.Effect<A, EtcdError> {
    const { requestTimeoutMs } = this.#options
    return Effect.timeoutOrElse(effect, {
      duration: requestTimeoutMs,
      orElse: () => {
        const detail = `no answer within ${requestTimeoutMs} ms`
        return Effect.fail(toError({ _tag: "Broken", reason: "Timeout", detail, isSent: isSent() }, asked))
      }
    })
  }

  /** The token that is there, or a new one; of many that need one, one asks. */
  #authenticate(endpoint: string): Effect.Effect<string | undefined, EtcdError> {
    const { password, user } = this.#options
    if (password === undefined || this.#token !== undefined) return Effect.succeed(this.#token)
    const call = {
      path: "/v3/auth/authenticate",
      body: { name: user, password: Redacted.value(password) },
      headers: {}
    }
    const ask = this.#gateway.post(endpoint, call).pipe(
      Effect.flatMap((answer) => Effect.mapError(decodeToken(answer), misunderstood)),
      Effect.mapError((failure) =>
        toError(failure, { operation: `log in as "${user}"`, endpoint, isRepeatable: true })
      ),
      Effect.tap((token) => Effect.sync(() => void (this.#token = token)))
    )
    return this.#authenticating.withPermits(1)(
      Effect.suspend(() => this.#token === undefined ? ask : Effect.succeed(this.#token))
    )
  }

  #forget(failure: GatewayFailure, token: string | undefined): boolean {
    if (token === undefined || !isStaleToken(failure)) return false
    if (this.#token === token) this.#token = undefined
    return true
  }
}

const headersOf = (token: string | undefined, needsLeader: boolean): Record<string, string> => ({
  ...(token === undefined ? {} : { authorization: token }),
  ...(needsLeader ? { "grpc-metadata-hasleader": "true" } : {})
})

const misunderstood = (error: { readonly message: string }): GatewayFailure => ({
  _tag: "Broken",
  reason: "Unexpected",
  detail: `the answer is not etcd's: ${error.message.slice(0, 200)}`,
  isSent: true
})
