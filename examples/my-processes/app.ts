/**
 * Node affinity: a sworm's processes run on the nodes that start it, and on no others. Which those are is said by the
 * layer that each node's program has; there is no list of nodes to allow or to deny.
 */
import { Layer } from "effect"
import { MyProcesses, NotebookLayer, ScratchpadLayer } from "./my-processes.ts"

/** A node that starts the sworm: its processes may run here. */
export const Host = MyProcesses.layer.pipe(Layer.provide([NotebookLayer, ScratchpadLayer]))

/** A node that only uses it: it registers and calls like any other, and runs none. It needs no implementation. */
export const Gateway = MyProcesses.layerClient
