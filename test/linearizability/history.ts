/**
 * What clients asked a name registry for and were told, and what they may conclude from it; and how it is written
 * down.
 */

/** Where a name is held: the node, and the epoch of the copy. Epochs are whole numbers from 1. */
export interface Ref {
  readonly node: string
  readonly epoch: number
}

/** Nothing is known of what became of the operation: it timed out, failed, or never returned. */
export interface Unknown {
  readonly _tag: "Unknown"
}

export type Registered =
  | { readonly _tag: "Ok"; readonly ref: Ref }
  /** Somebody has the name; `ref` says who, if the answer did. */
  | { readonly _tag: "Taken"; readonly ref?: Ref | undefined }
  | Unknown

export type Unregistered = { readonly _tag: "Ok" } | { readonly _tag: "NotRegistered" } | Unknown

export type Whereabouts = { readonly _tag: "At"; readonly ref: Ref } | { readonly _tag: "None" } | Unknown

export type Asked =
  | { readonly op: "register"; readonly result: Registered }
  | { readonly op: "unregister"; readonly result: Unregistered }
  /** A read that promises the state of now, not one from a cache. */
  | { readonly op: "whereis"; readonly result: Whereabouts }

/**
 * One operation of one client. Times are the places of events in the order in which a single observer saw them: whole
 * numbers, each of one event alone.
 *
 * A name may also be freed with nobody asking: a process that returns, or is given up. Where that can happen, add an
 * `unregister` of unknown result for each time that it may have.
 */
export type Operation = Asked & {
  readonly client: string
  readonly name: string
  readonly invokedAt: number
  /** Undefined only for a result that is unknown, which may have a time too: of giving up. */
  readonly returnedAt: number | undefined
}

export const isUnknown = ({ result }: Operation): boolean => result._tag === "Unknown"

/** The operation took effect, so that it can't be left out without changing what the others should have seen. */
export const isEffect = ({ op, result }: Operation): boolean => op !== "whereis" && result._tag === "Ok"

/** By when it has taken effect, if it ever does. */
export const deadlineOf = (operation: Operation): number =>
  isUnknown(operation) ? Infinity : operation.returnedAt ?? Infinity

/** The operation, as if its answer had not come. */
export const unanswered = (operation: Operation): Operation => ({
  ...operation,
  returnedAt: undefined,
  result: { _tag: "Unknown" }
})

/** The copy that the answer tells of. */
export const refOf = ({ result }: Operation): Ref | undefined => "ref" in result ? result.ref : undefined

export const byName = <A extends { readonly name: string }>(all: ReadonlyArray<A>): Map<string, Array<A>> => {
  const names = new Map<string, Array<A>>()
  for (const one of all) {
    const those = names.get(one.name)
    if (those === undefined) names.set(one.name, [one])
    else those.push(one)
  }
  return names
}

export const showRef = ({ epoch, node }: Ref): string => `${node}@${epoch}`

/** One line: `[3, 7] ann: register -> Ok n1@4`. */
export const show = (operation: Operation): string => {
  const { client, invokedAt, op, result, returnedAt } = operation
  const ref = refOf(operation)
  const answer = ref === undefined ? result._tag : `${result._tag} ${showRef(ref)}`
  return `[${invokedAt}, ${returnedAt ?? "..."}] ${client}: ${op} -> ${answer}`
}

const malformed = (operation: Operation): string | undefined => {
  const { invokedAt, returnedAt } = operation
  if (!Number.isSafeInteger(invokedAt)) return "invokedAt must be a whole number"
  if (returnedAt === undefined) return isUnknown(operation) ? undefined : "what never returned has an unknown result"
  if (!Number.isSafeInteger(returnedAt) || returnedAt <= invokedAt) {
    return "returnedAt must be a whole number above invokedAt"
  }
  const epoch = refOf(operation)?.epoch
  return epoch === undefined || (Number.isSafeInteger(epoch) && epoch > 0)
    ? undefined
    : "an epoch must be a whole number from 1"
}

/** Throws for a history that was recorded wrongly: no verdict on it would mean anything. */
export const assertWellFormed = (history: ReadonlyArray<Operation>): void => {
  const times = new Set<number>()
  for (const operation of history) {
    const wrong = malformed(operation)
    if (wrong !== undefined) throw new Error(`Cannot check "${operation.name}": ${wrong}: ${show(operation)}`)
    for (const time of [operation.invokedAt, operation.returnedAt]) {
      if (time === undefined) continue
      if (times.has(time)) {
        throw new Error(`Cannot check "${operation.name}": two events at time ${time}: ${show(operation)}`)
      }
      times.add(time)
    }
  }
}
