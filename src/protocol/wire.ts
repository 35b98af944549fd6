/**
 * What crosses a connection, as positional arrays: encoded and decoded here, and only here. Decoders take whatever a
 * peer sent and either return a well-formed message or throw `BadFrame`; nothing is applied from half a message.
 */
import { decodeValue, encodeValue } from "./entries.ts"
import { asArray, asCount, asFlag, asIndexOf, asSection, asText, asTexts, fail } from "./reading.ts"
import type { Delta } from "./replica.ts"
import type { Status, SwimMessage, Update } from "./swim.ts"

export * from "./entries.ts"
export { asArray, asBytes, asCount, asFlag, asMillis, asText, asTexts, BadFrame, optional } from "./reading.ts"

/** Version of everything in this file, exchanged in the handshake. */
export const PROTOCOL_VERSION = 1

/** Frames of one connection are sorted by channel; a backend listens on its own. */
export const Channel = { swim: 1, sync: 2, request: 3, call: 4 } as const

// ---- replication

export type SyncMessage =
  /** One number for all I have; a peer that has the same answers nothing. */
  | { readonly _tag: "Hash"; readonly hash: number }
  /** All I have. `wants`: send me yours if you have anything that I lack. */
  | {
    readonly _tag: "Digest"
    readonly versions: ReadonlyMap<string, number>
    /** Dead sections that I have dropped, at which version (R9). */
    readonly buried: ReadonlyMap<string, number>
    readonly synced: boolean
    readonly floor: number
    readonly wants: boolean
  }
  /** `complete`: nothing was cut off to bound the frame. */
  | {
    readonly _tag: "Deltas"
    readonly deltas: ReadonlyArray<Delta>
    readonly complete: boolean
    readonly floor: number
  }
  /** Your section is stored here up to this version. */
  | { readonly _tag: "Stored"; readonly version: number }
  /** My copy is the same as yours: hashes agree. */
  | { readonly _tag: "Same"; readonly hash: number }

export const encodeSync = (message: SyncMessage): ReadonlyArray<unknown> => {
  switch (message._tag) {
    case "Hash":
      return [0, message.hash]
    case "Digest":
      return [
        1,
        [...message.versions].flat(),
        message.synced,
        message.floor,
        message.wants,
        [...message.buried].flat()
      ]
    case "Deltas":
      return [
        2,
        message.deltas.map(({ entries, from, section, swept, to }) => [
          section,
          from,
          to,
          swept,
          entries.flatMap(([key, version, value]) => [key, version, encodeValue(key, value)])
        ]),
        message.complete,
        message.floor
      ]
    case "Stored":
      return [3, message.version]
    case "Same":
      return [4, message.hash]
  }
}

export const decodeSync = (u: unknown): SyncMessage => {
  const message = asArray(u)
  switch (message[0]) {
    case 0:
      return { _tag: "Hash", hash: asCount(message[1]) }
    case 1:
      return {
        _tag: "Digest",
        versions: decodeVersions(message[1]),
        synced: asFlag(message[2]),
        floor: asCount(message[3]),
        wants: asFlag(message[4]),
        buried: decodeVersions(message[5])
      }
    case 2:
      return {
        _tag: "Deltas",
        deltas: asArray(message[1]).map(decodeDelta),
        complete: asFlag(message[2]),
        floor: asCount(message[3])
      }
    case 3:
      return { _tag: "Stored", version: asCount(message[1]) }
    case 4:
      return { _tag: "Same", hash: asCount(message[1]) }
    default:
      return fail("a sync message")
  }
}

const decodeVersions = (u: unknown): Map<string, number> => {
  const flat = asArray(u)
  const versions = new Map<string, number>()
  for (let i = 0; i < flat.length; i += 2) versions.set(asSection(flat[i]), asCount(flat[i + 1]))
  return versions
}

const decodeDelta = (u: unknown): Delta => {
  const [section, from, to, swept, flat] = asArray(u, 5)
  const items = asArray(flat)
  const entries: Array<readonly [string, number, unknown]> = []
  let last = asCount(from)
  for (let i = 0; i < items.length; i += 3) {
    const key = asText(items[i])
    const version = asCount(items[i + 1])
    if (version <= last) fail("rising versions")
    last = version
    entries.push([key, version, decodeValue(key, items[i + 2])])
  }
  if (asCount(to) < last) fail("a delta that ends at its last version")
  return { section: asSection(section), from: asCount(from), to: asCount(to), swept: asCount(swept), entries }
}

// ---- membership

const STATUSES: ReadonlyArray<Status> = ["alive", "leaving", "suspect", "dead", "left"]
const OUTCOMES = ["answered", "refused", "silent"] as const

const encodeUpdates = (updates: ReadonlyArray<Update>): ReadonlyArray<unknown> =>
  updates.map((update) => [
    update.id,
    update.boot,
    update.incarnation,
    STATUSES.indexOf(update.status),
    update.address,
    update.synced,
    Object.entries(update.labels).flat(),
    update.life ?? 0,
    update.cordoned === true
  ])

const decodeUpdates = (u: unknown): ReadonlyArray<Update> =>
  asArray(u).map((item) => {
    const [id, boot, incarnation, status, address, synced, labels, life, cordoned] = asArray(item, 9)
    const flat = asTexts(labels)
    if (flat.length % 2 !== 0) fail("pairs of labels")
    const record: Record<string, string> = Object.create(null)
    for (let i = 0; i + 1 < flat.length; i += 2) record[flat[i]!] = flat[i + 1]!
    return {
      id: asText(id),
      boot: asCount(boot),
      incarnation: asCount(incarnation),
      status: asIndexOf(STATUSES, status),
      address: asText(address),
      synced: asFlag(synced),
      labels: { ...record },
      ...(asCount(life) === 0 ? {} : { life: asCount(life) }),
      ...(asFlag(cordoned) ? { cordoned: true } : {})
    }
  })

export const encodeSwim = (message: SwimMessage): ReadonlyArray<unknown> => {
  switch (message._tag) {
    case "Ping":
      return [0, message.seq, encodeUpdates(message.updates)]
    case "Ack":
      return [1, message.seq, encodeUpdates(message.updates)]
    case "PingReq":
      return [2, message.seq, message.target]
    case "Nack":
      return [3, message.seq, OUTCOMES.indexOf(message.outcome)]
    case "Gossip":
      return [4, encodeUpdates(message.updates)]
    case "State":
      return [5, encodeUpdates(message.updates), message.answer]
    case "Forgotten":
      return [6, message.boot, message.life, message.size, message.lowest]
  }
}

export const decodeSwim = (u: unknown): SwimMessage => {
  const message = asArray(u)
  switch (message[0]) {
    case 0:
      return { _tag: "Ping", seq: asCount(message[1]), updates: decodeUpdates(message[2]) }
    case 1:
      return { _tag: "Ack", seq: asCount(message[1]), updates: decodeUpdates(message[2]) }
    case 2:
      return { _tag: "PingReq", seq: asCount(message[1]), target: asText(message[2]) }
    case 3:
      return { _tag: "Nack", seq: asCount(message[1]), outcome: asIndexOf(OUTCOMES, message[2]) }
    case 4:
      return { _tag: "Gossip", updates: decodeUpdates(message[1]) }
    case 5:
      return { _tag: "State", updates: decodeUpdates(message[1]), answer: asFlag(message[2]) }
    case 6:
      return {
        _tag: "Forgotten",
        boot: asCount(message[1]),
        life: asCount(message[2]),
        size: asCount(message[3]),
        lowest: asText(message[4])
      }
    default:
      return fail("a membership message")
  }
}
