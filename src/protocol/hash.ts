/**
 * The hash of names and nodes: MurmurHash3 (x86, 32 bit) over UTF-8, written here so that every runtime and every
 * version of it places a name alike. `HASH_ID` is exchanged in the handshake; nodes whose ids differ refuse each other.
 *
 * Source: Austin Appleby, MurmurHash3, 2011 (public domain); scores after Thaler and Ravishankar, "Using name-based
 * mappings to increase hit rates", 1998 (rendezvous hashing).
 */

/** Names the hash and the way scores are made from it. Two nodes must agree on it to share a cluster. */
export const HASH_ID: string = "murmur3-32/1"

const C1 = 0xcc9e2d51
const C2 = 0x1b873593

const mixBlock = (hash: number, block: number): number => {
  let k = Math.imul(block, C1)
  k = (k << 15) | (k >>> 17)
  hash ^= Math.imul(k, C2)
  hash = (hash << 13) | (hash >>> 19)
  return (Math.imul(hash, 5) + 0xe6546b64) | 0
}

/** The finalizer of MurmurHash3: spreads every bit of its input over the 32 bits of its result. */
export const mix32 = (value: number): number => {
  let h = value ^ (value >>> 16)
  h = Math.imul(h, 0x85ebca6b)
  h ^= h >>> 13
  h = Math.imul(h, 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}

/** MurmurHash3 of the UTF-8 bytes of `text`, without allocating them. A lone surrogate counts as U+FFFD. */
export const hash32 = (text: string, seed = 0): number => {
  let hash = seed | 0
  let block = 0
  let filled = 0
  let bytes = 0
  const push = (byte: number): void => {
    block |= byte << (filled * 8)
    bytes++
    if (++filled === 4) {
      hash = mixBlock(hash, block)
      block = 0
      filled = 0
    }
  }
  for (let i = 0; i < text.length; i++) {
    let code = text.charCodeAt(i)
    if (code < 0x80) {
      push(code)
      continue
    }
    if (code >= 0xd800 && code <= 0xdfff) {
      const low = code < 0xdc00 ? text.charCodeAt(i + 1) : NaN
      if (low >= 0xdc00 && low <= 0xdfff) {
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00)
        i++
      } else {
        code = 0xfffd
      }
    }
    if (code < 0x800) {
      push(0xc0 | (code >> 6))
    } else {
      if (code < 0x10000) {
        push(0xe0 | (code >> 12))
      } else {
        push(0xf0 | (code >> 18))
        push(0x80 | ((code >> 12) & 0x3f))
      }
      push(0x80 | ((code >> 6) & 0x3f))
    }
    push(0x80 | (code & 0x3f))
  }
  if (filled > 0) {
    let k = Math.imul(block, C1)
    k = (k << 15) | (k >>> 17)
    hash ^= Math.imul(k, C2)
  }
  return mix32(hash ^ bytes)
}

/** The rendezvous score of a name on a node, from the hashes of both: the node with the highest score has the name. */
export const score = (nameHash: number, nodeHash: number): number => mix32(nameHash ^ Math.imul(nodeHash, 0x9e3779b1))

/**
 * The member that a key belongs to: highest rendezvous score, lowest id when scores tie. `undefined` only when there
 * are no members. A member's coming or going moves just the keys that it gains or had.
 */
export const rendezvous = <M extends { readonly id: string; readonly hash: number }>(
  keyHash: number,
  members: ReadonlyArray<M>
): M | undefined => {
  let best: M | undefined
  let bestScore = -1
  for (const member of members) {
    const s = score(keyHash, member.hash)
    if (s > bestScore || (s === bestScore && best !== undefined && member.id < best.id)) {
      best = member
      bestScore = s
    }
  }
  return best
}

const LN2 = 0.6931471805599453

/**
 * The natural logarithm of a number in (0, 1], from sums and products alone: `Math.log` may differ in its last digit
 * from one runtime to the next, and nodes of different runtimes must agree on every score.
 */
export const ln = (x: number): number => {
  let mantissa = x
  let exponent = 0
  while (mantissa < 0.75) {
    mantissa *= 2
    exponent--
  }
  // ln m = 2 artanh((m - 1) / (m + 1)); |t| <= 1/7, so twelve terms are exact to the last digit but one
  const t = (mantissa - 1) / (mantissa + 1)
  const square = t * t
  let sum = 0
  for (let k = 23; k >= 1; k -= 2) sum = sum * square + 1 / k
  return exponent * LN2 + 2 * t * sum
}

/**
 * The score of a name on a node with a weight: a node with twice the weight has twice the names, and changing one
 * weight moves only the names that it gains or loses. Schindelhauer and Schomaker, "Weighted Distributed Hash Tables",
 * 2005.
 */
export const weightedScore = (nameHash: number, nodeHash: number, weight: number): number =>
  weight <= 0 ? 0 : -weight / ln((score(nameHash, nodeHash) + 0.5) / 4294967296)

/** The hash of a node's point on a ring, by its number. */
export const pointHash = (nodeHash: number, point: number): number => mix32(nodeHash ^ Math.imul(point + 1, 0x85ebca77))
