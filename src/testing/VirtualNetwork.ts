/**
 * A network in one program: nodes send each other frames as they would over sockets, through the real codec, with the
 * delay, loss and cuts that a test asks for. Seeded, so that a run can be repeated.
 */
import { Clock, Context, Effect, Layer, type Scope } from "effect"
import { Node } from "../Node.ts"
import { seededRandom } from "../protocol/random.ts"
import { TransportError } from "../SwormError.ts"
import { type Peer, Transport, type TransportEvents } from "../Transport.ts"

/** How its links behave. Shares are 0 to 1. */
export interface Weather {
  /** Frames take between `minMs` and `maxMs`; those of one link stay in order. Default none. */
  readonly delay?: { readonly minMs: number; readonly maxMs: number } | undefined
  /** The share of frames that never arrive. Default 0. */
  readonly loss?: number | undefined
  /** The share of frames that arrive twice; needs a delay. Default 0. */
  readonly duplication?: number | undefined
  /** The share of frames that others may overtake; needs a delay. Default 0. */
  readonly reordering?: number | undefined
}

export interface NetworkOptions extends Weather {
  /** Every choice of the network comes from it. Default 1. */
  readonly seed?: number | undefined
  /** Default 1 MiB, as for real transports. */
  readonly maxFrameBytes?: number | undefined
  /** Default: the clock of the fiber that makes the network. */
  readonly pace?: Pace | undefined
}

/** The time of a network, and where what happens at a node runs. */
export interface Pace {
  readonly nowMs: () => number
  /** After so many ms, at that node. */
  readonly later: (node: string, millis: number, run: () => void) => void
  /** Now, at that node. */
  readonly tell: (node: string, run: () => void) => void
}

/** A frame that was delivered, for whoever traces a network. */
export interface Delivery {
  readonly from: string
  readonly to: string
  readonly channel: number
  readonly body: Uint8Array
}

export interface VirtualNetwork {
  /** Connects a node; it is reachable until the scope closes. */
  readonly attach: (node: Node) => Effect.Effect<Transport, never, Scope.Scope>
  /** Frames from one node to another are dropped in silence, and new connections between them time out. One way. */
  readonly cut: (from: string, to: string) => void
  /** Do frames get through, both ways? */
  readonly isLinked: (a: string, b: string) => boolean
  /** Undoes cuts between two nodes, or all. */
  readonly heal: (a?: string, b?: string) => void
  /** Cuts every link between the two sides, both ways. */
  readonly partition: (one: ReadonlyArray<string>, other: ReadonlyArray<string>) => void
  /** The node is gone without a word: its connections break, its port refuses. */
  readonly kill: (node: string) => void
  /** The node is held up: what is sent to it waits there, and dials of it time out. */
  readonly stall: (node: string, isStalled: boolean) => void
  /** From now on. */
  readonly change: (weather: Weather) => void
  /** Frames delivered so far. */
  readonly delivered: () => number
  /** Is told of each frame as it is delivered; one at a time. */
  readonly trace: (observe: (delivery: Delivery) => void) => void
}

export const VirtualNetwork: Context.Service<VirtualNetwork, VirtualNetwork> = Context.Service<VirtualNetwork>(
  "sworm/testing/VirtualNetwork"
)

interface Station {
  readonly peer: Peer
  readonly takers: Map<number, (from: Peer, body: Uint8Array) => void>
  readonly events: Set<TransportEvents>
  readonly links: Map<string, Link>
}

type Frame = readonly [channel: number, body: Uint8Array]

/** One direction of a connection. */
interface Link {
  readonly to: Station
  open: boolean
  /** When the last frame under way arrives: later ones do not overtake it. */
  lastAt: number
  queue: Array<Frame>
}

const DIAL_TIMEOUT_MS = 1000
const SCHEME = "virtual:"

const ownPace: Effect.Effect<Pace> = Effect.gen(function* () {
  const clock = yield* Clock.Clock
  const context = yield* Effect.context<never>()
  return {
    nowMs: () => clock.currentTimeMillisUnsafe(),
    later: (_, millis, run) => {
      Effect.runForkWith(context)(Effect.andThen(Effect.sleep(millis), Effect.sync(run)))
    },
    tell: (_, run) => run()
  }
})

export const make: (options?: NetworkOptions) => Effect.Effect<VirtualNetwork> = Effect.fnUntraced(
  function* (options = {}) {
    const pace = options.pace ?? (yield* ownPace)
    const random = seededRandom(options.seed ?? 1)
    const stations = new Map<string, Station>()
    const cuts = new Set<string>()
    const stalled = new Set<string>()
    const maxFrameBytes = options.maxFrameBytes ?? 1024 * 1024
    let weather: Weather = options
    let delivered = 0
    let observe: (delivery: Delivery) => void = () => {}

    const isCut = (from: string, to: string): boolean => cuts.has(`${from}>${to}`)

    const isDeaf = (from: string, to: string): boolean => isCut(from, to) || isCut(to, from) || stalled.has(to)

    const happens = (share: number | undefined): boolean => share !== undefined && share > 0 && random() < share

    const notify = (station: Station, tell: (events: TransportEvents) => void): void => {
      pace.tell(station.peer.id, () => {
        for (const events of [...station.events]) tell(events)
      })
    }

    const deliver = (from: Station, link: Link, channel: number, body: Uint8Array): void => {
      if (!link.open || isCut(from.peer.id, link.to.peer.id)) return
      delivered++
      observe({ from: from.peer.id, to: link.to.peer.id, channel, body })
      try {
        link.to.takers.get(channel)?.(from.peer, body)
      } catch {
        // as a socket does: a peer that breaks the protocol is cut off
        close(from, link.to)
      }
    }

    const transmit = (from: Station, link: Link, channel: number, body: Uint8Array): void => {
      if (happens(weather.loss)) return
      // a copy, as a wire would make
      const frame: Frame = [channel, body.slice()]
      if (weather.delay === undefined) {
        link.queue.push(frame)
        if (link.queue.length === 1) queueMicrotask(() => drain(from, link))
        return
      }
      const { maxMs, minMs } = weather.delay
      const now = pace.nowMs()
      const to = link.to.peer.id
      for (let copies = happens(weather.duplication) ? 2 : 1; copies > 0; copies--) {
        const at = now + minMs + random() * (maxMs - minMs)
        if (copies > 1 || happens(weather.reordering)) {
          pace.later(to, at - now, () => deliver(from, link, ...frame))
          continue
        }
        link.lastAt = Math.max(link.lastAt, at)
        link.queue.push(frame)
        // whichever timer fires first, the frame sent first arrives first
        pace.later(to, link.lastAt - now, () => {
          const next = link.queue.shift()
          if (next !== undefined) deliver(from, link, ...next)
        })
      }
    }

    const drain = (from: Station, link: Link): void => {
      const frames = link.queue
      link.queue = []
      for (const [channel, body] of frames) deliver(from, link, channel, body)
    }

    const open = (a: Station, b: Station): void => {
      if (a.links.has(b.peer.id)) return
      a.links.set(b.peer.id, { to: b, open: true, lastAt: 0, queue: [] })
      b.links.set(a.peer.id, { to: a, open: true, lastAt: 0, queue: [] })
      notify(a, (events) => events.up(b.peer))
      notify(b, (events) => events.up(a.peer))
    }

    const close = (a: Station, b: Station): void => {
      const there = a.links.get(b.peer.id)
      const back = b.links.get(a.peer.id)
      if (there === undefined || back === undefined) return
      there.open = false
      back.open = false
      a.links.delete(b.peer.id)
      b.links.delete(a.peer.id)
      notify(a, (events) => events.down(b.peer, "the connection ended"))
      notify(b, (events) => events.down(a.peer, "the connection ended"))
    }

    const detach = (station: Station): void => {
      if (stations.get(station.peer.address) !== station) return
      stations.delete(station.peer.address)
      station.events.clear()
      for (const { to } of [...station.links.values()]) close(station, to)
    }

    /** As a socket closes: what was sent before still arrives, then the connection ends. */
    const depart = (station: Station): void => {
      if (stations.get(station.peer.address) !== station) return
      stations.delete(station.peer.address)
      const now = pace.nowMs()
      for (const link of [...station.links.values()]) {
        if (weather.delay === undefined) drain(station, link)
        const end = (): void => {
          if (station.links.get(link.to.peer.id) === link) close(station, link.to)
        }
        if (link.lastAt > now) pace.later(link.to.peer.id, link.lastAt - now + 1, end)
        else end()
      }
    }

    const attach: VirtualNetwork["attach"] = (node) =>
      Effect.acquireRelease(
        Effect.sync(() => {
          const peer: Peer = { id: node.id, boot: node.boot, address: SCHEME + node.id }
          const station: Station = { peer, takers: new Map(), events: new Set(), links: new Map() }
          stations.set(peer.address, station)
          const dialling = new Map<string, Array<readonly [number, Uint8Array]>>()
          const dial = (to: string): void => {
            const target = stations.get(SCHEME + to)
            const settle = (): void => {
              const frames = dialling.get(to) ?? []
              dialling.delete(to)
              const there = stations.get(SCHEME + to)
              if (stations.get(peer.address) !== station) return
              if (there === undefined || isDeaf(node.id, to)) {
                return notify(station, (events) => events.unreachable(to, there === undefined))
              }
              open(station, there)
              const link = station.links.get(to)
              if (link !== undefined) { for (const [channel, body] of frames) transmit(station, link, channel, body) }
            }
            if (target !== undefined && isDeaf(node.id, to)) pace.later(node.id, DIAL_TIMEOUT_MS, settle)
            else if (weather.delay === undefined) queueMicrotask(settle)
            else pace.later(node.id, weather.delay.maxMs, settle)
          }
          const transport: Transport = {
            address: peer.address,
            maxFrameBytes,
            send: (to, channel, body) => {
              if (body.byteLength > maxFrameBytes || stations.get(peer.address) !== station || to === node.id) {
                return false
              }
              const link = station.links.get(to)
              if (link !== undefined) {
                transmit(station, link, channel, body)
                return true
              }
              const waiting = dialling.get(to)
              if (waiting !== undefined) return waiting.push([channel, body]) > 0
              dialling.set(to, [[channel, body]])
              dial(to)
              return true
            },
            connect: (address) => connect(station, address),
            receive: (channel, take) => {
              station.takers.set(channel, take)
              return () => void station.takers.delete(channel)
            },
            subscribe: (events) => {
              station.events.add(events)
              return () => void station.events.delete(events)
            },
            learn: () => {},
            disconnect: (other) => {
              const link = station.links.get(other)
              if (link !== undefined) close(station, link.to)
            },
            peers: () => [...station.links.values()].map(({ to }) => to.peer)
          }
          return { transport, station }
        }),
        ({ station }) => Effect.sync(() => depart(station))
      ).pipe(Effect.map(({ transport }) => transport))

    const connect = (station: Station, address: string): Effect.Effect<Peer, TransportError> =>
      Effect.gen(function* () {
        if (address === station.peer.address) {
          return yield* Effect.fail(new TransportError({ reason: "Self", address, detail: "it is this node" }))
        }
        yield* Effect.sleep(weather.delay?.maxMs ?? 0)
        const there = stations.get(address)
        if (there === undefined || stations.get(station.peer.address) !== station) {
          return yield* Effect.fail(new TransportError({ reason: "Refused", address, detail: "nobody listens there" }))
        }
        if (isDeaf(station.peer.id, there.peer.id)) {
          yield* Effect.sleep(DIAL_TIMEOUT_MS)
          return yield* Effect.fail(new TransportError({ reason: "Timeout", address, detail: "no answer" }))
        }
        open(station, there)
        return there.peer
      })

    return {
      attach,
      cut: (from, to) => void cuts.add(`${from}>${to}`),
      isLinked: (a, b) => !isCut(a, b) && !isCut(b, a),
      heal: (a, b) => {
        if (a === undefined || b === undefined) return cuts.clear()
        cuts.delete(`${a}>${b}`)
        cuts.delete(`${b}>${a}`)
      },
      partition: (one, other) => {
        for (const a of one) {
          for (const b of other) {
            cuts.add(`${a}>${b}`)
            cuts.add(`${b}>${a}`)
          }
        }
      },
      kill: (id) => {
        const station = stations.get(SCHEME + id)
        if (station !== undefined) detach(station)
      },
      stall: (id, isStalled) => void (isStalled ? stalled.add(id) : stalled.delete(id)),
      change: (next) => void (weather = next),
      delivered: () => delivered,
      trace: (told) => void (observe = told)
    }
  }
)

/** A network for the layers above it. */
export const layer = (options?: NetworkOptions): Layer.Layer<VirtualNetwork> =>
  Layer.effect(VirtualNetwork)(make(options))

/** Transport of the node, over the network. */
export const layerTransport: Layer.Layer<Transport, never, VirtualNetwork | Node> = Layer.effect(Transport)(
  Effect.gen(function* () {
    return yield* (yield* VirtualNetwork).attach(yield* Node)
  })
)

/** Where a node of the network listens, for lists of seeds. */
export const addressOf = (node: string): string => SCHEME + node
