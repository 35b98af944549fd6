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
import { hash32 } from "./hash.ts"
import { isGone, lifeOf, type Member, overrides, type Update } from "./members.ts"

export { isGone, overrides } from "./members.ts"
export type { Member, Status, Update } from "./members.ts"

export type SwimMessage =
  | { readonly _tag: "Ping"; readonly seq: number; readonly updates: ReadonlyArray<Update> }
  | { readonly _tag: "Ack"; readonly seq: number; readonly updates: ReadonlyArray<Update> }
  | { readonly _tag: "PingReq"; readonly seq: number; readonly target: string }
  | { readonly _tag: "Nack"; readonly seq: number; readonly outcome: ProbeOutcome }
  | { readonly _tag: "Gossip"; readonly updates: ReadonlyArray<Update> }
  | { readonly _tag: "State"; readonly updates: ReadonlyArray<Update>; readonly answer: boolean }
  /** You were dead for longer than I remember. `size` and `lowest` tell how many we are here, and who is first of us. */
  | {
    readonly _tag: "Forgotten"
    readonly boot: number
    readonly life: number
    readonly size: number
    readonly lowest: string
  }

/** What a node may say anew of itself. */
export interface Announcement {
  readonly synced?: boolean
  readonly status?: "alive" | "leaving" | "left"
  readonly cordoned?: boolean
  readonly labels?: Member["labels"]
}

/** What an indirect probe found. */
export type ProbeOutcome = "answered" | "refused" | "silent"

export type SwimOutput =
  | { readonly _tag: "Send"; readonly to: string; readonly message: SwimMessage }
  | { readonly _tag: "Changed"; readonly member: Member; readonly before: Member | undefined }
  /** This node was forgotten: what it knows of others is void, and what it runs is known to nobody (R11). */
  | { readonly _tag: "Forgotten" }

export interface SwimConfig {
  /** One probe is started every so often. */
  readonly probeIntervalMs: number
  /** A direct probe unanswered for this long is repeated through others. */
  readonly probeTimeoutMs: number
  readonly indirectProbes: number
  /** A suspicion nobody confirms lasts this long; */
  readonly suspicionMaxMs: number
  /** one that enough members confirm, this long. */
  readonly suspicionMinMs: number
  /** How often a heard update is passed on, times log2 of the cluster's size. */
  readonly retransmit: number
  /** Dead members are remembered, and told to others, this long. */
  readonly forgetAfterMs: number
}

interface Probe {
  readonly target: string
  /** When others are asked, then when the target is given up. */
  indirectAt: number
  failAt: number
  askedOthers: boolean
  refusedHere: boolean
  refusedThere: boolean
  /** How many of the others that were asked have said anything. */
  nacks: number
  /** Its ping could not be sent: to be sent again with the next tick. */
  again: boolean
  /** Set when this probe is made for another member. */
  readonly askedBy: { readonly id: string; readonly seq: number } | undefined
}

interface Suspicion {
  readonly since: number
  deadline: number
  readonly observers: Set<string>
}

const MAX_FORGOTTEN = 4096
/** As in memberlist: timeouts grow to at most nine times what they are. */
const MAX_SLOWNESS = 8
/** All that is known is exchanged with one member every so many probes. */
const STATE_EVERY = 8

export class Swim {
  #self: Member
  readonly #config: SwimConfig
  readonly #random: () => number
  readonly #members = new Map<string, Member>()
  readonly #probes = new Map<number, Probe>()
  readonly #suspicions = new Map<string, Suspicion>()
  readonly #goneAt = new Map<string, number>()
  readonly #rumours = new Map<string, number>()
  /** What was known last of members dead for so long that they are no longer told of. */
  readonly #forgotten = new Map<string, Member>()
  #order: Array<string> = []
  #seq = 0
  #nextProbe = 0
  #nextState = 0
  #lastTick: number | undefined
  #out: Array<SwimOutput> = []
  /** How often this run was told that it is dead: others may have taken its processes over (R14). */
  deaths = 0
  #lastDeath = -1
  /** Lifeguard's local health: how slow this node itself seems to be, from 0; its own timeouts grow with it. */
  #slowness = 0

  constructor(self: Update, config: SwimConfig, random: () => number) {
    this.#self = { ...self, hash: hash32(self.id) }
    this.#config = config
    this.#random = random
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

  // ---- inputs; each answers what is to be sent and what has changed

  tick(now: number): Array<SwimOutput> {
    this.#forgiveLag(now)
    for (const [seq, probe] of this.#probes) this.#advance(seq, probe, now)
    for (const [id, suspicion] of this.#suspicions) {
      if (now >= suspicion.deadline) this.#suspicionEnds(id, suspicion, now)
    }
    for (const [id, at] of this.#goneAt) {
      if (now - at >= this.#config.forgetAfterMs) {
        this.#goneAt.delete(id)
        this.#forgotten.set(id, this.#members.get(id)!)
        this.#members.delete(id)
        if (this.#forgotten.size > MAX_FORGOTTEN) this.#forgotten.delete(this.#forgotten.keys().next().value!)
      }
    }
    if (now >= this.#nextState) {
      // what rumours missed: all this node knows, exchanged with one member now and then
      this.#nextState = now + STATE_EVERY * this.#config.probeIntervalMs
      const others = this.present().filter(({ id }) => id !== this.#self.id)
      const other = others[Math.floor(this.#random() * others.length)]
      if (other !== undefined) this.#send(other.id, this.#state(false))
    }
    if (now >= this.#nextProbe) {
      this.#nextProbe = now + this.#config.probeIntervalMs * (1 + this.#slowness)
      const target = this.#nextTarget()
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
        for (const update of message.updates) if (this.#isPresent(update)) this.#confirm(update.id, from, now)
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
    const member = this.#members.get(id)
    if (member !== undefined && !isGone(member.status) && id !== this.#self.id && !this.#isProbed(id)) {
      this.#probe(id, now, undefined)
    } else {
      // the ping under way was lost with the connection: sent again, it dials
      for (const [seq, probe] of this.#probes) {
        if (probe.target === id) this.#send(id, { _tag: "Ping", seq, updates: [] })
      }
    }
    return this.#take()
  }

  /** A dial to a member's address failed; `refused`: nobody listens there. */
  dialFailed(id: string, refused: boolean, now: number): Array<SwimOutput> {
    if (refused) {
      for (const [seq, probe] of this.#probes) {
        if (probe.target !== id || probe.refusedHere) continue
        probe.refusedHere = true
        if (probe.askedBy !== undefined) this.#report(seq, probe, "refused")
        else if (probe.refusedThere || this.#isDoubted(id) || this.#helpers(id).length === 0) this.#declareDead(id, now)
        else this.#askOthers(seq, probe, now)
      }
    } else {
      // a dying listener resets, a busy one is late: dialled again soon, it refuses, or answers
      for (const probe of this.#probes.values()) if (probe.target === id) probe.again = true
    }
    return this.#take()
  }

  /** Has anybody else found a member silent? */
  #isDoubted(id: string): boolean {
    const observers = this.#suspicions.get(id)?.observers ?? new Set()
    return [...observers].some((observer) => observer !== this.#self.id)
  }

  /** Changes what this node says of itself and tells everyone. */
  announce(change: Announcement): Array<SwimOutput> {
    this.#restate({ ...this.#self, ...change, incarnation: this.#self.incarnation + 1 })
    return this.#take()
  }

  // ---- probing

  /** A node that was itself held up must not blame others for it (Lifeguard's local health): deadlines move with the lag. */
  #forgiveLag(now: number): void {
    const expected = this.#config.probeTimeoutMs / 2
    const lag = this.#lastTick === undefined ? 0 : now - this.#lastTick
    this.#lastTick = now
    if (lag <= 2 * expected) return
    this.#feels(1)
    for (const probe of this.#probes.values()) {
      probe.indirectAt += lag
      probe.failAt += lag
    }
    for (const suspicion of this.#suspicions.values()) suspicion.deadline += lag
  }

  /** Slower by one, or faster. */
  #feels(by: number): void {
    this.#slowness = Math.max(0, Math.min(MAX_SLOWNESS, this.#slowness + by))
  }

  #nextTarget(): string | undefined {
    for (let tries = this.#members.size; tries >= 0; tries--) {
      if (this.#order.length === 0) this.#order = this.#shuffled()
      const id = this.#order.pop()
      const member = id === undefined ? undefined : this.#members.get(id)
      if (member !== undefined && !isGone(member.status) && !this.#isProbed(member.id)) return member.id
    }
    return undefined
  }

  #shuffled(): Array<string> {
    const ids = this.present().filter(({ id }) => id !== this.#self.id).map(({ id }) => id)
    for (let i = ids.length - 1; i > 0; i--) {
      const j = Math.floor(this.#random() * (i + 1))
      const id = ids[i]!
      ids[i] = ids[j]!
      ids[j] = id
    }
    return ids
  }

  #isProbed(id: string): boolean {
    for (const probe of this.#probes.values()) if (probe.target === id && probe.askedBy === undefined) return true
    return false
  }

  #probeFor(asker: string, seq: number, target: string, now: number): void {
    const member = this.#members.get(target)
    if (target === this.#self.id) this.#send(asker, { _tag: "Nack", seq, outcome: "answered" })
    else if (this.#seesRefused(target)) this.#send(asker, { _tag: "Nack", seq, outcome: "refused" })
    else if (member !== undefined && !isGone(member.status)) this.#probe(target, now, { id: asker, seq })
  }

  #seesRefused(target: string): boolean {
    for (const probe of this.#probes.values()) if (probe.target === target && probe.refusedHere) return true
    return false
  }

  #probe(target: string, now: number, askedBy: Probe["askedBy"]): void {
    const seq = ++this.#seq
    const probeIntervalMs = this.#config.probeIntervalMs * (1 + this.#slowness)
    const probeTimeoutMs = this.#config.probeTimeoutMs * (1 + this.#slowness)
    this.#probes.set(seq, {
      target,
      indirectAt: now + probeTimeoutMs,
      failAt: now + (askedBy === undefined ? Math.max(probeIntervalMs, 2 * probeTimeoutMs) : probeTimeoutMs),
      askedOthers: askedBy !== undefined,
      refusedHere: false,
      refusedThere: false,
      nacks: 0,
      again: false,
      askedBy
    })
    this.#send(target, { _tag: "Ping", seq, updates: this.#gossipFor(target) })
  }

  #advance(seq: number, probe: Probe, now: number): void {
    if (probe.again) {
      probe.again = false
      this.#send(probe.target, { _tag: "Ping", seq, updates: [] })
    }
    if (now >= probe.failAt) {
      if (probe.askedBy !== undefined) {
        this.#confirm(probe.target, this.#self.id, now)
        return this.#report(seq, probe, "silent")
      }
      this.#probes.delete(seq)
      // nobody who was asked said a word: it may be this node that does not get through
      if (probe.askedOthers && probe.nacks === 0 && this.#helpers(probe.target).length > 0) this.#feels(1)
      this.#suspect(probe.target, now)
    } else if (!probe.askedOthers && now >= probe.indirectAt) {
      this.#askOthers(seq, probe, now)
    }
  }

  #askOthers(seq: number, probe: Probe, now: number): void {
    probe.askedOthers = true
    probe.failAt = Math.max(probe.failAt, now + this.#config.probeTimeoutMs)
    const helpers = this.#helpers(probe.target)
    for (let i = 0; i < this.#config.indirectProbes && helpers.length > 0; i++) {
      const [helper] = helpers.splice(Math.floor(this.#random() * helpers.length), 1)
      this.#send(helper!.id, { _tag: "PingReq", seq, target: probe.target })
    }
  }

  /** Who could look at a member for this node. */
  #helpers(target: string): Array<Member> {
    return this.present().filter(({ id, status }) => id !== this.#self.id && id !== target && status !== "suspect")
  }

  #acked(seq: number, from: string): void {
    const probe = this.#probes.get(seq)
    if (probe === undefined || probe.target !== from) return
    if (probe.askedBy !== undefined) return this.#report(seq, probe, "answered")
    this.#probes.delete(seq)
    this.#feels(-1)
    this.#suspicions.get(from)?.observers.delete(this.#self.id)
  }

  #report(seq: number, probe: Probe, outcome: ProbeOutcome): void {
    this.#probes.delete(seq)
    this.#send(probe.askedBy!.id, { _tag: "Nack", seq: probe.askedBy!.seq, outcome })
  }

  #indirect(from: string, seq: number, outcome: ProbeOutcome, now: number): void {
    const probe = this.#probes.get(seq)
    if (probe === undefined || probe.askedBy !== undefined) return
    probe.nacks++
    if (outcome === "answered") {
      this.#probes.delete(seq)
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
    const member = this.#members.get(id)
    if (member === undefined || isGone(member.status)) return
    if (member.status === "suspect") return this.#confirm(id, this.#self.id, now)
    this.#tell({ ...member, status: "suspect" }, now)
    this.#confirm(id, this.#self.id, now)
  }

  /** Is it the suspicion that stands at present, not one that was refuted since? */
  #isPresent({ boot, id, incarnation, status }: Update): boolean {
    const member = this.#members.get(id)
    return status === "suspect" && member?.boot === boot && member.incarnation === incarnation
  }

  #confirm(id: string, observer: string, now: number): void {
    const suspicion = this.#suspicions.get(id)
    if (suspicion === undefined) return
    suspicion.observers.add(observer)
    const { suspicionMaxMs: max, suspicionMinMs: min } = this.#config
    const expected = Math.min(3, this.#helpers(id).length)
    const seen = suspicion.observers.size - 1
    const share = expected <= 0 ? 1 : Math.min(1, Math.log(seen + 1) / Math.log(expected + 1))
    suspicion.deadline = Math.max(now, suspicion.since + max - (max - min) * share)
  }

  #suspicionEnds(id: string, suspicion: Suspicion, now: number): void {
    // this node's own failed probe is one observation, whatever others say; an answer to it takes that back (H19)
    if (suspicion.observers.size >= 2 || this.#helpers(id).length === 0) return this.#declareDead(id, now)
    suspicion.deadline = now + this.#config.suspicionMaxMs
    if (!this.#isProbed(id)) {
      this.#probe(id, now, undefined)
      this.#askOthers(this.#seq, this.#probes.get(this.#seq)!, now)
    }
  }

  #declareDead(id: string, now: number): void {
    const member = this.#members.get(id)
    if (member !== undefined && !isGone(member.status)) this.#tell({ ...member, status: "dead" }, now)
  }

  // ---- what is known of whom

  #learnAll(from: string, updates: ReadonlyArray<Update>, now: number): void {
    for (const update of updates) {
      if (update.id === this.#self.id) this.#hearOfSelf(from, update)
      else if (this.#isHearsay(from, update)) this.#doubt(from, update, now)
      else if (this.#learn(update, now)) this.#rumours.set(update.id, 0)
    }
  }

  /**
   * Told that a member is dead which this node, and everybody else it has heard, knows as living: a node that was cut off
   * comes back and believes so of all the others. It counts as one observation; a death needs two (H19).
   */
  #isHearsay(from: string, update: Update): boolean {
    const known = this.#members.get(update.id)
    if (update.status !== "dead" || from === update.id || known === undefined || isGone(known.status)) return false
    if (known.boot !== update.boot || !overrides(update, known)) return false
    const observers = this.#suspicions.get(update.id)?.observers
    return observers === undefined || [...observers].every((observer) => observer === from)
  }

  #doubt(from: string, update: Update, now: number): void {
    const known = this.#members.get(update.id)!
    if (this.#seesRefused(update.id)) return this.#declareDead(update.id, now)
    const { incarnation } = update
    if (this.#learn({ ...known, incarnation, status: "suspect" }, now)) this.#rumours.set(update.id, 0)
    this.#confirm(update.id, from, now)
    if (!this.#isProbed(update.id)) this.#probe(update.id, now, undefined)
  }

  /** R14: told that this very run is suspect or dead, it says otherwise, louder. */
  #hearOfSelf(from: string, update: Update): void {
    const self = this.#self
    if (update.boot !== self.boot || self.status === "left") return
    if (isGone(update.status) && update.incarnation > this.#lastDeath) {
      // also when its suspicion was refuted before: whoever believed it may have taken processes over
      this.#lastDeath = update.incarnation
      this.deaths++
    }
    const isOld = update.incarnation < self.incarnation
    const isMine = update.incarnation === self.incarnation && update.status === self.status
    if (isOld || isMine) return
    this.#feels(1)
    this.#restate({ ...self, incarnation: update.incarnation + 1 })
    // who says so may not be a member here (any more), and must hear it all the same
    const teller = this.#members.get(from)
    if (teller === undefined || isGone(teller.status)) {
      this.#send(from, { _tag: "Gossip", updates: [wire(this.#self)] })
    }
  }

  /** A member that was dead for long enough to be forgotten speaks: it must begin a new life. */
  #answerForgotten(from: string): void {
    const last = this.#forgotten.get(from)
    if (last === undefined) return
    const here = this.present().map(({ id }) => id)
    const lowest = here.reduce((a, b) => a < b ? a : b)
    this.#send(from, { _tag: "Forgotten", boot: last.boot, life: lifeOf(last), size: here.length, lowest })
  }

  /** Of two sides that have forgotten each other the smaller comes back; of two equal ones, that with the later id. */
  #hearOfBeingForgotten({ boot, life, lowest, size }: SwimMessage & { readonly _tag: "Forgotten" }): void {
    const self = this.#self
    if (boot !== self.boot || life < lifeOf(self)) return
    const here = this.present().map(({ id }) => id)
    if (this.#forgotten.size > 0 && !here.includes(lowest)) {
      const first = here.reduce((a, b) => a < b ? a : b)
      if (here.length > size || (here.length === size && first < lowest)) return
    }
    this.#forgotten.clear()
    this.#out.push({ _tag: "Forgotten" })
    this.#restate({ ...self, life: life + 1, incarnation: self.incarnation + 1, synced: false })
  }

  /** Of a run that was forgotten nothing is believed until it begins a new life. */
  isForgotten(id: string, boot: number): boolean {
    const last = this.#forgotten.get(id)
    return last !== undefined && last.boot >= boot
  }

  /** What is known of a member, forgotten ones included. */
  lastKnown(id: string): Member | undefined {
    return this.#members.get(id) ?? this.#forgotten.get(id)
  }

  #learn(update: Update, now: number): boolean {
    const before = this.#members.get(update.id)
    const last = before ?? this.#forgotten.get(update.id)
    if (last !== undefined && !overrides(update, last)) return false
    if (before === undefined && last?.boot === update.boot && lifeOf(last) === lifeOf(update)) return false
    this.#forgotten.delete(update.id)
    const member: Member = { ...update, hash: before?.hash ?? hash32(update.id) }
    this.#members.set(member.id, member)
    if (member.status === "suspect") {
      const deadline = now + this.#config.suspicionMaxMs
      this.#suspicions.set(member.id, { since: now, deadline, observers: new Set() })
    } else {
      this.#suspicions.delete(member.id)
    }
    if (isGone(member.status)) {
      this.#goneAt.set(member.id, now)
      for (const [seq, probe] of this.#probes) if (probe.target === member.id) this.#probes.delete(seq)
    } else {
      this.#goneAt.delete(member.id)
    }
    this.#out.push({ _tag: "Changed", member, before })
    return true
  }

  /** Something this node found out itself: learned, then told to everyone, the member in question included. */
  #tell(update: Member, now: number): void {
    if (this.#learn(update, now)) this.#broadcast(update, update.id)
  }

  #restate(self: Member): void {
    const before = this.#self
    this.#self = self
    this.#members.set(self.id, self)
    this.#out.push({ _tag: "Changed", member: self, before })
    this.#broadcast(self, undefined)
  }

  #broadcast(member: Member, also: string | undefined): void {
    const message: SwimMessage = { _tag: "Gossip", updates: [wire(member)] }
    for (const { id } of this.present()) if (id !== this.#self.id) this.#send(id, message)
    if (also !== undefined && isGone(member.status)) this.#send(also, message)
    this.#rumours.set(member.id, 0)
  }

  /** Updates to pass on with a ping, the least told first; a target that is suspected hears it first (Lifeguard's buddy). */
  #gossipFor(target: string): Array<Update> {
    const limit = this.#config.retransmit * Math.ceil(Math.log2(this.#members.size + 1))
    const updates = new Map<string, Update>()
    const suspected = this.#members.get(target)
    if (suspected !== undefined && suspected.status !== "alive") updates.set(target, wire(suspected))
    for (const [id, told] of [...this.#rumours].sort((a, b) => a[1] - b[1])) {
      if (updates.size >= 16) break
      const member = this.#members.get(id)
      if (member !== undefined) updates.set(id, wire(member))
      if (member === undefined || told + 1 >= limit) this.#rumours.delete(id)
      else this.#rumours.set(id, told + 1)
    }
    return [...updates.values()]
  }

  #state(answer: boolean): SwimMessage {
    return { _tag: "State", updates: [...this.#members.values()].map(wire), answer }
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

const wire = ({ hash: _, ...update }: Member): Update => update
