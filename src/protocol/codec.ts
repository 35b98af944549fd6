/** Bytes for values: one interface, so that the wire format can be changed in one place. */
import { Packr } from "msgpackr/pack"

export interface Codec {
  readonly encode: (value: unknown) => Uint8Array
  /** One array of values that are encoded already. */
  readonly join: (values: ReadonlyArray<Uint8Array>) => Uint8Array
  /** Throws on anything that is not exactly one encoded value. */
  readonly decode: (bytes: Uint8Array) => unknown
}

const packr = new Packr({
  useRecords: false,
  mapsAsObjects: true,
  encodeUndefinedAsNil: false,
  moreTypes: false,
  structuredClone: false
})

/** "array 32" of MessagePack: a byte that says so, and its length, big endian. */
const ARRAY = 0xdd
const ARRAY_HEADER = 5

const join = (values: ReadonlyArray<Uint8Array>): Uint8Array => {
  const joined = new Uint8Array(values.reduce((sum, { byteLength }) => sum + byteLength, ARRAY_HEADER))
  joined[0] = ARRAY
  new DataView(joined.buffer).setUint32(1, values.length)
  let at = ARRAY_HEADER
  for (const value of values) {
    joined.set(value, at)
    at += value.byteLength
  }
  return joined
}

/** MessagePack by msgpackr, without its native parts. Values that refer to themselves are refused both ways. */
export const msgpack: Codec = {
  encode: (value) => packr.pack(value),
  join,
  decode: (bytes) => packr.unpack(bytes)
}
