/** Who is known: this node, the others, those gone lately, and, apart, those gone for so long that they are forgotten. */
import { hash32 } from "./hash.ts"
import { isGone, lifeOf, type Member, overrides, type Update } from "./members.ts"

const MAX_FORGOTTEN = 4096

/** One side of a cluster, as it sees itself. */
export interface Side {
  readonly size: number
  readonly lowest: string
}

export class Roster {
  #self: Member
  readonly #forgetAfterMs: number
  readonly #members = new Map<string, Member>()
  readonly #goneAt = new Map<string, number>()
  /** What was known last of members dead for so long that they are no longer told of (R11). */
  readonly #forgotten = new Map<string, Member>()

  constructor(self: Update, forgetAfterMs: number) {
    this.#self = { ...self, hash: hash32(self.id) }
    this.#forgetAfterMs = forgetAfterMs
    this.#members.set(self.id, this.#self)
  }

  get self(): Member {
    return this.#self
  }

  /** Every member known, this node and the recently dead included. */
  get members(): ReadonlyMap<string, Member> {
    return this.#members
  }

  /** Members that take part: everyone but the dead and the left. */
  present(): Array<Member> {
    return [...this.#members.values()].filter((member) => !isGone(member.status))
  }

  others(): Array<Member> {
    return this.present().filter(({ id }) => id !== this.#self.id)
  }

  /** A member that takes part. */
  living(id: string): Member | undefined {
    const member = this.#members.get(id)
    return member === undefined || isGone(member.status) ? undefined : member
  }

  /** Who could look at a member for this node. */
  helpers(target: string): Array<Member> {
    return this.others().filter(({ id, status }) => id !== target && status !== "suspect")
  }

  /** Is it the suspicion that stands at present, not one that was refuted since? */
  isPresent({ boot, id, incarnation, status }: Update): boolean {
    const member = this.#members.get(id)
    return status === "suspect" && member?.boot === boot && member.incarnation === incarnation
  }

  // ---- what changes it

  /** Takes what is said of another member, if that is news; `before` is what was known of it. */
  learn(update: Update, now: number): { readonly member: Member; readonly before: Member | undefined } | undefined {
    const before = this.#members.get(update.id)
    const last = before ?? this.#forgotten.get(update.id)
    if (last !== undefined && !overrides(update, last)) return undefined
    if (before === undefined && last?.boot === update.boot && lifeOf(last) === lifeOf(update)) return undefined
    this.#forgotten.delete(update.id)
    const member: Member = { ...update, hash: before?.hash ?? hash32(update.id) }
    this.#members.set(member.id, member)
    if (isGone(member.status)) this.#goneAt.set(member.id, now)
    else this.#goneAt.delete(member.id)
    return { member, before }
  }

  /** What this node says of itself; answers what it has said before. */
  restate(self: Member): Member {
    const before = this.#self
    this.#self = self
    this.#members.set(self.id, self)
    return before
  }

  // ---- forgetting (R11)

  /** Drops those that were gone for long enough. */
  forget(now: number): void {
    for (const [id, at] of this.#goneAt) {
      if (now - at < this.#forgetAfterMs) continue
      const last = this.#members.get(id)
      this.#goneAt.delete(id)
      this.#members.delete(id)
      if (last !== undefined) this.#forgotten.set(id, last)
      if (this.#forgotten.size > MAX_FORGOTTEN) this.#forgotten.delete(this.#forgotten.keys().next().value!)
    }
  }

  /** How many take part here, and who is first of them: what two sides compare that have forgotten each other. */
  side(): Side {
    const ids = this.present().map(({ id }) => id)
    return { size: ids.length, lowest: ids.reduce((a, b) => a < b ? a : b, this.#self.id) }
  }

  /** Of two sides that have forgotten each other the smaller comes back; of two equal ones, that with the later id. */
  comesBack(other: Side): boolean {
    if (this.#forgotten.size === 0 || this.living(other.lowest) !== undefined) return true
    const { lowest, size } = this.side()
    return size < other.size || (size === other.size && lowest >= other.lowest)
  }

  forgotten(id: string): Member | undefined {
    return this.#forgotten.get(id)
  }

  /** What is known of a member, forgotten ones included. */
  lastKnown(id: string): Member | undefined {
    return this.#members.get(id) ?? this.#forgotten.get(id)
  }

  /** This node was forgotten itself: it begins anew. */
  recallAll(): void {
    this.#forgotten.clear()
  }
}
