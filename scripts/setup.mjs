// Installs the dependencies when they are missing or out of date; otherwise does nothing.
// Plain JavaScript: runs on Node 20, Deno and Bun. Prints on stderr only, stdout belongs to the task that follows.
import { spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import { existsSync, readFileSync, realpathSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import process from "node:process"
import { fileURLToPath } from "node:url"

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const modules = join(root, "node_modules")
const marker = join(modules, ".sworm-setup")

const readJson = (path) => existsSync(path) ? JSON.parse(readFileSync(path, "utf8")) : undefined

/** True when `npm ci` would change nothing: every package of the lock that is not optional is there, in its version. */
export const npmIsUpToDate = (lock, installed) => {
  if (!lock || !installed) return false
  const wanted = lock.packages
  const present = installed.packages
  for (const [path, entry] of Object.entries(wanted)) {
    if (path === "" || ((entry.optional || entry.devOptional || entry.peer) && !present[path])) continue
    if (present[path]?.version !== entry.version) return false
  }
  return Object.keys(present).every((path) => wanted[path])
}

// the package `node` fetches its binary by a script of its own, so its presence is looked at too
const npmTreeIsComplete = () =>
  npmIsUpToDate(readJson(join(root, "package-lock.json")), readJson(join(modules, ".package-lock.json"))) &&
  existsSync(join(modules, "node/bin", process.platform === "win32" ? "node.exe" : "node"))

const fingerprint = () =>
  createHash("sha256")
    .update(readFileSync(join(root, "package.json")))
    .update(readFileSync(join(root, "package-lock.json")))
    .digest("hex")

const otherTreeIsComplete = () => existsSync(marker) && readFileSync(marker, "utf8").trim() === fingerprint()

const run = (command, args) => {
  console.error(`setup: ${[command, ...args].join(" ")}`)
  const shell = process.platform === "win32" && command === "npm"
  return spawnSync(command, args, { cwd: root, stdio: ["ignore", 2, 2], shell }).status === 0
}

const hasNpm = () => {
  const shell = process.platform === "win32"
  return spawnSync("npm", ["--version"], { cwd: root, stdio: "ignore", shell }).status === 0
}

/** The runtime that started this task can install for itself; Node leaves that to npm. */
const installItself = () => {
  const self = realpathSync(process.execPath)
  if ("Deno" in globalThis) return run(self, ["install", "--quiet"])
  if ("Bun" in globalThis) return run(self, ["install", "--ignore-scripts", "--no-save"])
  return false
}

const onNode = !("Deno" in globalThis) && !("Bun" in globalThis)

export const setup = () => {
  if (npmTreeIsComplete() || (!onNode && otherTreeIsComplete())) return
  if (hasNpm() && run("npm", ["ci", "--no-audit", "--no-fund"])) return
  if (otherTreeIsComplete()) return
  if (!installItself()) {
    console.error("setup: cannot install the dependencies: npm, or a working Deno or Bun, is needed")
    process.exit(1)
  }
  writeFileSync(marker, fingerprint() + "\n")
}
