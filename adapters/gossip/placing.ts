/** Where names belong: which members may have them, and what the sworm's placement picks among those. */
import { Effect } from "effect"
import type { Candidate, PlacementContext } from "../../src/Placement.ts"
import { hash32, rendezvous } from "../../src/protocol/hash.ts"
import type { SectionId } from "../../src/protocol/ids.ts"
import type { Hosted } from "../../src/runtime/Hosted.ts"
import { pickOf } from "../../src/runtime/ungated.ts"
import type { Core } from "./core.ts"
import { keyOf } from "./keyOf.ts"
import { type Host, Hosts } from "./hosts.ts"

export class Placing {
  readonly #core: Core
  readonly #hosts: Hosts
  readonly #starting = new Map<string, number>()

  constructor(core: Core) {
    this.#core = core
    const { directory, members } = core.parts
    this.#hosts = new Hosts(directory, members, (sworm, section) => this.load(sworm, section))
  }

  /** Members that host a sworm, or one of its types. */
  hosts(sworm: string, type?: string): ReadonlyArray<Host> {
    return this.#hosts.of(sworm, type).all
  }

  /** Those that are given processes of it: the cordoned only where there are no others. */
  candidates(sworm: string, type?: string): ReadonlyArray<Host> {
    const { all, open } = this.#hosts.of(sworm, type)
    return open.length > 0 ? open : all
  }

  /** This node, if it hosts them. */
  own(sworm: string, type?: string): Host | undefined {
    return this.hosts(sworm, type).find(({ id }) => id === this.#core.parts.node.id)
  }

  /** Those that a name may be given to: the cordoned only where placement accepts none of the others. */
  #choice(hosted: Hosted, name: string, type: string): ReadonlyArray<Host> {
    const { all, open } = this.#hosts.of(hosted.id, type)
    if (open === all) return all
    const isAccepted = hosted.placement.isSticky === true
      ? open.some((one) => this.mayHave(hosted, name, one))
      : this.#pick(hosted, name, open) !== undefined
    return isAccepted ? open : all
  }

  /** Is this node cordoned, and may the name be had by one that is not? */
  isClosedTo(sworm: string, name: string, type: string): boolean {
    const { members, node, processes } = this.#core.parts
    const hosted = processes.hosted(sworm)
    return members.self().cordoned === true && hosted !== undefined &&
      !this.#choice(hosted, name, type).some(({ id }) => id === node.id)
  }

  /**
   * Where placement wants a name to live now. A sticky placement has no home for names: one that nobody runs is started
   * by the member that hashing says, where the placement picks then.
   */
  home(hosted: Hosted, name: string, type: string): Candidate | undefined {
    if (!this.#mayPlace(hosted, type)) return undefined
    const choice = this.#choice(hosted, name, type)
    if (hosted.placement.isSticky !== true) return this.#pick(hosted, name, choice)
    return rendezvous(hash32(name), choice.filter((one) => this.mayHave(hosted, name, one)))
  }

  /** Does placement accept this node for the name at all? */
  mayHave({ placement }: Hosted, name: string, candidate: Candidate): boolean {
    try {
      return placement.allows?.(name, candidate) ?? true
    } catch (error) {
      this.#core.warn(`placement "${placement.name}" failed for "${name}": ${String(error)}`)
      return true
    }
  }

  /** May the sworm go on, on this side of a split if there is one? */
  hasQuorum(hosted: Hosted): boolean {
    return this.#core.fence.holds(hosted)
  }

  /** Where a name is to be started, on behalf of the node that asks for it. */
  target(
    hosted: Hosted,
    name: string,
    type: string,
    caller: string,
    without: ReadonlyArray<string> = []
  ): Candidate | undefined {
    if (!this.#mayPlace(hosted, type)) return undefined
    return this.#among(hosted, name, this.#choice(hosted, name, type), caller, without)
  }

  /** Where a process of this node may go while this node is cordoned: never to another that is. */
  elsewhere(hosted: Hosted, name: string, type: string): Candidate | undefined {
    if (!this.#mayPlace(hosted, type)) return undefined
    return this.#among(hosted, name, this.#hosts.of(hosted.id, type).open, "", [])
  }

  /** A pure placement has one home for a name, full or not; a sticky one picks among those that can take it. */
  #among(
    hosted: Hosted,
    name: string,
    choice: ReadonlyArray<Host>,
    caller: string,
    without: ReadonlyArray<string>
  ): Candidate | undefined {
    const able = hosted.placement.isSticky === true
      ? choice.filter((one) => one.hasRoom && !without.includes(one.id))
      : choice
    return this.#pick(hosted, name, able, { caller, random: this.#core.parts.random })
  }

  /** What placement would pick among these, whoever else there is. */
  next(hosted: Hosted, name: string, among: ReadonlyArray<Candidate>): Candidate | undefined {
    return this.#pick(hosted, name, among)
  }

  #mayPlace(hosted: Hosted, type: string): boolean {
    return this.#core.fence.mayStart(hosted) && this.hosts(hosted.id, type).length >= (hosted.placement.quorum ?? 0)
  }

  #pick(
    { placement }: Hosted,
    name: string,
    candidates: ReadonlyArray<Candidate>,
    context?: PlacementContext
  ): Candidate | undefined {
    try {
      return pickOf(placement)(name, candidates, context)
    } catch (error) {
      // it may be the user's function: without its answer the name stays where it is
      this.#core.warn(`placement "${placement.name}" failed for "${name}": ${String(error)}`)
      return undefined
    }
  }

  /** Notes a process that is being started somewhere and that the registry doesn't show yet; ended by the effect. */
  starting<A, E>(sworm: string, section: SectionId, start: Effect.Effect<A, E>): Effect.Effect<A, E> {
    const key = keyOf(sworm, section)
    return Effect.suspend(() => {
      this.#starting.set(key, (this.#starting.get(key) ?? 0) + 1)
      return Effect.ensuring(
        start,
        Effect.sync(() => {
          const left = this.#starting.get(key)! - 1
          if (left > 0) this.#starting.set(key, left)
          else this.#starting.delete(key)
        })
      )
    })
  }

  /** How many processes of a sworm a node has, those included that are just being given to it. */
  load(sworm: string, section: SectionId): number {
    return this.#core.parts.directory.load(sworm, section) + (this.#starting.get(keyOf(sworm, section)) ?? 0)
  }

  /** Who serialises registrations of a name, in a given view. */
  registrar(sworm: string, name: string, active = this.#core.parts.members.view().active): string | undefined {
    return rendezvous(hash32(keyOf(sworm, name)), active)?.id
  }
}
