// Builds dist/, the npm package: JavaScript, types and a package.json whose `exports` name them.
import { copyFileSync, existsSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import process from "node:process"
import { root, runTool } from "./run.ts"

/** The manifest of dist/: the repository's, without what only the repository needs. */
const manifest = (): Record<string, unknown> => {
  const source = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
    readonly exports: Record<string, string>
    readonly [key: string]: unknown
  }
  const built = Object.entries(source.exports).map(([subpath, path]) => {
    const stem = path.slice(0, -".ts".length)
    return [subpath, path.endsWith(".ts") ? { types: `${stem}.d.ts`, default: `${stem}.js` } : path]
  })
  const kept = ["name", "version", "description", "license", "type", "engines", "dependencies", "peerDependencies"]
  return {
    ...Object.fromEntries(kept.map((key) => [key, source[key]])),
    sideEffects: false,
    exports: Object.fromEntries(built),
    files: ["**/*.js", "**/*.js.map", "**/*.d.ts"]
  }
}

const { code } = await runTool("tsup/dist/cli-default.js", ["--silent"])
if (code !== 0) process.exit(code)
writeFileSync(join(root, "dist/package.json"), JSON.stringify(manifest(), null, 2) + "\n")
for (const file of ["README.md", "LICENSE"]) {
  if (existsSync(join(root, file))) copyFileSync(join(root, file), join(root, "dist", file))
}
