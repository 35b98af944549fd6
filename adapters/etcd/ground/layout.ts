/**
 * Which keys there are, and what is in them. All begin with the prefix.
 *
 * - `m/<section>`: a member, under its lease; when it ends, the member is gone.
 * - `n/<name>`: who has a name, and the epoch, or of which name it is another.
 * - `s/<section> <key>`: what a member says: its claims, what it hosts. `v/<section>`: the version of that.
 * - `x/<name>`: the state of a process that moves, until it serves where it goes. Nobody watches it.
 * - `ended`: when a name has ended for the last time, by its revision.
 */
import type { Keys } from "../types.ts"
import type { SectionId } from "../../../src/protocol/ids.ts"
import type { Member, Status } from "../../../src/protocol/swim.ts"
import { hash32 } from "../../../src/protocol/hash.ts"
import { msgpack } from "../../../src/protocol/codec.ts"
import { asArray, asCount, asFlag, asIndexOf, asSection, asText, BadFrame } from "../../../src/protocol/reading.ts"
import { decodeValue, encodeValue } from "../../../src/protocol/entries.ts"
import { bootOf, nodeOf } from "../../../src/protocol/ids.ts"

/** What a key is about. */
export type Place =
  | { readonly _tag: "Member"; readonly section: SectionId }
  | { readonly _tag: "Name"; readonly name: string }
  | { readonly _tag: "Entry"; readonly section: SectionId; readonly key: string }
  | { readonly _tag: "Version"; readonly section: SectionId }
  | { readonly _tag: "Ended" }

export class Layout {
  readonly prefix: string

  constructor(prefix: string) {
    this.prefix = prefix
  }

  get ended(): string {
    return `${this.prefix}ended`
  }

  member(section: SectionId): string {
    return `${this.prefix}m/${section}`
  }

  name(name: string): string {
    return `${this.prefix}n/${name}`
  }

  /** No id of a node has a space. */
  entries(section: SectionId): string {
    return `${this.prefix}s/${section} `
  }

  entry(section: SectionId, key: string): string {
    return `${this.prefix}s/${section} ${key}`
  }

  version(section: SectionId): string {
    return `${this.prefix}v/${section}`
  }

  state(name: string): string {
    return `${this.prefix}x/${name}`
  }

  /** All but states. */
  get watched(): Keys {
    return { from: this.prefix, to: `${this.prefix}x/` }
  }

  placeOf(key: string): Place | undefined {
    if (key === this.ended) return { _tag: "Ended" }
    if (!key.startsWith(this.prefix) || key[this.prefix.length + 1] !== "/") return undefined
    const rest = key.slice(this.prefix.length + 2)
    switch (key[this.prefix.length]) {
      case "m":
        return isSection(rest) ? { _tag: "Member", section: rest } : undefined
      case "n":
        return { _tag: "Name", name: rest }
      case "v":
        return isSection(rest) ? { _tag: "Version", section: rest } : undefined
      case "s": {
        const section = rest.slice(0, Math.max(0, rest.indexOf(" ")))
        return isSection(section) ? { _tag: "Entry", section, key: rest.slice(section.length + 1) } : undefined
      }
      default:
        return undefined
    }
  }
}

/** Anybody may write into a store: what doesn't read is told apart from what is missing. */
const reading = <A>(read: () => A): A | undefined => {
  try {
    return read()
  } catch (error) {
    if (error instanceof BadFrame || error instanceof Error) return undefined
    throw error
  }
}

const isSection = (text: string): boolean => reading(() => asSection(text)) !== undefined

// ---- members

const STATUSES: ReadonlyArray<Status> = ["alive", "leaving"]

export const encodeMember = ({ address, cordoned, incarnation, labels, status, synced }: Member): Uint8Array =>
  msgpack.encode([STATUSES.indexOf(status), incarnation, address, synced, cordoned === true, Object.entries(labels)])

export const decodeMember = (section: SectionId, value: Uint8Array): Member | undefined =>
  reading(() => {
    const [status, incarnation, address, synced, cordoned, labels] = asArray(msgpack.decode(value), 6)
    const id = nodeOf(section)
    return {
      id,
      boot: bootOf(section),
      incarnation: asCount(incarnation),
      status: asIndexOf(STATUSES, status),
      address: asText(address),
      synced: asFlag(synced),
      cordoned: asFlag(cordoned),
      labels: Object.fromEntries(
        asArray(labels).map((pair) => {
          const [key, text] = asArray(pair, 2)
          return [asText(key), asText(text)]
        })
      ),
      hash: hash32(id)
    }
  })

// ---- entries

export const encodeEntry = (key: string, version: number, value: unknown): Uint8Array =>
  msgpack.encode([version, encodeValue(key, value)])

export const decodeEntry = (
  key: string,
  bytes: Uint8Array
): { readonly version: number; readonly value: unknown } | undefined =>
  reading(() => {
    const [version, value] = asArray(msgpack.decode(bytes), 2)
    return { version: asCount(version), value: decodeValue(key, value) }
  })

// ---- names

/** Who has a name. `holder` is empty while nobody has it and it is still registered. */
export type NameRecord =
  | { readonly _tag: "Held"; readonly holder: SectionId; readonly epoch: number; readonly isNew: boolean }
  /** One more name of another. */
  | { readonly _tag: "Alias"; readonly of: string }

export const encodeName = (record: NameRecord): Uint8Array =>
  msgpack.encode(record._tag === "Alias" ? [record.of] : [record.holder, record.epoch, record.isNew])

export const decodeName = (bytes: Uint8Array): NameRecord | undefined =>
  reading(() => {
    const fields = asArray(msgpack.decode(bytes))
    if (fields.length === 1) return { _tag: "Alias", of: asText(fields[0]) }
    const [holder, epoch, isNew] = asArray(fields, 3)
    return { _tag: "Held", holder: holder === "" ? "" : asSection(holder), epoch: asCount(epoch), isNew: asFlag(isNew) }
  })

// ---- states

export const encodeState = (epoch: number, state: unknown): Uint8Array => msgpack.encode([epoch, state])

export const decodeState = (bytes: Uint8Array): { readonly epoch: number; readonly state: unknown } | undefined =>
  reading(() => {
    const [epoch, state] = asArray(msgpack.decode(bytes), 2)
    return { epoch: asCount(epoch), state }
  })

export const encodeVersion = (version: number): string => String(version)

export const decodeVersion = (bytes: Uint8Array): number | undefined => {
  const version = Number(new TextDecoder().decode(bytes))
  return Number.isSafeInteger(version) && version >= 0 ? version : undefined
}
