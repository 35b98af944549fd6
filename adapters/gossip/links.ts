/**
 * Processes that are restarted and given up together, on whatever nodes. Each holder watches the claims of those that
 * its own processes depend on; what it sees there is a level, not an event, so nothing depends on a message arriving.
 */
import { Equal } from "effect"
import { extrasOf, failureToFollow, type Link } from "../../src/protocol/extras.ts"
import type { LocalProcess } from "../../src/runtime/LocalProcess.ts"
import type { Core } from "./core.ts"
import type { Slot } from "./slot.ts"
import { refOf } from "./owner.ts"

export class Links {
  readonly #core: Core

  constructor(core: Core) {
    this.#core = core
  }

  /** A name has changed: those linked to it may have to follow. */
  look({ sworm, view }: Slot): void {
    const link = view.claims[0]?.claim.extras?.link
    if (link !== undefined) this.#lookAt(sworm, link.names)
  }

  /** A process serves: what it was too busy to follow is due now. */
  serves({ name, sworm }: LocalProcess): void {
    const link = this.#core.entry(sworm, name)?.claim?.extras?.link
    if (link !== undefined) queueMicrotask(() => this.#lookAt(sworm, [name]))
  }

  /** Some process was given up, here or elsewhere. */
  givenUp(sworm: string, name: string): void {
    for (const process of [...this.#core.parts.processes.of(sworm)]) {
      if (this.#linkOf(process)?.names.includes(name) === true) this.#lookAt(sworm, [process.name])
    }
  }

  #linkOf({ name, sworm }: LocalProcess): Link | undefined {
    return this.#core.entry(sworm, name)?.claim?.extras?.link
  }

  #lookAt(sworm: string, names: ReadonlyArray<string>): void {
    const { directory, owner, processes } = this.#core.parts
    for (const name of names) {
      const process = processes.get(sworm, name)
      const link = process === undefined ? undefined : this.#linkOf(process)
      if (process === undefined || link === undefined) continue
      // a stamp counts when it stands in the same link: one that was declared anew since is another matter
      const linkOf = (other: string): Link | undefined => {
        const top = directory.view(sworm, other).claims[0]
        const theirs = top === undefined ? undefined : extrasOf(top.claim).link
        return theirs !== undefined && Equal.equals(theirs.names, link.names) ? theirs : undefined
      }
      const gone = failureToFollow(name, link, (other) => this.#givenUpAt(sworm, other))
      if (gone !== undefined) {
        owner.ended(process, "GivenUp", "a process that it is linked to was given up")
        continue
      }
      const failure = failureToFollow(name, link, (other) => linkOf(other)?.stamp)
      if (failure === undefined) continue
      if (process.follow(failure)) this.#core.emit({ _tag: "Followed", ref: refOf(process) })
    }
  }

  #givenUpAt(sworm: string, name: string): number | undefined {
    const { directory } = this.#core.parts
    if (directory.view(sworm, name).claims.length > 0) return undefined
    let latest: number | undefined
    for (const { stamp } of directory.givenUp.of(sworm, name).values()) latest = Math.max(latest ?? 0, stamp)
    return latest
  }
}
