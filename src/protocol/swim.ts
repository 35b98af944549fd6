/**
 * Membership: SWIM (Das, Gupta, Motivala, 2002) with the suspicion of Lifeguard (Dadgar et al., arXiv:1707.00788), over
 * connections instead of datagrams. Pure: time, randomness and the links come in, messages and changes go out.
 *
 * - One member a period is probed, round robin over a shuffled list; without an answer `indirectProbes` others are asked.
 * - A silent member is suspected; the suspicion ends by refutation (a higher incarnation) or in death, sooner the more
 *   members confirm it. Where there is a second observer, death needs one (H19).
 * - A member whose port refuses connections, also seen so by a second observer, is dead at once.
 * - What this node finds out is told to everyone at once; what it hears is passed on with its pings.
 */
import { LocalHealth } from "./localHealth.ts"
import { isGone, lifeOf, type Member, overrides, type Update, updateOf } from "./members.ts"
import { type Probe, Probes } from "./probes.ts"
import { Roster } from "./roster.ts"
import { Rumours } from "./rumours.ts"
import { type Suspicion, Suspicions } from "./suspicions.ts"
import type { ProbeOutcome, SwimConfig, SwimMessage, SwimOutput } from "./swimMessages.ts"

export { isGone, overrides } from "./members.ts"
export type { Member, Status, Update } from "./members.ts"
export type { SwimConfig, SwimMessage, SwimOutput } from "./swimMessages.ts"

/** What a node may say anew of itself. */
export interface Announcement {
  readonly synced?: boolean
  readonly status?: "alive" | "leaving" | "left"
  readonly cordoned?: boolean
  readonly labels?: Member["labels"]
}

/** All that is known is exchanged with one member every so many probes. */
const STATE_EVERY = 8

export class Swim {
  readonly #roster: Roster
  readonly #config: SwimConfig
  readonly #random: () => number
  readonly #health = new LocalHealth()
  readonly #probes: Probes
  readonly #suspicions: Suspicions
  readonly #rumours: Rumours
  #nextProbe = 0
  #nextState = 0
  #out: Array<SwimOutput> = []
  /** How often this run was told that it is dead: others may have taken its processes over (R14). */
  deaths = 0
  #lastDeath = -1

  constructor(self: Update, config: SwimConfig, random: () => number) {
    this.#roster = new Roster(self, config.forgetAfterMs)
    this.#config = config
    this.#random = random
    this.#probes = new Probes(random)
    this.#suspicions = new Suspicions(config)
    this.#rumours = new Rumours(config.retransmit)
  }

  get self(): Member {
    return this.#roster.self
  }

  /** Every member known, this node and the recently dead included. */
  get members(): ReadonlyMap<string, Member> {
    return this.#roster.members
  }

  /** Members that take part: everyone but the dead and the left. */
  present(): Array<Member> {
    return this.#roster.present()
  }

  // ---- inputs; each answers what is to be sent and what has changed

  tick(now: number): Array<SwimOutput> {
    this.#forgiveLag(now)
    for (const [seq, probe] of this.#probes) this.#advance(seq, probe, now)
    for (const [id, suspicion] of this.#suspicions.due(now)) this.#suspicionEnds(id, suspicion, now)
    this.#roster.forget(now)
    if (now >= this.#nextState) {
      // what rumours missed: all this node knows, exchanged with one member now and then
      this.#nextState = now + STATE_EVERY * this.#config.probeIntervalMs
      const others = this.#roster.others()
      const other = others[Math.floor(this.#random() * others.length)]
      if (other !== undefined) this.#send(other.id, this.#state(false))
    }
    if (now >= this.#nextProbe) {
      this.#nextProbe = now + this.#config.probeIntervalMs * this.#health.factor
      const target = this.#probes.next(this.#roster.others(), this.members.size + 1)
      if (target !== undefined) this.#probe(target, now, undefined)
    }
    return this.#take()
  }

  receive(from: string, message: SwimMessage, now: number): Array<SwimOutput> {
    if ("updates" in message) this.#answerForgotten(from)
    switch (message._tag) {
      case "Ping":
        this.#learnAll(from, message.updates, now)
        this.#send(from, { _tag: "Ack", seq: message.seq, updates: this.#gossipFor(from) })
        break
      case "Ack":
        this.#learnAll(from, message.updates, now)
        this.#acked(message.seq, from)
        break
      case "PingReq":
        this.#probeFor(from, message.seq, message.target, now)
        break
      case "Nack":
        this.#indirect(from, message.seq, message.outcome, now)
        break
      case "Gossip":
        this.#learnAll(from, message.updates, now)
        for (const update of message.updates) if (this.#roster.isPresent(update)) this.#confirm(update.id, from, now)
        break
      case "Forgotten":
        this.#hearOfBeingForgotten(message)
        break
      case "State":
        this.#learnAll(from, message.updates, now)
        if (!message.answer) this.#send(from, this.#state(true))
        break
    }
    return this.#take()
  }

  /** A connection to a member is open: both sides tell all they know. */
  linkUp(id: string): Array<SwimOutput> {
    this.#send(id, this.#state(false))
    return this.#take()
  }

  /** A connection has ended: look at once whether its other end still lives. */
  linkDown(id: string, now: number): Array<SwimOutput> {
    if (id !== this.self.id && this.#roster.living(id) !== undefined && !this.#probes.isProbed(id)) {
      this.#probe(id, now, undefined)
    } else {
      // the ping under way was lost with the connection: sent again, it dials
      for (const [seq] of this.#probes.of(id)) this.#send(id, { _tag: "Ping", seq, updates: [] })
    }
    return this.#take()
  }

  /** A dial to a member's address failed; `refused`: nobody listens there. */
  dialFailed(id: string, refused: boolean, now: number): Array<SwimOutput> {
    if (refused) {
      for (const [seq, probe] of this.#probes.of(id)) {
        if (probe.refusedHere) continue
        probe.refusedHere = true
        const isSeenByTwo = probe.refusedThere || this.#suspicions.isDoubted(id, this.self.id)
        if (probe.askedBy !== undefined) this.#report(seq, probe, "refused")
        else if (isSeenByTwo || this.#roster.helpers(id).length === 0) this.#declareDead(id, now)
        else this.#askOthers(seq, probe, now)
      }
    } else {
      // a dying listener resets, a busy one is late: dialled again soon, it refuses, or answers
      for (const [, probe] of this.#probes.of(id)) probe.again = true
    }
    return this.#take()
  }

  /** Changes what this node says of itself and tells everyone. */
  announce(change: Announcement): Array<SwimOutput> {
    this.#restate({ ...this.self, ...change, incarnation: this.self.incarnation + 1 })
    return this.#take()
  }

  // ---- probing

  /** A node that was itself held up must not blame others for it (Lifeguard's local health): deadlines move with the lag. */
  #forgiveLag(now: number): void {
    const lag = this.#health.lag(now, this.#config.probeTimeoutMs / 2)
    if (lag === 0) return
    this.#probes.delay(lag)
    this.#suspicions.delay(lag)
  }

  #probeFor(asker: string, seq: number, target: string, now: number): void {
    if (target === this.self.id) this.#send(asker, { _tag: "Nack", seq, outcome: "answered" })
    else if (this.#probes.seesRefused(target)) this.#send(asker, { _tag: "Nack", seq, outcome: "refused" })
    else if (this.#roster.living(target) !== undefined) this.#probe(target, now, { id: asker, seq })
  }

  #probe(target: string, now: number, askedBy: Probe["askedBy"]): readonly [seq: number, probe: Probe] {
    const intervalMs = this.#config.probeIntervalMs * this.#health.factor
    const timeoutMs = this.#config.probeTimeoutMs * this.#health.factor
    const limitMs = askedBy === undefined ? Math.max(intervalMs, 2 * timeoutMs) : timeoutMs
    const [seq, probe] = this.#probes.begin(target, now, { askedBy, limitMs, timeoutMs })
    this.#send(target, { _tag: "Ping", seq, updates: this.#gossipFor(target) })
    return [seq, probe]
  }

  #advance(seq: number, probe: Probe, now: number): void {
    if (probe.again) {
      probe.again = false
      this.#send(probe.target, { _tag: "Ping", seq, updates: [] })
    }
    if (now >= probe.failAt) {
      if (probe.askedBy !== undefined) {
        this.#confirm(probe.target, this.self.id, now)
        return this.#report(seq, probe, "silent")
      }
      this.#probes.end(seq)
      // nobody who was asked said a word: it may be this node that does not get through
      if (probe.askedOthers && probe.nacks === 0 && this.#roster.helpers(probe.target).length > 0) this.#health.feels(1)
      this.#suspect(probe.target, now)
    } else if (!probe.askedOthers && now >= probe.indirectAt) {
      this.#askOthers(seq, probe, now)
    }
  }

  #askOthers(seq: number, probe: Probe, now: number): void {
    probe.askedOthers = true
    probe.failAt = Math.max(probe.failAt, now + this.#config.probeTimeoutMs)
    const helpers = this.#roster.helpers(probe.target)
    for (let i = 0; i < this.#config.indirectProbes && helpers.length > 0; i++) {
      const [helper] = helpers.splice(Math.floor(this.#random() * helpers.length), 1)
      this.#send(helper!.id, { _tag: "PingReq", seq, target: probe.target })
    }
  }

  #acked(seq: number, from: string): void {
    const probe = this.#probes.get(seq)
    if (probe === undefined || probe.target !== from) return
    if (probe.askedBy !== undefined) return this.#report(seq, probe, "answered")
    this.#probes.end(seq)
    this.#health.feels(-1)
    this.#suspicions.retract(from, this.self.id)
  }

  #report(seq: number, probe: Probe, outcome: ProbeOutcome): void {
    this.#probes.end(seq)
    this.#send(probe.askedBy!.id, { _tag: "Nack", seq: probe.askedBy!.seq, outcome })
  }

  #indirect(from: string, seq: number, outcome: ProbeOutcome, now: number): void {
    const probe = this.#probes.get(seq)
    if (probe === undefined || probe.askedBy !== undefined) return
    probe.nacks++
    if (outcome === "answered") {
      this.#probes.end(seq)
    } else if (outcome === "refused" && probe.refusedHere) {
      this.#declareDead(probe.target, now)
    } else if (outcome === "refused" && !probe.refusedThere) {
      // its port closed while this ping was under way: dial it again, to see the same
      probe.refusedThere = true
      this.#confirm(probe.target, from, now)
      this.#send(probe.target, { _tag: "Ping", seq, updates: [] })
    } else {
      this.#confirm(probe.target, from, now)
    }
  }

  // ---- suspicion

  #suspect(id: string, now: number): void {
    const member = this.#roster.living(id)
    if (member === undefined) return
    if (member.status === "suspect") return this.#confirm(id, this.self.id, now)
    this.#tell({ ...member, status: "suspect" }, now)
    this.#confirm(id, this.self.id, now)
  }

  #confirm(id: string, observer: string, now: number): void {
    this.#suspicions.confirm(id, observer, this.#roster.helpers(id).length, now)
  }

  #suspicionEnds(id: string, suspicion: Suspicion, now: number): void {
    // this node's own failed probe is one observation, whatever others say; an answer to it takes that back (H19)
    if (suspicion.observers.size >= 2 || this.#roster.helpers(id).length === 0) return this.#declareDead(id, now)
    suspicion.deadline = now + this.#config.suspicionMaxMs
    if (!this.#probes.isProbed(id)) {
      const [seq, probe] = this.#probe(id, now, undefined)
      this.#askOthers(seq, probe, now)
    }
  }

  #declareDead(id: string, now: number): void {
    const member = this.#roster.living(id)
    if (member !== undefined) this.#tell({ ...member, status: "dead" }, now)
  }

  // ---- what is known of whom

  #learnAll(from: string, updates: ReadonlyArray<Update>, now: number): void {
    for (const update of updates) {
      if (update.id === this.self.id) {
        this.#hearOfSelf(from, update)
        continue
      }
      const doubted = this.#hearsay(from, update)
      if (doubted !== undefined) this.#doubt(from, doubted, update.incarnation, now)
      else if (this.#learn(update, now)) this.#rumours.begin(update.id)
    }
  }

  /**
   * Told that a member is dead which this node, and everybody else it has heard, knows as living: a node that was cut off
   * comes back and believes so of all the others. It counts as one observation; a death needs two (H19). Answers what is
   * known of it.
   */
  #hearsay(from: string, update: Update): Member | undefined {
    const known = this.#roster.living(update.id)
    if (update.status !== "dead" || from === update.id || known === undefined) return undefined
    if (known.boot !== update.boot || !overrides(update, known)) return undefined
    const isNew = [...this.#suspicions.observers(update.id)].every((observer) => observer === from)
    return isNew ? known : undefined
  }

  #doubt(from: string, known: Member, incarnation: number, now: number): void {
    const { id } = known
    if (this.#probes.seesRefused(id)) return this.#declareDead(id, now)
    if (this.#learn({ ...known, incarnation, status: "suspect" }, now)) this.#rumours.begin(id)
    this.#confirm(id, from, now)
    if (!this.#probes.isProbed(id)) this.#probe(id, now, undefined)
  }

  /** R14: told that this very run is suspect or dead, it says otherwise, louder. */
  #hearOfSelf(from: string, update: Update): void {
    const self = this.self
    if (update.boot !== self.boot || self.status === "left") return
    if (isGone(update.status) && update.incarnation > this.#lastDeath) {
      // also when its suspicion was refuted before: whoever believed it may have taken processes over
      this.#lastDeath = update.incarnation
      this.deaths++
    }
    const isOld = update.incarnation < self.incarnation
    const isMine = update.incarnation === self.incarnation && update.status === self.status
    if (isOld || isMine) return
    this.#health.feels(1)
    this.#restate({ ...self, incarnation: update.incarnation + 1 })
    // who says so may not be a member here (any more), and must hear it all the same
    if (this.#roster.living(from) === undefined) this.#send(from, { _tag: "Gossip", updates: [updateOf(this.self)] })
  }

  /** A member that was dead for long enough to be forgotten speaks: it must begin a new life. */
  #answerForgotten(from: string): void {
    const last = this.#roster.forgotten(from)
    if (last === undefined) return
    this.#send(from, { _tag: "Forgotten", boot: last.boot, life: lifeOf(last), ...this.#roster.side() })
  }

  #hearOfBeingForgotten({ boot, life, lowest, size }: SwimMessage & { readonly _tag: "Forgotten" }): void {
    const self = this.self
    if (boot !== self.boot || life < lifeOf(self) || !this.#roster.comesBack({ size, lowest })) return
    this.#roster.recallAll()
    this.#out.push({ _tag: "Forgotten" })
    this.#restate({ ...self, life: life + 1, incarnation: self.incarnation + 1, synced: false })
  }

  /** Of a run that was forgotten nothing is believed until it begins a new life. */
  isForgotten(id: string, boot: number): boolean {
    const last = this.#roster.forgotten(id)
    return last !== undefined && last.boot >= boot
  }

  /** What is known of a member, forgotten ones included. */
  lastKnown(id: string): Member | undefined {
    return this.#roster.lastKnown(id)
  }

  #learn(update: Update, now: number): boolean {
    const learned = this.#roster.learn(update, now)
    if (learned === undefined) return false
    const { before, member } = learned
    if (member.status === "suspect") this.#suspicions.begin(member.id, now)
    else this.#suspicions.end(member.id)
    if (isGone(member.status)) this.#probes.drop(member.id)
    this.#out.push({ _tag: "Changed", member, before })
    return true
  }

  /** Something this node found out itself: learned, then told to everyone, the member in question included. */
  #tell(update: Member, now: number): void {
    if (this.#learn(update, now)) this.#broadcast(update, update.id)
  }

  #restate(self: Member): void {
    const before = this.#roster.restate(self)
    this.#out.push({ _tag: "Changed", member: self, before })
    this.#broadcast(self, undefined)
  }

  #broadcast(member: Member, also: string | undefined): void {
    const message: SwimMessage = { _tag: "Gossip", updates: [updateOf(member)] }
    for (const { id } of this.#roster.others()) this.#send(id, message)
    if (also !== undefined && isGone(member.status)) this.#send(also, message)
    this.#rumours.begin(member.id)
  }

  #gossipFor(target: string): Array<Update> {
    return this.#rumours.pick(this.members, target).map(updateOf)
  }

  #state(answer: boolean): SwimMessage {
    return { _tag: "State", updates: [...this.members.values()].map(updateOf), answer }
  }

  #send(to: string, message: SwimMessage): void {
    this.#out.push({ _tag: "Send", to, message })
  }

  #take(): Array<SwimOutput> {
    const out = this.#out
    this.#out = []
    return out
  }
}
