/** Frames from node to node. */
import { Context, type Effect } from "effect"
import type { TransportError } from "./SwormError.ts"

/** A node at the other end of a proven connection. */
export interface Peer {
  readonly id: string
  readonly boot: number
  /** Where it listens; empty when it doesn't. */
  readonly address: string
}

/** What a transport tells whoever uses it. Called synchronously and in order; must not throw. */
export interface TransportEvents {
  readonly up: (peer: Peer) => void
  readonly down: (peer: Peer, detail: string) => void
  /** A dial made on behalf of `send` failed; `refused`: nobody listens at that node's address. */
  readonly unreachable: (node: string, refused: boolean) => void
}

/** Which of the frames waiting for one peer go first: the protocol's own never queue behind user traffic. */
export type Lane = "protocol" | "user"

/**
 * Sends frames between the nodes of one cluster. Frames to one peer arrive in the order of their lane, at most once,
 * or not at all: what must arrive is acknowledged by whoever uses it. Every connection has passed the handshake.
 */
export interface Transport {
  /** Where this node listens, as others dial it; empty when it doesn't. */
  readonly address: string
  /** The largest frame, in bytes. */
  readonly maxFrameBytes: number
  /**
   * Queues one frame; dials first if there is no connection and `addressOf` the peer is known. `false`: not queued,
   * because the peer can't be reached, is too slow, or the frame is too large. Best effort, never blocks.
   */
  readonly send: (to: string, channel: number, body: Uint8Array, lane: Lane) => boolean
  /** Opens a connection to an address, or answers the peer of one that is open. */
  readonly connect: (address: string) => Effect.Effect<Peer, TransportError>
  /** Takes the frames of a channel; one taker each. Ended by the returned function. */
  readonly receive: (channel: number, take: (from: Peer, body: Uint8Array) => void) => () => void
  readonly subscribe: (events: TransportEvents) => () => void
  /** Tells the transport where a node listens, for dials on demand. */
  readonly learn: (node: string, address: string) => void
  /** Ends the connection to a peer that broke the protocol. */
  readonly disconnect: (node: string, detail: string) => void
  readonly peers: () => ReadonlyArray<Peer>
}

export const Transport: Context.Service<Transport, Transport> = Context.Service<Transport>("sworm/Transport")
