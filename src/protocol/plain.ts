/** Plain data: what every wire and every store carries as it is. */

const MAX_DEPTH = 32

/** Why a value is not plain data; `undefined` when it is. Cycles are found by their depth. */
export const notPlain = (value: unknown, depth = 0): string | undefined => {
  if (depth > MAX_DEPTH) return `it is nested more than ${MAX_DEPTH} deep`
  switch (typeof value) {
    case "string":
    case "number":
    case "boolean":
    case "undefined":
      return undefined
    case "object":
      break
    default:
      return `it has a ${typeof value} in it`
  }
  if (value === null || value instanceof Uint8Array) return undefined
  if (Array.isArray(value)) return firstOf(value, depth)
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null) {
    return "it has an instance of a class in it: encode it first"
  }
  return firstOf(Object.values(value), depth)
}

const firstOf = (values: ReadonlyArray<unknown>, depth: number): string | undefined => {
  for (const item of values) {
    const reason = notPlain(item, depth + 1)
    if (reason !== undefined) return reason
  }
  return undefined
}
