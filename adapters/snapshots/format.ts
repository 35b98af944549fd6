/**
 * A snapshot in a file: a line of JSON that says whose it is and what it must be like, then its bytes. The files' names
 * are hashes, since names of processes are up to 512 bytes of whatever; that line is for whoever looks for one.
 */
import { createHash } from "node:crypto"

const NEWLINE = 10

const sha256 = (data: string | Uint8Array): string => createHash("sha256").update(data).digest("hex")

/** The JSON of two texts is another for any other two, also where they are no well-formed Unicode. */
export const keyOf = (sworm: string, name: string): string => sha256(JSON.stringify([sworm, name]))

export const encodeFile = (sworm: string, name: string, snapshot: Uint8Array): Uint8Array => {
  const header = { sworm, name, bytes: snapshot.byteLength, sha256: sha256(snapshot) }
  const head = new TextEncoder().encode(`${JSON.stringify(header)}\n`)
  const file = new Uint8Array(head.byteLength + snapshot.byteLength)
  file.set(head)
  file.set(snapshot, head.byteLength)
  return file
}

/** The snapshot; `undefined` when the file is not what was written. */
export const decodeFile = (sworm: string, name: string, file: Uint8Array): Uint8Array | undefined => {
  const end = file.indexOf(NEWLINE)
  if (end < 0) return undefined
  const snapshot = new Uint8Array(file.subarray(end + 1))
  return isOf(new TextDecoder().decode(file.subarray(0, end)), sworm, name, snapshot) ? snapshot : undefined
}

const isOf = (head: string, sworm: string, name: string, snapshot: Uint8Array): boolean => {
  try {
    const header: unknown = JSON.parse(head)
    return JSON.stringify(header) ===
      JSON.stringify({ sworm, name, bytes: snapshot.byteLength, sha256: sha256(snapshot) })
  } catch {
    return false
  }
}
