/** Who this node is. */
import { Clock, Context, Effect, Layer, Random } from "effect"
import { type SectionId, sectionId } from "./protocol/ids.ts"
import { InvalidInput } from "./SwormError.ts"

export interface Node {
  /** Unique in the cluster; configured, else `<host>-<8 random characters>`. */
  readonly id: string
  /** One per run: the start time in ms. */
  readonly boot: number
  /** Nodes of different clusters refuse each other. */
  readonly cluster: string
  /** Facts for placement, told to every member: those that this run began with (see `Membership.setLabels`). */
  readonly labels: Readonly<Record<string, string>>
  /** (id, boot): what this run writes is keyed by it. */
  readonly section: SectionId
}

export const Node: Context.Service<Node, Node> = Context.Service<Node>("sworm/Node")

export interface NodeOptions {
  /** Default: `<host>-<8 random base32 characters>`. Give a stable one only if no two running nodes can share it. */
  readonly id?: string | undefined
  /** Default `"default"`. */
  readonly cluster?: string | undefined
  /** Default none. */
  readonly labels?: Readonly<Record<string, string>> | undefined
  /** The start of a random id; adapters pass the host's name. Default `"node"`. */
  readonly host?: string | undefined
}

const BASE32 = "abcdefghijklmnopqrstuvwxyz234567"

const randomSuffix: Effect.Effect<string> = Effect.gen(function* () {
  let suffix = ""
  for (let i = 0; i < 8; i++) suffix += BASE32[yield* Random.nextIntBetween(0, 31)]
  return suffix
})

/** Ids of nodes and names of clusters: 1 to 128 visible ASCII characters. */
export const isNodeId = (id: string): boolean => /^[\x21-\x7e]{1,128}$/.test(id)

const checkId = (id: string): Effect.Effect<string, InvalidInput> =>
  isNodeId(id)
    ? Effect.succeed(id)
    : Effect.fail(new InvalidInput({ what: "node id", detail: `"${id}" is not 1 to 128 visible ASCII characters` }))

/** Makes the identity of this run; fails when the id or the cluster's name cannot be used. */
export const make: (options?: NodeOptions) => Effect.Effect<Node, InvalidInput> = Effect.fnUntraced(
  function* (options = {}) {
    const id = yield* checkId(options.id ?? `${options.host ?? "node"}-${yield* randomSuffix}`)
    const cluster = yield* checkId(options.cluster ?? "default")
    const boot = yield* Clock.currentTimeMillis
    return { id, boot, cluster, labels: options.labels ?? {}, section: sectionId(id, boot) }
  }
)

export const layer = (options?: NodeOptions): Layer.Layer<Node, InvalidInput> => Layer.effect(Node)(make(options))
