/** What histories are made on: etcd's stand-in in memory, or real servers, with faults of single clients and of the store. */
import { Context, Effect, Layer, type Scope, Stream } from "effect"
import { FetchHttpClient, HttpClient } from "effect/http"
import { type EtcdClient, type EtcdLimits, makeWith } from "../../adapters/etcd/client.ts"
import type { EtcdError } from "../../adapters/etcd/EtcdError.ts"
import type { Gateway, GatewayFailure } from "../../adapters/etcd/gateway.ts"
import * as Http from "../../adapters/etcd/http.ts"
import * as EtcdMemory from "../../adapters/etcd/memory.ts"
import type { Member, Servers } from "./servers.ts"

/** What befalls one client. */
export type ClientFault = Extract<EtcdMemory.Fault, "unreachable" | "silent" | "answerLost" | object>

/** Something that befalls the store: done, and what undoes it. */
export type Trouble = Effect.Effect<Effect.Effect<void, unknown>, unknown>

export interface Bed {
  /** A client with a name, for faults. */
  readonly client: (name: string) => Effect.Effect<EtcdClient, EtcdError, Scope.Scope>
  /** From now on; `undefined` heals it. */
  readonly fault: (fault: ClientFault | undefined, client: string) => Effect.Effect<void>
  /** A client that only what befalls the store can trouble. */
  readonly witness: Effect.Effect<EtcdClient, EtcdError, Scope.Scope>
  /** By name. */
  readonly troubles: Readonly<Record<string, Trouble>>
  /** All that befell the store is undone, and it answers. */
  readonly ready: Effect.Effect<void, unknown>
}

/** Shorter than a lease of two seconds, so that another member can be asked in time. */
const limits: EtcdLimits = { requestTimeout: "500 millis" }

/** What is older than the present is forgotten: a watch that has not read it must begin anew. */
const compacting = (client: EtcdClient): Trouble =>
  Effect.flatMap(client.status, ({ revision }) => Effect.as(Effect.ignore(client.compact(revision)), Effect.void))

// ---- in memory

const NODES = "http://nodes"

export const memoryBed: Effect.Effect<Bed, EtcdError, Scope.Scope> = Effect.gen(function* () {
  const memory = yield* EtcdMemory.make
  const witness = yield* memory.client({ name: "witness", endpoints: ["http://witness"] })
  const leaderless = memory.fault("noLeader", { endpoint: NODES })
  const led = memory.fault(undefined, { endpoint: NODES })
  return {
    client: (name) => memory.client({ name, endpoints: [NODES], ...limits }),
    fault: (fault, client) => memory.fault(fault, { client }),
    witness: Effect.succeed(witness),
    troubles: {
      noLeader: Effect.as(leaderless, led),
      disconnected: Effect.as(memory.disconnect, Effect.void),
      compacted: compacting(witness)
    },
    ready: led
  }
})

// ---- on servers

const refused: GatewayFailure = { _tag: "Broken", reason: "Unreachable", detail: "a fault of the test", isSent: false }
const cut: GatewayFailure = { ...refused, isSent: true }

/** A gateway that has the faults which etcd's stand-in has. */
const faulty = (gateway: Gateway, faultNow: () => ClientFault | undefined): Gateway => {
  const becomes = (isSo: () => boolean): Effect.Effect<void> =>
    Effect.suspend(() => isSo() ? Effect.void : Effect.andThen(Effect.sleep("10 millis"), becomes(isSo)))
  const speaks = becomes(() => faultNow() !== "silent")
  const broken = Effect.andThen(becomes(() => faultNow() === "unreachable"), Effect.fail(refused))
  return {
    post: (endpoint, call) =>
      Effect.suspend(() => {
        const fault = faultNow()
        if (fault === "unreachable") return Effect.fail(refused)
        if (fault === "silent") return Effect.never
        const posted = gateway.post(endpoint, call)
        if (fault === "answerLost") return Effect.andThen(posted, Effect.fail(cut))
        return typeof fault === "object" ? Effect.andThen(Effect.sleep(fault.slow), posted) : posted
      }),
    stream: (endpoint, call) =>
      Stream.unwrap(Effect.as(speaks, gateway.stream(endpoint, call))).pipe(
        Stream.mapEffect((message) => Effect.as(speaks, message)),
        Stream.merge(Stream.fromEffectDrain(broken), { haltStrategy: "left" })
      )
  }
}

export const serverBed = (servers: Servers): Effect.Effect<Bed, EtcdError, Scope.Scope> =>
  Effect.gen(function* () {
    const http = Context.get(yield* Layer.build(FetchHttpClient.layer), HttpClient.HttpClient)
    const gateway = Http.make(http, 64 * 1024 * 1024)
    const options = { endpoints: servers.endpoints, ...limits }
    const faults = new Map<string, ClientFault>()
    const witness = yield* makeWith(gateway, options)
    const leader = Effect.gen(function* () {
      for (const member of servers.members) {
        const one = yield* makeWith(gateway, { endpoints: [member.endpoint], ...limits, retryFor: 0 })
        const status = yield* Effect.result(one.status)
        if (status._tag === "Success" && status.success.leader === status.success.member) return member
      }
      return servers.members[0]!
    })
    const follower = Effect.map(leader, (one) => servers.members.find((member) => member !== one)!)
    const killing = (which: Effect.Effect<Member, unknown>): Trouble =>
      Effect.flatMap(which, (member) => Effect.as(member.kill, member.start))
    const stopping = (which: Effect.Effect<Member, unknown>): Trouble =>
      Effect.flatMap(which, (member) => Effect.as(member.pause, member.resume))
    const back = Effect.forEach(servers.members, (member) => Effect.andThen(member.resume, member.start))
    return {
      client: (name) => makeWith(faulty(gateway, () => faults.get(name)), options),
      fault: (fault, client) =>
        Effect.sync(() => void (fault === undefined ? faults.delete(client) : faults.set(client, fault))),
      witness: Effect.succeed(witness),
      troubles: {
        leaderKilled: killing(leader),
        memberKilled: killing(follower),
        leaderStopped: stopping(leader),
        memberStopped: stopping(follower),
        compacted: compacting(witness)
      },
      ready: Effect.andThen(back, servers.ready)
    }
  })
