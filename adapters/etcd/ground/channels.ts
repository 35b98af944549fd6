/** Two backends on one transport: each takes channels of its own. */
import type { Transport } from "../../../src/Transport.ts"

/** Gossip takes the first ones. */
const FIRST_CHANNEL = 16

export const ownChannels = (transport: Transport): Transport => ({
  address: transport.address,
  maxFrameBytes: transport.maxFrameBytes,
  send: (to, channel, body, lane) => transport.send(to, channel + FIRST_CHANNEL, body, lane),
  receive: (channel, take) => transport.receive(channel + FIRST_CHANNEL, take),
  connect: (address) => transport.connect(address),
  subscribe: (events) => transport.subscribe(events),
  learn: (node, address) => transport.learn(node, address),
  disconnect: (node, detail) => transport.disconnect(node, detail),
  peers: () => transport.peers()
})
