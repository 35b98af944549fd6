import { readdirSync, readFileSync } from "node:fs"
import process from "node:process"
import { fileURLToPath } from "node:url"
import { defineConfig } from "vitest/config"

// "@sworm/sworm" is the source of this checkout, as it is for the runtimes and for TypeScript
const { exports } = JSON.parse(readFileSync(new URL("package.json", import.meta.url), "utf8")) as {
  exports: Record<string, string>
}
const alias = Object.entries(exports).map(([subpath, file]) => ({
  find: new RegExp(`^@sworm/sworm${subpath.slice(1)}$`),
  replacement: fileURLToPath(new URL(file, import.meta.url))
}))

const isNode = !("Bun" in globalThis) && !("Deno" in globalThis)

/** What is the same whatever runs it: pure code that is searched for long, frames that are lost, texts and their examples. */
const onceIsEnough = [
  "test/model/**",
  "test/conformance/gossip-lossy.test.ts",
  "test/docs.test.ts",
  "test/acceptance.test.ts",
  "test/architecture.test.ts"
]

/**
 * Tests in simulated time, on machines of their own: nothing in them asks the runtime for anything, and that the same
 * histories come about on each is what `test/simulation` compares.
 */
const inSimulatedTime = readdirSync(new URL("test/services/", import.meta.url))
  .filter((name) =>
    readFileSync(new URL(`test/services/${name}`, import.meta.url), "utf8").match(/"\.\/(simulated|ledgers)\.ts"/) !==
      null
  )
  .map((name) => `test/services/${name}`)

/** Start servers of etcd, and install it where they can: `npm run test:etcd`. */
const withServers = process.argv.includes("test/etcd")
  ? []
  : ["test/etcd/server.test.ts", "test/etcd/tls.test.ts", "test/etcd/servers-histories.test.ts"]

/** `SWORM_TESTS=all` runs all of them on all runtimes. */
const isAll = isNode || process.env["SWORM_TESTS"] === "all"

export default defineConfig({
  resolve: { alias },
  test: {
    include: ["test/**/*.test.ts"],
    exclude: [...withServers, ...isAll ? [] : [...onceIsEnough, ...inSimulatedTime]],
    // Bun cannot run vitest's forks, Deno cannot run its threads
    pool: "Bun" in globalThis ? "threads" : "forks",
    // more than the cores of a small machine: many tests wait for sockets and for other programs
    maxWorkers: 3,
    testTimeout: 20_000,
    hookTimeout: 30_000,
    // a test that passes only at the second attempt is a failing test
    retry: 0
  }
})
