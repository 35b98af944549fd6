/**
 * What nodes say to each other within a turn goes out together, one frame for many messages; but the first goes at once:
 * one that is alone neither waits, nor is overtaken by what its sender does next.
 */
import { msgpack } from "../../src/protocol/codec.ts"

/** More in one frame would keep the other side busy for too long at a stretch. */
const MAX_MESSAGES = 512

interface Message {
  readonly bytes: Uint8Array
  readonly onUnsent: (() => void) | undefined
}

export interface OutboxOptions {
  /** A frame holds about this much. */
  readonly frameBytes: number
  /** What each frame begins with. */
  readonly header: () => unknown
  /** `false`: the frame can't be sent. */
  readonly send: (to: string, frame: Uint8Array) => boolean
}

export class Outbox {
  readonly #options: OutboxOptions
  #waiting = new Map<string, Array<Message>>()
  #scheduled = false

  constructor(options: OutboxOptions) {
    this.#options = options
  }

  /** Sends an encoded message by the end of this turn; `onUnsent` is called if it can't be sent. */
  post(to: string, bytes: Uint8Array, onUnsent?: () => void): void {
    if (!this.#scheduled) {
      this.#scheduled = true
      queueMicrotask(() => this.#flush())
      if (!this.sendNow(to, bytes)) onUnsent?.()
      return
    }
    const message = { bytes, onUnsent }
    const messages = this.#waiting.get(to)
    if (messages === undefined) this.#waiting.set(to, [message])
    else messages.push(message)
  }

  /** Sends an encoded message by itself, now. */
  sendNow(to: string, bytes: Uint8Array): boolean {
    return this.#options.send(to, msgpack.join([msgpack.encode(this.#options.header()), bytes]))
  }

  #flush(): void {
    this.#scheduled = false
    const waiting = this.#waiting
    this.#waiting = new Map()
    for (const [to, messages] of waiting) {
      for (let from = 0; from < messages.length;) from = this.#sendSome(to, messages, from)
    }
  }

  /** As many as one frame takes, at least one; answers where the next begin. */
  #sendSome(to: string, messages: ReadonlyArray<Message>, from: number): number {
    const frame: Array<Uint8Array> = [msgpack.encode(this.#options.header())]
    let bytes = 0
    let end = from
    for (; end < messages.length && end - from < MAX_MESSAGES; end++) {
      const message = messages[end]!.bytes
      if (end > from && bytes + message.byteLength > this.#options.frameBytes) break
      frame.push(message)
      bytes += message.byteLength
    }
    if (!this.#options.send(to, msgpack.join(frame))) {
      for (let i = from; i < end; i++) messages[i]!.onUnsent?.()
    }
    return end
  }
}
