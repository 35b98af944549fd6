/** Many histories, some at a time, and what they come to. */
import { Effect, References } from "effect"
import { mkdirSync, writeFileSync } from "node:fs"
import { dirname } from "node:path"
import { fileURLToPath } from "node:url"
import { memoryBed, serverBed } from "./beds.ts"
import { type Outcome, play } from "./histories.ts"
import { startServers } from "./servers.ts"

export interface SoakOptions {
  readonly runs: number
  /** The first seed. */
  readonly from: number
  /** In memory, so many at a time. Each has an etcd of its own. */
  readonly parallel: number
  /** On three real servers, one at a time. */
  readonly isReal: boolean
}

type Sums = Omit<Outcome, "findings" | "incidents" | "lines">

/** One history; its failure to come to an end is a finding too. */
const one = (seed: number, isReal: boolean): Effect.Effect<Outcome> => {
  const bed = isReal ? Effect.flatMap(startServers({ members: 3 }), serverBed) : memoryBed
  const none = { operations: 0, unknown: 0, copies: 0, writes: 0, refusedWrites: 0, handled: 0 }
  return Effect.scoped(Effect.flatMap(bed, (made) => play(seed, made))).pipe(
    Effect.catchCause((cause) => Effect.succeed({ ...none, findings: [String(cause)], incidents: [], lines: [] }))
  )
}

export const soak = ({ from, isReal, parallel, runs }: SoakOptions) =>
  Effect.gen(function* () {
    const sums: { -readonly [K in keyof Sums]: number } = {
      ...{ operations: 0, unknown: 0, copies: 0 },
      ...{ writes: 0, refusedWrites: 0, handled: 0 }
    }
    const failed: Array<number> = []
    const kinds: { [kind: string]: number } = {}
    let done = 0
    const run = (seed: number) =>
      Effect.map(one(seed, isReal), ({ findings, incidents, lines, ...counts }) => {
        done++
        for (const key of Object.keys(sums) as Array<keyof Sums>) sums[key] += counts[key]
        for (const incident of incidents) {
          const kind = incident.split(" ", 1)[0]!
          kinds[kind] = (kinds[kind] ?? 0) + 1
        }
        console.error(`seed ${seed} (${done} of ${runs}): ${JSON.stringify(counts)} ${incidents.join(", ")}`)
        if (findings.length === 0) return
        failed.push(seed)
        const again = `test/cluster/soak.ts etcd --runs 1 --from ${seed}${isReal ? " --real" : ""}`
        const file = fileURLToPath(new URL(`../../.reports/etcd-${seed}.txt`, import.meta.url))
        mkdirSync(dirname(file), { recursive: true })
        writeFileSync(file, [...findings, ...lines, ""].join("\n"))
        console.error([`seed ${seed} FAILED; again: ${again}; all of it: ${file}`, ...findings].join("\n"))
      })
    yield* Effect.forEach(Array.from({ length: runs }, (_, at) => from + at), run, {
      concurrency: isReal ? 1 : parallel,
      discard: true
    })
    const kind = isReal ? "etcd, three servers" : "etcd, in memory"
    return { kind, runs, failed: failed.length, seeds: failed, ...sums, incidents: kinds }
  }).pipe(Effect.provideService(References.MinimumLogLevel, "None"))
