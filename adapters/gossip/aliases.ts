/**
 * More names for one process than its own. In a healthy cluster the registrar of each name sees that nobody else has it;
 * after a split the same name may stand for two. Then a process registered under it keeps it, else the one whose claim
 * stands first; the others lose it, each by its own holder's hand.
 */
import { extrasOf } from "../../src/protocol/extras.ts"
import type { Core } from "./core.ts"
import type { Slot } from "./slot.ts"

export const settleAliases = (core: Core, slot: Slot): void => {
  const { directory } = core.parts
  if (!directory.hasAliases(slot.sworm)) return
  settle(core, slot.sworm, slot.name)
  for (const alias of slot.top === undefined ? [] : extrasOf(slot.top.claim).aliases) settle(core, slot.sworm, alias)
}

const settle = (core: Core, sworm: string, alias: string): void => {
  const { directory, node } = core.parts
  const isTaken = directory.slot(sworm, alias)?.top !== undefined
  const best = isTaken ? undefined : directory.bestOf(sworm, alias)
  for (const slot of directory.allOf(sworm, alias)) {
    if (slot === best || slot.top?.section !== node.section || core.isBusy(sworm, slot.name)) continue
    const { ref } = slot
    core.change(sworm, slot.name, { _tag: "Unalias", alias })
    if (ref !== undefined) core.emit({ _tag: "AliasLost", ref, alias })
  }
}
