/**
 * Long walks, or a search breadth first, by hand:
 *
 *   node test/model/walk.ts walk --seconds 60 --seed 1 --in moves --without renew,lift
 *   node test/model/walk.ts bfs --depth 7 --in calm
 *
 * Prints one line of JSON; after a violation also the shortest history found that leads to it.
 */
import { parseArgs } from "node:util"
import { breadthFirst, shrink, walk } from "./explore.ts"
import type { World } from "./state.ts"
import { allRules, naive, switches, without } from "./switches.ts"
import { type StrainName, strainNames, worldOf } from "./worlds.ts"

const { positionals: [mode = "walk"], values } = parseArgs({
  allowPositionals: true,
  options: {
    seconds: { type: "string", default: "60" },
    seed: { type: "string", default: "1" },
    depth: { type: "string", default: "8" },
    in: { type: "string", default: strainNames.join() },
    without: { type: "string", default: "" }
  }
})

const missing = values.without.split(",").filter((name) => name !== "")
const unknown = [...missing.filter((name) => name !== "all" && !(name in switches))]
const worlds = values.in.split(",").filter((name) => {
  if ((strainNames as ReadonlyArray<string>).includes(name)) return true
  unknown.push(name)
  return false
}) as Array<StrainName>
if (unknown.length > 0 || (mode !== "walk" && mode !== "bfs")) {
  console.error(
    `Unknown: ${unknown.join(", ") || mode}. Rules: ${Object.keys(switches).join(" ")}, all. In: ${
      strainNames.join(" ")
    }`
  )
  process.exit(2)
}

const rules = missing.includes("all") ? naive : missing.length === 0 ? allRules : without(...missing)
const seconds = Number(values.seconds)

const run = (name: StrainName): boolean => {
  const world: World = worldOf(name, rules)
  const began = performance.now()
  const isOver = (): boolean => performance.now() - began > (seconds * 1000) / worlds.length
  const { violation, ...found } = mode === "bfs"
    ? breadthFirst(world, Number(values.depth), isOver)
    : walk(world, Number(values.seed), isOver)
  const shortest = violation === undefined ? undefined : shrink(world, violation)
  const took = Math.round(performance.now() - began) / 1000
  console.log(JSON.stringify({ mode, in: name, without: missing, ...found, seconds: took, violation: shortest }))
  return shortest === undefined
}

if (!worlds.map(run).every((isFine) => isFine)) process.exit(1)
