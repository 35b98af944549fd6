/** Which members host a sworm, as placement sees them; those that are cordoned are given nothing while others are there. */
import type { Candidate } from "../../src/Placement.ts"
import type { SectionId } from "../../src/protocol/ids.ts"
import type { Member } from "../../src/protocol/swim.ts"
import type { Directory } from "./directory.ts"
import type { MembershipDriver, View } from "./ground.ts"
import { sectionOf } from "./views.ts"

/** Sets of hosts that are kept, by sworm and type. */
const MAX_KNOWN = 1000

/** A member as placement sees it. */
export class Host implements Candidate {
  readonly id: string
  readonly labels: Readonly<Record<string, string>>
  readonly hash: number
  readonly section: SectionId
  readonly isCordoned: boolean
  readonly #load: () => number
  readonly #maxChildren: number

  constructor(member: Member, section: SectionId, maxChildren: number, load: () => number) {
    this.id = member.id
    this.labels = member.labels
    this.hash = member.hash
    this.section = section
    this.isCordoned = member.cordoned === true
    this.#maxChildren = maxChildren
    this.#load = load
  }

  get load(): number {
    return this.#load()
  }

  get hasRoom(): boolean {
    return this.load < this.#maxChildren
  }
}

export interface HostsOfSworm {
  readonly all: ReadonlyArray<Host>
  /** Those that are not cordoned: the same array when none is. */
  readonly open: ReadonlyArray<Host>
}

interface Known extends HostsOfSworm {
  readonly view: View
  readonly generation: number
}

export class Hosts {
  readonly #directory: Directory
  readonly #members: MembershipDriver
  readonly #loadOf: (sworm: string, section: SectionId) => number
  readonly #known = new Map<string, Known>()
  /** Whoever places thousands of names asks for each of them, of one sworm and type. */
  #last: { readonly sworm: string; readonly type: string | undefined; readonly hosts: Known } | undefined

  constructor(
    directory: Directory,
    members: MembershipDriver,
    loadOf: (sworm: string, section: SectionId) => number
  ) {
    this.#directory = directory
    this.#members = members
    this.#loadOf = loadOf
  }

  /** The same arrays for as long as they are the same members; their loads are always the present ones. */
  of(sworm: string, type?: string): HostsOfSworm {
    const view = this.#members.view()
    const generation = this.#directory.generation(sworm)
    const last = this.#last
    if (
      last?.sworm === sworm && last.type === type && last.hosts.view === view && last.hosts.generation === generation
    ) return last.hosts
    const hosts = this.#of(sworm, type, view, generation)
    this.#last = { sworm, type, hosts }
    return hosts
  }

  #of(sworm: string, type: string | undefined, view: View, generation: number): Known {
    const key = type === undefined ? sworm : `${sworm}\n${type}`
    const known = this.#known.get(key)
    if (known?.view === view && known.generation === generation) return known
    const all = view.active.flatMap((member) => {
      const section = sectionOf(member)
      const offer = this.#directory.offer(sworm, section)
      if (offer === undefined || (type !== undefined && !offer.types.includes(type))) return []
      return [new Host(member, section, offer.maxChildren, () => this.#loadOf(sworm, section))]
    })
    const open = all.some(({ isCordoned }) => isCordoned) ? all.filter(({ isCordoned }) => !isCordoned) : all
    const hosts = { view, generation, all, open }
    // types are named by peers
    if (this.#known.size > MAX_KNOWN) this.#known.clear()
    this.#known.set(key, hosts)
    return hosts
  }
}
