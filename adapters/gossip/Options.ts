/** How a gossip backend behaves, with defaults and presets. Values may differ between nodes unless noted. */
import { Duration } from "effect"
import type { SwimConfig } from "../../src/protocol/swim.ts"

export interface GossipOptions {
  /**
   * Timing of failure detection. `"lan"` (default): a silent node is given up within 3 s, a crashed one in milliseconds;
   * `"wan"`: three times slower, for links that stall; `"local"`: four times faster, for one machine and tests.
   */
  readonly preset?: Preset | undefined
  /** How long leaving may take; what is not handed over by then starts from its args elsewhere. Default 10 seconds. */
  readonly shutdownTimeout?: Duration.Input | undefined
  /** How long one move may take before it is undone. Default 10 seconds. */
  readonly handoffTimeout?: Duration.Input | undefined
  /** Moves under way at a time, from this node. Raising it moves faster and holds up more callers. Default 64. */
  readonly concurrentMoves?: number | undefined
  /**
   * The largest state that moves or settles, encoded, in bytes. A larger one fails its move with `HandoffError`, and the
   * process goes on where it is. What doesn't fit a frame goes in chunks. Raising it takes memory: a node keeps up to
   * twice as much of each peer in parts. Should be equal on all nodes. Default 16 MiB.
   */
  readonly maxStateBytes?: number | undefined
  /**
   * Moves of redistribution that this node begins in a second, above 0. Lowering it spreads the work of a change of members
   * over time; what was not moved yet runs where it is. Leaving, `move` and `drain` are not held back. Default: no limit.
   */
  readonly movesPerSecond?: number | undefined
  /**
   * Redistribution leaves a process where it is for so long after it started or came there. Raising it keeps processes from
   * being moved twice in a row; a new node gets its share that much later. Default 0.
   */
  readonly minResidence?: Duration.Input | undefined
  /**
   * Redistribution begins so long after a change of members, and goes by the members that there are then. Raising it keeps
   * a node that comes and goes from pulling processes to and fro. Default 50 ms.
   */
  readonly redistributeAfter?: Duration.Input | undefined
  /**
   * The node starts cordoned: it takes part, and is given no processes until `Handoff.uncordon`, when it has warmed up
   * for instance. Default `false`.
   */
  readonly cordoned?: boolean | undefined
  /** Copies are compared with one random peer this often. Default 1 second. */
  readonly syncInterval?: Duration.Input | undefined
  /** Seeds and the recently dead are dialled again this often, so that a healed network merges. Default 10 seconds. */
  readonly redialInterval?: Duration.Input | undefined
  /** A node that finds nobody to join waits this long for others before it forms a cluster. Default 200 ms. */
  readonly formDelay?: Duration.Input | undefined
  /**
   * Of two copies, after a split, the one that ends hands its state to the other. When that can't be done for so long (no
   * way there, a state larger than `maxStateBytes`) it ends without, and an event says so. Default 60 seconds.
   */
  readonly settleTimeout?: Duration.Input | undefined
  /** How long the dead are remembered. Default 24 hours. Should be equal on all nodes. */
  readonly forgetAfter?: Duration.Input | undefined
  /**
   * What a node does that comes back after it was forgotten with the processes it runs, where nobody else has their names:
   * it registers them anew (`"register"`, the default: nothing that was acknowledged is lost, but what was unregistered
   * meanwhile runs again), or stops them (`"stop"`). Where somebody has the name they are stopped in any case.
   */
  readonly onReturn?: "register" | "stop" | undefined
  /**
   * That a name has ended is remembered at least this long, and until everyone knows. Must exceed the longest
   * `startTimeout`: a registration that is asked for again after its end must be known. Default 5 minutes.
   */
  readonly tombAge?: Duration.Input | undefined
  /**
   * Where a placement says which side of a split goes on (`quorum`, `keepMajority`, `keepOldest`, `downAll`): the other
   * side handles no message later than this after its last contact with enough others, and the names of a node that has
   * died start elsewhere a quarter later than that. Raising it rides out longer stalls of links and programs; lowering it
   * moves names on sooner. Must be equal on all nodes. Default 4 intervals between probes: 2 seconds with `"lan"`.
   */
  readonly stopWithin?: Duration.Input | undefined
  /** A node keeps snapshots for others in so much memory, in bytes; beyond that others are asked. Default 256 MiB. */
  readonly snapshotBytes?: number | undefined
  /** After a change of members a registrar first asks its predecessor for this long. Default 2 seconds. */
  readonly joinGrace?: Duration.Input | undefined
}

export type Preset = "lan" | "wan" | "local"

/** Milliseconds for everything. */
export interface ResolvedGossipOptions {
  readonly swim: SwimConfig
  readonly shutdownTimeoutMs: number
  readonly handoffTimeoutMs: number
  readonly concurrentMoves: number
  readonly maxStateBytes: number
  readonly movesPerSecond: number
  readonly minResidenceMs: number
  readonly redistributeAfterMs: number
  readonly cordoned: boolean
  readonly syncIntervalMs: number
  readonly redialIntervalMs: number
  readonly formDelayMs: number
  readonly joinGraceMs: number
  readonly tombAgeMs: number
  readonly stopWithinMs: number
  readonly settleTimeoutMs: number
  readonly snapshotBytes: number
  readonly onReturn: "register" | "stop"
  /** Replication frames hold about this much. */
  readonly deltaBytes: number
}

const lan = {
  probeIntervalMs: 500,
  probeTimeoutMs: 300,
  indirectProbes: 3,
  suspicionMaxMs: 2000,
  suspicionMinMs: 1000,
  retransmit: 4
}

const scaled = (factor: number): typeof lan => ({
  ...lan,
  probeIntervalMs: lan.probeIntervalMs * factor,
  probeTimeoutMs: lan.probeTimeoutMs * factor,
  suspicionMaxMs: lan.suspicionMaxMs * factor,
  suspicionMinMs: lan.suspicionMinMs * factor
})

/** The timings behind the presets. */
export const presets: Readonly<Record<Preset, Omit<SwimConfig, "forgetAfterMs">>> = {
  lan,
  wan: scaled(3),
  local: scaled(0.25)
}

const millis = (input: Duration.Input | undefined, fallback: Duration.Input): number =>
  Duration.toMillis(Duration.fromInputUnsafe(input ?? fallback))

export const resolve = (options: GossipOptions, maxFrameBytes: number): ResolvedGossipOptions => ({
  swim: { ...presets[options.preset ?? "lan"], forgetAfterMs: millis(options.forgetAfter, "24 hours") },
  shutdownTimeoutMs: millis(options.shutdownTimeout, "10 seconds"),
  handoffTimeoutMs: millis(options.handoffTimeout, "10 seconds"),
  concurrentMoves: options.concurrentMoves ?? 64,
  maxStateBytes: options.maxStateBytes ?? 16 * 1024 * 1024,
  movesPerSecond: options.movesPerSecond ?? Infinity,
  minResidenceMs: millis(options.minResidence, 0),
  redistributeAfterMs: millis(options.redistributeAfter, 50),
  cordoned: options.cordoned ?? false,
  syncIntervalMs: millis(options.syncInterval, "1 second"),
  redialIntervalMs: millis(options.redialInterval, "10 seconds"),
  formDelayMs: millis(options.formDelay, "200 millis"),
  joinGraceMs: millis(options.joinGrace, "2 seconds"),
  onReturn: options.onReturn ?? "register",
  settleTimeoutMs: millis(options.settleTimeout, "60 seconds"),
  stopWithinMs: millis(options.stopWithin, 4 * presets[options.preset ?? "lan"].probeIntervalMs),
  snapshotBytes: options.snapshotBytes ?? 256 * 1024 * 1024,
  tombAgeMs: millis(options.tombAge, "5 minutes"),
  deltaBytes: Math.min(256 * 1024, maxFrameBytes >>> 2)
})
