/** The promises that hold after every fault, looked at on a real cluster once nothing is wrong any more. */
import { Effect } from "effect"
import type { CommandFailed, NodeGone, TestNode } from "./harness.ts"
import type { History } from "./history.ts"
import type { Commands, MemberSeen, Own, Ref } from "./protocol.ts"
import { NeverCame, waitUntil } from "./wait.ts"

type Answer = Commands["totals"]["answers"][number]

/** What one node says. */
interface Seen {
  readonly id: string
  readonly members: ReadonlyArray<MemberSeen>
  readonly registered: ReadonlyArray<Ref>
  readonly own: ReadonlyArray<Own>
}

interface Look {
  /** The nodes that run, those included that can't be asked. */
  readonly ids: ReadonlyArray<string>
  readonly seen: ReadonlyArray<Seen>
  readonly history: History
}

/** Looks at what the nodes say; answers what breaks the promise. */
interface Checker {
  readonly name: string
  readonly check: (look: Look) => ReadonlyArray<string>
}

const membersOf = ({ members }: Seen): string =>
  members.filter(({ status, synced }) => status === "alive" && synced).map(({ id }) => id).sort().join()

const listOf = (refs: ReadonlyArray<Ref>): string =>
  refs.map(({ epoch, name, node }) => `${name} at ${node}@${epoch}`).join()

export const checkers: ReadonlyArray<Checker> = [
  {
    name: "all see the same members",
    check: ({ ids, seen }) => {
      const all = [...ids].sort().join()
      return seen.flatMap((one) => membersOf(one) === all ? [] : [`${one.id} sees ${membersOf(one)} instead of ${all}`])
    }
  },
  {
    name: "all list the same names at the same places",
    check: ({ seen: [first, ...rest] }) =>
      rest.flatMap((one) => {
        if (listOf(one.registered) === listOf(first!.registered)) return []
        const [here, there] = [
          new Set(first!.registered.map((ref) => listOf([ref]))),
          one.registered.map((ref) => listOf([ref]))
        ]
        return [`${one.id} differs from ${first!.id}: ${
          there.filter((ref) => !here.has(ref)).slice(0, 5).join() || "it lacks some"
        }`]
      })
  },
  {
    name: "acknowledged registrations are there",
    check: ({ history, seen }) =>
      seen.flatMap(({ id, registered }) => {
        const known = new Set(registered.map(({ name }) => name))
        return history.names.filter((name) => !known.has(name)).map((name) => `${id} does not know "${name}"`)
      })
  },
  {
    name: "at most one live holder per name, and it is the one that is listed",
    check: ({ seen }) => {
      const held = new Map<string, Array<string>>()
      for (const { id, own } of seen) {
        for (const { epoch, name } of own) held.set(name, [...held.get(name) ?? [], `${id}@${epoch}`])
      }
      const asked = new Set(seen.map(({ id }) => id))
      const listed = new Map(
        seen[0]!.registered.map(({ epoch, name, node }) => [name, { at: `${node}@${epoch}`, node }])
      )
      return [
        ...[...held].flatMap(([name, at]) => {
          const where = listed.get(name)?.at
          return at.length === 1 && at[0] === where ? [] : [`"${name}" runs at ${at.join(" and ")}, listed at ${where}`]
        }),
        ...[...listed].flatMap(([name, { at, node }]) =>
          held.has(name) || !asked.has(node) ? [] : [`"${name}" is listed at ${at} and runs nowhere`]
        )
      ]
    }
  },
  {
    name: "every process runs: none is starting, moving or restarting",
    check: ({ seen }) =>
      seen.flatMap(({ id, own }) =>
        own.filter(({ status }) => status !== "running").map(({ name, status }) => `"${name}" is ${status} on ${id}`)
      )
  },
  {
    name: "epochs never go back",
    check: ({ history, seen }) => {
      for (const { id, registered } of seen) history.saw(id, registered)
      return []
    }
  }
]

/** Every name answers from every node, where it is listed, with a state that it may have. */
const checkAnswers = (
  { history, seen }: Look,
  nodes: ReadonlyArray<TestNode>
): Effect.Effect<{ readonly wrong: Array<string>; readonly totals: Map<string, number> }, CommandFailed | NodeGone> =>
  Effect.gen(function* () {
    const refs = seen[0]!.registered
    const names = refs.map(({ name }) => name)
    const acknowledged = new Set(history.names)
    const wrong: Array<string> = []
    const totals = new Map<string, number>()
    const ask = (node: TestNode) => node.ask("totals", { names })
    const answers: ReadonlyArray<ReadonlyArray<Answer>> = yield* Effect.all(nodes.map(ask), {
      concurrency: "unbounded"
    })
    for (const [at, answer] of answers.entries()) {
      for (const [index, found] of answer.entries()) {
        const { name, node } = refs[index]!
        if (typeof found === "string") wrong.push(`"${name}" does not answer ${nodes[at]!.id}: ${found}`)
        else if (found.node !== node) wrong.push(`"${name}" answers from ${found.node}, listed at ${node}`)
        else if (acknowledged.has(name)) {
          totals.set(name, found.total)
          const state = history.wrong(name, found.total)
          if (state !== undefined) wrong.push(state)
        }
      }
    }
    return { wrong, totals }
  })

/** Good looks one after the other: what settles for good stays so. */
const GOOD_LOOKS = 5

const askAll = (node: TestNode): Effect.Effect<Seen, CommandFailed | NodeGone> =>
  Effect.map(
    Effect.all([node.ask("membership", {}), node.ask("registered", {}), node.ask("own", {})]),
    ([members, registered, own]) => ({
      id: node.id,
      members,
      registered: [...registered].sort((a, b) => a.name < b.name ? -1 : 1),
      own
    })
  )

/**
 * Waits until all checkers are content, several times in a row, with a cluster of exactly these nodes; nothing may be
 * calling it meanwhile. Answers the refs. `mute`: ids of nodes that run as well and can't be asked.
 */
export const settle = (
  nodes: ReadonlyArray<TestNode>,
  history: History,
  { limit = "45 seconds", mute = [] }: { readonly limit?: `${number} seconds`; readonly mute?: ReadonlyArray<string> } =
    {}
): Effect.Effect<ReadonlyArray<Ref>, NeverCame | CommandFailed | NodeGone> => {
  let wrong: ReadonlyArray<string> = []
  let good = 0
  const look = Effect.gen(function* () {
    const seen = yield* Effect.all(nodes.map(askAll), { concurrency: "unbounded" })
    const looked: Look = { ids: [...nodes.map(({ id }) => id), ...mute], seen, history }
    wrong = checkers.flatMap(({ check, name }) => check(looked).map((what) => `${name}: ${what}`))
    good = wrong.length === 0 ? good + 1 : 0
    if (good < GOOD_LOOKS) return undefined
    const answers = yield* checkAnswers(looked, nodes)
    wrong = answers.wrong
    if (wrong.length > 0) {
      good = 0
      return undefined
    }
    history.settled(answers.totals)
    return seen[0]!.registered
  })
  const ids = nodes.map(({ id }) => id).join(", ")
  return Effect.flatMap(
    Effect.mapError(
      waitUntil(`${ids} settle`, look, limit),
      (error) =>
        error._tag === "NeverCame" ? new NeverCame(`${error.message}:\n${wrong.slice(0, 12).join("\n")}`) : error
    ),
    (refs) =>
      history.violations.length === 0
        ? Effect.succeed(refs)
        : Effect.fail(new NeverCame(`Promises were broken:\n${history.violations.slice(0, 12).join("\n")}`))
  )
}
