import { readFileSync } from "node:fs"
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

export default defineConfig({
  resolve: { alias },
  test: {
    include: ["test/**/*.test.ts"],
    exclude: isNode ? [] : onceIsEnough,
    // Bun cannot run vitest's forks, Deno cannot run its threads
    pool: "Bun" in globalThis ? "threads" : "forks",
    maxWorkers: 2,
    testTimeout: 20_000,
    hookTimeout: 30_000,
    // a test that passes only at the second attempt is a failing test
    retry: 0
  }
})
