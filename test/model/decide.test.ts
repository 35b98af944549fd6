// What the product decides about a name is what the model's rules say, in every state that walks come through.
import { assert, describe, it } from "@effect/vitest"
import { type Claim as ProductClaim, decide, type NameEntry, viewOf } from "../../src/protocol/claims.ts"
import { claimId as productId } from "../../src/protocol/ids.ts"
import { homeOf } from "./claims.ts"
import { actionsOf, apply } from "./environment.ts"
import { randomOf } from "./explore.ts"
import { stepsOf } from "./rules.ts"
import {
  bootOf,
  type Claim,
  initial,
  isGone,
  type Node,
  nodeOf,
  NODES,
  type Section,
  type SectionId,
  sectionId,
  type State
} from "./state.ts"
import { allRules } from "./switches.ts"
import { strainNames, worldOf } from "./worlds.ts"

const WALKS = "Deno" in globalThis || "Bun" in globalThis ? 60 : 400
const STEPS = 60

const nameOf = (section: SectionId): string => `${bootOf(section)}/${nodeOf(section)}`
const sectionOf = (name: string): SectionId => sectionId(Number(name.split("/")[1]), Number(name.split("/")[0]))
const registrations = (bits: number): Array<string> =>
  Array.from({ length: 8 }, (_, at) => at).filter((at) => (bits & (1 << at)) !== 0).map((at) => `1/${at}/x`)

const claimOf = ({ epoch, life, merged, mode, regs, start, successor }: Claim): ProductClaim => ({
  epoch,
  start,
  registrations: registrations(regs),
  mode,
  merged: merged.map((id) => productId(Math.floor(id / 64), nameOf(id % 64))),
  continuity: life,
  spec: { type: "Thing", args: null, restart: "transient" },
  metadata: undefined,
  groups: [],
  successor: successor === 0 ? undefined : nameOf(successor)
})

const entryOf = ({ claim, tombed, tombEpoch }: Section): NameEntry => ({
  claim: claim === undefined ? undefined : claimOf(claim),
  tomb: tombed === 0 ? undefined : { registrations: registrations(tombed), epoch: tombEpoch, reason: "Unregistered" }
})

const decided = (node: Node): string => {
  const entries = [...node.sections].filter(([, { claim, tombed }]) => claim !== undefined || tombed !== 0)
    .map(([id, section]) => [nameOf(id), entryOf(section)] as const)
  const status = node.copy?.status ?? "no"
  const decision = decide(viewOf(entries), entries.find(([id]) => id === nameOf(node.section))?.[1], {
    self: nameOf(node.section),
    isGone: (section) => isGone(node, sectionOf(section)),
    isHome: () => homeOf(node) === node.id && node.synced,
    running: status === "closing" ? "frozen" : status,
    preparedFrom: node.copy === undefined || node.copy.from === 0 ? undefined : nameOf(node.copy.from)
  })
  return decision?._tag ?? "nothing"
}

/** What the product calls each step of the model. */
const TAGS: ReadonlyArray<readonly [label: RegExp, tag: string]> = [
  [/^R4 renew|^R5|^R6 serve what|^R6 go live above/, "Renew"],
  [/^R4 take over/, "TakeOver"],
  [/^R6 resume/, "Resume"],
  [/^R6 withdrawn|^R7 close/, "Close"],
  [/^R6 go live/, "GoLive"],
  [/^R7/, "Settle"],
  [/^R8/, "Erase"]
]

const ruled = (s: State, id: number): string => {
  const labels = stepsOf(s, id).map(({ label }) => label).filter((label) => !/^R(9|10)/.test(label))
  const tags = new Set(labels.map((label) => TAGS.find(([pattern]) => pattern.test(label))?.[1] ?? label))
  return tags.size === 0 ? "nothing" : [...tags].join()
}

describe("the model and the product", () => {
  it(`decide alike in ${WALKS} walks`, { timeout: 120_000 }, () => {
    let count = 0
    for (let seed = 1; seed <= WALKS; seed++) {
      const random = randomOf(seed)
      let s = initial(worldOf(strainNames[seed % strainNames.length]!, allRules))
      const history: Array<string> = []
      for (let at = 0; at < STEPS; at++) {
        const steps = actionsOf(s)
        if (steps.length === 0) break
        const step = steps[Math.floor(random() * steps.length)]!
        s = apply(s, step)
        history.push(step.label)
        for (const id of NODES) {
          const node = s.nodes[id]!
          // nothing is decided while a move is under way
          if (!node.up || node.copy?.move !== undefined) continue
          const [product, model] = [decided(node), ruled(s, id)]
          count++
          // not yet: everyone must have seen it, or the winner must be there
          if (model === "nothing" && (product === "Erase" || product === "Settle")) continue
          assert.strictEqual(product, model, [`node ${id}`, ...history].join("\n"))
        }
      }
    }
    assert.isAbove(count, 1000)
  })
})
