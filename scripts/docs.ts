// The site: `build` writes the API pages and builds docs/.vitepress/dist, `dev` serves it and follows changes.
import process from "node:process"
import { runTool } from "./run.ts"

const mode = process.argv[2] === "dev" ? "dev" : "build"
const api = await runTool("typedoc/bin/typedoc", ["--options", "docs/typedoc.json", "--logLevel", "Warn"])
if (api.code !== 0) process.exit(api.code)
const site = await runTool("vitepress/bin/vitepress.js", [mode, "docs", ...process.argv.slice(3)])
process.exitCode = site.code
