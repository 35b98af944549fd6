/** The client of a sworm, without the types of what it carries: `Sworm.Service` gives it those of its declaration. */
import { Effect, Option, Stream } from "effect"
import type { CallOptions, Dispatch } from "../Dispatch.ts"
import type * as Process from "../Process.ts"
import type { Guarantee, Query, Registry, WatchEvent } from "../Registry.ts"
import { CallError, InvalidInput, type ProcessRef } from "../SwormError.ts"
import type { EnsureError, RegisterOptions, SwormClient, Watched } from "../SwormClient.ts"
import type { LinkOptions, PlanChange, Supervisor, SupervisorEvent } from "../Supervisor.ts"
import { describe, type HostedType, type Message, specOptions } from "./Hosted.ts"
import { decodeEntry, type SwormKeys, type SwormMetadata } from "./SwormKeys.ts"

/** What the client of one sworm is made from. */
export interface ClientParts {
  readonly sworm: string
  readonly types: ReadonlyMap<string, HostedType>
  readonly keys: SwormKeys
  readonly metadata: SwormMetadata
  readonly registry: Registry
  readonly supervisor: Supervisor
  readonly dispatch: Dispatch
}

/** Every method of the typed client, whatever it takes. */
type Erased = { readonly [Method in keyof SwormClient<never, unknown, unknown>]: unknown }

/** Calls and casts the messages of processes by name. */
const messenger = ({ dispatch, sworm, types }: ClientParts) => {
  /** The payload as its schema makes it; thrown is what does not fit. */
  const payloadOf = (message: Message, name: string, input: unknown): unknown => {
    try {
      return message.make(input)
    } catch (error) {
      throw new CallError({ name, reason: "Encoding", detail: String(error) })
    }
  }

  const failedWith = (error: unknown): Effect.Effect<never, CallError> =>
    error instanceof CallError ? Effect.fail(error) : Effect.die(error)

  const messageOf = (type: Process.Any, name: string, tag: string): Message => {
    const message = types.get(type.name)?.messages.get(tag)
    if (message !== undefined) return message
    const detail = `"${type.name}" of "${sworm}" has no message "${tag}"`
    throw new CallError({ name, reason: "UnknownMessage", detail })
  }

  const call = (
    message: Message,
    name: string,
    input: unknown,
    options?: CallOptions
  ): Effect.Effect<unknown, unknown> =>
    Effect.suspend(() => {
      try {
        return dispatch.call(sworm, name, message, payloadOf(message, name, input), options)
      } catch (error) {
        return failedWith(error)
      }
    })

  const stream = (
    message: Message,
    name: string,
    input: unknown,
    options?: CallOptions
  ): Stream.Stream<unknown, unknown> =>
    Stream.suspend(() => {
      try {
        return dispatch.stream(sworm, name, message, payloadOf(message, name, input), options)
      } catch (error) {
        return Stream.fromEffect(failedWith(error))
      }
    })

  const cast = (type: Process.Any, name: string, tag: string, input: unknown): Effect.Effect<boolean, CallError> =>
    Effect.suspend(() => {
      try {
        const message = messageOf(type, name, tag)
        return dispatch.cast(sworm, name, message, payloadOf(message, name, input))
      } catch (error) {
        return failedWith(error)
      }
    })

  const callTagged = (
    type: Process.Any,
    name: string,
    tag: string,
    input: unknown,
    options?: CallOptions
  ): Effect.Effect<unknown, unknown> =>
    Effect.suspend(() => {
      try {
        return call(messageOf(type, name, tag), name, input, options)
      } catch (error) {
        return failedWith(error)
      }
    })

  return { call, callTagged, cast, stream }
}

const USUAL_START_MS = 30_000

type Methods = Record<string, (payload: unknown) => Effect.Effect<unknown, unknown> | Stream.Stream<unknown, unknown>>

export const makeClient = (parts: ClientParts): Erased => {
  const { keys, metadata, registry, supervisor, sworm, types } = parts
  const { call, callTagged, cast, stream } = messenger(parts)
  const { nameOf } = keys

  /** What a refused key or metadata is, where the method can fail of it. */
  const checked = <A, E, R>(make: () => Effect.Effect<A, E, R>): Effect.Effect<A, E | InvalidInput, R> =>
    Effect.suspend((): Effect.Effect<A, E | InvalidInput, R> => {
      try {
        return make()
      } catch (error) {
        return error instanceof InvalidInput ? Effect.fail(error) : Effect.die(error)
      }
    })

  const encodeArgs = (type: Process.Any, args: unknown): unknown => {
    const known = types.get(type.name)
    if (known === undefined) {
      throw new InvalidInput({ what: "process type", detail: `"${sworm}" has no "${type.name}"` })
    }
    const encoded = known.args.encode(args)
    if (encoded._tag === "Success") return encoded.value
    throw new InvalidInput({ what: `args of "${type.name}"`, detail: describe(encoded) })
  }

  /** Said to those who wait for a start, where it may take longer than they would wait. */
  const longStart = (type: Process.Any): Process.ProcessOptions => {
    const startTimeout = types.get(type.name)?.options.startTimeoutMs ?? 0
    return startTimeout > USUAL_START_MS ? { startTimeout } : {}
  }

  const register = (key: unknown, type: Process.Any, args: unknown, options: RegisterOptions = {}) =>
    checked(() =>
      supervisor.start({
        sworm,
        name: nameOf(key),
        type: type.name,
        args: encodeArgs(type, args),
        restart: options.restart ?? types.get(type.name)?.options.restart,
        options: specOptions({ ...longStart(type), ...options }),
        lease: options.lease,
        metadata: metadata.encode(options.metadata)
      })
    )

  const whereisOrRegister = (
    key: unknown,
    type: Process.Any,
    args: unknown,
    options?: RegisterOptions
  ): Effect.Effect<ProcessRef, EnsureError> =>
    Effect.flatMap(
      checked(() => registry.whereis(sworm, nameOf(key))),
      (found) =>
        Option.isSome(found)
          ? Effect.succeed(found.value)
          : Effect.catchTag(register(key, type, args, options), "NameTaken", ({ ref }) => Effect.succeed(ref))
    )

  const methodsOf = (type: Process.Any, method: (message: Message) => Methods[string]): Methods => {
    const methods: Methods = {}
    for (const [tag, message] of types.get(type.name)?.messages ?? []) methods[tag] = method(message)
    return methods
  }

  const client = (type: Process.Any, key: unknown, options?: CallOptions): Methods => {
    const name = nameOf(key)
    return methodsOf(
      type,
      (message) =>
        message.isStream
          ? (payload) => stream(message, name, payload, options)
          : (payload) => call(message, name, payload, options)
    )
  }

  /** Of this name: the handler may have failed with the same of another, and has run then. */
  const isNobody = (name: string) => (error: unknown): boolean =>
    error instanceof CallError && error.reason === "NotRegistered" && error.name === name

  const ensure = (
    type: Process.Any,
    key: unknown,
    args: unknown,
    options?: RegisterOptions & CallOptions
  ): Methods => {
    const name = nameOf(key)
    const started = whereisOrRegister(key, type, args, options)
    return methodsOf(type, (message) => {
      if (message.isStream) {
        return (payload) => Stream.unwrap(Effect.as(started, stream(message, name, payload, options)))
      }
      // where it runs already, nothing is asked first; one that ends between start and call is started once more
      return (payload) => {
        const once = call(message, name, payload, options)
        const again = Effect.andThen(started, once)
        const orStart = (attempt: Effect.Effect<unknown, unknown>): Effect.Effect<unknown, unknown> =>
          Effect.catchIf(attempt, isNobody(name), () => again)
        return orStart(orStart(once))
      }
    })
  }

  const whereis = (key: unknown, guarantee?: Guarantee): Effect.Effect<unknown, unknown> => {
    // the hot path: one look-up in a map
    if (guarantee === undefined && keys.areStrings) return registry.whereis(sworm, key as string)
    return Effect.suspend((): Effect.Effect<unknown, unknown> =>
      guarantee === undefined ? registry.whereis(sworm, nameOf(key)) : registry.lookup(sworm, nameOf(key), guarantee)
    )
  }

  const select = ({ where, ...query }: Query = {}) =>
    Effect.map(registry.select(sworm, query), (entries) => {
      const decoded = entries.map((entry) => decodeEntry(metadata, entry))
      return where === undefined ? decoded : decoded.filter(where)
    })

  const decodeEvent = (event: WatchEvent): WatchEvent => {
    switch (event._tag) {
      case "Present":
        return { ...event, entries: event.entries.map((entry) => decodeEntry(metadata, entry)) }
      case "Registered":
        return { ...event, entry: decodeEntry(metadata, event.entry) }
      case "Updated":
        return { ...event, entry: decodeEntry(metadata, event.entry), before: decodeEntry(metadata, event.before) }
      case "Unregistered":
        return { ...event, before: decodeEntry(metadata, event.before) }
    }
  }

  const watch = (what: Watched<unknown>) => {
    const target = typeof what === "object" && "name" in what ? { name: nameOf(what.name) } : what
    return Stream.map(registry.watch(sworm, target), decodeEvent)
  }

  const multicall = (type: Process.Any, group: string, tag: string, input: unknown, options?: CallOptions) =>
    Effect.flatMap(registry.members(sworm, group), (refs) =>
      Effect.forEach(
        refs,
        (ref) => Effect.map(Effect.exit(callTagged(type, ref.name, tag, input, options)), (exit) => ({ ref, exit })),
        { concurrency: "unbounded" }
      ))

  const publish = (type: Process.Any, group: string, tag: string, input: unknown) =>
    Effect.flatMap(registry.members(sworm, group), (refs) =>
      // one member that can't be reached keeps the message from no other
      Effect.map(
        Effect.forEach(refs, ({ name }) => cast(type, name, tag, input), { concurrency: "unbounded" }),
        (sent) => sent.filter((reached) => reached).length
      ))

  const updateMetadata = (key: unknown, update: (metadata: unknown) => unknown) =>
    checked(() => registry.updateMetadata(sworm, nameOf(key), (data) => metadata.encode(update(metadata.decode(data)))))
      .pipe(Effect.map(metadata.decode), Effect.catchDefect(invalidAgain))

  return {
    register,
    whereisOrRegister,
    unregister: (key: unknown) => Effect.suspend(() => registry.unregister(sworm, nameOf(key))),
    terminate: (key: unknown) => Effect.suspend(() => supervisor.terminate(sworm, nameOf(key))),
    adopt: (key: unknown, options: RegisterOptions = {}) =>
      checked(() =>
        registry.adopt(sworm, nameOf(key), { metadata: metadata.encode(options.metadata), lease: options.lease })
      ),
    alias: (alias: unknown, key: unknown) => checked(() => registry.alias(sworm, nameOf(alias), nameOf(key))),
    renew: (key: unknown) => Effect.suspend(() => registry.renew(sworm, nameOf(key))),
    whereis,
    registered: registry.registered(sworm),
    entry: (key: unknown) =>
      Effect.suspend(() =>
        Effect.map(registry.entry(sworm, nameOf(key)), Option.map((entry) => decodeEntry(metadata, entry)))
      ),
    select,
    keys: ({ name }: ProcessRef) =>
      Effect.map(registry.entry(sworm, name), Option.match({ onNone: () => [], onSome: ({ names }) => names })),
    keyOf: ({ name }: { readonly name: string }) => checked(() => Effect.succeed(keys.keyOf(name))),
    count: (node?: string) => registry.count(sworm, node),
    watch,
    monitor: (key: unknown) => registry.monitor(sworm, nameOf(key)),
    changes: Stream.filter(registry.changes, (change) => change.sworm === sworm),
    client,
    ensure,
    call: (type: Process.Any, key: unknown, tag: string, input: unknown, options?: CallOptions) =>
      callTagged(type, nameOf(key), tag, input, options),
    cast: (type: Process.Any, key: unknown, tag: string, input: unknown) => cast(type, nameOf(key), tag, input),
    join: (group: string, key: unknown) => checked(() => registry.join(sworm, group, nameOf(key))),
    leave: (group: string, key: unknown) => Effect.suspend(() => registry.leave(sworm, group, nameOf(key))),
    members: (group: string) => registry.members(sworm, group),
    groups: registry.groups(sworm),
    publish,
    multicall,
    setMetadata: (key: unknown, value: unknown) =>
      checked(() => registry.setMetadata(sworm, nameOf(key), metadata.encode(value))),
    updateMetadata,
    meta: (key: string) => registry.meta(sworm, key),
    putMeta: (key: string, value: unknown) => registry.putMeta(sworm, key, value),
    deleteMeta: (key: string) => registry.deleteMeta(sworm, key),
    which: (node?: string) => supervisor.which(sworm, node),
    countChildren: supervisor.countChildren(sworm),
    link: ({ names, ...link }: LinkOptions & { readonly names: ReadonlyArray<unknown> }) =>
      checked(() => supervisor.link(sworm, { ...link, names: names.map(nameOf) })),
    unlink: (key: unknown) => Effect.suspend(() => supervisor.unlink(sworm, nameOf(key))),
    givenUp: supervisor.givenUp(sworm),
    reset: (key: unknown) => checked(() => supervisor.reset(sworm, nameOf(key))),
    explain: (key: unknown) => Effect.suspend(() => supervisor.explain(sworm, nameOf(key))),
    plan: (change: PlanChange) => supervisor.plan(sworm, change),
    // what concerns the node concerns all that it hosts
    events: Stream.filter(supervisor.events, (event) => event._tag === "Returned" || swormOf(event) === sworm)
  }
}

const swormOf = (event: Exclude<SupervisorEvent, { readonly _tag: "Returned" }>): string =>
  event._tag === "StartFailed" ? event.sworm : event.ref.sworm

const invalidAgain = (defect: unknown): Effect.Effect<never, InvalidInput> =>
  defect instanceof InvalidInput ? Effect.fail(defect) : Effect.die(defect)
