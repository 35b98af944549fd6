/** Copies of the project in a temporary folder: the checkout is never written to. */
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { root } from "../run.ts"
import type { Edit } from "./mutant.ts"

/** What simulations and tests read. */
const parts = [
  "src",
  "adapters",
  "test",
  "scripts",
  "docs",
  "mod.ts",
  "package.json",
  "deno.json",
  "tsconfig.json",
  "vitest.config.ts"
]

export interface Copy {
  readonly folder: string
  readonly remove: () => void
}

const folders = new Set<string>()

/** Copies that are left when this program is ended from outside. */
export const removeCopies = (): void => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
}

/** A copy of a folder with the project; its packages are the checkout's. */
export const copyOf = (from: string = root): Copy => {
  const folder = mkdtempSync(join(tmpdir(), "sworm-mutant-"))
  folders.add(folder)
  for (const part of parts) cpSync(join(from, part), join(folder, part), { recursive: true })
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"), "junction")
  const remove = (): void => {
    rmSync(folder, { recursive: true, force: true })
    folders.delete(folder)
  }
  return { folder, remove }
}

/** What keeps edits from being made in a folder; nothing is written when anything does. */
export const whyNot = (folder: string, edits: ReadonlyArray<Edit>): string | undefined => {
  const texts = new Map<string, string>()
  for (const { file, find, replace } of edits) {
    let text: string
    try {
      text = texts.get(file) ?? readFileSync(join(folder, file), "utf8")
    } catch {
      return `there is no ${file}`
    }
    const times = text.split(find).length - 1
    if (times !== 1) return `${file} has ${times === 0 ? "no" : times} ${JSON.stringify(find)}`
    texts.set(file, text.replace(find, () => replace))
  }
  return undefined
}

/** Makes edits that nothing keeps from being made. */
export const apply = (folder: string, edits: ReadonlyArray<Edit>): void => {
  for (const { file, find, replace } of edits) {
    const path = join(folder, file)
    writeFileSync(path, readFileSync(path, "utf8").replace(find, () => replace))
  }
}
