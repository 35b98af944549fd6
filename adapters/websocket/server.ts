/** The listening side: a WebSocket server that hands on every new socket. */
import { Effect, type Scope } from "effect"
import type { AddressInfo } from "node:net"
import { type WebSocket, WebSocketServer } from "ws"
import { TransportError } from "../../src/SwormError.ts"
import { type Address, formatAddress } from "./address.ts"

export interface Server {
  /** Where it listens, with the port that was picked. */
  readonly address: Address
  readonly accept: (take: (socket: WebSocket) => void) => void
}

/** Room for the batch's headers around the largest frame. */
export const maxPayload = (maxFrameBytes: number): number => maxFrameBytes + 64 * 1024

export const listen = (
  { host, port }: Address,
  limits: { readonly maxFrameBytes: number }
): Effect.Effect<Server, TransportError, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<WebSocketServer, TransportError>((resume) => {
      const server = new WebSocketServer({
        host,
        port,
        maxPayload: maxPayload(limits.maxFrameBytes),
        perMessageDeflate: false,
        clientTracking: false
      })
      server.once("listening", () => resume(Effect.succeed(server)))
      server.once("error", (error) => {
        const taken = (error as { readonly code?: string }).code === "EADDRINUSE" || /in use/i.test(error.message)
        const detail = taken ? "the port is taken: choose another, or stop who has it" : error.message
        resume(Effect.fail(new TransportError({ reason: "Listen", address: formatAddress({ host, port }), detail })))
      })
    }),
    (server) =>
      Effect.callback<void>((resume) => {
        server.close(() => resume(Effect.void))
      }).pipe(Effect.timeoutOrElse({ duration: 500, orElse: () => Effect.void }))
  ).pipe(Effect.map((server) => {
    server.on("error", () => {})
    return {
      address: { host, port: (server.address() as AddressInfo).port },
      accept: (take) => void server.on("connection", (socket) => take(socket))
    }
  }))
