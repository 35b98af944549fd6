/** What SWIM says to other nodes, what it tells its own, and how it is set up. */
import type { Member, Update } from "./members.ts"

export type SwimMessage =
  | { readonly _tag: "Ping"; readonly seq: number; readonly updates: ReadonlyArray<Update> }
  | { readonly _tag: "Ack"; readonly seq: number; readonly updates: ReadonlyArray<Update> }
  | { readonly _tag: "PingReq"; readonly seq: number; readonly target: string }
  | { readonly _tag: "Nack"; readonly seq: number; readonly outcome: ProbeOutcome }
  | { readonly _tag: "Gossip"; readonly updates: ReadonlyArray<Update> }
  | { readonly _tag: "State"; readonly updates: ReadonlyArray<Update>; readonly answer: boolean }
  /** You were dead for longer than I remember. `size` and `lowest` tell how many we are here, and who is first of us. */
  | {
    readonly _tag: "Forgotten"
    readonly boot: number
    readonly life: number
    readonly size: number
    readonly lowest: string
  }

/** What an indirect probe found. */
export type ProbeOutcome = "answered" | "refused" | "silent"

export type SwimOutput =
  | { readonly _tag: "Send"; readonly to: string; readonly message: SwimMessage }
  | { readonly _tag: "Changed"; readonly member: Member; readonly before: Member | undefined }
  /** This node was forgotten: what it knows of others is void, and what it runs is known to nobody (R11). */
  | { readonly _tag: "Forgotten" }

export interface SwimConfig {
  /** One probe is started every so often. */
  readonly probeIntervalMs: number
  /** A direct probe unanswered for this long is repeated through others. */
  readonly probeTimeoutMs: number
  readonly indirectProbes: number
  /** A suspicion nobody confirms lasts this long; */
  readonly suspicionMaxMs: number
  /** one that enough members confirm, this long. */
  readonly suspicionMinMs: number
  /** How often a heard update is passed on, times log2 of the cluster's size. */
  readonly retransmit: number
  /** Dead members are remembered, and told to others, this long. */
  readonly forgetAfterMs: number
}
