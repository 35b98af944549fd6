/**
 * Who is asked, and who is answered, first hears what the other knew: a message goes from node to node while news of the
 * store is under way.
 */
import { Effect } from "effect"
import { asArray, asCount } from "../../../src/protocol/reading.ts"
import type { Requests } from "../../gossip/requests.ts"
import type { Mirror } from "./mirror.ts"

/** News that takes longer isn't waited for: what is decided goes by etcd in any case. */
const WAIT_MS = 2000

export const causal = (requests: Requests, mirror: Mirror): Requests => {
  const known = (revision: unknown): Effect.Effect<void> => {
    const asked = asCount(revision)
    if (mirror.applied >= asked) return Effect.void
    return Effect.timeoutOrElse(mirror.reached(asked), { duration: WAIT_MS, orElse: () => Effect.void })
  }
  return {
    ask: (node, method, body, timeoutMs) =>
      Effect.flatMap(Effect.suspend(() => requests.ask(node, method, [mirror.known, body], timeoutMs)), (reply) => {
        const [revision, answer] = asArray(reply, 2)
        return Effect.as(known(revision), answer)
      }),
    answer: (method, answer) =>
      requests.answer(method, (from, body) => {
        const [revision, asked] = asArray(body, 2)
        return Effect.andThen(
          known(revision),
          Effect.map(Effect.suspend(() => answer(from, asked)), (reply) => [mirror.known, reply])
        )
      })
  }
}
