/** Membership by etcd: a member is there for as long as its key is, which ends with its lease. */
import { PubSub, Stream } from "effect"
import type { MemberChange } from "../../../src/Membership.ts"
import { hash32 } from "../../../src/protocol/hash.ts"
import { bootOf, nodeOf, type SectionId, sectionId } from "../../../src/protocol/ids.ts"
import { type Announcement, isGone, type Member } from "../../../src/protocol/swim.ts"
import { publish } from "../../gossip/events.ts"
import type { MembershipDriver, MembershipHooks, View } from "../../gossip/ground.ts"
import { publicMember, Views } from "../../gossip/views.ts"

/** How many of those that are gone are remembered. */
const MAX_GONE = 1000

export interface MembersParts {
  readonly self: Omit<Member, "hash">
  readonly joinGraceMs: number
  readonly nowMs: () => number
  readonly hooks: MembershipHooks
  readonly changes: PubSub.PubSub<MemberChange>
  /** This node has something new to say of itself. */
  readonly onAnnounced: () => void
}

export class Members implements MembershipDriver {
  readonly #parts: MembersParts
  readonly #all = new Map<string, Member>()
  readonly #present = new Set<SectionId>()
  readonly #views: Views
  readonly changes: Stream.Stream<MemberChange>
  #self: Member
  /** Whether this node has heard who is there: before, nobody is gone. */
  #isInformed = false

  constructor(parts: MembersParts) {
    this.#parts = parts
    this.#self = { ...parts.self, hash: hash32(parts.self.id) }
    this.#all.set(this.#self.id, this.#self)
    this.#views = new Views([this.#self], parts.joinGraceMs, parts.nowMs)
    this.changes = Stream.fromPubSub(parts.changes)
  }

  // ---- what the store tells

  /** A member's key was written, or has gone. */
  told(section: SectionId, member: Member | undefined): void {
    const known = this.#all.get(nodeOf(section))
    if (member === undefined) {
      if (!this.#present.delete(section) || known === undefined) return
      // an earlier run has ended: what it had may be taken over
      if (known.boot !== bootOf(section)) {
        return this.#parts.hooks.onChange(known, { ...known, boot: bootOf(section) })
      }
      if (isGone(known.status)) return
      return this.#change({ ...known, status: known.status === "leaving" ? "left" : "dead" })
    }
    this.#present.add(section)
    if (known !== undefined && known.boot > member.boot) return
    this.#change(member)
  }

  informed(): void {
    this.#isInformed = true
  }

  #change(member: Member): void {
    const before = this.#all.get(member.id)
    this.#all.set(member.id, member)
    if (isGone(member.status)) this.#forget()
    this.#tell(member, before)
  }

  #tell(member: Member, before: Member | undefined): void {
    this.#views.change([...this.#all.values()].filter(({ status }) => !isGone(status)))
    this.#parts.hooks.onChange(member, before)
    publish(this.#parts.changes, {
      member: publicMember(member),
      before: before === undefined ? undefined : publicMember(before)
    })
  }

  #forget(): void {
    const gone = [...this.#all.values()].filter(({ status }) => isGone(status))
    for (const { id } of gone.slice(0, Math.max(0, gone.length - MAX_GONE))) this.#all.delete(id)
  }

  // ---- this node

  readonly announce = (change: Announcement): void => {
    const before = this.#self
    this.#self = { ...before, ...change, incarnation: before.incarnation + 1 }
    this.#all.set(this.#self.id, this.#self)
    this.#tell(this.#self, before)
    this.#parts.onAnnounced()
  }

  readonly self = (): Member => {
    return this.#self
  }

  // ---- everybody

  readonly view = (): View => {
    return this.#views.current
  }

  readonly previous = (): ReadonlyArray<View> => {
    return this.#views.previous
  }

  readonly member = (id: string): Member | undefined => {
    return this.#all.get(id)
  }

  readonly everyone = (): ReadonlyArray<Member> => {
    return [...this.#all.values()]
  }

  /** Its key has gone: it has stopped all that it ran before that. */
  readonly isGone = (section: SectionId): boolean => {
    return this.#isInformed && section !== sectionId(this.#self.id, this.#self.boot) && !this.#present.has(section)
  }

  readonly isForgotten = (): boolean => {
    return false
  }

  readonly deaths = (): number => {
    return 0
  }
}
