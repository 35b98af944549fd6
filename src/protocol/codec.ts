/** Bytes for values: one interface, so that the wire format can be changed in one place. */
import { Packr } from "msgpackr/pack"

export interface Codec {
  readonly encode: (value: unknown) => Uint8Array
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

/** MessagePack by msgpackr, without its native parts. Values that refer to themselves are refused both ways. */
export const msgpack: Codec = {
  encode: (value) => packr.pack(value),
  decode: (bytes) => packr.unpack(bytes)
}
