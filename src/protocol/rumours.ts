/** What is passed on with pings, and how often each was told. */
import type { Member } from "./members.ts"

/** With one ping. */
const MAX_UPDATES = 16

export class Rumours {
  readonly #retransmit: number
  readonly #told = new Map<string, number>()

  constructor(retransmit: number) {
    this.#retransmit = retransmit
  }

  /** There is news of a member. */
  begin(id: string): void {
    this.#told.set(id, 0)
  }

  /** Members to tell of with a ping, the least told first; a target that is suspected hears it first (Lifeguard's buddy). */
  pick(members: ReadonlyMap<string, Member>, target: string): Array<Member> {
    const limit = this.#retransmit * Math.ceil(Math.log2(members.size + 1))
    const picked = new Map<string, Member>()
    const suspected = members.get(target)
    if (suspected !== undefined && suspected.status !== "alive") picked.set(target, suspected)
    for (const [id, times] of [...this.#told].sort((a, b) => a[1] - b[1])) {
      if (picked.size >= MAX_UPDATES) break
      const member = members.get(id)
      if (member !== undefined) picked.set(id, member)
      if (member === undefined || times + 1 >= limit) this.#told.delete(id)
      else this.#told.set(id, times + 1)
    }
    return [...picked.values()]
  }
}
