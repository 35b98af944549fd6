/**
 * One node with two backends: one identity, one port, one connection to each other node; and for each sworm the backend
 * that it is given.
 */
import { Layer } from "effect"
import { Discovery, type Node, type SwormError, type Transport } from "@sworm/sworm"
import * as Etcd from "@sworm/sworm/etcd"
import * as Gossip from "@sworm/sworm/gossip"
import * as WebSocketTransport from "@sworm/sworm/websocket"
import { PurseLayer, Purses, RoomLayer, Rooms } from "./sworms.ts"

export interface NodeOptions {
  readonly id?: string | undefined
  /** `host:port`; port 0 picks a free one. */
  readonly listen: string
  /** Where gossip finds its first peers. The others find each other in etcd. */
  readonly seeds: ReadonlyArray<string>
}

/** A backend on an etcd, on the node below it. */
export type Strict = Layer.Layer<
  Etcd.Services,
  SwormError.InvalidInput | Etcd.EtcdError,
  Node.Node | Transport.Transport
>

/** The same in all programs of the cluster; without endpoints, one in the memory of this program alone. */
export const etcdAt = (endpoints: ReadonlyArray<string>): Strict =>
  endpoints.length > 0 ? Etcd.layer({ endpoints }) : Etcd.layerClient().pipe(
    Layer.provide(Etcd.EtcdMemory.layerClient()),
    Layer.provide(Etcd.EtcdMemory.layer)
  )

/** Both sworms, and the transport that they share. */
export const layer = ({ id, listen, seeds }: NodeOptions, etcd: Strict) => {
  // a layer is built once, however often it is provided
  const node = WebSocketTransport.layer({ id, listen, discovery: Discovery.seeds(seeds) })
  const gossip = Gossip.layer().pipe(Layer.provide(node))
  const strict = etcd.pipe(Layer.provide(node))
  return Layer.mergeAll(
    Rooms.layer.pipe(Layer.provide(RoomLayer), Layer.provide(gossip)),
    Purses.layer.pipe(Layer.provide(PurseLayer), Layer.provide(strict)),
    node
  )
}
