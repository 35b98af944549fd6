/**
 * A WebSocket peer written by hand over a TCP socket: it says whatever a test wants said, on every runtime alike, and hears
 * everything that is said to it.
 */
import { Effect, type Scope } from "effect"
import { createHash, randomBytes } from "node:crypto"
import { connect, createServer, type Server, type Socket } from "node:net"
import type { AddressInfo } from "node:net"
import { type Hello, isProof, makeHello, prove, readHello } from "../../adapters/websocket/handshake.ts"
import { NeverCame, waitUntil } from "../cluster/wait.ts"

export const Opcode = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const

const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

/** How a connection ended: with a close frame, or cut off (code 1006). */
export interface Closed {
  readonly code: number
  readonly reason: string
}

/** The head of a frame, announcing whatever length it is told to. */
export const frameHead = (opcode: number, length: number, masked: boolean, final = true): Buffer => {
  const mask = masked ? 0x80 : 0
  const first = (final ? 0x80 : 0) | opcode
  if (length < 126) return Buffer.from([first, mask | length])
  const head = Buffer.alloc(length < 65536 ? 4 : 10)
  head[0] = first
  head[1] = mask | (length < 65536 ? 126 : 127)
  if (length < 65536) head.writeUInt16BE(length, 2)
  else head.writeBigUInt64BE(BigInt(length), 2)
  return head
}

/** One end of a connection, after the HTTP upgrade. */
export class RawPeer {
  readonly socket: Socket
  /** Messages received, in order. */
  readonly messages: Array<Buffer> = []
  /** Set once the connection has ended. */
  closed: Closed | undefined
  /** A polite peer answers a close frame with its own. */
  polite = true
  readonly #masks: boolean
  #pending: Buffer
  #closing: Closed | undefined

  constructor(socket: Socket, role: "client" | "server", rest: Buffer) {
    this.socket = socket
    this.#masks = role === "client"
    this.#pending = rest
    socket.on("data", (data) => {
      this.#pending = Buffer.concat([this.#pending, data as Buffer])
      this.#read()
    })
    socket.on("error", () => {})
    socket.on("close", () => void (this.closed = this.#closing ?? { code: 1006, reason: "" }))
    this.#read()
  }

  /** Sends one frame; a mask of zeros is a mask. */
  send(opcode: number, payload: Uint8Array | string, final = true): void {
    const bytes = Buffer.from(payload as string)
    const mask = this.#masks ? Buffer.alloc(4) : Buffer.alloc(0)
    this.socket.write(Buffer.concat([frameHead(opcode, bytes.byteLength, this.#masks, final), mask, bytes]))
  }

  text(text: string): void {
    this.send(Opcode.text, text)
  }

  binary(bytes: Uint8Array): void {
    this.send(Opcode.binary, bytes)
  }

  #read(): void {
    while (this.#pending.byteLength >= 2) {
      const short = this.#pending[1]! & 0x7f
      const masked = (this.#pending[1]! & 0x80) !== 0
      let at = short < 126 ? 2 : short === 126 ? 4 : 10
      if (this.#pending.byteLength < at) return
      const length = short < 126
        ? short
        : short === 126
        ? this.#pending.readUInt16BE(2)
        : Number(this.#pending.readBigUInt64BE(2))
      const mask = masked ? this.#pending.subarray(at, at + 4) : undefined
      if (masked) at += 4
      if (this.#pending.byteLength < at + length) return
      const payload = Buffer.from(this.#pending.subarray(at, at + length))
      if (mask !== undefined) { for (let i = 0; i < payload.length; i++) payload[i]! ^= mask[i % 4]! }
      const opcode = this.#pending[0]! & 0x0f
      this.#pending = this.#pending.subarray(at + length)
      if (opcode === Opcode.close) this.#onClose(payload)
      else if (opcode === Opcode.ping && this.polite) this.send(Opcode.pong, payload)
      else if (opcode === Opcode.text || opcode === Opcode.binary) this.messages.push(payload)
    }
  }

  #onClose(payload: Buffer): void {
    this.#closing = payload.byteLength < 2
      ? { code: 1005, reason: "" }
      : { code: payload.readUInt16BE(0), reason: payload.subarray(2).toString("utf8") }
    if (!this.polite) return
    this.send(Opcode.close, payload)
    this.socket.end()
  }

  /** The next message that has not been taken yet. */
  next(what: string): Effect.Effect<Buffer, NeverCame> {
    const look = Effect.suspend((): Effect.Effect<Buffer | undefined, NeverCame> => {
      const message = this.messages.shift()
      return message !== undefined || this.closed === undefined
        ? Effect.succeed(message)
        : Effect.fail(new NeverCame(`${what} never came: closed with ${this.closed.code} "${this.closed.reason}"`))
    })
    return waitUntil(`${what} comes`, look)
  }

  /** Waits until the other side has ended the connection. */
  get ended(): Effect.Effect<Closed, NeverCame> {
    return waitUntil("the connection is ended", () => this.closed)
  }
}

/** Collects what arrives until a blank line: the head of an HTTP message. */
const readHead = (socket: Socket, done: (head: string, rest: Buffer) => void): void => {
  let read = Buffer.alloc(0)
  const onData = (data: Buffer): void => {
    read = Buffer.concat([read, data])
    const end = read.indexOf("\r\n\r\n")
    if (end < 0) return
    socket.off("data", onData)
    done(read.subarray(0, end).toString("latin1"), read.subarray(end + 4))
  }
  socket.on("data", onData)
}

const splitAddress = (address: string): { readonly host: string; readonly port: number } => {
  const cut = address.lastIndexOf(":")
  return { host: address.slice(0, cut), port: Number(address.slice(cut + 1)) }
}

/** A plain TCP connection; what is said on it is up to the test. */
export const dialTcp = (address: string): Effect.Effect<Socket, Error, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<Socket, Error>((resume) => {
      const socket = connect(splitAddress(address))
      socket.once("connect", () => resume(Effect.succeed(socket)))
      socket.on("error", (error) => resume(Effect.fail(error)))
    }),
    (socket) => Effect.sync(() => socket.destroy())
  )

/** A WebSocket connection, upgraded and silent. */
export const dialRaw = (address: string): Effect.Effect<RawPeer, Error, Scope.Scope> =>
  Effect.flatMap(dialTcp(address), (socket) =>
    Effect.callback<RawPeer, Error>((resume) => {
      readHead(socket, (head, rest) =>
        resume(
          head.startsWith("HTTP/1.1 101")
            ? Effect.succeed(new RawPeer(socket, "client", rest))
            : Effect.fail(new Error(`No upgrade: ${head}`))
        ))
      socket.once("close", () => resume(Effect.fail(new Error("Closed before the upgrade"))))
      socket.write(
        `GET / HTTP/1.1\r\nHost: ${address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
          `Sec-WebSocket-Key: ${randomBytes(16).toString("base64")}\r\nSec-WebSocket-Version: 13\r\n\r\n`
      )
    }))

/** A TCP server that does with each connection what a test wants. */
export const serveTcp = (onSocket: (socket: Socket) => void): Effect.Effect<string, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<{ readonly server: Server; readonly sockets: Set<Socket> }>((resume) => {
      const sockets = new Set<Socket>()
      const server = createServer((socket) => {
        sockets.add(socket)
        socket.on("error", () => {})
        onSocket(socket)
      })
      server.listen(0, "127.0.0.1", () => resume(Effect.succeed({ server, sockets })))
    }),
    ({ server, sockets }) =>
      Effect.callback<void>((resume) => {
        for (const socket of sockets) socket.destroy()
        server.close(() => resume(Effect.void))
      })
  ).pipe(Effect.map(({ server }) => `127.0.0.1:${(server.address() as AddressInfo).port}`))

/** A WebSocket server by hand: answers the upgrade, then a test speaks for it. */
export const serveRaw = (onPeer: (peer: RawPeer) => void): Effect.Effect<string, never, Scope.Scope> =>
  serveTcp((socket) =>
    readHead(socket, (head, rest) => {
      const key = /sec-websocket-key: *(\S+)/i.exec(head)?.[1] ?? ""
      const accept = createHash("sha1").update(key + GUID).digest("base64")
      socket.write(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
          `Sec-WebSocket-Accept: ${accept}\r\n\r\n`
      )
      onPeer(new RawPeer(socket, "server", rest))
    })
  )

/** An address where nobody listens. */
export const refusedAddress: Effect.Effect<string> = Effect.scoped(serveTcp(() => {}))

// ---- the handshake, by hand

export interface Identity {
  readonly id: string
  readonly boot?: number
  readonly cluster?: string
  readonly secret?: string
  readonly address?: string
}

export const helloOf = ({ address = "", boot = 1, cluster = "default", id }: Identity): Hello =>
  makeHello(cluster, { id, boot, address })

/** What an acceptor answered a greeting with. */
export interface Greeted {
  readonly mine: Hello
  readonly theirs: Hello
  readonly proof: string
}

/** Sends a greeting and reads the answer to it. */
export const greet = Effect.fnUntraced(function* (peer: RawPeer, mine: Hello) {
  peer.text(JSON.stringify(mine))
  const [hello, proof] = JSON.parse((yield* peer.next("the acceptor's greeting")).toString()) as [string, string]
  const theirs = readHello(hello)
  if (typeof theirs === "string") return yield* Effect.fail(new Error(theirs))
  const greeted: Greeted = { mine, theirs, proof }
  return greeted
})

/** The proof that a dialler owes after a greeting. */
export const proofOf = ({ mine, theirs }: Greeted, secret = ""): string => prove(secret, "dialler", mine, theirs)

/** Dials and goes through the whole handshake. */
export const dialProven = Effect.fnUntraced(function* (address: string, identity: Identity) {
  const peer = yield* dialRaw(address)
  const greeted = yield* greet(peer, helloOf(identity))
  if (!isProof(greeted.proof, identity.secret ?? "", "acceptor", greeted.mine, greeted.theirs)) {
    return yield* Effect.fail(new Error("The acceptor does not know the secret"))
  }
  peer.text(proofOf(greeted, identity.secret))
  const ready = yield* peer.next("the acceptor's last word")
  if (ready.toString() !== "ready") return yield* Effect.fail(new Error(`Not ready: ${ready.toString()}`))
  return peer
})

/** One inner frame: its length, its channel, its body. */
export const frame = (channel: number, body: Uint8Array | string, announced?: number): Buffer => {
  const bytes = Buffer.from(body as string)
  const head = Buffer.alloc(5)
  head.writeUInt32BE(announced ?? bytes.byteLength, 0)
  head[4] = channel
  return Buffer.concat([head, bytes])
}
