/** The Supervisor service. */
import { Duration, Effect, Option, Stream } from "effect"
import { extrasOf } from "../../src/protocol/extras.ts"
import { nodeOf } from "../../src/protocol/ids.ts"
import { type Offer, swormKey } from "../../src/protocol/wire.ts"
import type { LocalProcess } from "../../src/runtime/LocalProcess.ts"
import type { Child, LinkOptions, Supervisor } from "../../src/Supervisor.ts"
import { InvalidInput, NotRegistered, type Unavailable } from "../../src/SwormError.ts"
import type { Backend } from "./backend.ts"
import type { Core } from "./core.ts"
import { explain, plan } from "./explaining.ts"
import { refOf } from "./owner.ts"

export const supervisorOf = (backend: Backend): Supervisor => {
  const { core, ends, givenUps, rebalancer, registrar, registrations } = backend
  const { directory, events, processes, replication } = core.parts
  return {
    start: ({ args, lease, metadata, name, options, restart, sworm, type }) =>
      registrar.register({
        sworm,
        name,
        spec: { type, args, restart: restart ?? "transient", options },
        metadata,
        leaseMs: lease === undefined ? undefined : Duration.toMillis(Duration.fromInputUnsafe(lease))
      }),
    terminate: (sworm, name) => ends.unregister(sworm, name),
    which: (sworm, node) => Effect.sync(() => which(core, sworm, node)),
    countChildren: (sworm) =>
      Effect.sync(() => {
        const counts = new Map<string, number>()
        for (const [section, count] of directory.loads(sworm)) {
          const node = nodeOf(section)
          if (!directory.isGone(section)) counts.set(node, (counts.get(node) ?? 0) + count)
        }
        return counts
      }),
    link: (sworm, options) => link(backend, sworm, options),
    unlink: (sworm, name) => registrations.change(sworm, name, { _tag: "Link", link: undefined }),
    givenUp: (sworm) => Effect.sync(() => givenUps.list(sworm)),
    reset: (sworm, name) => givenUps.reset(registrar, registrations, sworm, name),
    explain: (sworm, name) => Effect.sync(() => explain(backend, sworm, name)),
    plan: (sworm, change) => Effect.sync(() => Option.fromUndefinedOr(plan(core, sworm, change))),
    host: (hosted) =>
      Effect.acquireRelease(
        Effect.sync(() => {
          processes.host(hosted)
          const { maxChildren, placement, types } = hosted
          const offer: Offer = { types: [...types.keys()], placement: placement.name, maxChildren }
          replication.write(swormKey(hosted.id), offer)
        }),
        () =>
          Effect.suspend(() => {
            replication.write(swormKey(hosted.id), undefined)
            return Effect.ensuring(rebalancer.giveAway(hosted.id), Effect.sync(() => processes.unhost(hosted.id)))
          })
      ),
    events: Stream.fromPubSub(events)
  }
}

const which = (
  { parts: { directory, node, processes } }: Core,
  sworm: string,
  of: string | undefined
): Array<Child> => {
  const children: Array<Child> = of === undefined || of === node.id ? [...processes.of(sworm)].map(childOf) : []
  for (const [slot, { claim, section }] of directory.present(sworm)) {
    const holder = nodeOf(section)
    if (holder === node.id || claim.spec === undefined || (of !== undefined && holder !== of)) continue
    const status = claim.mode === "prepared" ? "moving" : claim.extras?.isDown === true ? "restarting" : "running"
    children.push({ ref: slot.ref!, type: claim.spec.type, status })
  }
  return children.sort((a, b) => a.ref.name < b.ref.name ? -1 : 1)
}

const STATUSES: Readonly<Record<LocalProcess["status"], Child["status"]>> = {
  starting: "starting",
  prepared: "moving",
  running: "running",
  frozen: "moving",
  restarting: "restarting",
  passive: "passive",
  waking: "starting",
  closed: "moving"
}

const childOf = (process: LocalProcess): Child => ({
  ref: refOf(process),
  type: process.type.name,
  status: STATUSES[process.status]
})

const MAX_LINKED = 256

const link = (
  { core, registrations }: Backend,
  sworm: string,
  { names, strategy }: LinkOptions
): Effect.Effect<void, NotRegistered | InvalidInput | Unavailable> =>
  Effect.suspend((): Effect.Effect<void, NotRegistered | InvalidInput | Unavailable> => {
    const { directory, stamps, wallMs } = core.parts
    // by the names that they were registered under, where an alias is given
    const primaries = names.map((name) => directory.find(sworm, name)?.name ?? name)
    if (names.length > MAX_LINKED || new Set(primaries).size !== names.length) {
      const detail = `${names.length} names: give each process once, and at most ${MAX_LINKED}`
      return Effect.fail(new InvalidInput({ what: "link", detail }))
    }
    const known = primaries.map((name) => extrasOf(directory.view(sworm, name).claims[0]?.claim ?? {}).link?.stamp ?? 0)
    const stamp = Math.max(stamps.next(wallMs()), ...known.map((before) => before + 1))
    const declared = { strategy, names: primaries, stamp }
    // all must be there before the first is tied to the others
    const missing = Effect.filter(
      primaries,
      (name) =>
        directory.find(sworm, name) !== undefined
          ? Effect.succeed(false)
          : Effect.map(registrations.locate(sworm, name), (at) => at === undefined)
    )
    return Effect.flatMap(
      missing,
      ([absent]) =>
        absent !== undefined
          ? Effect.fail(new NotRegistered({ sworm, name: absent }))
          : Effect.forEach(primaries, (name) => registrations.change(sworm, name, { _tag: "Link", link: declared }), {
            discard: true
          })
    )
  })
