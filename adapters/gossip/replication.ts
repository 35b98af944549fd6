/**
 * Keeps this node's copy of all sections like everyone else's: own changes are pushed to every peer at once, in batches
 * of a turn; a periodic comparison of one number with a random peer repairs whatever was missed (PROTOCOL R12).
 */
import { Effect } from "effect"
import { msgpack } from "../../src/protocol/codec.ts"
import { nodeOf, type SectionId } from "../../src/protocol/ids.ts"
import { type OnChange, Replica, type Versions } from "../../src/protocol/replica.ts"
import { Channel, decodeSync, encodeSync, type SyncMessage } from "../../src/protocol/wire.ts"
import { Unavailable } from "../../src/SwormError.ts"
import type { Peer, Transport } from "../../src/Transport.ts"
import type { ReplicationDriver } from "./ground.ts"

interface PeerState {
  /** What the peer said it has; `undefined` until it says so on this connection. */
  versions: Map<SectionId, number> | undefined
  /** When it said so. */
  toldAtMs: number
  /** What it has dropped, as it said last. */
  buried: Versions
  /** How much of this node's section was sent to it, how much it has confirmed. */
  sent: number
  confirmed: number
  /** A cut push is continued when the peer confirms it. */
  awaiting: boolean
  /** What was sent to it a moment ago, and may not have arrived yet when it said what it has. */
  offered: Map<SectionId, number>
  offeredAtMs: number
}

interface Waiter {
  readonly ready: () => boolean
  readonly resume: () => void
}

export interface ReplicationView {
  /** Ids of the other members that take part. */
  readonly others: () => ReadonlyArray<string>
  /** Ids of all members ever known and not forgotten, this node excepted. */
  readonly everyone: () => ReadonlyArray<string>
  readonly isSyncedPeer: (node: string) => boolean
  /** Has this node heard of whoever writes the section? */
  readonly isMember: (section: SectionId) => boolean
  /** Nothing of its run is believed any more (R11). */
  readonly isForgotten: (section: SectionId) => boolean
}

const NONE: Versions = new Map()
const STORED_TIMEOUT_MS = 5000
const IN_FLIGHT_MS = 500
const PULL_MS = 100
const SWEEP_AFTER_MS = 60_000

export class Replication implements ReplicationDriver {
  readonly replica: Replica
  /** No epoch at or below it is given again (H5). */
  floor = 0
  /** Has exchanged fully with a synced node, or formed the cluster. */
  synced = false
  /** Called after every message of a peer. */
  onNews: () => void = () => {}
  /** Called when this node has caught up with a synced peer. */
  onCaughtUp: () => void = () => {}
  readonly #transport: Transport
  readonly #view: ReplicationView
  readonly #deltaBytes: number
  readonly #nowMs: () => number
  readonly #peers = new Map<string, PeerState>()
  readonly #waiters = new Set<Waiter>()
  #flushing = false
  /** What every member had seen at a time. */
  #toSweep = { version: 0, sinceMs: 0 }

  constructor(
    own: SectionId,
    transport: Transport,
    view: ReplicationView,
    deltaBytes: number,
    nowMs: () => number,
    onChange: OnChange
  ) {
    this.replica = new Replica(own, onChange)
    this.#nowMs = nowMs
    this.#transport = transport
    this.#view = view
    this.#deltaBytes = deltaBytes
  }

  // ---- own changes

  /** Writes into the own section; pushed to everyone at the end of this turn. */
  write(key: string, value: unknown): number {
    const version = this.replica.write(key, value)
    if (!this.#flushing) {
      this.#flushing = true
      queueMicrotask(() => this.flush())
    }
    return version
  }

  /** Pushes what is waiting, now. Peers at the same version share one encoded frame. */
  flush(): void {
    this.#flushing = false
    const own = this.replica.own
    const version = this.replica.version(own)
    const frames = new Map<number, readonly [to: number, frame: Uint8Array]>()
    for (const [id, peer] of this.#peers) {
      if (peer.versions === undefined || peer.awaiting || peer.sent >= version) continue
      let cut = frames.get(peer.sent)
      if (cut === undefined) {
        const deltas = this.replica.deltasFor(new Map([[own, peer.sent]]), this.#deltaBytes, own)
        const frame = msgpack.encode(encodeSync({ _tag: "Deltas", deltas, complete: true, floor: this.floor }))
        frames.set(peer.sent, cut = [deltas[0]?.to ?? version, frame])
      }
      if (!this.#transport.send(id, Channel.sync, cut[1], "protocol")) continue
      peer.sent = cut[0]
      peer.awaiting = cut[0] < version
    }
  }

  /** Waits until a second node has stored the own section up to `version`; alone, that is at once. */
  stored(version: number, operation: string): Effect.Effect<void, Unavailable> {
    return this.#await(operation, () => {
      const others = this.#view.others()
      return others.length === 0 || others.some((id) => (this.#peers.get(id)?.confirmed ?? 0) >= version)
    }, () => this.#pushAgain())
  }

  /** What was pushed and not confirmed may have been lost: pushed again. */
  #pushAgain(): void {
    for (const peer of this.#peers.values()) {
      peer.sent = peer.confirmed
      peer.awaiting = false
    }
    this.flush()
  }

  /** Waits until this node has stored a section up to `version`; asks its writer for it when it doesn't come. */
  have(section: SectionId, version: number, operation: string): Effect.Effect<void, Unavailable> {
    return this.#await(
      operation,
      () => this.replica.version(section) >= version,
      () => this.#send(nodeOf(section), this.#digest(false))
    )
  }

  #await(operation: string, ready: () => boolean, nudge: () => void): Effect.Effect<void, Unavailable> {
    return Effect.suspend(() => {
      if (ready()) return Effect.void
      const arrived = Effect.callback<void>((resume) => {
        const waiter: Waiter = { ready, resume: () => resume(Effect.void) }
        this.#waiters.add(waiter)
        return Effect.sync(() => void this.#waiters.delete(waiter))
      })
      const nudging = Effect.forever(Effect.andThen(Effect.sleep(PULL_MS), Effect.sync(nudge)))
      return Effect.raceFirst(arrived, nudging).pipe(Effect.timeoutOrElse({
        duration: STORED_TIMEOUT_MS,
        orElse: () =>
          Effect.fail(
            new Unavailable({ operation, detail: `no second node stored the change within ${STORED_TIMEOUT_MS} ms` })
          )
      }))
    })
  }

  /** Looks again at who waits: after news from peers, and after a change of members. */
  wake(): void {
    for (const waiter of this.#waiters) {
      if (waiter.ready()) {
        this.#waiters.delete(waiter)
        waiter.resume()
      }
    }
  }

  /** No epoch at or below it is given again. */
  raiseFloor(epoch: number): void {
    this.floor = Math.max(this.floor, epoch)
  }

  bury(section: SectionId): void {
    this.replica.bury(section)
  }

  /** Has a peer buried at least as much of a dead section as is stored here? Then its tombs are in living ones. */
  isDischarged(section: SectionId): boolean {
    const version = this.replica.version(section)
    for (const peer of this.#peers.values()) if ((peer.buried.get(section) ?? -1) >= version) return true
    return false
  }

  /** Does nobody have a section any more, as far as this node was told since it dropped it? */
  isBuriedByAll(section: SectionId): boolean {
    return this.#view.everyone().every((id) => {
      const versions = this.#peers.get(id)?.versions
      return versions !== undefined && !versions.has(section)
    })
  }

  /**
   * Has everyone said, since then, that it has these versions of all living sections, nothing that is not here too, and
   * no section that this node has buried?
   */
  haveAll(wanted: Versions, sinceMs: number, isLiving: (section: SectionId) => boolean): boolean {
    return this.#view.everyone().every((id) => {
      const peer = this.#peers.get(id)
      if (peer?.versions === undefined || peer.toldAtMs < sinceMs) return false
      for (const [section, version] of wanted) {
        if (isLiving(section) && (peer.versions.get(section) ?? 0) < version) return false
      }
      for (const [section, version] of peer.versions) {
        // whoever is told of by others only must be asked too, once it is a member here (H25)
        if (this.replica.buried.has(section) || !this.#view.isMember(section)) return false
        if (isLiving(section) && this.replica.version(section) < version) return false
      }
      return true
    })
  }

  /** Has every member, dead ones too, stored this version of a section? */
  seenByAll(section: SectionId, version: number): boolean {
    return this.#view.everyone().every((id) => (this.#peers.get(id)?.versions?.get(section) ?? 0) >= version)
  }

  /**
   * Forgets the marks of erased keys that every member has seen for a while: a node that is being told of the cluster
   * just now may have an older copy, and is not known here yet.
   */
  sweep(nowMs: number): void {
    const own = this.replica.own
    const seen = this.#view.everyone().map((id) => this.#peers.get(id)?.versions?.get(own) ?? 0)
    if (nowMs - this.#toSweep.sinceMs < SWEEP_AFTER_MS) return
    this.replica.sweep(Math.min(this.#toSweep.version, ...seen))
    this.#toSweep = { version: Math.min(this.replica.version(own), ...seen), sinceMs: nowMs }
  }

  // ---- peers

  linkUp(peer: Peer): void {
    this.#peers.set(peer.id, {
      versions: undefined,
      toldAtMs: 0,
      buried: NONE,
      sent: 0,
      confirmed: 0,
      awaiting: false,
      offered: new Map(),
      offeredAtMs: 0
    })
    // who is new asks one node after the other for everything, not all at once
    this.#send(peer.id, this.#digest(this.synced))
  }

  /** Forgets what was told by nodes that nobody remembers. */
  prune(): void {
    const needed = new Set([...this.#view.everyone(), ...this.linked()])
    for (const id of this.#peers.keys()) if (!needed.has(id)) this.#peers.delete(id)
  }

  linkDown(peer: Peer): void {
    const state = this.#peers.get(peer.id)
    if (state !== undefined) this.#peers.set(peer.id, { ...state, versions: undefined, awaiting: false })
  }

  /** One round of anti-entropy with a peer: a number; everything else only where it differs. */
  compareWith(node: string): void {
    this.#send(node, { _tag: "Hash", hash: this.replica.digestHash() })
  }

  /** Asks a synced peer for all that this node lacks. */
  catchUpWith(node: string): void {
    this.#send(node, this.#digest(true))
  }

  /** Tells every peer what is here, and asks what they have. */
  compareWithAll(): void {
    for (const id of this.linked()) this.#send(id, this.#digest(true))
  }

  /** Has every peer that is linked said since then what it has, and is there nothing of a section that is missing here? */
  hasLatest(section: SectionId, sinceMs: number): boolean {
    const linked = new Set(this.linked())
    return this.#view.others().every((id) => {
      const peer = this.#peers.get(id)
      if (!linked.has(id)) return true
      return peer?.versions !== undefined && peer.toldAtMs >= sinceMs &&
        (peer.versions.get(section) ?? 0) <= this.replica.version(section)
    })
  }

  /** Nodes that there is a connection to. */
  linked(): Array<string> {
    return this.#transport.peers().map(({ id }) => id)
  }

  receive(from: Peer, body: Uint8Array): void {
    const message = decodeSync(msgpack.decode(body))
    const peer = this.#peers.get(from.id)
    if (peer === undefined) return
    switch (message._tag) {
      case "Hash":
        if (message.hash !== this.replica.digestHash()) return this.#send(from.id, this.#digest(true))
        if (this.synced && this.#view.isSyncedPeer(from.id)) this.onCaughtUp()
        return this.#send(from.id, { _tag: "Same", hash: message.hash })
      case "Same":
        if (message.hash !== this.replica.digestHash()) break
        this.#learn(peer, this.replica.versions(), this.replica.buried)
        if (this.synced && this.#view.isSyncedPeer(from.id)) this.onCaughtUp()
        break
      case "Digest":
        this.#digestArrived(from, peer, message)
        break
      case "Deltas":
        this.#deltasArrived(from, message)
        break
      case "Stored":
        peer.confirmed = Math.max(peer.confirmed, message.version)
        peer.versions?.set(this.replica.own, peer.confirmed)
        peer.awaiting = false
        if (peer.sent < this.replica.version(this.replica.own)) this.flush()
        break
    }
    this.wake()
    this.onNews()
  }

  #learn(peer: PeerState, versions: Map<SectionId, number>, buried: Versions): void {
    peer.versions = versions
    peer.buried = new Map(buried)
    peer.toldAtMs = this.#nowMs()
    peer.confirmed = Math.max(peer.confirmed, versions.get(this.replica.own) ?? 0)
  }

  #digestArrived(from: Peer, peer: PeerState, digest: SyncMessage & { readonly _tag: "Digest" }): void {
    this.floor = Math.max(this.floor, digest.floor)
    for (const [section, version] of digest.versions) {
      if (version > (this.replica.buried.get(section) ?? Infinity)) this.replica.exhume(section)
    }
    this.#learn(peer, new Map(digest.versions), digest.buried)
    peer.sent = digest.versions.get(this.replica.own) ?? 0
    peer.awaiting = false
    const have = this.#haveSoon(peer, digest.versions)
    const deltas = digest.synced || digest.wants
      ? this.replica.deltasFor(have, this.#deltaBytes, undefined, digest.buried)
      : []
    if (deltas.length > 0) {
      const complete = deltas.every(({ section, to }) => to >= this.replica.version(section)) &&
        [...this.replica.versions()].every(([id, version]) =>
          (have.get(id) ?? 0) >= version || (digest.buried.get(id) ?? -1) >= version ||
          deltas.some(({ section }) => section === id)
        )
      this.#send(from.id, { _tag: "Deltas", deltas, complete, floor: this.floor })
      for (const { section, to } of deltas) peer.offered.set(section, to)
      peer.offeredAtMs = this.#nowMs()
      const own = deltas.find(({ section }) => section === this.replica.own)
      if (own !== undefined) peer.sent = own.to
      peer.awaiting = !complete
    }
    if (digest.wants) this.#send(from.id, this.#digest(false))
    if (digest.synced && !this.#lacks(digest.versions)) this.onCaughtUp()
  }

  /** What a peer has, with what is under way to it: a digest and the answer to another may have crossed. */
  #haveSoon(peer: PeerState, versions: Versions): Versions {
    if (this.#nowMs() - peer.offeredAtMs > IN_FLIGHT_MS) peer.offered.clear()
    if (peer.offered.size === 0) return versions
    const have = new Map(versions)
    for (const [section, to] of peer.offered) have.set(section, Math.max(to, have.get(section) ?? 0))
    return have
  }

  #deltasArrived(from: Peer, message: SyncMessage & { readonly _tag: "Deltas" }): void {
    this.floor = Math.max(this.floor, message.floor)
    let gap = false
    let own: number | undefined
    for (const delta of message.deltas) {
      if (this.#view.isForgotten(delta.section)) continue
      if (!this.replica.apply(delta)) gap = true
      else if (nodeOf(delta.section) === from.id) own = this.replica.version(delta.section)
    }
    const isCut = gap || !message.complete
    // a digest says so too: said twice, what follows would be sent twice
    if (own !== undefined && !isCut) this.#send(from.id, { _tag: "Stored", version: own })
    if (isCut) this.#send(from.id, this.#digest(!this.synced))
    else if (!this.synced && this.#view.isSyncedPeer(from.id)) this.#send(from.id, this.#digest(true))
  }

  #lacks(versions: Versions): boolean {
    for (const [section, version] of versions) {
      if (this.#view.isForgotten(section)) continue
      if (this.replica.version(section) < version && (this.replica.buried.get(section) ?? -1) < version) return true
    }
    return false
  }

  #digest(wants: boolean): SyncMessage {
    const { buried } = this.replica
    return { _tag: "Digest", versions: this.replica.versions(), buried, synced: this.synced, floor: this.floor, wants }
  }

  #send(to: string, message: SyncMessage): void {
    this.#transport.send(to, Channel.sync, msgpack.encode(encodeSync(message)), "protocol")
  }
}
