// Every decision about a name is one that some situation leads to; and what the order of claims favours, as documented.
import { assert, describe, it } from "@effect/vitest"
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import {
  compareClaims,
  decide,
  type Decision,
  type NameEntry,
  type Standing,
  viewOf
} from "../../src/protocol/claims.ts"
import { adopted, claim, entry, held, prepared, released, tomb } from "./support.ts"

const [r1, r2] = ["1/1/a", "1/1/b"] as const
const self = "1/m"
const other = "1/a"

describe("[T4] no decision is there in vain", () => {
  const mine: ReadonlyArray<readonly [NameEntry | undefined, Standing["running"]]> = [
    [undefined, "no"],
    [entry(claim(2, [r1])), "live"],
    [entry(claim(2, [r1])), "frozen"],
    [entry(claim(2, [r1])), "no"],
    [entry(adopted(2, [r1])), "live"],
    [entry(prepared(2, [r1])), "prepared"],
    [entry(released(2, [r1])), "no"],
    [entry(released(2, [r1], other)), "no"],
    [entry(undefined, tomb(2, [r1])), "no"]
  ]
  const theirs: ReadonlyArray<NameEntry | undefined> = [
    undefined,
    ...[1, 3].flatMap((epoch) => [
      entry(claim(epoch, [r1])),
      entry(claim(epoch, [r1], { merged: [`2/${self}`] })),
      entry(adopted(epoch, [r2])),
      entry(prepared(epoch, [r1])),
      entry(released(epoch, [r1])),
      entry(released(epoch, [r1], self)),
      entry(undefined, tomb(epoch, [r1])),
      entry(undefined, tomb(epoch, [r2]))
    ])
  ]
  it("[T4] each is taken in some situation, and none besides", () => {
    const taken = new Map<Decision["_tag"], number>()
    for (const [own, running] of mine) {
      for (const said of theirs) {
        for (const [gone, home] of [[false, false], [false, true], [true, false], [true, true]] as const) {
          const entries = new Map<string, NameEntry>()
          if (own !== undefined) entries.set(self, own)
          if (said !== undefined) entries.set(other, said)
          const decision = decide(viewOf(entries), own, {
            self,
            isGone: (section) => gone && section === other,
            isHome: () => home,
            running,
            preparedFrom: running === "prepared" ? other : undefined
          })
          if (decision !== undefined) taken.set(decision._tag, (taken.get(decision._tag) ?? 0) + 1)
        }
      }
    }
    const all: Record<Decision["_tag"], true> = {
      Bury: true,
      Close: true,
      Erase: true,
      GoLive: true,
      Renew: true,
      Resume: true,
      Settle: true,
      Stop: true,
      TakeOver: true
    }
    assert.deepStrictEqual([...taken.keys()].sort(), Object.keys(all).sort())
  })
})

describe("[H29] a split, one side of which has restarted more", () => {
  const quiet = held("1/a", claim(5, [r1], { start: 1000, continuity: 1000 }))
  const busy = held("1/b", claim(9, [r1], { start: 1000, continuity: 5000 }))

  it("[H29] the copy of the side with more starts stands first, whatever its start, node and boot", () => {
    assert.isBelow(compareClaims(busy, quiet), 0)
    for (const [start, section] of [[1, "9/b"], [9999, "1/z"]] as const) {
      assert.isBelow(compareClaims(held(section, claim(6, [r1], { start })), quiet), 0)
    }
  })

  it("[H29] which copy that is says nothing of whose state stays: continuity is no part of the order, and is kept", () => {
    const turned = [quiet, busy].map(({ claim, section }) =>
      held(section, { ...claim, continuity: 9000 - claim.epoch })
    )
    assert.isBelow(compareClaims(turned[1]!, turned[0]!), 0)
    assert.isBelow(quiet.claim.continuity, busy.claim.continuity)
  })

  it("[H29] is documented, not hidden", () => {
    const page = readFileSync(fileURLToPath(new URL("../../docs/consistency.md", import.meta.url)), "utf8")
    assert.match(page, /epoch order favours the side with more/i)
  })
})
