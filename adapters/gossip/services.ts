/** The services, as the rest of the program sees them: Membership here, the others beside. */
import { Context, Effect, Stream } from "effect"
import { Dispatch } from "../../src/Dispatch.ts"
import { Handoff } from "../../src/Handoff.ts"
import { Membership } from "../../src/Membership.ts"
import { Registry } from "../../src/Registry.ts"
import { Supervisor } from "../../src/Supervisor.ts"
import { InvalidInput, Unavailable } from "../../src/SwormError.ts"
import type { Backend } from "./backend.ts"
import { handoffOf } from "./handoffs.ts"
import type { MembershipDriver } from "./ground.ts"
import { publicMember } from "./views.ts"
import { registryOf } from "./registry.ts"
import { supervisorOf } from "./supervisor.ts"

/** What a backend provides. */
export type Services = Membership | Registry | Supervisor | Handoff | Dispatch

const AWAIT_SYNCED_MS = 30_000

export const makeServices = (backend: Backend): Context.Context<Services> =>
  Context.make(Membership, membershipOf(backend)).pipe(
    Context.add(Registry, registryOf(backend)),
    Context.add(Supervisor, supervisorOf(backend)),
    Context.add(Handoff, handoffOf(backend)),
    Context.add(Dispatch, backend.core.parts.dispatch)
  )

// ---- Membership

const membershipOf = ({ core, leave }: Backend): Membership => {
  const { members } = core.parts
  return {
    self: Effect.sync(() => publicMember(members.self())),
    members: Effect.sync(() => members.everyone().map(publicMember).sort((a, b) => a.id < b.id ? -1 : 1)),
    changes: members.changes,
    awaitSynced: awaitSynced(members),
    setLabels: (labels) => setLabels(members, labels),
    leave
  }
}

const MAX_LABELS = 64
const MAX_LABEL_CHARACTERS = 4096

const setLabels = (
  members: MembershipDriver,
  labels: Readonly<Record<string, string>>
): Effect.Effect<void, InvalidInput> =>
  Effect.suspend(() => {
    const flat: ReadonlyArray<unknown> = Object.entries(labels).flat()
    if (!flat.every((text) => typeof text === "string")) {
      return Effect.fail(new InvalidInput({ what: "labels", detail: "each must be a text" }))
    }
    const characters = flat.join("").length
    if (flat.length > 2 * MAX_LABELS || characters > MAX_LABEL_CHARACTERS) {
      const detail = `${flat.length / 2} labels of ${characters} characters: give at most ${MAX_LABELS} of ` +
        `${MAX_LABEL_CHARACTERS} in all`
      return Effect.fail(new InvalidInput({ what: "labels", detail }))
    }
    return Effect.sync(() => members.announce({ labels: { ...labels } }))
  })

const awaitSynced = (members: MembershipDriver): Effect.Effect<void, Unavailable> =>
  Stream.fromEffect(Effect.void).pipe(
    Stream.merge(Stream.map(members.changes, () => undefined)),
    Stream.filter(() => members.self().synced),
    Stream.take(1),
    Stream.runDrain,
    Effect.timeoutOrElse({
      duration: AWAIT_SYNCED_MS,
      orElse: () =>
        Effect.fail(
          new Unavailable({ operation: "join the cluster", detail: `not synced within ${AWAIT_SYNCED_MS} ms` })
        )
    })
  )
