/** The gateway over HTTP. */
import { Effect, Stream } from "effect"
import { type HttpClient, type HttpClientError, HttpClientRequest, type HttpClientResponse } from "effect/http"
import type { EtcdReason } from "./EtcdError.ts"
import { NO_CODE } from "./failures.ts"
import type { Call, Gateway, GatewayFailure } from "./gateway.ts"

const DETAIL_MAX = 300

export const make = (client: HttpClient.HttpClient, maxAnswerBytes: number): Gateway => {
  const execute = (endpoint: string, call: Call) =>
    Effect.mapError(
      client.execute(
        HttpClientRequest.post(endpoint.replace(/\/+$/, "") + call.path, { headers: call.headers }).pipe(
          HttpClientRequest.bodyText(JSON.stringify(call.body), "application/json")
        )
      ),
      broken
    )
  const read = (response: HttpClientResponse.HttpClientResponse): Effect.Effect<string, GatewayFailure> =>
    Stream.runFold(
      pieces(response, maxAnswerBytes),
      () => [] as Array<string>,
      (texts, text) => (texts.push(text), texts)
    ).pipe(Effect.map((texts) => texts.join("")))
  const refuse = (response: HttpClientResponse.HttpClientResponse): Effect.Effect<never, GatewayFailure> =>
    Effect.flatMap(read(response), (text) => Effect.fail(refusal(response.status, text)))
  return {
    post: (endpoint, call) =>
      Effect.gen(function* () {
        const response = yield* execute(endpoint, call)
        if (response.status !== 200) return yield* refuse(response)
        return yield* parse(yield* read(response))
      }),
    stream: (endpoint, call) =>
      Stream.unwrap(Effect.gen(function* () {
        const response = yield* execute(endpoint, call)
        if (response.status !== 200) return yield* refuse(response)
        return response.stream.pipe(
          Stream.mapError(broken),
          Stream.decodeText(),
          Stream.mapAccumEffect(() => noLine, (line: Line, text) => lines(line, text, maxAnswerBytes)),
          Stream.mapEffect(parse),
          Stream.map((message) => isRecord(message) && "result" in message ? message["result"] : message)
        )
      }))
  }
}

// ---- reading

const tooLarge = (maxBytes: number): GatewayFailure => ({
  _tag: "Broken",
  reason: "TooLarge",
  detail: `an answer of more than ${maxBytes} bytes`,
  isSent: true
})

/** The body as text, up to the limit. */
const pieces = (
  response: HttpClientResponse.HttpClientResponse,
  maxBytes: number
): Stream.Stream<string, GatewayFailure> =>
  response.stream.pipe(
    Stream.mapError(broken),
    Stream.mapAccumEffect(() => 0, (before: number, chunk) => {
      const size = before + chunk.byteLength
      return size > maxBytes ? Effect.fail(tooLarge(maxBytes)) : Effect.succeed([size, [chunk]] as const)
    }),
    Stream.decodeText()
  )

/** What has come of a line, in pieces. */
interface Line {
  readonly pieces: ReadonlyArray<string>
  readonly size: number
}

const noLine: Line = { pieces: [], size: 0 }

const lines = (
  line: Line,
  text: string,
  maxSize: number
): Effect.Effect<readonly [Line, ReadonlyArray<string>], GatewayFailure> => {
  const [head = "", ...rest] = text.split("\n")
  const size = line.size + head.length
  if (size > maxSize) return Effect.fail(tooLarge(maxSize))
  const last = rest.pop()
  if (last === undefined) return Effect.succeed([{ pieces: [...line.pieces, head], size }, []])
  const whole = [[...line.pieces, head].join(""), ...rest].filter((one) => one !== "")
  return Effect.succeed([{ pieces: [last], size: last.length }, whole])
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null

/** JSON, unless it is an error that came after the status had been sent. */
const parse = (text: string): Effect.Effect<unknown, GatewayFailure> =>
  Effect.suspend(() => {
    const json = toJson(text)
    if (!isRecord(json)) return Effect.fail(notEtcd(text))
    return isRecord(json["error"]) ? Effect.fail(refusal(200, text)) : Effect.succeed(json)
  })

const toJson = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const notEtcd = (text: string): GatewayFailure => ({
  _tag: "Broken",
  reason: "Unexpected",
  detail: `the answer is not etcd's: ${JSON.stringify(text.slice(0, 80))}`,
  isSent: true
})

/** `{message, code}`; in a stream `{error: {message, grpc_code}}`. */
const refusal = (status: number, text: string): GatewayFailure => {
  const json = toJson(text)
  const body = isRecord(json) ? isRecord(json["error"]) ? json["error"] : json : {}
  const code = body["grpc_code"] ?? body["code"]
  const said = body["message"] ?? body["error"]
  const detail = typeof said === "string" ? said : `HTTP status ${status}: ${text.trim()}`
  return {
    _tag: "Refused",
    status,
    code: typeof code === "number" ? code : NO_CODE,
    detail: detail.slice(0, DETAIL_MAX)
  }
}

// ---- what goes wrong below HTTP

const nobody = new RegExp(
  [
    "ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|CONNECT_TIMEOUT",
    "ConnectionRefused|FailedToOpenSocket|unable to connect",
    "connection refused|error \\(Connect\\)|dns error|bad port"
  ].join("|"),
  "i"
)

const distrust = /certificate|\bCERT_|ERR_TLS|ERR_SSL|ALTNAME|SELF_SIGNED|TLS handshake|EPROTO/i

const broken = (error: HttpClientError.HttpClientError): GatewayFailure => {
  const { detail, said } = describe(error)
  const isDistrust = distrust.test(said)
  const reason: EtcdReason = isDistrust ? "Untrusted" : "Unreachable"
  return { _tag: "Broken", reason, detail, isSent: !isDistrust && !nobody.test(said) }
}

/** The runtimes say why in different places: a code or a message, here or in a cause. */
const describe = (error: HttpClientError.HttpClientError): { readonly said: string; readonly detail: string } => {
  const texts: Array<string> = []
  let at: unknown = error.reason.cause ?? error.reason
  for (let depth = 0; depth < 5 && isRecord(at); depth++) {
    for (const part of [at["code"], at["message"]]) if (typeof part === "string" && part !== "") texts.push(part)
    at = at["cause"]
  }
  const detail = texts.at(-1) ?? "the connection failed"
  return { said: texts.join(" "), detail: detail.slice(0, DETAIL_MAX) }
}
