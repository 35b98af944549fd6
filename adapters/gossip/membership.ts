/** Drives the membership protocol over a transport: time, links and discovery in; members and their changes out. */
import { Clock, Effect, PubSub, Random, type Scope, Stream } from "effect"
import type { Discovery } from "../../src/Discovery.ts"
import type { Member, MemberChange } from "../../src/Membership.ts"
import type { Node } from "../../src/Node.ts"
import { msgpack } from "../../src/protocol/codec.ts"
import { hash32, mix32 } from "../../src/protocol/hash.ts"
import { bootOf, compareText, nodeOf, type SectionId, sectionId } from "../../src/protocol/ids.ts"
import { seededRandom } from "../../src/protocol/random.ts"
import { type Announcement, isGone, type Member as SwimMember, Swim, type SwimOutput } from "../../src/protocol/swim.ts"
import { Channel, decodeSwim, encodeSwim } from "../../src/protocol/wire.ts"
import { steadyMs } from "../../src/runtime/clocks.ts"
import { TransportError } from "../../src/SwormError.ts"
import type { Transport } from "../../src/Transport.ts"
import { warn } from "../../src/runtime/log.ts"
import { publish } from "./events.ts"
import type { ResolvedGossipOptions } from "./Options.ts"

/** The members as everything else here sees them; a new one is made at each change. */
export interface View {
  /** Everyone who takes part, suspects included. */
  readonly present: ReadonlyArray<SwimMember>
  /** Those among which names are placed and registrars chosen: present, synced, not leaving. */
  readonly active: ReadonlyArray<SwimMember>
  /** Nodes with equal views of who is active have equal hashes. */
  readonly hash: number
}

export interface MembershipDriver {
  readonly view: () => View
  /** Views that held until a moment ago (`joinGrace`), the latest first: their registrars may know what others don't yet. */
  readonly previous: () => ReadonlyArray<View>
  readonly member: (id: string) => SwimMember | undefined
  readonly everyone: () => ReadonlyArray<SwimMember>
  readonly isGone: (section: SectionId) => boolean
  /** Is it of a run that was dead for so long that nothing of it is believed any more? */
  readonly isForgotten: (section: SectionId) => boolean
  readonly self: () => SwimMember
  readonly announce: (change: Announcement) => void
  /** How often this node was told that it is dead. */
  readonly deaths: () => number
  readonly changes: Stream.Stream<MemberChange>
  /** Dials every address that discovery knows and every member that is not connected; done when all have answered. */
  readonly dial: Effect.Effect<void>
}

export interface MembershipHooks {
  readonly onChange: (member: SwimMember, before: SwimMember | undefined) => void
  /** This node was away for longer than anybody remembers (R11). */
  readonly onForgotten: () => void
}

const DIAL_TIMEOUT_MS = 2000
const MAX_PREVIOUS = 8

const makeView = (swim: Swim): View => {
  const present = swim.present()
  const active = present.filter(({ status, synced }) => synced && status !== "leaving")
    .sort((a, b) => compareText(a.id, b.id))
  let hash = 0
  for (const { boot, id } of active) hash = mix32(hash ^ hash32(id, boot >>> 0))
  return { present, active, hash }
}

export const publicMember = ({ cordoned = false, hash: _, life: _life, ...member }: SwimMember): Member => ({
  ...member,
  cordoned
})

export const make = Effect.fnUntraced(function* (
  node: Node,
  transport: Transport,
  discovery: Discovery,
  options: ResolvedGossipOptions,
  hooks: MembershipHooks
): Effect.fn.Return<MembershipDriver, never, Scope.Scope> {
  const clock = yield* Clock.Clock
  const seed = yield* Random.nextIntBetween(1, 0x7fffffff)
  const changes = yield* PubSub.sliding<MemberChange>(1024)
  const now = steadyMs(clock)
  const { boot, id, labels } = node
  const { address } = transport
  const { cordoned } = options
  const swim = new Swim(
    { id, boot, incarnation: 0, status: "alive", address, synced: false, labels, cordoned },
    options.swim,
    seededRandom(seed)
  )
  let view = makeView(swim)
  let previous: Array<{ readonly view: View; readonly until: number }> = []

  const perform = (outputs: ReadonlyArray<SwimOutput>): void => {
    const dropped: Array<string> = []
    for (const output of outputs) {
      if (output._tag === "Send") {
        transport.send(output.to, Channel.swim, msgpack.encode(encodeSwim(output.message)), "protocol")
        continue
      }
      if (output._tag === "Forgotten") {
        hooks.onForgotten()
        continue
      }
      const { before, member } = output
      if (member.id !== id && member.address !== "") transport.learn(member.id, member.address)
      // a connection that outlived its member (a split does not end it) would never say more than pings do: dialled
      // anew, both sides tell all they know, and whoever is thought dead refutes it
      if (member.status === "dead" && before?.status !== "dead") dropped.push(member.id)
      const next = makeView(swim)
      if (next.hash !== view.hash) previous = [{ view, until: now() }, ...previous].slice(0, MAX_PREVIOUS)
      view = next
      hooks.onChange(member, before)
      publish(changes, {
        member: publicMember(member),
        before: before === undefined ? undefined : publicMember(before)
      })
    }
    for (const dead of dropped) transport.disconnect(dead, "it is thought dead")
  }

  const endReceive = transport.receive(Channel.swim, (from, body) => {
    perform(swim.receive(from.id, decodeSwim(msgpack.decode(body)), now()))
  })
  const endEvents = transport.subscribe({
    up: (peer) => perform(swim.linkUp(peer.id)),
    down: (peer) => perform(swim.linkDown(peer.id, now())),
    unreachable: (node, refused) => perform(swim.dialFailed(node, refused, now()))
  })
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      endReceive()
      endEvents()
    })
  )
  yield* Effect.forkScoped(Effect.forever(
    Effect.andThen(Effect.sleep(options.swim.probeTimeoutMs / 2), Effect.sync(() => perform(swim.tick(now()))))
  ))

  const dialOne = (address: string): Effect.Effect<void, TransportError> =>
    Effect.asVoid(transport.connect(address)).pipe(
      Effect.timeoutOrElse({
        duration: DIAL_TIMEOUT_MS,
        orElse: () =>
          Effect.fail(new TransportError({ reason: "Timeout", address, detail: `no answer in ${DIAL_TIMEOUT_MS} ms` }))
      })
    )

  // one line per address and kind of failure, until it changes: a seed that stays away must not fill the log
  const complaints = new Map<string, string>()
  const complain = (error: TransportError): Effect.Effect<void> =>
    Effect.suspend(() => {
      if (error.reason === "Self" || complaints.get(error.address) === error.reason) return Effect.void
      complaints.set(error.address, error.reason)
      return warn(`Cannot reach "${error.address}" (${error.reason}): ${error.detail}. It is tried again`)
    })

  const dial = Effect.gen(function* () {
    const connected = new Set(transport.peers().map((peer) => peer.id))
    const addresses = new Set(yield* discovery.addresses)
    for (const member of swim.members.values()) {
      // whoever said goodbye comes back by itself, if it does
      const isExpected = member.id !== id && member.status !== "left" && member.address !== ""
      if (isExpected && !connected.has(member.id)) addresses.add(member.address)
      if (connected.has(member.id)) addresses.delete(member.address)
    }
    addresses.delete(transport.address)
    yield* Effect.forEach(
      addresses,
      (address) =>
        Effect.matchEffect(dialOne(address), {
          onSuccess: () => Effect.sync(() => complaints.delete(address)),
          onFailure: complain
        }),
      { concurrency: 16, discard: true }
    )
  })

  return {
    view: () => view,
    previous: () => {
      previous = previous.filter(({ until }) => now() - until <= options.joinGraceMs)
      return previous.map(({ view }) => view)
    },
    member: (other) => swim.members.get(other),
    everyone: () => [...swim.members.values()],
    isGone: (section) => {
      const member = swim.lastKnown(nodeOf(section))
      if (member === undefined) return false
      const sectionBoot = bootOf(section)
      return member.boot > sectionBoot || (member.boot === sectionBoot && isGone(member.status))
    },
    isForgotten: (section) => swim.isForgotten(nodeOf(section), bootOf(section)),
    self: () => swim.self,
    announce: (change) => perform(swim.announce(change)),
    deaths: () => swim.deaths,
    changes: Stream.fromPubSub(changes),
    dial
  }
})

export const sectionOf = (member: SwimMember): SectionId => sectionId(member.id, member.boot)
