/**
 * The two sides of a split never run one name at once, for sworms whose placement says which side goes on (PROTOCOL H20).
 * A side that may not go on stops `stopWithin` after its last proven contact with enough others; the side that may starts
 * what a dead node ran when enough of its members have not heard that node for longer than that. Both are counted
 * against all that are known, so that any two such groups share a member.
 *
 * Contact is a question that was answered: counted from when it was asked, since the other had heard of this node then.
 */
import { Effect, type Scope } from "effect"
import type { SectionId } from "../../src/protocol/ids.ts"
import { asArray, asCount, asText } from "../../src/protocol/wire.ts"
import type { Hosted } from "../../src/runtime/Hosted.ts"
import type { Core } from "./core.ts"
import { sectionOf } from "./views.ts"
import { Method } from "./requests.ts"

/** The others wait this much longer than the stopping side takes: for clocks that differ, and for frames under way. */
const MARGIN = 1.25

export class Fence {
  readonly #core: Core
  readonly #stopWithinMs: number
  /** What an earlier run of this node has heard is not known: nobody was silent for longer than this one lasts. */
  readonly #sinceMs: number
  /** When each member was asked what it has answered since. */
  readonly #contact = new Map<string, number>()
  /** When each member last asked this one. */
  readonly #heard = new Map<string, number>()
  /** Dead members that have stopped for certain. */
  readonly #stopped = new Set<SectionId>()
  #known = new WeakMap<Hosted, { readonly atMs: number; readonly holds: boolean }>()
  readonly #held = new Map<string, boolean>()
  /** Sworms that were found not to hold since they were last seen to. */
  readonly #lost = new Set<string>()
  /** Members that this one has vouched to be silent, and until when it gives them no contact. */
  readonly #barred = new Map<string, number>()
  /** Called when a sworm may go on, or may not any more, or when more of it may be started. */
  onChange: () => void = () => {}

  constructor(core: Core, stopWithinMs: number) {
    this.#core = core
    this.#stopWithinMs = stopWithinMs
    this.#sinceMs = core.parts.nowMs()
    const { requests } = core.parts
    requests.answer(Method.contact, ({ id }) =>
      Effect.suspend(() => {
        this.#heard.set(id, core.parts.nowMs())
        return (this.#barred.get(id) ?? 0) > core.parts.nowMs()
          ? Effect.die("it counts as silent")
          : Effect.succeed(true)
      }))
    requests.answer(Method.silence, (_, body) => Effect.sync(() => asArray(body).map((id) => this.#vouch(asText(id)))))
  }

  /** How long a member has been silent; if for long enough, then it stays so until others have gone on with its names. */
  #vouch(id: string): number {
    const silence = this.#silenceOf(id)
    if (silence >= this.#stopWithinMs * MARGIN) {
      this.#barred.set(id, this.#core.parts.nowMs() + 2 * this.#stopWithinMs)
    }
    return silence
  }

  /** Does a sworm's placement ask for any of this? */
  static isAsked({ placement }: Hosted): boolean {
    return (placement.quorum ?? 0) > 0 || placement.survives !== undefined
  }

  /** Is there anything to ask before each message? */
  isAsked(hosted: Hosted): boolean {
    return this.#core.parts.authority !== undefined || Fence.isAsked(hosted)
  }

  /** May a sworm go on here? */
  holds(hosted: Hosted): boolean {
    if (this.#core.parts.authority?.holds() === false) return false
    if (!Fence.isAsked(hosted)) return true
    const { node, nowMs } = this.#core.parts
    const now = nowMs()
    const known = this.#known.get(hosted)
    // asked before each message: looked at once a millisecond
    if (known?.atMs === now) return known.holds
    const since = now - this.#stopWithinMs
    const side = new Set([node.id])
    for (const [id, atMs] of this.#contact) if (atMs >= since) side.add(id)
    const holds = this.#suffices(hosted, side)
    this.#known.set(hosted, { atMs: now, holds })
    if (!holds) this.#lost.add(hosted.id)
    return holds
  }

  /** Has everything stopped that dead members ran of it? */
  mayStart(hosted: Hosted): boolean {
    return this.holds(hosted) && (!Fence.isAsked(hosted) || this.#unproven().length === 0)
  }

  /** Has a member that is gone stopped what it ran of a sworm? */
  hasStopped(hosted: Hosted, section: SectionId): boolean {
    return !Fence.isAsked(hosted) ||
      (this.holds(hosted) && !this.#unproven().some((member) => member.section === section))
  }

  /** Would a sworm go on with all that are thought to be there? */
  isBigEnough(hosted: Hosted): boolean {
    return !Fence.isAsked(hosted) ||
      this.#suffices(hosted, new Set(this.#core.parts.members.view().present.map(({ id }) => id)))
  }

  /** Would it, if all that are thought to be there had answered lately? Then it is a matter of moments. */
  isWaiting(hosted: Hosted): boolean {
    return !this.mayStart(hosted) && this.isBigEnough(hosted)
  }

  #suffices({ id, placement: { quorum = 0, survives } }: Hosted, side: ReadonlySet<string>): boolean {
    const { members } = this.#core.parts
    if (this.#core.placing.hosts(id).filter((one) => side.has(one.id)).length < quorum) return false
    if (survives === undefined) return true
    const all = members.everyone().filter(({ status }) => status !== "left")
    return survives(side, all.map(({ boot, id }) => ({ id, boot })))
  }

  #silenceOf(id: string): number {
    const atMs = this.#heard.get(id) ?? this.#sinceMs
    return Math.max(0, this.#core.parts.nowMs() - atMs)
  }

  #unproven(): ReadonlyArray<{ readonly id: string; readonly section: SectionId }> {
    return this.#core.parts.members.everyone()
      .filter((member) => member.status === "dead" && !this.#stopped.has(sectionOf(member)))
      .map((member) => ({ id: member.id, section: sectionOf(member) }))
  }

  #asking(): Array<Hosted> {
    return [...this.#core.parts.processes.sworms()].filter(Fence.isAsked)
  }

  // ---- again and again

  readonly #round = Effect.suspend(() => {
    const { members, node, requests } = this.#core.parts
    this.#forget()
    const asking = this.#asking()
    if (asking.length === 0) return Effect.void
    const others = members.view().present.filter(({ id }) => id !== node.id).map(({ id }) => id)
    const dead = this.#unproven()
    for (const id of others) this.#core.parts.fork(this.#ask(id))
    /** By member that answered: for how long it has not heard each of the dead. */
    const silences = new Map([[node.id, dead.map(({ id }) => this.#vouch(id))]])
    if (dead.length === 0) return Effect.void
    const ids = dead.map(({ id }) => id)
    return Effect.andThen(
      Effect.forEach(others, (id) =>
        Effect.ignore(Effect.map(
          requests.ask(id, Method.silence, ids, this.#stopWithinMs / 2),
          (ages) => void silences.set(id, asArray(ages).map(asCount))
        )), { concurrency: "unbounded", discard: true }),
      Effect.sync(() => {
        dead.forEach(({ section }, at) => {
          const silent = new Set<string>()
          for (const [id, ages] of silences) if ((ages[at] ?? 0) >= this.#stopWithinMs * MARGIN) silent.add(id)
          // one for all: a group that suffices for every sworm here that asks
          if (!asking.every((hosted) => this.#suffices(hosted, silent))) return
          this.#stopped.add(section)
          this.onChange()
        })
      })
    )
  })

  /** Not waited for by the next: a frame may be lost, and four of them are not. */
  #ask(id: string): Effect.Effect<void> {
    return Effect.suspend(() => {
      const askedMs = this.#core.parts.nowMs()
      const asked = this.#core.parts.requests.ask(id, Method.contact, null, this.#stopWithinMs)
      return Effect.ignore(Effect.map(asked, () => {
        this.#contact.set(id, Math.max(askedMs, this.#contact.get(id) ?? 0))
        this.#known = new WeakMap()
        this.#look()
      }))
    })
  }

  /** Tells when a sworm begins or ceases to hold. */
  #look(): void {
    for (const hosted of this.#asking()) {
      const holds = this.holds(hosted)
      // lost for a moment between two looks it may have been stopped: then it is to be started again
      const isBack = holds && this.#lost.delete(hosted.id)
      if (this.#held.get(hosted.id) === holds && !isBack) continue
      this.#held.set(hosted.id, holds)
      this.onChange()
    }
  }

  #forget(): void {
    const { members } = this.#core.parts
    for (const id of this.#contact.keys()) if (members.member(id) === undefined) this.#contact.delete(id)
    for (const id of this.#heard.keys()) if (members.member(id) === undefined) this.#heard.delete(id)
    for (const [id, untilMs] of this.#barred) if (untilMs < this.#core.parts.nowMs()) this.#barred.delete(id)
    for (const section of this.#stopped) if (!members.isGone(section)) this.#stopped.delete(section)
  }

  /** Asks again and again; at once when there is more to know. */
  readonly drive: Effect.Effect<void, never, Scope.Scope> = Effect.suspend(() => {
    const step = this.#stopWithinMs / 4
    const watching = Effect.forever(Effect.andThen(Effect.sleep(step), Effect.sync(() => this.#look())))
    const asking = Effect.forever(
      Effect.andThen(Effect.sync(() => this.#core.parts.fork(this.#round)), Effect.sleep(step))
    )
    return Effect.andThen(Effect.forkScoped(watching), Effect.asVoid(Effect.forkScoped(asking)))
  })

  /** A sworm was hosted, or a member came: contact is made without waiting for the next time. */
  hurry(): void {
    if (this.#asking().length > 0) this.#core.parts.fork(this.#round)
  }
}
