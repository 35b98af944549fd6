// PROTOCOL R9 and R10: what of a dead node's section, and which tomb, nothing needs any more; and the marks of the dropped.
import { assert, describe, it } from "@effect/vitest"
import { type Claim, type NameEntry, type Tomb, viewOf } from "../../src/protocol/claims.ts"
import { type Graveyard, isSpent, leftover } from "../../src/protocol/collection.ts"
import type { SectionId } from "../../src/protocol/ids.ts"
import { Replica } from "../../src/protocol/replica.ts"

const [dead, living, other]: [SectionId, SectionId, SectionId] = ["1/a", "1/b", "1/c"]

const claim = (epoch: number, registrations: ReadonlyArray<string>, mode: Claim["mode"] = "live"): Claim => ({
  epoch,
  start: 1,
  registrations,
  mode,
  merged: [],
  continuity: 1,
  spec: undefined,
  metadata: undefined,
  groups: []
})

const tomb = (epoch: number, registrations: ReadonlyArray<string>): Tomb => ({
  epoch,
  registrations,
  reason: "Unregistered"
})

const entry = (claim?: Claim, tomb?: Tomb): NameEntry => ({ claim, tomb })

const graveyard = (discharged = false): Graveyard => ({
  isGone: (section) => section === dead,
  isDischarged: () => discharged
})

type Told = ReadonlyArray<readonly [SectionId, NameEntry]>

describe("what is left of a dead section", () => {
  const cases: ReadonlyArray<readonly [what: string, dead: NameEntry, others: Told, expected: string]> = [
    ["[R9] a claim that nobody goes on with", entry(claim(5, ["r"])), [], "Claim"],
    [
      "[R9] a claim that a living one supersedes",
      entry(claim(5, ["r"])),
      [[living, entry(claim(6, ["r"]))]],
      "Nothing"
    ],
    ["[R9] a claim above the living one", entry(claim(7, ["r"])), [[living, entry(claim(6, ["r"]))]], "Claim"],
    [
      "[R9] [H16] a claim with a registration that the living one lacks",
      entry(claim(5, ["r", "s"])),
      [[living, entry(claim(6, ["r"]))]],
      "Claim"
    ],
    [
      "[R9] [H10] a claim that only a prepared one supersedes: a move may yet be undone",
      entry(claim(5, ["r"])),
      [[living, entry(claim(6, ["r"], "prepared"))]],
      "Claim"
    ],
    ["[R9] [H4] a tomb that stands nowhere else", entry(undefined, tomb(5, ["r"])), [], "Tomb"],
    [
      "[R9] [H4] a tomb with more than the living ones have",
      entry(undefined, tomb(5, ["r", "s"])),
      [[living, entry(undefined, tomb(5, ["r"]))]],
      "Tomb"
    ],
    [
      "[R9] [H17] a tomb with a higher epoch than the living ones",
      entry(undefined, tomb(6, ["r"])),
      [[living, entry(undefined, tomb(5, ["r"]))]],
      "Tomb"
    ],
    [
      "[R9] a tomb that living ones hold together",
      entry(undefined, tomb(5, ["r", "s"])),
      [[living, entry(undefined, tomb(5, ["r"]))], [other, entry(undefined, tomb(4, ["s"]))]],
      "Nothing"
    ],
    [
      "[R9] [H17] a covered claim's epoch above the living tombs'",
      entry(claim(6, ["r"])),
      [[living, entry(undefined, tomb(5, ["r"]))]],
      "Tomb"
    ]
  ]
  const leftOf = (mine: NameEntry, others: Told, discharged = false) => {
    const all: Told = [[dead, mine], ...others]
    return leftover(all, viewOf(all), dead, mine, graveyard(discharged))._tag
  }
  it.each(cases)("%s", (_, mine, others, expected) => assert.strictEqual(leftOf(mine, others), expected))

  it("[R9] a tomb that a peer has copied, and buried its section: nothing", () =>
    assert.strictEqual(leftOf(entry(undefined, tomb(5, ["r"])), [], true), "Nothing"))
})

describe("a tomb", () => {
  const mine = tomb(5, ["r"])
  const cases: ReadonlyArray<readonly [what: string, others: Told, expected: boolean]> = [
    ["[R10] with nothing else of the name is spent", [], true],
    ["[R10] beside a later registration above it is spent", [[other, entry(claim(6, ["s"]))]], true],
    ["[R10] [H17] beside a later registration not above it is needed", [[other, entry(claim(5, ["s"]))]], false],
    ["[R10] [H4] that covers a claim is needed", [[other, entry(claim(9, ["r"]))]], false],
    ["[R10] beside another living one is spent", [[other, entry(undefined, tomb(5, ["r"]))]], true],
    ["[R10] [H4] beside a dead node's is needed", [[dead, entry(undefined, tomb(5, ["r"]))]], false]
  ]
  it.each(cases)("%s", (_, others, expected) => {
    const all: Told = [[living, entry(undefined, mine)], ...others]
    assert.strictEqual(isSpent(all, viewOf(all), mine, graveyard()), expected)
  })
})

describe("a section that was dropped", () => {
  const dropped = () => {
    const writer = new Replica(dead, () => {})
    writer.write("key", "value")
    const deltas = () => writer.deltasFor(new Map(), 1000)
    const reader = new Replica(living, () => {})
    for (const delta of deltas()) reader.apply(delta)
    reader.bury(dead)
    return { reader, deltas }
  }

  it("[R9] isn't taken in again from whoever still has it", () => {
    const { deltas, reader } = dropped()
    for (const delta of deltas()) assert.isTrue(reader.apply(delta))
    assert.strictEqual(reader.version(dead), 0)
    assert.isUndefined(reader.get(dead, "key"))
  })

  it("[R9] [R14] is, when its node turns out to be alive", () => {
    const { deltas, reader } = dropped()
    reader.exhume(dead)
    for (const delta of deltas()) reader.apply(delta)
    assert.strictEqual(reader.get(dead, "key"), "value")
  })
})
