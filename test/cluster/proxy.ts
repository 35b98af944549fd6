/**
 * A network of TCP proxies in the test's own process: every node is dialled through a proxy of its own, which learns from
 * the greeting who dials, so that each direction between two nodes can be cut and healed, whoever has dialled.
 */
import { Effect, type Scope } from "effect"
import process from "node:process"
import { connect, createServer, type Server, type Socket } from "node:net"
import type { AddressInfo } from "node:net"

/**
 * What becomes of the bytes of one direction. `"drop"`: they are lost in silence, the end of the connection with them;
 * such a connection is reset when the network heals. `"hold"`: they arrive when it heals, as after retransmissions.
 */
export type Flow = "pass" | "drop" | "hold"

export interface Network {
  /** Where a node is to listen, and what it is to advertise: `--listen` and `--advertise`. */
  readonly optionsOf: (id: string) => { readonly listen: string; readonly advertise: string }
  /** From now on, for all connections between the two, old and new. */
  readonly set: (from: string, to: string, flow: Flow) => void
  /** Connections to a node are accepted and nothing ever is answered. */
  readonly silence: (id: string) => void
  /** Cuts every connection through the proxies; new ones work. Answers how many there were. */
  readonly reset: () => number
  /** Everything passes again. */
  readonly heal: () => void
}

/** All directions between one node and the others: what it says, what it hears. */
export const isolate = (
  network: Network,
  id: string,
  others: ReadonlyArray<string>,
  flows: { readonly says?: Flow; readonly hears?: Flow }
): void => {
  for (const other of others) {
    if (flows.says !== undefined) network.set(id, other, flows.says)
    if (flows.hears !== undefined) network.set(other, id, flows.hears)
  }
}

const HOST = "127.0.0.1"

/** A server on a free port; the sockets it has are cut with it. */
const serve = (onSocket: (socket: Socket) => void, port = 0): Effect.Effect<number, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<{ readonly server: Server; readonly sockets: Set<Socket> }>((resume) => {
      const sockets = new Set<Socket>()
      const server = createServer({ allowHalfOpen: true }, (socket) => {
        sockets.add(socket)
        socket.on("close", () => sockets.delete(socket)).on("error", () => {})
        onSocket(socket)
      })
      server.once("error", (error) => resume(Effect.die(error)))
      server.listen(port, HOST, () => resume(Effect.succeed({ server, sockets })))
    }),
    ({ server, sockets }) =>
      Effect.callback<void>((resume) => {
        server.close(() => resume(Effect.void))
        for (const socket of sockets) socket.destroy()
      })
  ).pipe(Effect.map(({ server }) => (server.address() as AddressInfo).port))

/** Below those that systems give to connections, and to servers that ask for any: nobody is given one in between. */
const FIRST_PORT = 10_000
const PORTS_EACH = 200
const SHARES = 100
let given = Math.floor(Math.random() * PORTS_EACH)

/** A port on which nobody listens at the moment; tests that run beside this one have others. */
export const freePort: Effect.Effect<number> = Effect.suspend(() => {
  const share = process.pid + 17 * Number(process.env["VITEST_POOL_ID"] ?? 0)
  const port = FIRST_PORT + (share % SHARES) * PORTS_EACH + (given++ % PORTS_EACH)
  return Effect.scoped(serve((socket) => void socket.destroy(), port)).pipe(
    Effect.catchDefect(() => freePort)
  )
})

/** An address on which nobody listens at the moment. */
export const freeAddress: Effect.Effect<string> = Effect.map(freePort, (port) => `${HOST}:${port}`)

/** Does somebody listen there? */
export const listens = (address: string): Effect.Effect<boolean> =>
  Effect.callback((resume) => {
    const [host, port] = address.split(":")
    const socket = connect({ host: host!, port: Number(port) })
    const found = (is: boolean): void => {
      socket.destroy()
      resume(Effect.succeed(is))
    }
    socket.once("connect", () => found(true)).once("error", () => found(false))
  })

/** A port held open that accepts and never says a word, as an address. */
export const silentAddress: Effect.Effect<string, never, Scope.Scope> = Effect.map(
  serve((socket) => void socket.resume()),
  (port) => `${HOST}:${port}`
)

/** One direction of a connection. */
class Direction {
  readonly #to: Socket
  readonly #flow: () => Flow
  #held: Array<Buffer> = []
  #hasEnded = false
  #isOver = false
  hasLost = false

  constructor(from: Socket, to: Socket, flow: () => Flow, look: (data: Buffer) => void) {
    this.#to = to
    this.#flow = flow
    from.on("data", (data: Buffer) => {
      look(data)
      this.#held.push(data)
      this.release()
    })
    from.on("end", () => this.#end()).on("close", () => this.#end())
  }

  /** Lets go what is held, if it may. */
  release(): void {
    const flow = this.#flow()
    if (flow === "hold") return
    if (flow === "drop") {
      this.hasLost ||= this.#held.length > 0 || this.#hasEnded
      this.#held = []
      return
    }
    if (this.hasLost) return
    for (const data of this.#held) this.#to.write(data)
    this.#held = []
    if (!this.#hasEnded || this.#isOver) return
    this.#isOver = true
    this.#to.end()
  }

  #end(): void {
    this.#hasEnded = true
    this.release()
  }
}

/** Reads the dialler's id in the greeting, its first message after the HTTP upgrade. */
class Greeting {
  #bytes: Buffer | undefined = Buffer.alloc(0)
  id: string | undefined

  take(data: Buffer): void {
    if (this.#bytes === undefined) return
    this.#bytes = Buffer.concat([this.#bytes, data])
    const head = this.#bytes.indexOf("\r\n\r\n")
    const frame = head < 0 ? Buffer.alloc(0) : this.#bytes.subarray(head + 4)
    if (frame.byteLength < 2) return
    const short = frame[1]! & 0x7f
    const at = short === 126 ? 4 : 2
    if (frame.byteLength < at + 4) return
    const length = short === 126 ? frame.readUInt16BE(2) : short
    if (frame.byteLength < at + 4 + length) return
    const mask = frame.subarray(at, at + 4)
    const text = Buffer.from(frame.subarray(at + 4, at + 4 + length)).map((byte, i) => byte ^ mask[i % 4]!)
    this.#bytes = undefined
    this.id = (JSON.parse(Buffer.from(text).toString("utf8")) as { readonly id: string }).id
  }
}

interface Wire {
  readonly directions: ReadonlyArray<Direction>
  readonly cut: () => void
}

export const makeNetwork = (ids: ReadonlyArray<string>): Effect.Effect<Network, never, Scope.Scope> =>
  Effect.gen(function* () {
    const flows = new Map<string, Flow>()
    const silent = new Set<string>()
    const wires = new Set<Wire>()
    const options = new Map<string, { readonly listen: string; readonly advertise: string }>()

    const join = (id: string, listen: string, dialler: Socket): void => {
      if (silent.has(id)) {
        dialler.resume()
        const wire: Wire = { directions: [], cut: () => dialler.destroy() }
        wires.add(wire)
        dialler.on("close", () => wires.delete(wire))
        return
      }
      const [host, port] = listen.split(":")
      const target = connect({ host: host!, port: Number(port), allowHalfOpen: true })
      // a port that refuses refuses through the proxy too, as far as one can tell: the connection is reset
      target.on("error", () => dialler.destroy())
      const greeting = new Greeting()
      // who dials is not known before the greeting, and that is where the first cut may be
      const flow = (back: boolean) => (): Flow => {
        const [from, to] = back ? [id, greeting.id] : [greeting.id, id]
        return flows.get(`${from} ${to}`) ?? "pass"
      }
      const there = new Direction(dialler, target, flow(false), (data) => greeting.take(data))
      const back = new Direction(target, dialler, flow(true), () => {})
      const wire: Wire = {
        directions: [there, back],
        cut: () => {
          dialler.destroy()
          target.destroy()
        }
      }
      wires.add(wire)
      let open = 2
      for (const socket of [dialler, target]) socket.on("close", () => --open === 0 && wires.delete(wire))
    }

    for (const id of ids) {
      const listen = yield* freeAddress
      const port = yield* serve((socket) => join(id, listen, socket))
      options.set(id, { listen, advertise: `${HOST}:${port}` })
    }
    const network: Network = {
      optionsOf: (id) => options.get(id)!,
      set: (from, to, flow) => {
        flows.set(`${from} ${to}`, flow)
        for (const { directions } of wires) for (const direction of directions) direction.release()
      },
      silence: (id) => void silent.add(id),
      reset: () => {
        const all = [...wires]
        for (const { cut } of all) cut()
        return all.length
      },
      heal: () => {
        flows.clear()
        silent.clear()
        for (const { cut, directions } of [...wires]) {
          if (directions.length === 0 || directions.some(({ hasLost }) => hasLost)) cut()
          else for (const direction of directions) direction.release()
        }
      }
    }
    yield* Effect.addFinalizer(() => Effect.sync(() => void network.reset()))
    return network
  })
