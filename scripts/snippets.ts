// The examples in the docs are programs: each ```ts block of README.md, docs/**/*.md and the docstrings is type-checked
// and run.
//
//   ```ts           checked and run: it must end well within 30 seconds
//   ```ts no-run    checked only (a server that stays up, a cluster that is elsewhere)
//   ```ts no-check  neither: not a whole program
//
// A first line `// file: counter.ts` names the block, and the page's other blocks may import "./counter.ts".
// With comments `// prints: …`, the lines of stdout must be those, in that order.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { type Outcome, root, run, runScript } from "./run.ts"
import { currentRuntimeName, findRuntime } from "./runtimes.ts"

/** One code block. */
export interface Snippet {
  /** Where it is in the docs: `docs/start.md:12`. */
  readonly where: string
  /** Where it is written for the compiler and the runtimes: `docs/start/counter.ts`. */
  readonly file: string
  readonly code: string
  readonly runs: boolean
  /** What it must print, by line; `undefined` when it does not say. */
  readonly prints: ReadonlyArray<string> | undefined
}

/** The blocks of one page; `path` is relative to the repository. */
export const snippetsOf = (path: string, page: string): Array<Snippet> => {
  const folder = path.replace(/\.md$/, "")
  const snippets: Array<Snippet> = []
  const fence = /^([ \t]*)```(?:ts|typescript)\b([^\n]*)\n(.*?)^\1```[ \t]*$/gms
  for (const match of page.matchAll(fence)) {
    const [, indent = "", info = "", body = ""] = match
    if (/\bno-check\b/.test(info)) continue
    const line = page.slice(0, match.index).split("\n").length
    const code = body.split("\n").map((text) => text.startsWith(indent) ? text.slice(indent.length) : text).join("\n")
    const name = /^\s*\/\/ file: (\S+)/.exec(code)?.[1] ?? `line-${line}.ts`
    const prints = [...code.matchAll(/\/\/ prints: (.*)$/gm)].map(([, text = ""]) => text.trim())
    snippets.push({
      where: `${path}:${line}`,
      file: `${folder}/${name}`,
      code,
      runs: !/\bno-run\b/.test(info),
      prints: prints.length > 0 ? prints : undefined
    })
  }
  return snippets
}

/** The blocks in the docstrings of a source file: its page is what its comments say, each line at its own number. */
export const docstringsOf = (path: string, source: string): Array<Snippet> => {
  const page = source.split("\n").map((line) => /^\s*\* ?(.*)$/.exec(line)?.[1] ?? "").join("\n")
  return snippetsOf(path, page).map((snippet) => ({
    ...snippet,
    file: `source/${snippet.file.replace(/\.ts\//, "/")}`
  }))
}

const filesIn = (folder: string, ending: string): Array<string> =>
  existsSync(join(root, folder))
    ? readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
      .map((path) => `${folder}/${path.replaceAll("\\", "/")}`).filter((path) => path.endsWith(ending)).sort()
    : []

/** The blocks of README.md, of the pages written by hand, and of the docstrings. */
export const findSnippets = (): Array<Snippet> => {
  const pages = filesIn("docs", ".md").filter((path) => !/^docs\/(api|\.vitepress)\//.test(path))
  const sources = ["mod.ts", ...filesIn("src", ".ts"), ...filesIn("adapters", ".ts")]
  return [
    ...["README.md", ...pages].flatMap((path) => snippetsOf(path, readFileSync(join(root, path), "utf8"))),
    ...sources.flatMap((path) => docstringsOf(path, readFileSync(join(root, path), "utf8")))
  ]
}

/** Writes the snippets into a folder inside the repository, where "@sworm/sworm" is this checkout; answers the folder. */
export const writeSnippets = (snippets: ReadonlyArray<Snippet>, purpose: string): string => {
  const folder = join(root, ".snippets", purpose)
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  for (const { file, code } of snippets) {
    mkdirSync(dirname(join(folder, file)), { recursive: true })
    // each block is a module, also one without an import
    writeFileSync(join(folder, file), /^(import|export)\b/m.test(code) ? code : `${code}\nexport {}\n`)
  }
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ extends: "../../tsconfig.json", include: ["**/*.ts"] }))
  return folder
}

/** Type-checks all snippets in one run of the compiler. Two blocks of one file name on a page are an error. */
export const checkSnippets = async (
  snippets: ReadonlyArray<Snippet> = findSnippets(),
  purpose = "check"
): Promise<Outcome> => {
  const files = snippets.map(({ file }) => file)
  const twice = snippets.filter(({ file }, at) => files.indexOf(file) !== at)
  if (twice.length > 0) {
    return {
      code: 1,
      output: twice.map(({ where, file }) => `${where}: second ${file}\n`).join("")
    }
  }
  if (snippets.length === 0) return { code: 0, output: "" }
  const folder = writeSnippets(snippets, purpose)
  return await runScript("node_modules/ts7/bin/tsc", ["--noEmit", "--project", folder], { capture: true })
}

/** Runs one snippet that was written to `folder`, on the runtime this code runs on. */
export const runSnippet = async (snippet: Snippet, folder: string): Promise<Outcome> => {
  const runtime = findRuntime(currentRuntimeName)
  if (runtime === undefined) return { code: 1, output: `Cannot find ${currentRuntimeName}\n` }
  return await run(runtime.command, runtime.argsFor(join(folder, snippet.file)), { capture: true, timeout: 30_000 })
}
