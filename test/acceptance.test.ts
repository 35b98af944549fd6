// The peers' own tests, and their users' complaints, as lines that are each shown here by a test, or left out for a
// reason: docs/acceptance.md has the list. This checks that the list is complete and that the tests it speaks of exist.
import { assert, describe, it } from "@effect/vitest"
import { readdirSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("../", import.meta.url))

const sources = (folder: string): Array<string> =>
  readdirSync(`${root}${folder}`, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
    .map(({ name, parentPath }) => readFileSync(`${parentPath}/${name}`, "utf8"))

/** Tags in the names of tests. */
const tags = new Set(
  [...sources("test"), ...sources("src/testing")].flatMap((text) => text.match(/\[[PD]\d+\]/g) ?? [])
)

/** Rows of the list: a tag, what it says, and where it is shown or why it is not. */
const rows = new Map(
  [...readFileSync(`${root}docs/acceptance.md`, "utf8").matchAll(/^\| ([PD]\d+) \| (.+?) \| (.+?) \|$/gm)]
    .map(([, line, what, where]) => [line!, { what: what!, where: where! }] as const)
)

const range = (from: number, to: number): Array<number> => Array.from({ length: to - from + 1 }, (_, i) => from + i)

const lines = [
  ...[...range(1, 47), ...range(84, 127)].map((line) => `P${line}`),
  ...[1, 2, 4, 5, 8, 9, 10, 11, 13, 16, 17, 18, 21, 26, 27, 28].map((line) => `D${line}`)
]

describe("docs/acceptance.md", () => {
  it("has every line, and no other", () => {
    assert.deepStrictEqual([...rows.keys()].sort(), [...lines].sort())
  })

  it.each(lines)("%s is shown by a test of that name, or left out for a reason", (line) => {
    const where = rows.get(line)?.where ?? ""
    if (where.startsWith("left out: ")) return assert.isAbove(where.length, 30, "a reason")
    assert.isTrue(tags.has(`[${line}]`), `no test is named [${line}]`)
  })
})
