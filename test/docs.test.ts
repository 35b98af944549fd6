// Every example in the docs is a program that compiles, runs and prints what it says (see scripts/snippets.ts).
import { describe, expect, it } from "vitest"
import { currentRuntimeName } from "../scripts/runtimes.ts"
import {
  checkSnippets,
  docstringsOf,
  findSnippets,
  runSnippet,
  type Snippet,
  snippetsOf,
  writeSnippets
} from "../scripts/snippets.ts"

const compilerTime_ms = 60_000
const runTime_ms = 35_000

const verify = async (snippet: Snippet, folder: string): Promise<void> => {
  const { code, output, stdout = "" } = await runSnippet(snippet, folder)
  expect(code, `${snippet.where} ended with ${code}:\n${output}`).toBe(0)
  if (snippet.prints === undefined) return
  const lines = stdout.split("\n").map((line) => line.trim()).filter((line) => line !== "")
  expect(lines, snippet.where).toEqual(snippet.prints)
}

describe("the examples in the docs", () => {
  const snippets = findSnippets()
  const folder = writeSnippets(snippets, currentRuntimeName)

  it("have the right types", async () => {
    const { code, output } = await checkSnippets(snippets, `types-${currentRuntimeName}`)
    expect(output, `exit code ${code}`).toBe("")
  }, compilerTime_ms)

  for (const snippet of snippets.filter(({ runs }) => runs)) {
    it(`run: ${snippet.where}`, () => verify(snippet, folder), runTime_ms)
  }
})

describe("the reading of a docstring", () => {
  const fence = "`".repeat(3)
  const source = [
    "/**",
    " * Text.",
    " *",
    ` * ${fence}ts`,
    " * console.log(1)",
    ` * ${fence}`,
    " */",
    "const x = 2 * 3"
  ].join("\n")

  it("finds the block, without the stars, at its line", () => {
    const [snippet, ...others] = docstringsOf("src/X.ts", source)
    expect(others).toEqual([])
    expect(snippet).toMatchObject({ where: "src/X.ts:4", file: "source/src/X/line-4.ts", code: "console.log(1)\n" })
  })
})

describe("the reading of a page", () => {
  const fence = "`".repeat(3)
  const page = [
    "# Title",
    `${fence}ts`,
    "// file: a.ts",
    "export const a: number = 1",
    fence,
    "text",
    `${fence}ts no-run`,
    'import { a } from "./a.ts"',
    "console.log(a)",
    fence,
    `${fence}ts no-check`,
    "nonsense(",
    fence,
    `${fence}sh`,
    "npm test",
    fence,
    "- item",
    `  ${fence}ts`,
    "  console.log(1 + 1) // prints: 2",
    `  ${fence}`
  ].join("\n")

  it("finds the blocks, their names and what they promise", () => {
    expect(snippetsOf("docs/x.md", page)).toMatchObject([
      { where: "docs/x.md:2", file: "docs/x/a.ts", runs: true, prints: undefined },
      { where: "docs/x.md:7", file: "docs/x/line-7.ts", runs: false },
      { where: "docs/x.md:18", file: "docs/x/line-18.ts", runs: true, prints: ["2"] }
    ])
  })

  it("refuses a wrong type, and a name that is taken", async () => {
    const wrong = page.replace(": number", ": string")
    expect((await checkSnippets(snippetsOf("docs/x.md", wrong), `wrong-${currentRuntimeName}`)).output).toContain(
      "TS2322"
    )
    expect((await checkSnippets(snippetsOf("docs/x.md", page + "\n" + page))).output).toContain("docs/x.md:22: second")
  }, compilerTime_ms)

  it("refuses a block that fails or prints something else", async () => {
    const bad = ["throw new Error('no')", "console.log(3) // prints: 2"].map((code) => `${fence}ts\n${code}\n${fence}`)
    const found = snippetsOf("docs/bad.md", bad.join("\n"))
    const folder = writeSnippets(found, `bad-${currentRuntimeName}`)
    for (const snippet of found) await expect(verify(snippet, folder)).rejects.toThrow("docs/bad.md")
    expect(found).toHaveLength(2)
  }, runTime_ms)
})
