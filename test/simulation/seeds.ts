/** Histories to keep: scripts that the simulation found and cut short, each of what has been fixed since. */
import type { Simulation } from "@sworm/sworm/testing"
import type { Operation } from "./operations.ts"
import type { Plan, Script } from "./simulate.ts"

type Step = Simulation.Step<Operation>

const start = (atMs: number, ...nodes: ReadonlyArray<string>): Array<Step> =>
  nodes.map((node) => ({ atMs, fault: { _tag: "Start", node } }))
const fault = (atMs: number, fault: Simulation.Fault): Step => ({ atMs, fault })
const ask = (atMs: number, node: string, operation: Operation): Step => ({ atMs, node, operation })
const register = (atMs: number, node: string, sworm: Operation["sworm"], name: string): Step =>
  ask(atMs, node, { _tag: "Register", sworm, name })
const unregister = (atMs: number, node: string, sworm: Operation["sworm"], name: string): Step =>
  ask(atMs, node, { _tag: "Unregister", sworm, name })
const add = (atMs: number, node: string, sworm: Operation["sworm"], name: string, message: number): Step =>
  ask(atMs, node, { _tag: "Add", sworm, name, messages: [message] })
const move = (atMs: number, node: string, sworm: Operation["sworm"], name: string, to: string): Step =>
  ask(atMs, node, { _tag: "Move", sworm, name, to })
const cut = (atMs: number, from: string, to: string): Step => fault(atMs, { _tag: "Cut", from, to })
const part = (atMs: number, ...sides: ReadonlyArray<ReadonlyArray<string>>): Step =>
  fault(atMs, { _tag: "Part", sides })
const on = (atMs: number, tag: "Crash" | "Start" | "Leave" | "Hold" | "Release", node: string): Step =>
  fault(atMs, { _tag: tag, node })

const plan = (seed: number, count: number, script: Script): Plan => ({
  seed,
  nodes: Array.from({ length: count }, (_, index) => `n${index + 1}`),
  script
})

export const regressions: ReadonlyArray<Plan & { readonly what: string }> = [
  {
    what: "so it did where its own node had become the name's registrar",
    ...plan(2348, 3, [
      ...start(256, "n2"),
      ...start(377, "n1"),
      ...start(430, "n3"),
      register(2152, "n3", "Cells", "dog"),
      on(3192, "Hold", "n1"),
      add(3364, "n2", "Cells", "dog", 367),
      on(5325, "Hold", "n3"),
      unregister(5714, "n2", "Cells", "dog"),
      on(7692, "Release", "n1"),
      on(8360, "Hold", "n1"),
      on(10_544, "Release", "n3"),
      register(12_949, "n2", "Cells", "dog")
    ])
  },
  {
    what: "an unregister whose answer was lost told its caller that there was no such name",
    ...plan(6, 5, [
      ...start(35, "n2", "n4", "n5"),
      register(11_615, "n5", "Roamers", "cat"),
      cut(12_902, "n2", "n5"),
      unregister(13_091, "n5", "Roamers", "cat"),
      on(20_592, "Release", "n1")
    ])
  },
  {
    what: "[H21] a call that was sent again after its deadline was executed twice",
    ...plan(223, 5, [
      ...start(239, "n4", "n1", "n5", "n2"),
      register(4792, "n2", "Cells", "ant"),
      on(8681, "Hold", "n1"),
      add(9130, "n5", "Cells", "ant", 175),
      on(10_826, "Hold", "n5"),
      on(12_870, "Release", "n1"),
      on(17_984, "Release", "n5")
    ])
  },
  {
    what: "[H17] a copy below the end of another was shown: epochs went back",
    ...plan(5335, 3, [
      part(0, ["n1"], ["n2", "n3"]),
      ...start(377, "n3", "n2", "n1"),
      register(2568, "n1", "Cells", "elk"),
      register(5264, "n3", "Cells", "elk"),
      unregister(5970, "n1", "Cells", "elk")
    ])
  },
  {
    what: "[H8] two starts of one name at one epoch on one node: one fencing token twice",
    ...plan(6097, 7, [
      ...start(61, "n5", "n1", "n7", "n3", "n4", "n2"),
      part(2738, ["n2", "n3", "n5"], ["n1"], ["n4", "n6", "n7"]),
      register(4096, "n4", "Cells", "bee"),
      register(4179, "n5", "Cells", "bee"),
      unregister(4292, "n1", "Cells", "bee"),
      add(5028, "n5", "Cells", "bee", 7)
    ])
  },
  {
    what: "two nodes waited for each other to copy what a dead one left",
    ...plan(10_187, 3, [
      ...start(0, "n2", "n3"),
      ask(8347, "n2", { _tag: "Put", sworm: "Cells", name: "dog", value: 94 }),
      ask(11_056, "n2", { _tag: "Put", sworm: "Roamers", name: "ant", value: 262 }),
      ask(11_111, "n2", { _tag: "Put", sworm: "Cells", name: "dog", value: 283 }),
      ...start(12_319, "n1"),
      on(12_495, "Leave", "n2")
    ])
  },
  {
    what: "a section was buried at an old version, and its later news refused for ever",
    ...plan(20_215, 4, [
      part(0, ["n1", "n2", "n3"], ["n4"]),
      ...start(0, "n1", "n2", "n3", "n4"),
      register(1438, "n4", "Roamers", "bee"),
      register(2018, "n4", "Roamers", "elk"),
      register(5593, "n2", "Roamers", "elk"),
      fault(6073, { _tag: "Heal" }),
      register(7391, "n2", "Roamers", "cat"),
      cut(7568, "n2", "n3"),
      register(9127, "n1", "Roamers", "ant"),
      on(12_747, "Crash", "n1"),
      on(13_186, "Crash", "n2")
    ])
  },
  {
    what: "a peer was forgotten between its link and its first word: nothing was ever synced with it",
    ...plan(50_403, 5, [
      fault(6783, { _tag: "Weather", weather: { delay: { minMs: 0.2, maxMs: 250 } } }),
      ...start(7318, "n5"),
      register(7874, "n5", "Cells", "elk"),
      ...start(9025, "n4"),
      add(9399, "n1", "Cells", "ant", 100)
    ])
  },
  {
    what: "[H12] a registration whose answer was lost was refused, for one that had ended where it was made",
    ...plan(116, 3, [
      ...start(501, "n1"),
      ...start(1091, "n2"),
      ...start(1421, "n3"),
      cut(2784, "n1", "n3"),
      register(4561, "n2", "Guarded", "elk"),
      cut(8323, "n2", "n1"),
      unregister(9748, "n2", "Guarded", "elk"),
      register(10_890, "n1", "Guarded", "elk"),
      fault(22_555, { _tag: "Mend", from: "n2", to: "n1" })
    ])
  },
  {
    what: "[H20] a prepared copy served when its source was thought dead, before that had stopped",
    ...plan(116, 3, [
      ...start(501, "n1"),
      ...start(1091, "n2"),
      register(1149, "n2", "Guarded", "ant"),
      ...start(1421, "n3"),
      move(2236, "n3", "Guarded", "ant", "n3"),
      cut(2784, "n1", "n3"),
      move(4326, "n3", "Guarded", "ant", "n1"),
      cut(4378, "n2", "n3"),
      move(6071, "n2", "Guarded", "cat", "n3")
    ])
  },
  {
    what: "[H20] a move that failed raised an epoch that nobody else knew, and who went on stood below it",
    ...plan(504, 3, [
      ...start(608, "n2"),
      ...start(820, "n3"),
      ...start(1154, "n1"),
      part(4815, ["n1", "n3"], ["n2"]),
      register(4825, "n3", "Guarded", "bee"),
      fault(5687, { _tag: "Heal" }),
      on(8016, "Hold", "n1"),
      on(11_286, "Release", "n1"),
      part(11_610, ["n1"], ["n2", "n3"]),
      part(12_922, ["n2"], ["n1", "n3"]),
      fault(13_947, { _tag: "Mend", from: "n2", to: "n1" }),
      fault(20_911, { _tag: "Heal" })
    ])
  },
  {
    what: "[H23] a copy rose above the epoch at which it was being moved: both let go of it, each for the other",
    ...plan(136, 5, [
      ...start(128, "n4"),
      ...start(149, "n1"),
      ...start(501, "n3"),
      ...start(690, "n5"),
      ...start(1218, "n2"),
      part(3322, ["n1", "n4", "n5"], ["n2", "n3"]),
      fault(8201, { _tag: "Weather", weather: { delay: { minMs: 0.2, maxMs: 20 } } }),
      register(9283, "n5", "Cells", "elk"),
      fault(11_951, { _tag: "Heal" }),
      on(12_636, "Release", "n1")
    ])
  }
]
