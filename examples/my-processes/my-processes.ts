/**
 * `MyProcesses` of Sworm's README, `use Sworm, handoff: true`: notebooks that keep what was written into them wherever
 * they go on; and scratchpads, that start with a clean sheet as its processes do without that option.
 */
import { Effect, Ref, Schema } from "effect"
import { Rpc } from "effect/rpc"
import { Process, Sworm } from "@sworm/sworm"

export const Lines = Schema.Array(Schema.String)

const protocol = [
  Rpc.make("Write", { payload: { line: Schema.String } }),
  Rpc.make("Read", { success: Lines })
]

export const Notebook = Process.make("Notebook", { state: Lines, protocol })

/** What a process type says wins over its sworm. */
export const Scratchpad = Process.make("Scratchpad", { state: Lines, protocol, handoff: false })

// `handoff: true` is the default here. `:begin_handoff` and `:end_handoff` answered with the state as it is are the
// default too, so there is no handler for either; `beginHandoff` and `init` are where to do it otherwise.
export class MyProcesses extends Sworm.Service<MyProcesses>()("MyProcesses", {
  processes: [Notebook, Scratchpad],
  handoff: true
}) {}

type Self = Process.Self<typeof Lines.Type>

const implementation = {
  init: () => Effect.succeed([]),
  handlers: {
    Write: ({ line }: { readonly line: string }, { state }: Self) => Ref.update(state, (lines) => [...lines, line]),
    Read: (_: void, { state }: Self) => Ref.get(state)
  }
}

export const NotebookLayer = MyProcesses.toLayer(Notebook, implementation)
export const ScratchpadLayer = MyProcesses.toLayer(Scratchpad, implementation)
