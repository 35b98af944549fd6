/**
 * One proven connection. Frames queued within a turn leave together in one binary WebSocket message, the protocol's own
 * before user traffic; each frame is its length (4 bytes, big endian), its channel (1 byte) and its body.
 */
import type { WebSocket } from "ws"
import type { Lane, Peer } from "../../src/Transport.ts"

const HEADER = 5
/** A message is cut off after this much, so that a long batch doesn't hold up what is queued meanwhile. */
export const BATCH_BYTES = 256 * 1024

interface Frame {
  readonly channel: number
  readonly body: Uint8Array
}

export class Connection {
  readonly peer: Peer
  readonly socket: WebSocket
  readonly dialledHere: boolean
  readonly #maxBufferedBytes: number
  readonly #onSlow: () => void
  #protocol: Array<Frame> = []
  #user: Array<Frame> = []
  #queuedBytes = 0
  #scheduled = false
  #open = true

  constructor(peer: Peer, socket: WebSocket, dialledHere: boolean, maxBufferedBytes: number, onSlow: () => void) {
    this.peer = peer
    this.socket = socket
    this.dialledHere = dialledHere
    this.#maxBufferedBytes = maxBufferedBytes
    this.#onSlow = onSlow
  }

  send(channel: number, body: Uint8Array, lane: Lane): boolean {
    if (!this.#open) return false
    if (this.#queuedBytes + this.socket.bufferedAmount > this.#maxBufferedBytes) {
      this.#onSlow()
      return false
    }
    this.#queuedBytes += body.byteLength + HEADER
    const queue = lane === "protocol" ? this.#protocol : this.#user
    queue.push({ channel, body })
    if (!this.#scheduled) {
      this.#scheduled = true
      queueMicrotask(() => this.flush())
    }
    return true
  }

  flush(): void {
    this.#scheduled = false
    if (!this.#open || this.#queuedBytes === 0) return
    const frames = this.#protocol.length === 0 ? this.#user : this.#protocol.concat(this.#user)
    this.#protocol = []
    this.#user = []
    this.#queuedBytes = 0
    for (let from = 0; from < frames.length;) {
      let to = from
      let bytes = 0
      while (to < frames.length && (to === from || bytes + frames[to]!.body.byteLength + HEADER <= BATCH_BYTES)) {
        bytes += frames[to++]!.body.byteLength + HEADER
      }
      this.socket.send(pack(frames, from, to, bytes))
      from = to
    }
  }

  /** Nothing more is sent. */
  close(code: number, reason: string): void {
    if (!this.#open) return
    this.flush()
    this.#open = false
    this.socket.close(code, reason)
  }
}

const pack = (frames: ReadonlyArray<Frame>, from: number, to: number, bytes: number): Uint8Array => {
  const message = Buffer.allocUnsafe(bytes)
  let at = 0
  for (let i = from; i < to; i++) {
    const { body, channel } = frames[i]!
    message.writeUInt32BE(body.byteLength, at)
    message[at + 4] = channel
    message.set(body, at + HEADER)
    at += HEADER + body.byteLength
  }
  return message
}

/** Takes a message apart; throws when it is not made of whole frames. */
export const unpack = (message: Buffer, take: (channel: number, body: Uint8Array) => void): void => {
  for (let at = 0; at < message.byteLength;) {
    const end = at + HEADER <= message.byteLength ? at + HEADER + message.readUInt32BE(at) : Infinity
    if (end > message.byteLength) throw new RangeError("A frame is longer than the message it came in")
    take(message[at + 4]!, message.subarray(at + HEADER, end))
    at = end
  }
}

/** What a socket hands on, as one buffer. */
export const toBuffer = (data: unknown): Buffer =>
  Buffer.isBuffer(data) ? data : Array.isArray(data) ? Buffer.concat(data) : Buffer.from(data as ArrayBuffer)
