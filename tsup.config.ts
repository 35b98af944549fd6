import { readFileSync } from "node:fs"
import { defineConfig } from "tsup"

// one entry for each subpath of the package: "adapters/gossip/mod.ts" becomes dist/adapters/gossip/mod.js and .d.ts
const { exports } = JSON.parse(readFileSync("package.json", "utf8")) as { exports: Record<string, string> }
const sources = Object.values(exports).map((path) => path.slice(2)).filter((path) => path.endsWith(".ts"))

export default defineConfig({
  entry: Object.fromEntries(sources.map((path) => [path.slice(0, -".ts".length), path])),
  format: ["esm"],
  target: "es2022",
  platform: "node",
  dts: true,
  splitting: true,
  sourcemap: true,
  clean: true,
  external: ["effect", /^effect\//, "msgpackr", "ws"]
})
