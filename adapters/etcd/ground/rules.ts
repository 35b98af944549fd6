/**
 * The rules of names in etcd: who may take one, from whom, and at which epoch. Each is a transaction that compares what is
 * known with what is there, so that it holds whatever this node has not heard yet.
 *
 * A name is taken when nobody has it, when its holder has given it up or passed it on, or when its holder is gone: its
 * lease has ended, which it knows before etcd does. So no two nodes have one at a time.
 */
import type { SectionId } from "../../../src/protocol/ids.ts"
import type { Compare, Operation } from "../types.ts"
import { encodeName, type Layout, type NameRecord } from "./layout.ts"

/** What a node wants of a name. */
export type Wish =
  /** To have it, at this epoch or above. `isNew`: it was free, and its process has not started. */
  | { readonly _tag: "Hold"; readonly epoch: number; readonly isNew: boolean }
  /** To give it to a node, or up (`""`): it stays registered. */
  | { readonly _tag: "Pass"; readonly to: SectionId; readonly epoch: number }
  /** To end it. */
  | { readonly _tag: "Free" }
  | { readonly _tag: "Alias"; readonly of: string }
  | { readonly _tag: "Unalias"; readonly of: string }

/** A record, and the revision that wrote it. */
export interface Known {
  readonly record: NameRecord
  readonly revision: number
}

export type Plan =
  | { readonly _tag: "Nothing" }
  | { readonly _tag: "Refused"; readonly by: NameRecord }
  | {
    readonly _tag: "Write"
    readonly when: ReadonlyArray<Compare>
    readonly then: ReadonlyArray<Operation>
    /** What is there afterwards. */
    readonly becomes: NameRecord | undefined
  }

export interface Situation {
  readonly layout: Layout
  readonly self: SectionId
  /** Has it a living member, as far as this node knows? */
  readonly isLiving: (section: SectionId) => boolean
  readonly known: (name: string) => Known | undefined
  /** The latest of the store that this node has heard of. */
  readonly revision: () => number
}

/**
 * Epochs of a name never go back, also not when it has ended and its record is gone: a new one is above the store's
 * revision times this, and none is ever higher than the revision at its writing allows.
 */
export const EPOCHS_PER_REVISION = 2 ** 20

/**
 * A process that starts again raises its epoch before the store knows. Whoever takes its name from a node that is gone
 * goes above all that it may have had.
 */
const UNTOLD_EPOCHS = 1024

const nothing: Plan = { _tag: "Nothing" }

export const planFor = (situation: Situation, name: string, wish: Wish): Plan => {
  const known = situation.known(name)
  switch (wish._tag) {
    case "Hold":
      return hold(situation, name, known, wish)
    case "Pass":
      return pass(situation, name, known, wish)
    case "Free":
      return free(situation, name, known)
    case "Alias":
      return alias(situation, name, known, wish.of)
    case "Unalias":
      return known?.record._tag === "Alias" && known.record.of === wish.of
        ? removing(situation, name, [unchanged(situation, name, known)])
        : nothing
  }
}

const unchanged = ({ layout }: Situation, name: string, { revision }: Known): Compare => ({
  key: layout.name(name),
  modRevision: revision
})

const absent = (key: string): Compare => ({ key, createRevision: 0 })

const writing = (
  { layout }: Situation,
  name: string,
  when: ReadonlyArray<Compare>,
  becomes: NameRecord
): Plan => ({ _tag: "Write", when, then: [{ put: layout.name(name), value: encodeName(becomes) }], becomes })

/** The mark says that epochs up to this revision may have been given to a name whose record is gone. */
const removing = ({ layout }: Situation, name: string, when: ReadonlyArray<Compare>): Plan => ({
  _tag: "Write",
  when,
  then: [
    { deleteRange: { key: layout.name(name) } },
    { deleteRange: { key: layout.state(name) } },
    { put: layout.ended, value: "" }
  ],
  becomes: undefined
})

/** Why a name that is another's may be taken from it: what has to be true in the store; `undefined`: it may not. */
const mayTake = (situation: Situation, name: string, known: Known): ReadonlyArray<Compare> | undefined => {
  const { isLiving, layout, self } = situation
  const { record } = known
  const same = unchanged(situation, name, known)
  if (record._tag === "Alias") {
    // left behind by a name that has ended
    return situation.known(record.of) === undefined ? [same, absent(layout.name(record.of))] : undefined
  }
  if (record.holder === self || record.holder === "") return [same]
  return isLiving(record.holder) ? undefined : [same, absent(layout.member(record.holder))]
}

const hold = (
  situation: Situation,
  name: string,
  known: Known | undefined,
  { epoch, isNew }: Wish & { readonly _tag: "Hold" }
): Plan => {
  const { layout, self } = situation
  if (known === undefined) {
    // what is taken before anything was said of its epoch may as well have a higher one
    const high = isNew ? Math.max(epoch, situation.revision() * EPOCHS_PER_REVISION) : epoch
    const revision = Math.floor(high / EPOCHS_PER_REVISION)
    const when: ReadonlyArray<Compare> = [
      absent(layout.name(name)),
      { key: layout.ended, modRevision: revision + 1, is: "<" }
    ]
    return writing(situation, name, when, { _tag: "Held", holder: self, epoch: high, isNew })
  }
  const when = mayTake(situation, name, known)
  if (when === undefined) return { _tag: "Refused", by: known.record }
  const { record } = known
  const before = record._tag === "Held" ? record : undefined
  const isMine = before?.holder === self
  // one that was registered stays so, whoever starts it now
  const staysNew = isNew && (before === undefined || before.isNew)
  if (isMine && before.epoch >= epoch && before.isNew === staysNew) {
    return { _tag: "Write", when, then: [], becomes: before }
  }
  const least = before === undefined
    // what it was before it was another's name is not known any more
    ? known.revision * EPOCHS_PER_REVISION
    : isMine
    ? before.epoch
    : before.epoch + UNTOLD_EPOCHS
  const plan = writing(situation, name, when, {
    _tag: "Held",
    holder: self,
    epoch: Math.max(epoch, least),
    isNew: staysNew
  })
  // it may have been on its way between two nodes: what it took along is read in the same step
  return plan._tag === "Write" && isNew && !staysNew
    ? { ...plan, then: [...plan.then, { range: { key: layout.state(name) } }] }
    : plan
}

const pass = (
  situation: Situation,
  name: string,
  known: Known | undefined,
  { epoch, to }: Wish & { readonly _tag: "Pass" }
): Plan => {
  if (known?.record._tag !== "Held" || known.record.holder !== situation.self) return nothing
  return writing(situation, name, [unchanged(situation, name, known)], {
    _tag: "Held",
    holder: to,
    // whoever looks it up meanwhile is told of another copy: it has another epoch
    epoch: Math.max(epoch, known.record.epoch) + (to === "" ? 0 : 1),
    isNew: false
  })
}

const free = (situation: Situation, name: string, known: Known | undefined): Plan => {
  if (known === undefined || known.record._tag === "Alias") return nothing
  const when = mayTake(situation, name, known)
  return when === undefined ? { _tag: "Refused", by: known.record } : removing(situation, name, when)
}

const alias = (situation: Situation, name: string, known: Known | undefined, of: string): Plan => {
  const becomes: NameRecord = { _tag: "Alias", of }
  if (known === undefined) return writing(situation, name, [absent(situation.layout.name(name))], becomes)
  if (known.record._tag === "Alias" && known.record.of === of) return nothing
  const when = known.record._tag === "Alias" ? mayTake(situation, name, known) : undefined
  return when === undefined ? { _tag: "Refused", by: known.record } : writing(situation, name, when, becomes)
}
