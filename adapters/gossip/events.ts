/** Events out of synchronous code. */
import { Effect, PubSub } from "effect"

/** Publishes to a sliding hub: a subscriber that is too slow misses the oldest events, and never holds anything up. */
export const publish = <A>(hub: PubSub.PubSub<A>, event: A): void => {
  if (!PubSub.publishUnsafe(hub, event)) Effect.runFork(PubSub.publish(hub, event))
}
