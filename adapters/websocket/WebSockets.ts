/** The transport: at most one connection per peer, dialled on demand, proven before use. */
import { type Context, Effect, Metric } from "effect"
import { WebSocket } from "ws"
import type { Node } from "../../src/Node.ts"
import { TransportError } from "../../src/SwormError.ts"
import type { Lane, Peer, Transport, TransportEvents } from "../../src/Transport.ts"
import { warn } from "../../src/runtime/log.ts"
import { formatAddress, parseAddress } from "./address.ts"
import { Connection, toBuffer, unpack } from "./connection.ts"
import { greeting, type Hello, isProof, makeHello, parsePair, prove, readHello, refuses } from "./handshake.ts"
import { maxPayload } from "./server.ts"

export interface Limits {
  readonly maxFrameBytes: number
  readonly maxBufferedBytes: number
  readonly maxConnections: number
  readonly handshakeTimeoutMs: number
}

/** Close codes; the reason says it in words. */
const Code = { leaving: 1001, overloaded: 1013, refused: 4001, duplicate: 4002, broken: 4003, slow: 4004 } as const

/** Frames kept for a peer that is being dialled. */
const MAX_WAITING = 4096
/** After a dial that failed, frames for that node are dropped for this long instead of dialling again for each. */
const HOLD_MS = 50
const LOG_EVERY_MS = 5000

interface Waiting {
  readonly channel: number
  readonly body: Uint8Array
  readonly lane: Lane
}

const rejected = Metric.counter("sworm_transport_rejected", {
  description: "Connections and frames refused because the other side broke the protocol or did not prove itself"
})

export class WebSockets implements Transport {
  readonly address: string
  readonly maxFrameBytes: number
  readonly #self: Peer
  readonly #cluster: string
  readonly #secret: string
  readonly #limits: Limits
  readonly #context: Context.Context<never>
  readonly #connections = new Map<string, Connection>()
  readonly #addresses = new Map<string, string>()
  readonly #waiting = new Map<string, Array<Waiting>>()
  readonly #held = new Map<string, { readonly untilMs: number; readonly refused: boolean }>()
  /** Ids of nodes that are being dialled, once they have said who they are or are known by address. */
  readonly #dialling = new Set<string>()
  readonly #sockets = new Set<WebSocket>()
  readonly #takers = new Map<number, (from: Peer, body: Uint8Array) => void>()
  readonly #events = new Set<TransportEvents>()
  readonly #loggedAt = new Map<string, number>()
  #closed = false

  constructor(node: Node, address: string, secret: string, limits: Limits, context: Context.Context<never>) {
    this.address = address
    this.maxFrameBytes = limits.maxFrameBytes
    this.#self = { id: node.id, boot: node.boot, address }
    this.#cluster = node.cluster
    this.#secret = secret
    this.#limits = limits
    this.#context = context
  }

  // ---- Transport

  readonly send = (to: string, channel: number, body: Uint8Array, lane: Lane): boolean => {
    if (this.#closed || to === this.#self.id || body.byteLength > this.maxFrameBytes) return false
    const connection = this.#connections.get(to)
    if (connection !== undefined) return connection.send(channel, body, lane)
    const waiting = this.#waiting.get(to)
    if (waiting !== undefined) return waiting.length < MAX_WAITING && waiting.push({ channel, body, lane }) > 0
    const address = this.#addresses.get(to)
    if (address === undefined) return false
    const held = this.#held.get(to)
    if (held !== undefined && held.untilMs > performance.now()) {
      // what the last dial found holds for this frame too, and whoever waits for news of the node is told
      if (lane === "protocol") queueMicrotask(() => this.#tellUnreachable(to, held.refused))
      return false
    }
    this.#waiting.set(to, [{ channel, body, lane }])
    this.#dialOnDemand(to, address)
    return true
  }

  readonly connect = (address: string): Effect.Effect<Peer, TransportError> =>
    Effect.callback<Peer, TransportError>((resume) => {
      const connected = this.peers().find((peer) => peer.address === address)
      if (connected !== undefined) return resume(Effect.succeed(connected))
      this.#dial(address, undefined, (result) => {
        resume(result instanceof TransportError ? Effect.fail(result) : Effect.succeed(result))
      })
    })

  readonly receive = (channel: number, take: (from: Peer, body: Uint8Array) => void): () => void => {
    this.#takers.set(channel, take)
    return () => void this.#takers.delete(channel)
  }

  readonly subscribe = (events: TransportEvents): () => void => {
    this.#events.add(events)
    return () => void this.#events.delete(events)
  }

  readonly learn = (node: string, address: string): void => void this.#addresses.set(node, address)

  readonly disconnect = (node: string, detail: string): void => {
    const connection = this.#connections.get(node)
    if (connection !== undefined) this.#drop(connection, Code.broken, detail)
  }

  readonly peers = (): ReadonlyArray<Peer> => [...this.#connections.values()].map(({ peer }) => peer)

  /** Says goodbye on every connection; sockets that don't close in time are cut. */
  readonly close: Effect.Effect<void> = Effect.suspend(() => {
    this.#closed = true
    for (const connection of this.#connections.values()) connection.close(Code.leaving, "the node is leaving")
    for (const socket of this.#sockets) if (socket.readyState === WebSocket.CONNECTING) socket.terminate()
    const closed = Effect.callback<void>((resume) => {
      const check = (): void => {
        if (this.#sockets.size === 0) resume(Effect.void)
      }
      for (const socket of this.#sockets) socket.once("close", () => queueMicrotask(check))
      check()
    })
    return Effect.timeoutOrElse(closed, {
      duration: 300,
      orElse: () =>
        Effect.sync(() => {
          for (const socket of this.#sockets) socket.terminate()
        })
    })
  })

  // ---- dialling

  #dialOnDemand(to: string, address: string): void {
    this.#dial(address, to, (result) => {
      const waiting = this.#waiting.get(to) ?? []
      this.#waiting.delete(to)
      const connection = this.#connections.get(to)
      if (connection !== undefined) {
        for (const { body, channel, lane } of waiting) connection.send(channel, body, lane)
        return
      }
      const refused = result instanceof TransportError && result.reason === "Refused"
      this.#held.set(to, { untilMs: performance.now() + HOLD_MS, refused })
      this.#tellUnreachable(to, refused)
    })
  }

  #tellUnreachable(node: string, refused: boolean): void {
    for (const events of this.#events) events.unreachable(node, refused)
  }

  /** Dials and shakes hands; `done` is called once, when the peer is connected (this way or the other) or can't be. */
  #dial(address: string, expected: string | undefined, done: (result: Peer | TransportError) => void): void {
    const parsed = parseAddress(address)
    if (parsed instanceof TransportError) return done(parsed)
    if (this.#closed) return done(new TransportError({ reason: "Closed", address, detail: "this node is closing" }))
    if (address === this.address) {
      return done(new TransportError({ reason: "Self", address, detail: "it is this node" }))
    }
    const socket = new WebSocket(`ws://${formatAddress(parsed)}`, {
      perMessageDeflate: false,
      maxPayload: maxPayload(this.maxFrameBytes),
      handshakeTimeout: this.#limits.handshakeTimeoutMs,
      // a mask of zeros is valid framing and spares both sides the masking
      generateMask: () => {}
    })
    let peerId = expected ?? this.#idAt(address)
    if (peerId !== undefined) this.#dialling.add(peerId)
    let finished = false
    const finish = (result: Peer | TransportError): void => {
      if (finished) return
      finished = true
      clearTimeout(timer)
      if (peerId !== undefined) this.#dialling.delete(peerId)
      if (result instanceof TransportError) socket.terminate()
      done(result)
    }
    const fail = (reason: TransportError["reason"], detail: string): void =>
      finish(new TransportError({ reason, address, detail }))
    const timer = setTimeout(() => {
      const other = peerId === undefined ? undefined : this.#connections.get(peerId)
      if (other !== undefined) finish(other.peer)
      else fail("Timeout", `no handshake within ${this.#limits.handshakeTimeoutMs} ms`)
    }, this.#limits.handshakeTimeoutMs)
    this.#watch(socket)
    socket.on("error", (error) => fail(...reasonOf(error)))
    socket.on("close", (code, reason) => {
      if (finished) return
      const other = peerId === undefined ? undefined : this.#connections.get(peerId)
      if (other !== undefined) return finish(other.peer)
      // the other side's own dial won: its connection is about to be up, the timer bounds the wait for it
      if (code === Code.duplicate) return this.#awaitOther(peerId, address, finish)
      fail(code === Code.refused ? "Handshake" : "Closed", reason.toString() || `it closed the connection (${code})`)
    })
    const mine = makeHello(this.#cluster, this.#self)
    socket.on("open", () => socket.send(JSON.stringify(mine)))
    let theirs: Hello | undefined
    const onMessage = (data: unknown): void => {
      const text = greeting(data)
      if (theirs === undefined) {
        const [hello, proof] = parsePair(text)
        const read = readHello(hello)
        if (typeof read === "string") return fail("Handshake", read)
        const refusal = refuses(mine, read)
        if (refusal !== undefined) return fail("Handshake", refusal)
        if (read.id === this.#self.id && read.boot === this.#self.boot) return fail("Self", "it is this node")
        if (!isProof(proof, this.#secret, "acceptor", mine, read)) {
          return fail("Handshake", "it does not know the cluster's secret")
        }
        theirs = read
        if (peerId !== read.id) {
          if (peerId !== undefined) this.#dialling.delete(peerId)
          peerId = read.id
          this.#dialling.add(peerId)
        }
        const other = this.#connections.get(read.id)
        // its own dial was quicker, and stands: this one would only replace it
        if (other !== undefined && other.peer.boot === read.boot && !other.dialledHere && this.#self.id > read.id) {
          finish(other.peer)
          return socket.close(Code.duplicate, "connected already")
        }
        socket.send(prove(this.#secret, "dialler", mine, read))
        return
      }
      if (text !== "ready") return fail("Handshake", "it broke off the handshake")
      socket.off("message", onMessage)
      const peer: Peer = { id: theirs.id, boot: theirs.boot, address: theirs.address }
      finish(this.#adopt(peer, socket, true) ?? peer)
    }
    socket.on("message", onMessage)
  }

  /** The id of the node that is known to listen at an address. */
  #idAt(address: string): string | undefined {
    for (const [id, known] of this.#addresses) if (known === address) return id
    return undefined
  }

  #awaitOther(
    peerId: string | undefined,
    address: string,
    finish: (result: Peer | TransportError) => void
  ): void {
    const unsubscribe = this.subscribe({
      up: (peer) => {
        if (peer.id !== peerId && peer.address !== address) return
        unsubscribe()
        finish(peer)
      },
      down: () => {},
      unreachable: () => {}
    })
    setTimeout(unsubscribe, this.#limits.handshakeTimeoutMs)
  }

  // ---- accepting

  accept(socket: WebSocket): void {
    if (this.#closed || this.#sockets.size >= this.#limits.maxConnections) {
      socket.on("error", () => {})
      return socket.close(Code.overloaded, this.#closed ? "the node is leaving" : "too many connections")
    }
    this.#watch(socket)
    socket.on("error", () => socket.terminate())
    const refuse = (detail: string): void => {
      this.#complain("handshake", detail)
      clearTimeout(timer)
      socket.off("message", onMessage)
      socket.close(Code.refused, detail.slice(0, 120))
      setTimeout(() => socket.terminate(), this.#limits.handshakeTimeoutMs)
    }
    const timer = setTimeout(() => refuse("no handshake in time"), this.#limits.handshakeTimeoutMs)
    socket.on("close", () => clearTimeout(timer))
    const mine = makeHello(this.#cluster, this.#self)
    let theirs: Hello | undefined
    const onMessage = (data: unknown): void => {
      const text = greeting(data)
      if (theirs === undefined) {
        const read = readHello(text)
        if (typeof read === "string") return refuse(read)
        const refusal = refuses(mine, read)
        if (refusal !== undefined) return refuse(refusal)
        if (this.#isDuplicate(read)) return socket.close(Code.duplicate, "connected already")
        theirs = read
        return socket.send(JSON.stringify([JSON.stringify(mine), prove(this.#secret, "acceptor", read, mine)]))
      }
      clearTimeout(timer)
      if (!isProof(text, this.#secret, "dialler", theirs, mine)) return refuse("it does not know the cluster's secret")
      if (this.#isDuplicate(theirs)) return socket.close(Code.duplicate, "connected already")
      socket.off("message", onMessage)
      socket.send("ready")
      this.#adopt({ id: theirs.id, boot: theirs.boot, address: theirs.address }, socket, false)
    }
    socket.on("message", onMessage)
  }

  /**
   * Two nodes that dial each other at once keep the connection of the one with the lower id; both sides decide so before
   * either connection is used.
   */
  #isDuplicate(theirs: Hello): boolean {
    const lower = this.#self.id < theirs.id
    const connection = this.#connections.get(theirs.id)
    if (connection === undefined) return lower && this.#dialling.has(theirs.id)
    if (connection.peer.boot < theirs.boot) return false
    if (!lower || !connection.dialledHere) return false
    // it may have lost the connection that this side still sees: find out
    this.#check(connection)
    return true
  }

  #check(connection: Connection): void {
    const timer = setTimeout(() => connection.socket.terminate(), this.#limits.handshakeTimeoutMs / 4)
    connection.socket.once("pong", () => clearTimeout(timer))
    connection.socket.ping()
  }

  // ---- connections

  /** Takes a proven socket into use; answers the peer that is connected instead, if this one was one too many. */
  #adopt(peer: Peer, socket: WebSocket, dialledHere: boolean): Peer | undefined {
    const before = this.#connections.get(peer.id)
    if (before !== undefined) {
      const keep = before.peer.boot > peer.boot ||
        (before.peer.boot === peer.boot && dialledHere !== before.dialledHere &&
          before.dialledHere === (this.#self.id < peer.id))
      if (keep) {
        socket.close(Code.duplicate, "connected already")
        return before.peer
      }
      this.#drop(before, Code.duplicate, "replaced by a newer connection")
    }
    const connection = new Connection(
      peer,
      socket,
      dialledHere,
      this.#limits.maxBufferedBytes,
      () => queueMicrotask(() => this.#drop(connection, Code.slow, "it is too slow: too much waits for it"))
    )
    this.#connections.set(peer.id, connection)
    this.#held.delete(peer.id)
    if (peer.address !== "") this.#addresses.set(peer.id, peer.address)
    socket.on("message", (data, isBinary) => this.#received(connection, data, isBinary))
    socket.on("close", (code, reason) => this.#lost(connection, reason.toString() || `closed (${code})`))
    for (const events of this.#events) events.up(peer)
    const waiting = this.#waiting.get(peer.id)
    if (waiting !== undefined && !dialledHere) {
      this.#waiting.delete(peer.id)
      for (const { body, channel, lane } of waiting) connection.send(channel, body, lane)
    }
    return undefined
  }

  #received(connection: Connection, data: unknown, isBinary: boolean): void {
    if (this.#connections.get(connection.peer.id) !== connection) return
    try {
      if (!isBinary) throw new TypeError("A text message came where frames belong")
      unpack(toBuffer(data), (channel, body) => this.#takers.get(channel)?.(connection.peer, body))
    } catch (error) {
      this.#complain("frame", `"${connection.peer.id}" sent what is not a frame: ${String(error)}`)
      this.#drop(connection, Code.broken, "it broke the protocol")
    }
  }

  #drop(connection: Connection, code: number, detail: string): void {
    connection.close(code, detail.slice(0, 120))
    const { socket } = connection
    setTimeout(() => socket.terminate(), this.#limits.handshakeTimeoutMs)
    this.#lost(connection, detail)
  }

  #lost(connection: Connection, detail: string): void {
    if (this.#connections.get(connection.peer.id) !== connection) return
    this.#connections.delete(connection.peer.id)
    if (this.#closed) return
    for (const events of this.#events) events.down(connection.peer, detail)
  }

  #watch(socket: WebSocket): void {
    this.#sockets.add(socket)
    socket.on("close", () => this.#sockets.delete(socket))
  }

  /** Counts what was refused, and says so in the log, at most once per kind every 5 seconds. */
  #complain(kind: string, detail: string): void {
    const now = performance.now()
    const log = now - (this.#loggedAt.get(kind) ?? -Infinity) >= LOG_EVERY_MS
    if (log) this.#loggedAt.set(kind, now)
    Effect.runForkWith(this.#context)(Effect.andThen(
      Metric.update(Metric.withAttributes(rejected, { kind }), 1),
      log ? warn(`Refused a peer: ${detail}`) : Effect.void
    ))
  }
}

const reasonOf = (error: Error): [TransportError["reason"], string] => {
  const code = (error as { readonly code?: string }).code ?? ""
  if (code === "ECONNREFUSED" || /refused|failed to connect/i.test(error.message)) {
    return ["Refused", "nobody listens there"]
  }
  if (code === "ETIMEDOUT" || /timed out|timeout/i.test(error.message)) return ["Timeout", "no answer in time"]
  return ["Closed", error.message || code || "the connection failed"]
}
