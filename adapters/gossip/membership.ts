/** Drives the membership protocol over a transport: time, links and discovery in; members and their changes out. */
import { Clock, Effect, PubSub, Random, type Scope, Stream } from "effect"
import type { Discovery } from "../../src/Discovery.ts"
import type { MemberChange } from "../../src/Membership.ts"
import type { Node } from "../../src/Node.ts"
import { msgpack } from "../../src/protocol/codec.ts"
import { bootOf, nodeOf } from "../../src/protocol/ids.ts"
import { seededRandom } from "../../src/protocol/random.ts"
import { isGone, Swim, type SwimOutput } from "../../src/protocol/swim.ts"
import { Channel, decodeSwim, encodeSwim } from "../../src/protocol/wire.ts"
import { steadyMs } from "../../src/runtime/clocks.ts"
import { TransportError } from "../../src/SwormError.ts"
import type { Transport } from "../../src/Transport.ts"
import { warn } from "../../src/runtime/log.ts"
import { publish } from "./events.ts"
import type { MembershipDriver, MembershipHooks } from "./ground.ts"
import { publicMember, Views } from "./views.ts"
import type { ResolvedGossipOptions } from "./Options.ts"

/** The members, and how this node reaches them. */
export interface Gossiping extends MembershipDriver {
  /** Dials every address that discovery knows and every member that is not connected; done when all have answered. */
  readonly dial: Effect.Effect<void>
}

const DIAL_TIMEOUT_MS = 2000

export const make = Effect.fnUntraced(function* (
  node: Node,
  transport: Transport,
  discovery: Discovery,
  options: ResolvedGossipOptions,
  hooks: MembershipHooks
): Effect.fn.Return<Gossiping, never, Scope.Scope> {
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
  const views = new Views(swim.present(), options.joinGraceMs, now)

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
      views.change(swim.present())
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
    view: () => views.current,
    previous: () => views.previous,
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
