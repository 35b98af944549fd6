// The peers' own tests, their users' complaints and the histories that break the obvious design, as lines that are each
// shown by a test, or left out for a reason: docs/acceptance.md has the list. This checks that it is complete and true.
import { assert, describe, it } from "@effect/vitest"
import { readdirSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("../", import.meta.url))

/** By path, from the root. */
const sources = (folder: string): ReadonlyArray<readonly [path: string, text: string]> =>
  readdirSync(`${root}${folder}`, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
    .map(({ name, parentPath }) => `${parentPath}/${name}`)
    .map((path) => [path.slice(root.length).replaceAll("\\", "/"), readFileSync(path, "utf8")])

const texts = new Map([...sources("test"), ...sources("src/testing")])

/** Tags in the names of tests. */
const tags = new Set([...texts.values()].flatMap((text) => text.match(/\[[PDHT]\d+\]/g) ?? []))

/** Rows of the list: a tag, what it says, and where it is shown or why it is not. */
const rows = new Map(
  [...readFileSync(`${root}docs/acceptance.md`, "utf8").matchAll(/^\| ([PDHT]\d+) \| (.+?) \| (.+?) \|$/gm)]
    .map(([, line, what, where]) => [line!, { what: what!, where: where! }] as const)
)

const range = (from: number, to: number): Array<number> => Array.from({ length: to - from + 1 }, (_, i) => from + i)

const lines = [
  ...range(1, 127).map((line) => `P${line}`),
  ...[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 26, 27, 28, 30]
    .map((line) => `D${line}`),
  ...range(1, 30).map((line) => `H${line}`),
  ...range(1, 11).map((line) => `T${line}`)
]

const whereOf = (line: string): string => rows.get(line)?.where ?? ""

describe("the pages of docs", () => {
  it("name tests that there are", () => {
    const pages = readdirSync(`${root}docs`).filter((page) => page.endsWith(".md"))
    const named = pages.flatMap((page) =>
      [...readFileSync(`${root}docs/${page}`, "utf8").matchAll(/`(test\/[^`*]+\.ts)`/g)].map((
        [, path]
      ) => [page, path!])
    )
    assert.isAbove(named.length, 100)
    assert.deepStrictEqual(named.filter(([, path]) => !texts.has(path!)), [])
  })
})

describe("docs/acceptance.md", () => {
  it("has every line, and no other", () => {
    assert.deepStrictEqual([...rows.keys()].sort(), [...lines].sort())
  })

  it.each(lines)("%s is shown by a test of that name, or left out for a reason", (line) => {
    const where = whereOf(line)
    if (where.startsWith("left out: ")) return assert.isAbove(where.length, 30, "a reason")
    assert.isTrue(tags.has(`[${line}]`), `no test is named [${line}]`)
    for (const [, path] of where.matchAll(/`([^`]+\.ts)`/g)) {
      assert.include(texts.get(path!) ?? "", `[${line}]`, `${path} has no test named [${line}]`)
    }
  })

  it("[D30] nothing that is promised goes untested: no test is skipped or runs alone, and splits are among them", () => {
    const isOff = /\b(?:it|test|describe)(?:\.\w+)*\.(?:skip|only|todo|fails)\b|\b(?:xit|xdescribe|fit|fdescribe)\(/
    // two speak of such tests
    const tests = [...texts].filter(([path]) => !/^test\/(acceptance|architecture)\.test\.ts$/.test(path))
    assert.deepStrictEqual(tests.filter(([, text]) => isOff.test(text)).map(([path]) => path), [])
    assert.isAtLeast(tests.filter(([, text]) => /\bpartition\(/.test(text)).length, 5, "files with splits in them")
  })
})
