/**
 * `fetch` with certificates of one's own. The runtimes' own `fetch` differ: Node's takes none at all, Deno's a client
 * of Deno's, Bun's an option of Bun's; their `node:https` takes the same on all three, so that is what is used.
 */
import { Effect, type Scope } from "effect"
import { Agent, request } from "node:https"
import type { IncomingMessage } from "node:http"

export interface TlsOptions {
  /** PEM: who may sign the server's certificate. Default: whom the runtime trusts. */
  readonly ca?: string | undefined
  /** PEM: this client's certificate, where etcd asks for one (`--client-cert-auth`); with `key`. */
  readonly cert?: string | undefined
  /** PEM: the certificate's private key. */
  readonly key?: string | undefined
}

type Fetch = typeof globalThis.fetch

export const makeFetch = (tls: TlsOptions): Effect.Effect<Fetch, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => new Agent({ keepAlive: true, ca: tls.ca, cert: tls.cert, key: tls.key })),
      (agent) => Effect.sync(() => agent.destroy())
    ),
    (agent): Fetch => (input, init = {}) => send(agent, String(input), init)
  )

const send = (agent: Agent, url: string, init: RequestInit): Promise<Response> =>
  new Promise((resolve, reject) => {
    const headers = Object.fromEntries(new Headers(init.headers).entries())
    const body = init.body instanceof Uint8Array ? init.body : String(init.body ?? "")
    const outgoing = request(url, { agent, method: init.method ?? "GET", headers })
    const abort = (): void => void outgoing.destroy(new Error("it was given up"))
    init.signal?.addEventListener("abort", abort, { once: true })
    outgoing.on("close", () => init.signal?.removeEventListener("abort", abort))
    outgoing.on("error", reject)
    outgoing.on("response", (incoming) => {
      resolve(new Response(bodyOf(incoming), { status: incoming.statusCode ?? 0 }))
    })
    outgoing.end(body)
  })

const bodyOf = (incoming: IncomingMessage): ReadableStream<Uint8Array> => {
  let isOver = false
  const once = (end: () => void) => (): void => {
    if (!isOver) end()
    isOver = true
  }
  return new ReadableStream<Uint8Array>({
    start: (controller) => {
      incoming.on("data", (chunk: Uint8Array) => {
        if (isOver) return
        controller.enqueue(new Uint8Array(chunk))
        if ((controller.desiredSize ?? 0) <= 0) incoming.pause()
      })
      incoming.on("end", once(() => controller.close()))
      const fail = once(() => controller.error(new Error("the connection broke")))
      incoming.on("error", fail)
      incoming.on("close", fail)
    },
    pull: () => void incoming.resume(),
    cancel: () => {
      isOver = true
      incoming.destroy()
    }
  })
}
