/** A sworm whose names and metadata are more than text: rooms of a house. */
import { Effect, Layer, Ref, Schema } from "effect"
import { Rpc } from "effect/rpc"
import * as Process from "../../Process.ts"
import * as Sworm from "../../Sworm.ts"

export const Place = Schema.Struct({ floor: Schema.Int, door: Schema.String })

/** `since` crosses nodes as text, and is a date on each. */
export const About = Schema.Struct({ seats: Schema.Int, since: Schema.Date })

export const Room = Process.make("Room", {
  state: Schema.Array(Schema.String),
  protocol: [
    Rpc.make("Enter", { payload: { who: Schema.String }, success: Schema.Int }),
    Rpc.make("Name", { success: Schema.String }),
    Rpc.make("Where", { success: Schema.String })
  ]
})

/** Kept for what is not a room. */
export const Closet = Process.make("Closet", { protocol: [Rpc.make("Where", { success: Schema.String })] })

export class Rooms extends Sworm.Service<Rooms>()("conformance/Rooms", {
  processes: [Room, Closet],
  key: Place,
  metadata: About
}) {}

/** The same sworm in a program that is older than rooms. */
export class OlderRooms extends Sworm.Service<OlderRooms>()("conformance/Rooms", {
  processes: [Closet],
  key: Place,
  metadata: About
}) {}

const room = Rooms.toLayer(Room, {
  init: () => Effect.succeed<ReadonlyArray<string>>([]),
  handlers: {
    Enter: ({ who }, { state }) =>
      Effect.map(Ref.updateAndGet(state, (inside) => [...inside, who]), (inside) => inside.length),
    Name: (_, { name }) => Effect.succeed(name),
    Where: (_, { node }) => Effect.succeed(node)
  }
})

const closet = {
  init: () => Effect.void,
  handlers: { Where: (_: void, { node }: Process.Self<void>) => Effect.succeed(node) }
}

/** Hosts Rooms. */
export const roomsLayer = Rooms.layer.pipe(Layer.provide([room, Rooms.toLayer(Closet, closet)]))

/** Hosts what an older program knows of it. */
export const olderRoomsLayer = OlderRooms.layer.pipe(Layer.provide(OlderRooms.toLayer(Closet, closet)))
