/** Members of a cluster, and which of two reports about one is the newer. */

export type Status = "alive" | "leaving" | "suspect" | "dead" | "left"

export interface Member {
  readonly id: string
  readonly boot: number
  readonly incarnation: number
  /** How often it came back after it was forgotten: what others told before it was is void (R11). Absent: never. */
  readonly life?: number | undefined
  readonly status: Status
  /** Where it listens; empty when it can only be reached through a connection that it opened. */
  readonly address: string
  readonly synced: boolean
  readonly labels: Readonly<Record<string, string>>
  /** It keeps what it has, and is given no new names and no moves. Absent: not so. */
  readonly cordoned?: boolean | undefined
  /** Hash of the id, for rendezvous. Made here, never sent. */
  readonly hash: number
}

export type Update = Omit<Member, "hash">

/** What is told of a member. */
export const updateOf = ({ hash: _, ...update }: Member): Update => update

const RANK: Record<Status, number> = { alive: 0, leaving: 1, suspect: 2, dead: 3, left: 4 }

export const isGone = (status: Status): boolean => status === "dead" || status === "left"

export const lifeOf = ({ life = 0 }: Update): number => life

/** Does `b` say something newer about a member than `a`? */
export const overrides = (b: Update, a: Update): boolean =>
  b.boot !== a.boot
    ? b.boot > a.boot
    : lifeOf(b) !== lifeOf(a)
    ? lifeOf(b) > lifeOf(a)
    : b.incarnation !== a.incarnation
    ? b.incarnation > a.incarnation
    : RANK[b.status] > RANK[a.status]
