/** A history as one number: two runs with equal numbers have delivered the same frames at the same times. */
import { hash32, mix32 } from "../../protocol/hash.ts"
import type { Delivery } from "../VirtualNetwork.ts"

const LINES = 400

export class Trace {
  #hash = 0
  /** The last lines, for whoever looks at a failure. */
  readonly #lines: Array<string> = []
  /** Also keep a line for each frame. */
  isVerbose = false

  get hash(): string {
    return (this.#hash >>> 0).toString(16).padStart(8, "0")
  }

  get lines(): ReadonlyArray<string> {
    return this.#lines
  }

  note(atMs: number, text: string): void {
    this.#mix(atMs)
    this.#hash = mix32(this.#hash ^ hash32(text))
    this.#keep(`${atMs.toFixed(1)} ${text}`)
  }

  delivered(atMs: number, { body, channel, from, to }: Delivery): void {
    this.#mix(atMs)
    let sum = hash32(from, hash32(to, channel))
    for (let i = 0; i < body.length; i++) sum = Math.imul(sum ^ body[i]!, 0x01000193)
    this.#hash = mix32(this.#hash ^ sum)
    if (this.isVerbose) this.#keep(`${atMs.toFixed(1)} ${from}>${to} ${channel} ${body.length} bytes`)
  }

  #mix(atMs: number): void {
    this.#hash = mix32(this.#hash ^ Math.floor(atMs * 1000))
  }

  #keep(line: string): void {
    this.#lines.push(line)
    if (!this.isVerbose && this.#lines.length > LINES) this.#lines.shift()
  }
}
