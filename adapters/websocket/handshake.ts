/**
 * The first words on a connection. Both sides say who they are with a fresh nonce, then prove that they know the
 * cluster's secret: HMAC-SHA-256 over both greetings and the side's role. Until the other side has proved it, nothing
 * else of it is decoded. Greetings:
 *
 * ```text
 * dialler                        acceptor
 *   hello(nonce) ------------------->
 *   <------------- hello(nonce), proof
 *   proof -------------------------->
 *   <-------------------------- ready
 * ```
 */
import { createHmac, randomBytes, timingSafeEqual } from "node:crypto"
import { HASH_ID } from "../../src/protocol/hash.ts"
import { isNodeId } from "../../src/Node.ts"
import { PROTOCOL_VERSION } from "../../src/protocol/wire.ts"
import type { Peer } from "../../src/Transport.ts"
import { toBuffer } from "./connection.ts"

/** A greeting longer than this is not one. */
const MAX_HELLO_BYTES = 4096

export interface Hello {
  readonly version: number
  readonly cluster: string
  readonly hash: string
  readonly id: string
  readonly boot: number
  readonly address: string
  readonly nonce: string
}

export type Role = "dialler" | "acceptor"

export const makeHello = (cluster: string, self: Peer): Hello => ({
  version: PROTOCOL_VERSION,
  cluster,
  hash: HASH_ID,
  id: self.id,
  boot: self.boot,
  address: self.address,
  nonce: randomBytes(24).toString("base64")
})

/** The greeting in a text, or why it is none. */
export const readHello = (text: string): Hello | string => {
  let data: unknown
  try {
    data = JSON.parse(text)
  } catch {
    return "it does not speak this protocol"
  }
  const { address, boot, cluster, hash, id, nonce, version } = (data ?? {}) as Record<string, unknown>
  const texts = [cluster, hash, id, address, nonce]
  const isMalformed = !texts.every((field) => typeof field === "string" && field.length <= 512) ||
    typeof version !== "number" || (nonce as string).length < 16 || !isNodeId(id as string) ||
    !Number.isSafeInteger(boot) || (boot as number) <= 0
  if (isMalformed) return "its greeting is malformed"
  return data as Hello
}

/** Why two nodes may not be connected; `undefined` when they may. */
export const refuses = (mine: Hello, theirs: Hello): string | undefined => {
  if (theirs.version !== mine.version) {
    return `protocol version ${theirs.version} meets ${mine.version}: upgrade the older node`
  }
  if (theirs.cluster !== mine.cluster) return `cluster "${theirs.cluster}" meets "${mine.cluster}"`
  if (theirs.hash !== mine.hash) return `hash "${theirs.hash}" meets "${mine.hash}"`
  return undefined
}

export const prove = (secret: string, role: Role, dialler: Hello, acceptor: Hello): string =>
  createHmac("sha256", secret).update(JSON.stringify([role, fields(dialler), fields(acceptor)])).digest("base64")

export const isProof = (proof: unknown, secret: string, role: Role, dialler: Hello, acceptor: Hello): boolean => {
  if (typeof proof !== "string") return false
  const expected = Buffer.from(prove(secret, role, dialler, acceptor))
  const given = Buffer.from(proof)
  return given.length === expected.length && timingSafeEqual(given, expected)
}

const fields = (hello: Hello): ReadonlyArray<unknown> => [
  hello.version,
  hello.cluster,
  hello.hash,
  hello.id,
  hello.boot,
  hello.address,
  hello.nonce
]

/** The text of a greeting; empty for anything that is too long to be one. */
export const greeting = (data: unknown): string => {
  const bytes = typeof data === "string" ? Buffer.from(data) : toBuffer(data)
  return bytes.byteLength > MAX_HELLO_BYTES ? "" : bytes.toString("utf8")
}

/** The acceptor's greeting with its proof. */
export const parsePair = (text: string): readonly [string, unknown] => {
  try {
    const pair: unknown = JSON.parse(text)
    return Array.isArray(pair) && typeof pair[0] === "string" ? [pair[0], pair[1]] : ["", undefined]
  } catch {
    return ["", undefined]
  }
}
