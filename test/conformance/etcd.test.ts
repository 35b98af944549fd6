// The etcd backend on etcd's stand-in in memory, with frames over a network that neither delays nor loses anything.
import { Effect } from "effect"
import * as Etcd from "@sworm/sworm/etcd"
import { harnessOn } from "../etcd/nodes.ts"
import { conformance } from "./suite.ts"

const harness = Effect.flatMap(Etcd.EtcdMemory.make, (etcd) => harnessOn((name) => etcd.client({ name })))

conformance("etcd", harness, { concurrent: true })
