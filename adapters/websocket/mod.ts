/**
 * Node and transport over WebSockets, by `ws`: the same on Deno, Bun and Node, mixed as you like.
 *
 * @module websocket
 */
import { Context, Duration, Effect, Layer, Redacted, type Scope } from "effect"
import { hostname } from "node:os"
import * as Discovery from "../../src/Discovery.ts"
import * as Node from "../../src/Node.ts"
import { type InvalidInput, TransportError } from "../../src/SwormError.ts"
import { Transport } from "../../src/Transport.ts"
import { type Address, DEFAULT_PORT, formatAddress, isLoopback, isWildcard, parseAddress } from "./address.ts"
import { listen } from "./server.ts"
import { WebSockets } from "./WebSockets.ts"

export interface WebSocketOptions extends Omit<Node.NodeOptions, "host"> {
  /** Where to listen, `host:port`; port 0 picks a free one. Default `127.0.0.1:4100`; `false` only dials others. */
  readonly listen?: string | false | undefined
  /** How others dial this node, where that differs. Default: `listen`, with the host's name for all interfaces. */
  readonly advertise?: string | undefined
  /** Every node proves that it knows it. Required unless the node listens on loopback. */
  readonly secret?: string | Redacted.Redacted | undefined
  /** Where to find the first peers. Default: nowhere; the node waits to be found. */
  readonly discovery?: Discovery.Discovery | undefined
  /** The largest frame. Raising it lets larger payloads through and costs memory per connection. Default 1 MiB. */
  readonly maxFrameBytes?: number | undefined
  /** A peer with more than this waiting for it is disconnected. Default 64 MiB. */
  readonly maxBufferedBytes?: number | undefined
  /** Connections beyond it are refused. Default 1,024. */
  readonly maxConnections?: number | undefined
  /** From dialling to the end of the handshake. Default 2 seconds. */
  readonly handshakeTimeout?: Duration.Input | undefined
}

/** What the layer provides: who the node is, how it reaches others, where it finds them. */
export type Services = Node.Node | Transport | Discovery.Discovery

/**
 * A node that listens on a WebSocket port. Fails with `TransportError` when the port is taken, when an address cannot be
 * read, or when it would listen beyond loopback without a secret.
 */
export const layer = (options: WebSocketOptions = {}): Layer.Layer<Services, TransportError | InvalidInput> =>
  Layer.effectContext(make(options))

const make = Effect.fnUntraced(function* (
  options: WebSocketOptions
): Effect.fn.Return<Context.Context<Services>, TransportError | InvalidInput, Scope.Scope> {
  const node = yield* Node.make({ ...options, host: hostname().replace(/[^\x21-\x7e]/g, "").slice(0, 64) || "node" })
  const secret = options.secret === undefined || typeof options.secret === "string"
    ? options.secret ?? ""
    : Redacted.value(options.secret)
  const bind = options.listen === false
    ? undefined
    : yield* checkListen(options.listen ?? `127.0.0.1:${DEFAULT_PORT}`, secret)
  const limits = {
    maxFrameBytes: options.maxFrameBytes ?? 1024 * 1024,
    maxBufferedBytes: options.maxBufferedBytes ?? 64 * 1024 * 1024,
    maxConnections: options.maxConnections ?? 1024,
    handshakeTimeoutMs: Duration.toMillis(Duration.fromInputUnsafe(options.handshakeTimeout ?? "2 seconds"))
  }
  const server = bind === undefined ? undefined : yield* listen(bind, limits)
  const address = server === undefined ? "" : yield* checkAdvertised(options.advertise ?? advertised(server.address))
  const sockets = new WebSockets(node, address, secret, limits, yield* Effect.context<never>())
  yield* Effect.addFinalizer(() => sockets.close)
  server?.accept((socket) => sockets.accept(socket))
  return Context.make(Node.Node, node).pipe(
    Context.add(Transport, sockets),
    Context.add(Discovery.Discovery, options.discovery ?? Discovery.none)
  )
})

const checkListen = (text: string, secret: string): Effect.Effect<Address, TransportError> =>
  Effect.suspend(() => {
    const address = parseAddress(text)
    if (address instanceof TransportError) return Effect.fail(address)
    if (secret !== "" || isLoopback(address.host)) return Effect.succeed(address)
    const detail = "a node that listens beyond loopback needs a secret: give all nodes of the cluster the same one"
    return Effect.fail(new TransportError({ reason: "Configuration", address: text, detail }))
  })

const checkAdvertised = (text: string): Effect.Effect<string, TransportError> =>
  Effect.suspend(() => {
    const address = parseAddress(text)
    return address instanceof TransportError ? Effect.fail(address) : Effect.succeed(text)
  })

const advertised = ({ host, port }: Address): string =>
  formatAddress({ host: isWildcard(host) ? hostname() : host, port })
