import { assert, describe, it } from "@effect/vitest"
import { type CopyEvent, fencing } from "./fencing.ts"
import { refFrom } from "./support.ts"

const copyEvent = (op: "started" | "stopped") => (at: number, ref: string, name = "ant"): CopyEvent => ({
  op,
  name,
  ...refFrom(ref),
  at
})

const started = copyEvent("started")
const stopped = copyEvent("stopped")
const killed = (at: number, node: string): CopyEvent => ({ op: "killed", node, at })

type Events = ReadonlyArray<readonly [what: string, events: ReadonlyArray<CopyEvent>]>

const right: Events = [
  ["nothing", []],
  ["one after the other", [started(1, "n1@1"), stopped(2, "n1@1"), started(3, "n2@2"), stopped(4, "n2@2")]],
  ["a copy that serves to the end", [started(1, "n1@1"), stopped(2, "n1@1"), started(3, "n2@5")]],
  ["told in another order", [started(3, "n2@2"), stopped(2, "n1@1"), started(1, "n1@1")]],
  ["a killed node", [started(1, "n1@1"), killed(2, "n1"), started(3, "n2@2")]],
  ["a killed node that comes again", [started(1, "n1@1"), killed(2, "n1"), started(3, "n1@2")]],
  ["an end that is told after the kill", [
    started(1, "n1@1"),
    killed(2, "n1"),
    started(3, "n2@2"),
    stopped(4, "n1@1")
  ]],
  ["a copy that never served", [stopped(1, "n1@1"), started(2, "n2@2")]],
  ["names side by side", [started(1, "n1@7"), started(2, "n1@1", "bee"), started(3, "n2@1", "cat")]]
]

const wrong: ReadonlyArray<readonly [string, ReadonlyArray<CopyEvent>, ReadonlyArray<string>]> = [
  ["two at once", [started(1, "n1@1"), started(2, "n2@2"), stopped(3, "n1@1")], [
    `"ant" served twice at once: n1@1 [1, 3] and n2@2 [2, ...]`
  ]],
  ["the other node was killed", [started(1, "n1@1"), killed(2, "n2"), started(3, "n2@2")], [
    `"ant" served twice at once: n1@1 [1, ...] and n2@2 [3, ...]`
  ]],
  ["killed too late", [started(1, "n1@1"), started(2, "n2@2"), killed(3, "n1")], [
    `"ant" served twice at once: n1@1 [1, 3] and n2@2 [2, ...]`
  ]],
  ["another copy stopped", [started(1, "n1@1"), stopped(2, "n1@3"), stopped(3, "n1@1", "bee"), started(4, "n2@2")], [
    `"ant" served twice at once: n1@1 [1, ...] and n2@2 [4, ...]`
  ]],
  ["all pairs of three", [started(1, "n1@1"), started(2, "n2@2"), started(3, "n3@3")], [
    `"ant" served twice at once: n1@1 [1, ...] and n2@2 [2, ...]`,
    `"ant" served twice at once: n1@1 [1, ...] and n3@3 [3, ...]`,
    `"ant" served twice at once: n2@2 [2, ...] and n3@3 [3, ...]`
  ]],
  ["an epoch again", [started(1, "n1@1"), stopped(2, "n1@1"), started(3, "n2@1")], [
    `"ant" started as n2@1 [3, ...] after n1@1 [1, 2]: its epoch is not higher`
  ]],
  ["a lower epoch, also than one before the last", [
    started(1, "n1@5"),
    killed(2, "n1"),
    started(3, "n2@2"),
    killed(4, "n2"),
    started(5, "n3@4")
  ], [
    `"ant" started as n2@2 [3, 4] after n1@5 [1, 2]: its epoch is not higher`,
    `"ant" started as n3@4 [5, ...] after n1@5 [1, 2]: its epoch is not higher`
  ]]
]

describe("fencing", () => {
  it.each(right)("accepts %s", (_, events) => assert.deepStrictEqual(fencing(events), []))
  it.each(wrong)("rejects %s", (_, events, expected) => {
    assert.deepStrictEqual(fencing(events), expected)
    assert.deepStrictEqual(fencing([...events].reverse()), expected)
  })
  it("does not judge events that share a time", () => {
    assert.throws(() => fencing([started(1, "n1@1"), started(1, "n2@2")]), "two events at time 1")
  })
})
