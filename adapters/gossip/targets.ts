/** Where a new registration is started: what placement says, or why it says nothing. */
import { Effect } from "effect"
import { asArray, asFlag, asText, asTexts } from "../../src/protocol/wire.ts"
import { AGAIN, again, ASK_TIMEOUT_MS } from "./attempts.ts"
import type { Core } from "./core.ts"
import { Method } from "./requests.ts"

export class Targets {
  readonly #core: Core

  constructor(core: Core) {
    this.#core = core
    core.parts.requests.answer(Method.home, (_, body) => this.#homeAsked(body))
  }

  /** Where placement wants a name; a node that doesn't host the sworm has to ask one that does. */
  of(
    sworm: string,
    name: string,
    type: string,
    caller: string
  ): Effect.Effect<string | typeof AGAIN | undefined> {
    const { node, processes, requests } = this.#core.parts
    const hosted = processes.hosted(sworm)
    if (hosted !== undefined) {
      // it waits until what a dead node ran has stopped for certain
      return Effect.succeed(
        this.#core.fence.isWaiting(hosted) ? AGAIN : this.#core.placing.target(hosted, name, type, caller)?.id
      )
    }
    const host = this.#core.placing.hosts(sworm).find(({ id }) => id !== node.id)
    if (host === undefined) return Effect.succeed(undefined)
    return requests.ask(host.id, Method.home, [sworm, name, type, caller], ASK_TIMEOUT_MS).pipe(
      Effect.map((reply) => {
        const [isHost, target] = asArray(reply, 2)
        return !asFlag(isHost) ? AGAIN : target === null ? undefined : asText(target)
      }),
      Effect.catchTag("NoAnswer", () => again)
    )
  }

  #homeAsked(body: unknown): Effect.Effect<unknown> {
    const [sworm, name, type, caller] = asTexts(body)
    const hosted = this.#core.parts.processes.hosted(sworm!)
    if (hosted === undefined || this.#core.fence.isWaiting(hosted)) return Effect.succeed([false, null])
    return Effect.succeed([true, this.#core.placing.target(hosted, name!, type!, caller!)?.id ?? null])
  }

  /** Why it can be started nowhere now. */
  whyNowhere(sworm: string, type: string | undefined): string {
    const hosts = this.#core.placing.hosts(sworm).length
    const quorum = this.#core.parts.processes.hosted(sworm)?.placement.quorum ?? 0
    if (hosts === 0) return `no node hosts "${sworm}" now`
    const hosted = this.#core.parts.processes.hosted(sworm)
    if (hosted !== undefined && hosts >= quorum && !this.#core.placing.hasQuorum(hosted)) {
      return `this side of the cluster may not run "${sworm}": too few of its nodes have answered lately`
    }
    if (hosts < quorum) return `${hosts} nodes host "${sworm}", its quorum is ${quorum}`
    if (type !== undefined && this.#core.placing.hosts(sworm, type).length === 0) {
      return `none of the ${hosts} nodes that host "${sworm}" has the process type "${type}"`
    }
    return `placement picks none of the ${hosts} nodes that host it`
  }
}
