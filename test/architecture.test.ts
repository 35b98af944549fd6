// The rules of the house hold for the repository, and each rule catches a file that breaks it.
import { dirname } from "node:path"
import { fileURLToPath } from "node:url"
import { describe, expect, it } from "vitest"
import { readTree, violations } from "../scripts/architecture.ts"

const root = dirname(dirname(fileURLToPath(import.meta.url)))

/** A small repository that keeps every rule. */
const good: Readonly<Record<string, string>> = {
  "mod.ts": `export * from "./src/Sworm.ts"\nexport * as Memory from "./adapters/memory/mod.ts"`,
  "src/Sworm.ts":
    `import { Effect } from "effect"\nimport { Rpc } from "effect/rpc"\nimport { a } from "./protocol/a.ts"
    // Deno.env, setTimeout and Date.now() in a comment are no matter, nor is "Bun.serve" in a string
    export const text = "Deno.env", at = (process: { env: number }) => [process.env, Effect, Rpc, a, Date.now()]`,
  "src/protocol/a.ts": `import { pack } from "msgpackr"\nimport type { B } from "./b.ts"
    export interface Timer { readonly Date: Date; setTimeout(): void }
    export const a = (timer: Timer, b: B) => { timer.setTimeout(); return [timer.Date, Math.max(1, 2), pack(b)] }`,
  "src/protocol/b.ts": `import { a } from "./a.ts"\nexport type B = typeof a\nexport const b = { fetch: a }`,
  "src/testing/mod.ts": `import { text } from "../Sworm.ts"\nexport { text }`,
  "adapters/gossip/mod.ts": `import { randomUUID } from "node:crypto"\nimport { text } from "../../src/Sworm.ts"
    export const gossip = () => [randomUUID(), text]`,
  "adapters/memory/mod.ts": `import { gossip } from "../gossip/mod.ts"\nexport { gossip }`,
  "adapters/websocket/mod.ts": `import { WebSocket } from "ws"\nexport const socket = () => new WebSocket("ws://x")`,
  "test/a.test.ts": `import { it } from "vitest"\nit("works", () => { [1].values().drop(1) })`,
  "package.json": JSON.stringify({
    version: "1.0.0",
    exports: { ".": "./mod.ts", "./gossip": "./adapters/gossip/mod.ts", "./package.json": "./package.json" },
    dependencies: { ws: "^8.0.0" }
  }),
  "deno.json": JSON.stringify({
    version: "1.0.0",
    exports: { ".": "./mod.ts", "./gossip": "./adapters/gossip/mod.ts" },
    imports: { "@sworm/sworm": "./mod.ts", "@sworm/sworm/gossip": "./adapters/gossip/mod.ts", ws: "npm:ws@^8.0.0" }
  })
}

const check = (changes: Record<string, string>): Array<string> =>
  violations(new Map(Object.entries({ ...good, ...changes })))

/** Each bad file, in place of the good one or beside it, and what must be said of it. */
const bad: ReadonlyArray<readonly [rule: string, path: string, text: string, message: string]> = [
  ["protocol imports no effect", "src/protocol/a.ts", `import type { Effect } from "effect"`, `import "effect"`],
  ["protocol imports no effect subpath", "src/protocol/a.ts", `export { x } from "effect/Schema"`, `"effect/Schema"`],
  ["protocol imports no builtin", "src/protocol/a.ts", `import "node:fs"`, `import "node:fs"`],
  ["protocol imports no service", "src/protocol/a.ts", `import "../Sworm.ts"`, "import src/Sworm.ts"],
  ["protocol imports no type by import()", "src/protocol/a.ts", `type E = import("effect").Effect`, `import "effect"`],
  ["protocol reads no clock", "src/protocol/a.ts", `export const a = Date.now()`, "use Date"],
  ["protocol makes no date", "src/protocol/a.ts", `export const a = () => new Date()`, "use Date"],
  ["protocol throws no dice", "src/protocol/a.ts", `export const a = Math.random`, "use Math.random"],
  ["protocol measures nothing", "src/protocol/a.ts", `export const a = performance.now()`, "use performance"],
  ["protocol sets no timeout", "src/protocol/a.ts", `setTimeout(() => {}, 1)`, "use setTimeout"],
  ["protocol sets no interval", "src/protocol/a.ts", `const s = { a: setInterval }`, "use setInterval"],
  ["protocol schedules nothing", "src/protocol/a.ts", `queueMicrotask(() => {})`, "use queueMicrotask"],
  ["protocol has no way round", "src/protocol/a.ts", `globalThis.setTimeout(() => {})`, "use globalThis"],
  ["protocol takes no shorthand", "src/protocol/a.ts", `export const a = { fetch }`, "use fetch"],
  ["src imports no builtin", "src/Sworm.ts", `import "node:os"`, `import "node:os"`],
  ["src imports no ws", "src/Sworm.ts", `const ws = await import("ws")`, `import "ws"`],
  ["src imports nothing computed", "src/Sworm.ts", `const ws = await import("w" + "s")`, `import "(computed)"`],
  ["src imports itself by path", "src/Sworm.ts", `import "@sworm/sworm"`, `import "@sworm/sworm"`],
  ["src imports no adapter", "src/Sworm.ts", `import "../adapters/gossip/mod.ts"`, "import adapters/gossip/mod.ts"],
  ["src imports no testing", "src/Sworm.ts", `import "./testing/mod.ts"`, "import src/testing/mod.ts"],
  ["src knows no Deno", "src/Sworm.ts", `export const a = Deno.env`, "use Deno"],
  ["src knows no Bun", "src/Sworm.ts", `Bun.serve({})`, "use Bun"],
  ["src knows no process", "src/Sworm.ts", `export const a = process.env`, "use process.env"],
  ["testing keeps to src", "src/testing/mod.ts", `import "vitest"`, `import "vitest"`],
  [
    "an adapter is a leaf",
    "adapters/gossip/mod.ts",
    `import "../websocket/mod.ts"`,
    "import adapters/websocket/mod.ts"
  ],
  [
    "memory composes gossip only",
    "adapters/memory/mod.ts",
    `import "../websocket/mod.ts"`,
    "adapters/websocket/mod.ts"
  ],
  ["a package is one adapter's", "adapters/gossip/mod.ts", `import "ws"`, `adapters/gossip may not import "ws"`],
  ["an adapter imports no entry", "adapters/gossip/mod.ts", `import "../../mod.ts"`, "may not import mod.ts"],
  ["the entry is light", "mod.ts", `export * from "./adapters/websocket/mod.ts"`, `mod.ts → adapters/websocket/mod.ts`],
  ["a file exists", "src/Sworm.ts", `import "./Nothing.ts"`, "src/Nothing.ts, which does not exist"],
  ["no cycle", "src/protocol/a.ts", `import { type B } from "./b.ts"`, "a.ts → src/protocol/b.ts → src/protocol/a.ts"],
  ["no cycle by export", "src/protocol/a.ts", `export * from "./b.ts"`, "import cycle"],
  ["nothing unfinished", "src/Sworm.ts", `// ${"TO"}${"DO"}: later`, "src/Sworm.ts:1: unfinished"],
  ["nothing to be fixed", "examples/a.ts", `/* ${"FIX"}${"ME"} */`, "unfinished"],
  ["no test alone", "test/a.test.ts", `it.effect.only("x", () => {})`, "it.effect.only leaves"],
  ["no test left out", "test/a.test.ts", `describe.skip("x", () => {})`, "describe.skip leaves"],
  ["no long line", "src/Sworm.ts", `export const a = "${"x".repeat(140)}"`, "at most"],
  ["one version", "deno.json", good["deno.json"]!.replace("1.0.0", "1.0.1"), "version 1.0.1"],
  ["the same subpaths", "deno.json", good["deno.json"]!.replace(`"./gossip":`, `"./gossips":`), `export "./gossips"`],
  ["the same files", "deno.json", good["deno.json"]!.replace(`{".":"./mod.ts"`, `{".":"./m.ts"`), `export "." differs`],
  [
    "imports by its own name",
    "deno.json",
    good["deno.json"]!.replace("sworm/gossip", "sworm/goss"),
    "@sworm/sworm/gossip"
  ],
  ["the same ranges", "deno.json", good["deno.json"]!.replace("ws@^8.0.0", "ws@^7.0.0"), `"npm:ws@^8.0.0"`]
]

describe("the architecture", () => {
  it("is kept by this repository", () => {
    const files = readTree(root)
    expect(files.has("package.json") && files.has("test/architecture.test.ts")).toBe(true)
    expect(violations(files)).toEqual([])
  })

  it("is kept by the good example", () => expect(check({})).toEqual([]))

  for (const [rule, path, text, message] of bad) {
    it(`rule: ${rule}`, () => {
      const found = check({ [path]: text })
      expect(found.filter((violation) => violation.includes(message)), found.join("\n")).not.toEqual([])
    })
  }
})
