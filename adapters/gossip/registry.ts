/** The Registry service. */
import { Duration, Effect, Option, type Scope, Stream } from "effect"
import { nodeOf } from "../../src/protocol/ids.ts"
import { type MetaEntry, metaKey } from "../../src/protocol/wire.ts"
import type { AdoptOptions, Entry, Lookup, Query, Registry, RegistryTables } from "../../src/Registry.ts"
import { InvalidInput, NotRegistered, type ProcessRef, type RegisterError, Unavailable } from "../../src/SwormError.ts"
import { checkMetadata, checkName } from "./attempts.ts"
import type { Backend } from "./backend.ts"
import type { Core } from "./core.ts"
import { keyOf } from "./keyOf.ts"
import type { Authority } from "./ground.ts"
import { entryOf } from "./slot.ts"

export const registryOf = (backend: Backend): Registry => {
  const { core, ends, registrations } = backend
  const { authority, directory, options } = core.parts
  const { watches } = directory
  return {
    whereis: (sworm, name) => Effect.sync(() => Option.fromUndefinedOr(directory.ref(sworm, name))),
    lookup: (sworm, name, guarantee) =>
      guarantee === "owner"
        ? registrations.lookup(sworm, name)
        : guarantee === "linearizable"
        ? linearizable(authority, sworm, name)
        : Effect.sync(() => ({ ref: Option.fromUndefinedOr(directory.ref(sworm, name)), guarantee })),
    registered: (sworm) => Effect.sync(() => directory.refs(sworm)),
    select: (sworm, query) => Effect.sync(() => select(core, sworm, query)),
    entry: (sworm, name) => Effect.sync(() => Option.fromUndefinedOr(directory.entry(sworm, name))),
    count: (sworm, node) => Effect.sync(() => count(core, sworm, node)),
    adopt: (sworm, name, adoption) => adopt(backend, sworm, name, adoption ?? {}),
    unregister: (sworm, name) => ends.unregister(sworm, name),
    alias: (sworm, alias, name) => giveAlias(backend, sworm, alias, name),
    setMetadata: (sworm, name, metadata) => {
      const invalid = checkMetadata(name, metadata, options.deltaBytes)
      return invalid === undefined
        ? registrations.change(sworm, name, { _tag: "Metadata", metadata })
        : Effect.fail(invalid)
    },
    updateMetadata: (sworm, name, update) => registrations.updateMetadata(sworm, name, update),
    renew: (sworm, name) => registrations.change(sworm, name, { _tag: "Renew" }),
    meta: (sworm, key) => Effect.sync(() => Option.fromUndefinedOr(latestMeta(core, sworm, key)?.value)),
    putMeta: (sworm, key, value) =>
      value === undefined
        ? Effect.fail(new InvalidInput({ what: `meta "${key}"`, detail: "it has no value: use deleteMeta" }))
        : writeMeta(core, sworm, key, value),
    deleteMeta: (sworm, key) =>
      Effect.suspend(() =>
        latestMeta(core, sworm, key)?.value === undefined ? Effect.void : writeMeta(core, sworm, key, undefined)
      ),
    join: (sworm, group, name) => {
      const invalid = checkName("group", group)
      return invalid === undefined ? registrations.change(sworm, name, { _tag: "Join", group }) : Effect.fail(invalid)
    },
    leave: (sworm, group, name) => registrations.change(sworm, name, { _tag: "Leave", group }),
    members: (sworm, group) => Effect.sync(() => directory.group(sworm, group)),
    groups: (sworm) => Effect.sync(() => directory.groups(sworm)),
    changes: Stream.fromPubSub(directory.changes),
    watch: (sworm, target) => watches.watch(sworm, target),
    monitor: (sworm, name) => watches.monitor(sworm, name),
    tables: Effect.sync(() => tables(backend))
  }
}

const tables = ({ core, snapshots }: Backend): RegistryTables => {
  const { parts: { members, replication: { replica } }, tombs } = core
  const sections = [...replica.sections()]
  const kept = sections.map((section) => replica.sizeOf(section))
  return {
    sections: sections.length,
    goneSections: sections.filter((section) => members.isGone(section)).length,
    keys: kept.reduce((sum, { keys }) => sum + keys, 0),
    tombs: tombs.size,
    erased: replica.sizeOf(replica.own).erased,
    buried: replica.buried.size,
    snapshots: snapshots.table.size,
    snapshotBytes: snapshots.table.bytes
  }
}

const select = ({ parts: { directory } }: Core, sworm: string, query: Query = {}): ReadonlyArray<Entry> => {
  const { group, node, prefix, type, where } = query
  const found: Array<Entry> = []
  for (const [slot, top] of directory.present(sworm)) {
    if (prefix !== undefined && !slot.name.startsWith(prefix)) continue
    if (node !== undefined && nodeOf(top.section) !== node) continue
    if (type !== undefined && top.claim.spec?.type !== type) continue
    if (group !== undefined && !top.claim.groups.includes(group)) continue
    const entry = entryOf(slot, top)
    if (where === undefined || where(entry)) found.push(entry)
  }
  return found.sort((a, b) => a.ref.name < b.ref.name ? -1 : 1)
}

const count = ({ parts: { directory } }: Core, sworm: string, node: string | undefined): number => {
  let sum = 0
  for (const [section, names] of directory.counts(sworm)) {
    if (!directory.isGone(section) && (node === undefined || nodeOf(section) === node)) sum += names
  }
  return sum
}

const linearizable = (
  authority: Authority | undefined,
  sworm: string,
  name: string
): Effect.Effect<Lookup, Unavailable> => {
  if (authority === undefined) {
    const detail = `gossip gives no linearizable answer: ask with "owner", or use the etcd backend`
    return Effect.fail(new Unavailable({ operation: `look up "${name}"`, detail }))
  }
  return Effect.map(authority.lookup(sworm, name), (ref) => ({
    ref: Option.fromUndefinedOr(ref),
    guarantee: "linearizable"
  }))
}

// ---- registering by hand

const adopt = (
  { core, ends, registrar }: Backend,
  sworm: string,
  name: string,
  { lease, metadata }: AdoptOptions
): Effect.Effect<ProcessRef, RegisterError, Scope.Scope> => {
  const key = keyOf(sworm, name)
  const leaseMs = lease === undefined ? undefined : Duration.toMillis(Duration.fromInputUnsafe(lease))
  const release = Effect.suspend(() => {
    if (!core.adopted.delete(key)) return Effect.void
    return Effect.ignore(ends.unregister(sworm, name))
  })
  return Effect.acquireRelease(
    Effect.suspend(() => {
      const before = core.adopted.has(key)
      if (!before) core.adopted.set(key, () => void core.adopted.delete(key))
      return Effect.onError(
        registrar.register({ sworm, name, spec: undefined, metadata, leaseMs }),
        () => Effect.sync(() => before || core.adopted.delete(key))
      )
    }),
    () => release
  )
}

// ---- more names

const giveAlias = (
  { core, registrar }: Backend,
  sworm: string,
  alias: string,
  name: string
): ReturnType<Registry["alias"]> =>
  Effect.suspend(() => {
    // an alias of an alias is one of the process
    const primary = core.parts.directory.find(sworm, name)?.name ?? name
    const invalid = primary === alias ? new InvalidInput({ what: "alias", detail: "it is the name itself" }) : undefined
    if (invalid !== undefined) return Effect.fail(invalid)
    return registrar.register({ sworm, name: alias, spec: undefined, metadata: undefined, aliasOf: primary }).pipe(
      Effect.map((ref) => ({ ...ref, name: primary })),
      Effect.catchTags({
        // said by the registrar of the alias when nothing has the name that it is to stand for
        Unregistered: () => Effect.fail(new NotRegistered({ sworm, name })),
        StartFailed: (error) => Effect.fail(new Unavailable({ operation: "alias", detail: error.message })),
        TooManyProcesses: (error) => Effect.fail(new Unavailable({ operation: "alias", detail: error.message }))
      })
    )
  })

// ---- values of a sworm as a whole

const latestMeta = ({ parts: { directory } }: Core, sworm: string, key: string): MetaEntry | undefined => {
  let latest: MetaEntry | undefined
  let writer = ""
  for (const [section, entry] of directory.metas.of(sworm, key)) {
    if (latest !== undefined && (entry.stamp < latest.stamp || (entry.stamp === latest.stamp && section < writer))) {
      continue
    }
    latest = entry
    writer = section
  }
  return latest
}

const writeMeta = (
  core: Core,
  sworm: string,
  key: string,
  value: unknown
): Effect.Effect<void, InvalidInput | Unavailable> =>
  Effect.suspend((): Effect.Effect<void, InvalidInput | Unavailable> => {
    const { options, replication, stamps, wallMs } = core.parts
    const invalid = checkName("meta key", key) ?? checkMetadata(key, value, options.deltaBytes)
    if (invalid !== undefined) return Effect.fail(invalid)
    // after what this node has seen of it, whatever its clock says
    const stamp = Math.max(stamps.next(wallMs()), (latestMeta(core, sworm, key)?.stamp ?? 0) + 1)
    const version = replication.write(metaKey(sworm, key), { stamp, value } satisfies MetaEntry)
    return replication.stored(version, `write meta "${key}"`)
  })
