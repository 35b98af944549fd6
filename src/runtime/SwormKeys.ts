/** A sworm's keys as the names that they are registered under, and its metadata as what is told to every node. */
import type { Schema } from "effect"
import type { Entry } from "../Registry.ts"
import { InvalidInput } from "../SwormError.ts"
import { describe, plainCodec } from "./Hosted.ts"

/** JSON with the fields of every object in order: equal keys are one name, whoever wrote them. */
const canonical = (value: unknown): string => {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`
  if (typeof value !== "object" || value === null) return JSON.stringify(value)
  const fields = Object.entries(value).sort(([a], [b]) => a < b ? -1 : 1)
  return `{${fields.map(([key, field]) => `${JSON.stringify(key)}:${canonical(field)}`).join(",")}}`
}

export interface SwormKeys {
  /** Keys are strings, and names as they are. */
  readonly areStrings: boolean
  /** Throws `InvalidInput` for what the schema refuses. */
  readonly nameOf: (key: unknown) => string
  readonly keyOf: (name: string) => unknown
}

/** Strings are names as they are. */
const plainKeys: SwormKeys = { areStrings: true, nameOf: (key) => key as string, keyOf: (name) => name }

export const makeKeys = (schema: Schema.Top | undefined): SwormKeys => {
  if (schema === undefined) return plainKeys
  const codec = plainCodec(schema)
  return {
    areStrings: false,
    nameOf: (key) => {
      const encoded = codec.encode(key)
      if (encoded._tag === "Failure") throw new InvalidInput({ what: "key", detail: describe(encoded) })
      return typeof encoded.value === "string" ? encoded.value : canonical(encoded.value)
    },
    keyOf: (name) => {
      const direct = codec.decode(name)
      if (direct._tag === "Success") return direct.value
      const decoded = codec.decode(parse(name))
      if (decoded._tag === "Success") return decoded.value
      throw new InvalidInput({ what: `name "${name}"`, detail: `it stands for no key: ${describe(decoded)}` })
    }
  }
}

const parse = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

export interface SwormMetadata {
  /** Throws `InvalidInput` for what the schema refuses. */
  readonly encode: (metadata: unknown) => unknown
  /** What does not fit, from a node with another schema for instance, is as good as none. */
  readonly decode: (data: unknown) => unknown
}

const plainMetadata: SwormMetadata = { encode: (metadata) => metadata, decode: (data) => data }

export const makeMetadata = (schema: Schema.Top | undefined): SwormMetadata => {
  if (schema === undefined) return plainMetadata
  const codec = plainCodec(schema)
  return {
    encode: (metadata) => {
      if (metadata === undefined) return undefined
      const encoded = codec.encode(metadata)
      if (encoded._tag === "Success") return encoded.value
      throw new InvalidInput({ what: "metadata", detail: describe(encoded) })
    },
    decode: (data) => {
      const decoded = data === undefined ? undefined : codec.decode(data)
      return decoded?._tag === "Success" ? decoded.value : undefined
    }
  }
}

export const decodeEntry = ({ decode }: SwormMetadata, entry: Entry): Entry =>
  decode === plainMetadata.decode ? entry : { ...entry, metadata: decode(entry.metadata) }
