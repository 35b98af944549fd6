// Where the three JavaScript runtimes are on this machine, and how each is asked to run a TypeScript file.
// Runs on Node, Deno and Bun; used by the demo, the test runner and the tests that start OS processes.
import { spawnSync } from "node:child_process"
import { existsSync, readdirSync, realpathSync } from "node:fs"
import { createRequire } from "node:module"
import { delimiter, dirname, join } from "node:path"
import process from "node:process"
import { fileURLToPath } from "node:url"

/** The name of a JavaScript runtime. */
export type RuntimeName = "node" | "deno" | "bun"

/** A runtime that was found on this machine and answered when asked for its version. */
export interface Runtime {
  /** Which runtime it is. */
  readonly name: RuntimeName
  /** Its version, as `24.21.0`. */
  readonly version: string
  /** Absolute path of the executable: give it to `spawn` with {@link Runtime.argsFor}. */
  readonly command: string
  /** The arguments that run `script`, a `.ts` or `.mjs` file, with `args` and every permission. */
  readonly argsFor: (script: string, args?: ReadonlyArray<string>) => Array<string>
}

/** The runtimes of this machine: a runtime that is missing, does not start or is too old has no entry. */
export interface Runtimes {
  readonly node?: Runtime
  readonly deno?: Runtime
  readonly bun?: Runtime
}

/** The three names, in the order in which the project mentions them. */
export const runtimeNames: ReadonlyArray<RuntimeName> = ["node", "deno", "bun"]

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const exe = process.platform === "win32" ? ".exe" : ""

/** The runtime this code runs on. */
export const currentRuntimeName: RuntimeName = "Deno" in globalThis ? "deno" : "Bun" in globalThis ? "bun" : "node"

/** What is missing is found again at each call; a runtime that was found is remembered. */
const found = new Map<RuntimeName, Runtime>()

/** Finds a working executable for each runtime: this process's own, then the npm packages', then `PATH`'s. */
export const findRuntimes = (): Runtimes => {
  const runtimes: { -readonly [Name in RuntimeName]?: Runtime } = {}
  for (const name of runtimeNames) {
    const runtime = findRuntime(name)
    if (runtime !== undefined) runtimes[name] = runtime
  }
  return runtimes
}

/** One runtime of {@link findRuntimes}. */
export const findRuntime = (name: RuntimeName): Runtime | undefined => {
  const known = found.get(name)
  if (known !== undefined) return known
  for (const command of candidates(name)) {
    const version = versionOf(name, command)
    if (version === undefined) continue
    const runtime: Runtime = {
      name,
      version,
      command,
      argsFor: (script, args = []) => [...flags[name], script, ...args]
    }
    found.set(name, runtime)
    return runtime
  }
  return undefined
}

const flags: { readonly [Name in RuntimeName]: ReadonlyArray<string> } = {
  node: [],
  deno: ["run", "-A", "--quiet"],
  bun: []
}

function* candidates(name: RuntimeName): Generator<string> {
  const paths = [
    ...(currentRuntimeName === name ? [process.execPath] : []),
    ...packaged[name](),
    ...(process.env["PATH"] ?? "").split(delimiter).map((folder) => join(folder, name + exe))
  ]
  const seen = new Set<string>()
  for (const path of paths) {
    if (!existsSync(path)) continue
    const real = realpathSync(path)
    // npm's launchers are scripts that need Node, and they are slow
    if (seen.has(real) || /\.[cm]?js$/.test(real)) continue
    seen.add(real)
    yield real
  }
}

/** The real binaries in node_modules, whether npm, Deno or Bun installed it (only npm runs install scripts). */
const packaged: { readonly [Name in RuntimeName]: () => Array<string> } = {
  node: () => [join(root, "node_modules/node/bin", `node${exe}`)],
  deno: () => [join(root, "node_modules/deno", `deno${exe}`), ...platformPackages("deno", "@deno", `deno${exe}`)],
  bun: () => [...platformPackages("bun", "@oven", `bin/bun${exe}`), join(root, "node_modules/bun/bin/bun.exe")]
}

/** The binary of the package made for this platform, as an optional dependency of `packageName`. */
const platformPackages = (packageName: string, scope: string, binary: string): Array<string> => {
  const manifest = join(root, "node_modules", packageName, "package.json")
  if (!existsSync(manifest)) return []
  const real = realpathSync(manifest)
  const { optionalDependencies = {} } = createRequire(real)(real) as { optionalDependencies?: Record<string, string> }
  const siblings = join(dirname(dirname(real)), scope)
  const installed = existsSync(siblings) ? readdirSync(siblings).map((name) => `${scope}/${name}`) : []
  return installed.filter((name) => name in optionalDependencies).map((name) => join(siblings, "..", name, binary))
}

/** Prints the version; on Node only if it is Node, for Deno and Bun may put themselves on `PATH` under its name. */
const nodeVersion = "process.versions.deno || process.versions.bun ? '' : process.version"

const versionOf = (name: RuntimeName, command: string): string | undefined => {
  const answer = spawnSync(command, name === "node" ? ["-p", nodeVersion] : ["--version"], {
    encoding: "utf8",
    timeout: 10_000
  })
  if (answer.status !== 0) return undefined
  const match = /(\d+)\.(\d+)\.\d+\S*/.exec(answer.stdout)
  if (match === null) return undefined
  return name !== "node" || stripsTypes(Number(match[1]), Number(match[2])) ? match[0] : undefined
}

const stripsTypes = (major: number, minor: number): boolean =>
  major >= 24 || (major === 23 && minor >= 6) || (major === 22 && minor >= 18)
