/**
 * Two sworms with different needs. Who is in a room may be told twice for a moment, and must be told in any case; a
 * purse must be paid from once, and rather not at all than twice.
 */
import { Effect, Ref, Schema } from "effect"
import { Rpc } from "effect/rpc"
import { Process, Sworm } from "@sworm/sworm"

export const Room = Process.make("Room", {
  state: Schema.Array(Schema.String),
  protocol: [Rpc.make("Enter", { payload: { who: Schema.String }, success: Schema.Array(Schema.String) })]
})

/** Goes on in both halves of a network that has split: for gossip. */
export class Rooms extends Sworm.Service<Rooms>()("Rooms", { processes: [Room] }) {}

export const RoomLayer = Rooms.toLayer(Room, {
  init: () => Effect.succeed([]),
  handlers: { Enter: ({ who }, { state }) => Ref.updateAndGet(state, (all) => [...all, who]) },
  // after a split: everybody who was in either
  resolveConflict: (mine, theirs) => [...new Set([...mine, ...theirs])]
})

export class TooLittle extends Schema.TaggedError<TooLittle>()("TooLittle", { cents: Schema.Int }) {}

export const Purse = Process.make("Purse", {
  args: { cents: Schema.Int },
  state: Schema.Int,
  protocol: [Rpc.make("Pay", { payload: { cents: Schema.Int }, success: Schema.Int, error: TooLittle })],
  // what was paid is known on another node before it is acknowledged
  snapshot: "eachCall"
})

/** Runs once, or not at all: for etcd. */
export class Purses extends Sworm.Service<Purses>()("Purses", { processes: [Purse] }) {}

export const PurseLayer = Purses.toLayer(Purse, {
  init: ({ args, handoff }) => Effect.succeed(handoff ?? args.cents),
  handlers: {
    Pay: Effect.fnUntraced(function* ({ cents }, { state }) {
      const there = yield* Ref.get(state)
      if (there < cents) return yield* new TooLittle({ cents: there })
      yield* Ref.set(state, there - cents)
      return there - cents
    })
  }
})
