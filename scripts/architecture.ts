// The rules of the house, checked over the sources as text: who may import whom, what the pure core may not touch, and
// tidiness. `violations` is pure, so that test/architecture.test.ts can show it bad files; `readTree` reads the real ones.
import { readdirSync, readFileSync } from "node:fs"
import { dirname, join, normalize } from "node:path/posix"
import ts from "typescript"

/** The packages that one adapter alone may import; `effect` and `msgpackr` are everyone's. */
const adapterPackages: Readonly<Record<string, ReadonlyArray<string>>> = {
  websocket: ["ws"]
}

/** Adapters that are made of others. */
const compositions: Readonly<Record<string, ReadonlyArray<string>>> = {
  memory: ["gossip"],
  etcd: ["gossip"]
}

/** Clock, randomness, scheduling and I/O: src/protocol is given time and randomness as arguments. */
const impure = [
  "Date",
  "performance",
  "crypto",
  "setTimeout",
  "setInterval",
  "setImmediate",
  "queueMicrotask",
  "fetch",
  "console",
  "globalThis"
]

const columnsMax = 140

interface Import {
  readonly specifier: string
  /** `import type`: gone when it runs. `import { type A }` is not, it still loads the module. */
  readonly typeOnly: boolean
}

interface Source {
  readonly path: string
  readonly text: string
  readonly imports: ReadonlyArray<Import>
  /** The global names it reads: `Date`, `Deno.env` as `Deno`; `Math.random` with its property. */
  readonly globals: ReadonlySet<string>
  /** `it.only(…)`, `describe.skip(…)` */
  readonly focused: ReadonlyArray<string>
}

/** Each rule that the files break, as `path: what is wrong`. Paths are relative to the repository, with `/`. */
export const violations = (files: ReadonlyMap<string, string>): Array<string> => {
  const sources = new Map<string, Source>()
  for (const [path, text] of files) if (/\.(ts|mjs)$/.test(path)) sources.set(path, parse(path, text))
  return [
    ...[...sources.values()].flatMap((
      source
    ) => [...dependencies(source, sources), ...purity(source), ...tidiness(source)]),
    ...heavyEntry(sources),
    ...cycles(sources),
    ...manifests(files)
  ]
}

// ---- what a file imports and touches

const parse = (path: string, text: string): Source => {
  const imports: Array<Import> = []
  const globals = new Set<string>()
  const declared = new Set<string>()
  const focused: Array<string> = []
  const visit = (node: ts.Node): void => {
    const found = importOf(node)
    if (found !== undefined) imports.push(found)
    if (isDeclarationName(node)) declared.add(node.text)
    else if (ts.isIdentifier(node) && isReference(node)) globals.add(nameWithProperty(node))
    if (ts.isCallExpression(node) && isFocus(node.expression)) focused.push(node.expression.getText())
    ts.forEachChild(node, visit)
  }
  visit(ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true))
  for (const name of globals) if (declared.has(name.split(".")[0]!)) globals.delete(name)
  return { path, text, imports, globals, focused }
}

const importOf = (node: ts.Node): Import | undefined => {
  if (ts.isImportDeclaration(node) && ts.isStringLiteral(node.moduleSpecifier)) {
    return {
      specifier: node.moduleSpecifier.text,
      typeOnly: node.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword
    }
  }
  if (ts.isExportDeclaration(node) && node.moduleSpecifier && ts.isStringLiteral(node.moduleSpecifier)) {
    return { specifier: node.moduleSpecifier.text, typeOnly: node.isTypeOnly }
  }
  if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument) && ts.isStringLiteral(node.argument.literal)) {
    return { specifier: node.argument.literal.text, typeOnly: true }
  }
  if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
    const argument = node.arguments[0]
    // what cannot be read cannot be checked: it is named so that no rule allows it
    return { specifier: argument && ts.isStringLiteralLike(argument) ? argument.text : "(computed)", typeOnly: false }
  }
  return undefined
}

const isDeclarationName = (node: ts.Node): node is ts.Identifier =>
  ts.isIdentifier(node) &&
  (ts.isVariableDeclaration(node.parent) || ts.isParameter(node.parent) || ts.isBindingElement(node.parent) ||
    ts.isFunctionDeclaration(node.parent) || ts.isClassDeclaration(node.parent) || ts.isImportSpecifier(node.parent) ||
    ts.isNamespaceImport(node.parent) || ts.isImportClause(node.parent)) &&
  node.parent.name === node

/** An identifier that reads a value, not the name of a property or of a type. */
const isReference = (node: ts.Identifier): boolean => {
  const { parent } = node
  if (ts.isPropertyAccessExpression(parent)) return parent.expression === node
  if (ts.isShorthandPropertyAssignment(parent)) return true
  if (ts.isTypeReferenceNode(parent) || ts.isQualifiedName(parent)) return false
  const named = parent as { name?: ts.Node; propertyName?: ts.Node }
  return named.name !== node && named.propertyName !== node
}

const nameWithProperty = (node: ts.Identifier): string =>
  (node.text === "Math" || node.text === "process") && ts.isPropertyAccessExpression(node.parent)
    ? `${node.text}.${node.parent.name.text}`
    : node.text

/** `it.only`, `it.effect.skip`, `describe.only`, … */
const isFocus = (callee: ts.Expression): boolean => {
  if (!ts.isPropertyAccessExpression(callee) || !["only", "skip"].includes(callee.name.text)) return false
  let head: ts.Expression = callee.expression
  while (ts.isPropertyAccessExpression(head)) head = head.expression
  return ts.isIdentifier(head) && ["it", "test", "describe", "suite", "bench"].includes(head.text)
}

// ---- who may import whom

const dependencies = (source: Source, sources: ReadonlyMap<string, Source>): Array<string> => {
  const zone = zoneOf(source.path)
  if (zone === undefined) return []
  return source.imports.flatMap(({ specifier }) => {
    const target = targetOf(source.path, specifier)
    if (target === undefined) {
      return zone.packages(specifier) ? [] : [`${source.path}: ${zone.name} may not import "${specifier}"`]
    }
    if (!zone.files(target)) return [`${source.path}: ${zone.name} may not import ${target}`]
    return sources.has(target) ? [] : [`${source.path}: imports ${target}, which does not exist`]
  })
}

interface Zone {
  readonly name: string
  readonly files: (path: string) => boolean
  readonly packages: (specifier: string) => boolean
}

const zoneOf = (path: string): Zone | undefined => {
  if (path.startsWith("src/protocol/")) {
    return { name: "src/protocol", files: within("src/protocol/"), packages: anyOf("msgpackr") }
  }
  if (path.startsWith("src/testing/")) {
    return { name: "src/testing", files: within("src/"), packages: anyOf("effect", "msgpackr") }
  }
  if (path.startsWith("src/")) {
    const files = (target: string) => target.startsWith("src/") && !target.startsWith("src/testing/")
    return { name: "src", files, packages: anyOf("effect", "msgpackr") }
  }
  const adapter = /^adapters\/([^/]+)\//.exec(path)?.[1]
  if (adapter !== undefined) {
    const folders = [adapter, ...compositions[adapter] ?? []].map((name) => `adapters/${name}/`)
    const packages = anyOf("effect", "msgpackr", ...adapterPackages[adapter] ?? [])
    return {
      name: `adapters/${adapter}`,
      files: (target) => within("src/")(target) || folders.some((folder) => target.startsWith(folder)),
      packages: (specifier) => packages(specifier) || specifier.startsWith("node:")
    }
  }
  if (path === "mod.ts") {
    const files = (target: string) => within("src/")(target) || within("adapters/")(target)
    return { name: "mod.ts", files, packages: () => false }
  }
  return undefined
}

const within = (folder: string) => (path: string): boolean => path.startsWith(folder)

const anyOf = (...packages: ReadonlyArray<string>) => (specifier: string): boolean =>
  packages.some((name) => specifier === name || specifier.startsWith(`${name}/`))

/** The file that a relative specifier names; `undefined` for a package or a builtin. */
const targetOf = (from: string, specifier: string): string | undefined =>
  specifier.startsWith(".") ? normalize(join(dirname(from), specifier)) : undefined

// ---- what the core may not touch

const purity = ({ path, globals }: Source): Array<string> => {
  if (!path.startsWith("src/")) return []
  const banned = (name: string): boolean =>
    name === "Deno" || name === "Bun" || name === "require" || name.startsWith("process.") ||
    (path.startsWith("src/protocol/") && (name === "Math.random" || impure.includes(name)))
  return [...globals].filter(banned).map((name) => `${path}: may not use ${name}`)
}

/** "@sworm/sworm" must load in a program that has no `ws`. */
const heavyEntry = (sources: ReadonlyMap<string, Source>): Array<string> => {
  const seen = new Set<string>()
  const walk = (path: string, trail: ReadonlyArray<string>): Array<string> => {
    const source = sources.get(path)
    if (source === undefined || seen.has(path)) return []
    seen.add(path)
    return source.imports.flatMap(({ specifier }) => {
      if (anyOf("ws")(specifier)) return [`mod.ts: reaches "ws" by ${[...trail, path].join(" → ")}`]
      const target = targetOf(path, specifier)
      return target === undefined ? [] : walk(target, [...trail, path])
    })
  }
  return walk("mod.ts", [])
}

/** Import cycles over what is published; `import type` makes none. */
const cycles = (sources: ReadonlyMap<string, Source>): Array<string> => {
  const done = new Set<string>()
  const walk = (path: string, trail: ReadonlyArray<string>): Array<string> => {
    const at = trail.indexOf(path)
    if (at >= 0) return [`${path}: import cycle ${[...trail.slice(at), path].join(" → ")}`]
    const source = sources.get(path)
    if (source === undefined || done.has(path)) return []
    const found = source.imports.filter(({ typeOnly }) => !typeOnly).flatMap(({ specifier }) => {
      const target = targetOf(path, specifier)
      return target === undefined ? [] : walk(target, [...trail, path])
    })
    done.add(path)
    return found
  }
  return [...sources.keys()].filter((path) => /^(src|adapters)\/|^mod\.ts$/.test(path)).flatMap((path) =>
    walk(path, [])
  )
}

// ---- tidiness

// spelled in two parts, for this file is checked too
const unfinished = new RegExp(`\\b(${"TO" + "DO"}|${"FIX" + "ME"}|${"X" + "XX"})\\b`)

const tidiness = ({ path, text, focused }: Source): Array<string> => {
  const lines = text.split("\n").flatMap((line, at) => [
    ...(line.length > columnsMax
      ? [`${path}:${at + 1}: line of ${line.length} characters, ${columnsMax} at most`]
      : []),
    ...(unfinished.test(line) ? [`${path}:${at + 1}: unfinished: ${line.trim()}`] : [])
  ])
  return [...lines, ...focused.map((call) => `${path}: ${call} leaves tests out`)]
}

interface Manifest {
  readonly version?: string
  readonly exports?: Record<string, string>
  readonly imports?: Record<string, string>
  readonly dependencies?: Record<string, string>
  readonly peerDependencies?: Record<string, string>
}

/** package.json and deno.json describe one package: version, subpaths, dependencies, and imports by its own name. */
const manifests = (files: ReadonlyMap<string, string>): Array<string> => {
  const [npmText, denoText] = [files.get("package.json"), files.get("deno.json")]
  if (npmText === undefined || denoText === undefined) return []
  const [npm, deno] = [JSON.parse(npmText) as Manifest, JSON.parse(denoText) as Manifest]
  const { "./package.json": _, ...npmExports } = npm.exports ?? {}
  const denoExports = deno.exports ?? {}
  const imports = deno.imports ?? {}
  const needs = Object.entries({ ...npm.dependencies, ...npm.peerDependencies })
  return [
    ...(npm.version === deno.version ? [] : [`deno.json: version ${deno.version}, package.json has ${npm.version}`]),
    ...differences(npmExports, denoExports).map((path) => `deno.json: export "${path}" differs from package.json's`),
    ...Object.entries(denoExports)
      .filter(([path, file]) => imports[`@sworm/sworm${path.slice(1)}`] !== file)
      .map(([path]) => `deno.json: "imports" does not map @sworm/sworm${path.slice(1)} as "exports" does`),
    ...needs.filter(([name, range]) => imports[name] !== `npm:${name}@${range}`)
      .map(([name, range]) => `deno.json: "imports" must have "${name}": "npm:${name}@${range}"`)
  ]
}

const differences = (one: Record<string, string>, other: Record<string, string>): Array<string> =>
  [...new Set([...Object.keys(one), ...Object.keys(other)])].filter((key) => one[key] !== other[key])

// ---- the files of the repository

const folders = ["src", "adapters", "examples", "test", "bench", "scripts"]
const single = ["mod.ts", "tsup.config.ts", "vitest.config.ts", "package.json", "deno.json"]

/** The files that the rules are about. */
export const readTree = (root: string): Map<string, string> => {
  const files = new Map<string, string>()
  const read = (path: string) => files.set(path, readFileSync(join(root, path), "utf8"))
  const top = readdirSync(root)
  for (const path of single) if (top.includes(path)) read(path)
  for (const folder of folders.filter((name) => top.includes(name))) {
    for (const path of readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })) {
      if (/\.(ts|mjs)$/.test(path) && !path.includes("node_modules")) read(`${folder}/${path.replaceAll("\\", "/")}`)
    }
  }
  return files
}
