/** Transports on ports of this machine, with everything they report written down. */
import { Context, Effect, Layer, Logger, Metric, type Scope } from "effect"
import type { SwormError, Transport } from "@sworm/sworm"
import { Transport as TransportModule } from "@sworm/sworm"
import * as WebSocketTransport from "@sworm/sworm/websocket"

export { NeverCame, waitUntil } from "../cluster/wait.ts"

/** What a transport reported. */
export interface Reported {
  readonly up: Array<Transport.Peer>
  readonly down: Array<{ readonly id: string; readonly detail: string }>
  readonly unreachable: Array<{ readonly id: string; readonly refused: boolean }>
}

export interface Listening {
  readonly transport: Transport.Transport
  readonly address: string
  readonly reported: Reported
  /** Its log so far. */
  readonly log: ReadonlyArray<string>
  /** The frames of channel 77, as text, with who sent them. */
  readonly received: ReadonlyArray<{ readonly from: string; readonly text: string }>
}

/** The channel that tests use: no backend does. */
export const CHANNEL = 77

type Options = WebSocketTransport.WebSocketOptions

/** A transport on a free port (unless it says which). */
export const open = (
  options: Options = {}
): Effect.Effect<Listening, SwormError.TransportError | SwormError.InvalidInput, Scope.Scope> =>
  Effect.suspend(() => {
    const log: Array<string> = []
    const logger = Logger.make(({ message }) => void log.push([message].flat().map(String).join(" ")))
    const layer = WebSocketTransport.layer({ listen: "127.0.0.1:0", ...options }).pipe(
      Layer.provideMerge(Logger.layer([logger])),
      Layer.fresh
    )
    return Effect.map(Layer.build(layer), (services): Listening => {
      const transport = Context.get(services, TransportModule.Transport)
      const reported: Reported = { up: [], down: [], unreachable: [] }
      const received: Array<{ readonly from: string; readonly text: string }> = []
      transport.subscribe({
        up: (peer) => void reported.up.push(peer),
        down: ({ id }, detail) => void reported.down.push({ id, detail }),
        unreachable: (id, refused) => void reported.unreachable.push({ id, refused })
      })
      transport.receive(CHANNEL, (from, body) => {
        received.push({ from: from.id, text: Buffer.from(body).toString("utf8") })
      })
      return { transport, address: transport.address, reported, log, received }
    })
  })

const rejected = Metric.counter("sworm_transport_rejected", {
  description: "Connections and frames refused because the other side broke the protocol or did not prove itself"
})

/** How often something was refused so far, of a kind: `handshake` or `frame`. */
export const rejections = (kind: "handshake" | "frame"): Effect.Effect<number> =>
  Effect.map(Metric.value(Metric.withAttributes(rejected, { kind })), ({ count }) => Number(count))

export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
