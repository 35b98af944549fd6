/** The listening side: a WebSocket server that hands on every new socket. */
import { Effect, type Scope } from "effect"
import { createServer, type Server as HttpServer } from "node:http"
import type { AddressInfo } from "node:net"
import type { Duplex } from "node:stream"
import { type WebSocket, WebSocketServer } from "ws"
import { TransportError } from "../../src/SwormError.ts"
import { type Address, formatAddress } from "./address.ts"
import { BATCH_BYTES } from "./connection.ts"

export interface Server {
  /** Where it listens, with the port that was picked. */
  readonly address: Address
  readonly accept: (take: (socket: WebSocket) => void) => void
}

/** The largest message: one frame of the largest size, or a batch of small ones. */
export const maxPayload = (maxFrameBytes: number): number => Math.max(maxFrameBytes, BATCH_BYTES) + 64 * 1024

export const listen = (
  { host, port }: Address,
  limits: { readonly maxFrameBytes: number; readonly maxConnections: number; readonly handshakeTimeoutMs: number }
): Effect.Effect<Server, TransportError, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<HttpServer, TransportError>((resume) => {
      const server = createServer((_, response) => response.writeHead(426).end())
      server.once("listening", () => resume(Effect.succeed(server)))
      server.once("error", (error) => {
        const taken = (error as { readonly code?: string }).code === "EADDRINUSE" || /in use/i.test(error.message)
        const detail = taken ? "the port is taken: choose another, or stop who has it" : error.message
        resume(Effect.fail(new TransportError({ reason: "Listen", address: formatAddress({ host, port }), detail })))
      })
      server.listen(port, host)
    }),
    (server) =>
      Effect.callback<void>((resume) => {
        server.close(() => resume(Effect.void))
      }).pipe(Effect.timeoutOrElse({ duration: 500, orElse: () => Effect.sync(() => server.closeAllConnections()) }))
  ).pipe(Effect.map((server) => {
    server.on("error", () => {})
    const upgrading = cutTheSilent(server, limits)
    const sockets = new WebSocketServer({
      noServer: true,
      maxPayload: maxPayload(limits.maxFrameBytes),
      perMessageDeflate: false,
      clientTracking: false
    })
    return {
      address: { host, port: (server.address() as AddressInfo).port },
      accept: (take) => {
        server.on("upgrade", (request, socket, head) => {
          upgrading(socket)
          sockets.handleUpgrade(request, socket, head, take)
        })
      }
    }
  }))

/** A client that connects and asks for no upgrade in time is cut; answers how to spare one that did. */
const cutTheSilent = (
  server: HttpServer,
  limits: { readonly maxConnections: number; readonly handshakeTimeoutMs: number }
): (socket: Duplex) => void => {
  const timers = new Map<Duplex, ReturnType<typeof setTimeout>>()
  const spare = (socket: Duplex): void => {
    clearTimeout(timers.get(socket))
    timers.delete(socket)
  }
  server.on("connection", (socket) => {
    if (timers.size >= limits.maxConnections) return socket.destroy()
    timers.set(socket, setTimeout(() => socket.destroy(), limits.handshakeTimeoutMs))
    socket.once("close", () => spare(socket))
  })
  return spare
}
