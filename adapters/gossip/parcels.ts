/**
 * Messages that no frame takes, in chunks: each is acknowledged, and sent again when that doesn't come; few are under way
 * to a peer at a time, so that everything else finds its way between them. Lost, repeated and overtaking chunks do no
 * harm: each says of which message and which part it is.
 */
import { msgpack } from "../../src/protocol/codec.ts"
import { type SectionId, sectionId } from "../../src/protocol/ids.ts"
import { asArray, asBytes, asCount, asFlag, BadFrame } from "../../src/protocol/wire.ts"
import type { Peer } from "../../src/Transport.ts"

/** First in each message about a parcel. */
export const Parcel = { chunk: 3, got: 4, refused: 5, dropped: 6 } as const

/** Chunks under way to one peer: one at first, more for as long as they don't wait for each other. */
const MAX_WINDOW = 4
/** What a chunk may take above the fastest there was before it counts as having waited. */
const WAITED_SHARE = 1.5
const WAITED_MS = 30
/** A chunk that is not acknowledged is sent again after this long, twice as long each time. */
const RESEND_MS = 300
const MAX_DOUBLINGS = 4
/** Nobody cuts smaller than this. */
export const MIN_CHUNK_BYTES = 256
/** Parcels of one peer that are in parts here, and that are remembered as complete. */
const MAX_PARTIAL = 64
const MAX_COMPLETE = 256
/** However long whoever sends it may wait, a parcel in parts is not kept for longer. */
const MAX_KEPT_MS = 10 * 60_000

export type Refusal = "TooLarge" | "Unreachable" | "TooMuch"

export interface ParcelsOptions {
  readonly chunkBytes: number
  /** So much of one peer is kept in parts, and so much to one peer is on its way. */
  readonly limitBytes: number
  readonly nowMs: () => number
  /** Sends a message by itself. */
  readonly sendNow: (to: string, message: Uint8Array) => boolean
  /** Sends a message with others. */
  readonly post: (to: string, message: Uint8Array) => void
}

interface Chunk {
  sentAtMs: number
  attempts: number
}

interface Outgoing {
  readonly bytes: Uint8Array
  readonly count: number
  readonly deadlineMs: number
  readonly onRefused: (refusal: Refusal) => void
  readonly underWay: Map<number, Chunk>
  /** The chunk that follows. */
  next: number
}

interface Receiver {
  /** In the order in which they are sent. */
  readonly parcels: Map<number, Outgoing>
  /** How long a chunk took lately, and at best, until it was acknowledged. */
  tookMs: number
  fastestMs: number
  window: number
  /** Chunks in a row that have not waited. */
  inTime: number
}

/** The sending side. */
export class OutgoingParcels {
  readonly #options: ParcelsOptions
  readonly #receivers = new Map<string, Receiver>()

  constructor(options: ParcelsOptions) {
    this.#options = options
  }

  has(to: string, key: number): boolean {
    return this.#receivers.get(to)?.parcels.has(key) ?? false
  }

  /** Sends an encoded message; both sides together must not use a key twice. */
  send(to: string, key: number, bytes: Uint8Array, deadlineMs: number, onRefused: (refusal: Refusal) => void): void {
    let receiver = this.#receivers.get(to)
    if (receiver === undefined) {
      receiver = { parcels: new Map(), tookMs: 0, fastestMs: Infinity, window: 1, inTime: 0 }
      this.#receivers.set(to, receiver)
    }
    if (receiver.parcels.has(key)) return
    let waiting = 0
    for (const parcel of receiver.parcels.values()) waiting += parcel.bytes.byteLength
    if (waiting > 2 * this.#options.limitBytes) return onRefused("TooMuch")
    const count = Math.ceil(bytes.byteLength / this.#options.chunkBytes)
    receiver.parcels.set(key, { bytes, count, deadlineMs, onRefused, underWay: new Map(), next: 0 })
    this.#pump(to, receiver)
  }

  #pump(to: string, receiver: Receiver): void {
    let underWay = 0
    let begun = 0
    for (const { underWay: chunks } of receiver.parcels.values()) underWay += chunks.size
    for (const [key, parcel] of receiver.parcels) {
      begun += parcel.bytes.byteLength
      // what the other side can't keep in parts at the same time is sent one after the other
      if (begun > parcel.bytes.byteLength && begun > this.#options.limitBytes) return
      while (parcel.next < parcel.count) {
        if (underWay >= receiver.window) return
        if (!this.#sendChunk(to, key, parcel, parcel.next)) {
          if (underWay === 0) this.#refuse(to, key, "Unreachable")
          return
        }
        parcel.underWay.set(parcel.next++, { sentAtMs: this.#options.nowMs(), attempts: 0 })
        underWay++
      }
    }
  }

  #sendChunk(to: string, key: number, { bytes, count, deadlineMs }: Outgoing, index: number): boolean {
    const { chunkBytes, nowMs, sendNow } = this.#options
    const leftMs = Math.max(0, Math.ceil(deadlineMs - nowMs()))
    const part = bytes.subarray(index * chunkBytes, (index + 1) * chunkBytes)
    return sendNow(to, msgpack.encode([Parcel.chunk, key, index, count, bytes.byteLength, leftMs, part]))
  }

  #refuse(to: string, key: number, refusal: Refusal): void {
    const parcel = this.#receivers.get(to)?.parcels.get(key)
    this.#receivers.get(to)?.parcels.delete(key)
    parcel?.onRefused(refusal)
  }

  /** A peer has said something about a parcel that is sent to it. */
  answered(from: string, message: ReadonlyArray<unknown>): void {
    const key = asCount(message[1])
    const receiver = this.#receivers.get(from)
    const parcel = receiver?.parcels.get(key)
    if (receiver === undefined || parcel === undefined) return
    if (message[0] === Parcel.refused) {
      // what finds no room now is sent again, as what is lost
      if (asFlag(message[2])) this.#refuse(from, key, "TooLarge")
      return this.#pump(from, receiver)
    }
    const index = asCount(message[2])
    const chunk = parcel.underWay.get(index)
    if (chunk === undefined) return
    parcel.underWay.delete(index)
    if (chunk.attempts === 0) this.#measure(receiver, this.#options.nowMs() - chunk.sentAtMs)
    if (parcel.next === parcel.count && parcel.underWay.size === 0) receiver.parcels.delete(key)
    this.#pump(from, receiver)
  }

  /** On a slow link chunks wait for each other, and everything else for them. */
  #measure(receiver: Receiver, tookMs: number): void {
    receiver.tookMs = (receiver.tookMs + tookMs) / 2
    receiver.fastestMs = Math.min(receiver.fastestMs, tookMs)
    const hasWaited = tookMs > WAITED_SHARE * receiver.fastestMs + WAITED_MS
    receiver.inTime = hasWaited ? 0 : receiver.inTime + 1
    if (hasWaited) receiver.window = 1
    if (receiver.inTime < receiver.window) return
    receiver.inTime = 0
    receiver.window = Math.min(MAX_WINDOW, receiver.window + 1)
  }

  /** Nobody waits for it any more. */
  abandon(to: string, key: number): void {
    const receiver = this.#receivers.get(to)
    if (receiver?.parcels.delete(key) !== true) return
    this.#options.post(to, msgpack.encode([Parcel.dropped, key]))
    this.#pump(to, receiver)
  }

  /** The connection to it ended: whoever waits for an answer is told elsewhere. */
  forget(node: string): void {
    this.#receivers.delete(node)
  }

  /** Sends again what was lost. */
  tick(nowMs: number): void {
    for (const [to, receiver] of this.#receivers) {
      for (const [key, parcel] of receiver.parcels) {
        if (parcel.deadlineMs < nowMs) {
          receiver.parcels.delete(key)
          continue
        }
        for (const [index, chunk] of parcel.underWay) {
          const patienceMs = Math.max(
            RESEND_MS * 2 ** Math.min(chunk.attempts, MAX_DOUBLINGS),
            RESEND_MS + 2 * receiver.tookMs
          )
          if (nowMs - chunk.sentAtMs < patienceMs) continue
          chunk.sentAtMs = nowMs
          chunk.attempts++
          this.#sendChunk(to, key, parcel, index)
        }
      }
      this.#pump(to, receiver)
      if (receiver.parcels.size === 0) this.#receivers.delete(to)
    }
  }
}

interface Partial {
  readonly count: number
  readonly totalBytes: number
  readonly deadlineMs: number
  readonly parts: Map<number, Uint8Array>
}

interface Sender {
  readonly partial: Map<number, Partial>
  /** Parcels that were put together, and until when a chunk of them may come again. */
  readonly complete: Map<number, number>
  reservedBytes: number
}

/** The receiving side. */
export class IncomingParcels {
  readonly #options: ParcelsOptions
  readonly #senders = new Map<SectionId, Sender>()

  constructor(options: ParcelsOptions) {
    this.#options = options
  }

  /** How much of a peer is promised room in parts. */
  reservedOf(peer: Peer): number {
    return this.#senders.get(sectionId(peer.id, peer.boot))?.reservedBytes ?? 0
  }

  /** Takes a chunk; answers the whole message when it was the last that was missing. */
  chunk(from: Peer, message: ReadonlyArray<unknown>): Uint8Array | undefined {
    const [, keyField, indexField, countField, totalField, leftField, partField] = asArray(message, 7)
    const key = asCount(keyField)
    const index = asCount(indexField)
    const count = asCount(countField)
    const totalBytes = asCount(totalField)
    const part = asBytes(partField)
    const id = sectionId(from.id, from.boot)
    let sender = this.#senders.get(id)
    if (sender === undefined) {
      this.#senders.set(id, sender = { partial: new Map(), complete: new Map(), reservedBytes: 0 })
    }
    if (sender.complete.has(key)) return this.#acknowledge(from, key, index)
    const known = sender.partial.get(key)
    if (index >= count || count > Math.ceil(totalBytes / MIN_CHUNK_BYTES) || part.byteLength > totalBytes) {
      throw new BadFrame("Expected a chunk of a message")
    }
    const parcel = known ?? this.#begin(from, sender, key, count, totalBytes, asCount(leftField))
    if (parcel === undefined) return undefined
    if (parcel.count !== count || parcel.totalBytes !== totalBytes) {
      throw new BadFrame("Expected chunks of the same message")
    }
    // a copy: the part may be a view of something much larger
    if (!parcel.parts.has(index)) parcel.parts.set(index, part.slice())
    this.#acknowledge(from, key, index)
    return parcel.parts.size === count ? this.#complete(sender, key, parcel) : undefined
  }

  #acknowledge(from: Peer, key: number, index: number): undefined {
    this.#options.post(from.id, msgpack.encode([Parcel.got, key, index]))
  }

  #begin(
    from: Peer,
    sender: Sender,
    key: number,
    count: number,
    totalBytes: number,
    leftMs: number
  ): Partial | undefined {
    const { limitBytes, nowMs, post } = this.#options
    if (sender.reservedBytes + totalBytes > limitBytes || sender.partial.size >= MAX_PARTIAL) {
      post(from.id, msgpack.encode([Parcel.refused, key, totalBytes > limitBytes]))
      return undefined
    }
    sender.reservedBytes += totalBytes
    const deadlineMs = nowMs() + Math.min(leftMs, MAX_KEPT_MS)
    const parcel = { count, totalBytes, deadlineMs, parts: new Map<number, Uint8Array>() }
    sender.partial.set(key, parcel)
    return parcel
  }

  #complete(sender: Sender, key: number, { count, deadlineMs, parts, totalBytes }: Partial): Uint8Array {
    this.#drop(sender, key)
    for (const oldest of sender.complete.keys()) {
      if (sender.complete.size < MAX_COMPLETE) break
      sender.complete.delete(oldest)
    }
    sender.complete.set(key, deadlineMs)
    const whole = new Uint8Array(totalBytes)
    let at = 0
    for (let i = 0; i < count; i++) {
      const part = parts.get(i)!
      if (at + part.byteLength > totalBytes) throw new BadFrame("Expected chunks that fit their message")
      whole.set(part, at)
      at += part.byteLength
    }
    if (at !== totalBytes) throw new BadFrame("Expected all of a message")
    return whole
  }

  #drop(sender: Sender, key: number): void {
    const parcel = sender.partial.get(key)
    if (parcel === undefined) return
    sender.partial.delete(key)
    sender.reservedBytes -= parcel.totalBytes
  }

  /** Whoever sends it doesn't want it any more. */
  dropped(from: Peer, message: ReadonlyArray<unknown>): void {
    const sender = this.#senders.get(sectionId(from.id, from.boot))
    if (sender !== undefined) this.#drop(sender, asCount(message[1]))
  }

  /** The connection to it ended. */
  forget(peer: Peer): void {
    this.#senders.delete(sectionId(peer.id, peer.boot))
  }

  /** Drops what its sender has given up. */
  tick(nowMs: number): void {
    for (const [id, sender] of this.#senders) {
      for (const [key, { deadlineMs }] of sender.partial) if (deadlineMs < nowMs) this.#drop(sender, key)
      for (const [key, deadlineMs] of sender.complete) if (deadlineMs < nowMs) sender.complete.delete(key)
      if (sender.partial.size + sender.complete.size === 0) this.#senders.delete(id)
    }
  }
}
