/** A sworm whose processes write down what they are asked to: what was done, how often, in which order. */
import { Effect, Layer, Ref, Schema } from "effect"
import { Rpc } from "effect/rpc"
import { Process, Sworm } from "@sworm/sworm"

const state = Schema.Array(Schema.String)
const protocol = [
  Rpc.make("Write", { payload: { line: Schema.String }, success: Schema.Int }),
  Rpc.make("Read", { success: Schema.Array(Schema.String) })
] as const

const Plain = Process.make("Plain", { state, protocol })
const Kept = Process.make("Kept", { state, protocol, snapshot: { every: "call", replicas: 2 } })

/** Those whose names begin so are kept on two other nodes with each call. */
export const KEPT = "kept"

/** The types have one protocol: either will do where one is asked for. */
export const typeOf = (name: string): typeof Plain => (name.startsWith(KEPT) ? Kept : Plain) as typeof Plain

export class Journals extends Sworm.Service<Journals>()("Journals", { processes: [Plain, Kept] }) {}

type Self = { readonly state: Ref.Ref<ReadonlyArray<string>> }

const implementation = {
  init: () => Effect.succeed([] as ReadonlyArray<string>),
  handlers: {
    Write: ({ line }: { readonly line: string }, { state }: Self) =>
      Ref.modify(state, (lines) => [lines.length + 1, [...lines, line]]),
    Read: (_: unknown, { state }: Self) => Ref.get(state)
  }
}

export const JournalsLayer = Journals.layer.pipe(
  Layer.provide(Journals.toLayer(Plain, implementation)),
  Layer.provide(Journals.toLayer(Kept, implementation))
)
