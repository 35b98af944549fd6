/**
 * This node's stay in the cluster, from the lease that it is granted to the lease's end; then the next one. While it
 * lasts its lease is renewed, its member's key is there, the watch tells what others do, and what it writes is written.
 */
import { Cause, Deferred, Effect, Latch, Stream } from "effect"
import type { SectionId } from "../../../src/protocol/ids.ts"
import { warn } from "../../../src/runtime/log.ts"
import { backOffMs } from "../endpoints.ts"
import type { EtcdClient } from "../client.ts"
import type { EtcdError } from "../EtcdError.ts"
import type { Commits, Standing } from "./Commits.ts"
import { encodeMember, type Layout } from "./layout.ts"
import type { Members } from "./Members.ts"
import type { Mirror } from "./mirror.ts"
import type { Names } from "./Names.ts"
import type { Sections } from "./Sections.ts"
import type { Tenure } from "./Tenure.ts"

export interface StayParts {
  readonly client: EtcdClient
  readonly layout: Layout
  readonly mirror: Mirror
  readonly commits: Commits
  readonly sections: Sections
  readonly names: Names
  readonly members: Members
  readonly tenure: Tenure
  readonly self: SectionId
  readonly ttlSeconds: number
  readonly onTrouble: (error: EtcdError) => void
  /** This node may go on, or may not any more. */
  readonly onChange: () => void
  readonly onCaughtUp: () => void
}

/** So much of the lease's time passes between two renewals. */
const RENEW_SHARE = 0.25
const LEAVE_MS = 1000

export class Stay {
  readonly #parts: StayParts
  #lease: string | undefined
  #standing: Standing | undefined
  #lost = Deferred.makeUnsafe<void>()
  readonly #news = Latch.makeUnsafe(false)
  #hasLeft = false

  constructor(parts: StayParts) {
    this.#parts = parts
  }

  /** While nothing may be written it is `undefined`. */
  get standing(): Standing | undefined {
    return this.#parts.tenure.holds() ? this.#standing : undefined
  }

  /** Its member's key, or its lease, is not there any more. */
  lose(): void {
    this.#parts.tenure.end()
    Deferred.doneUnsafe(this.#lost, Effect.void)
  }

  /** This node says something new of itself. */
  announce(): void {
    this.#news.openUnsafe()
    if (this.#parts.members.self().status === "left") this.lose()
  }

  /** One stay after the other, until the node leaves. */
  readonly drive: Effect.Effect<void> = Effect.suspend(() => {
    const next = (times: number): Effect.Effect<void> =>
      Effect.suspend(() => {
        if (this.#hasLeft || this.#parts.members.self().status === "left") return Effect.void
        const again = Effect.andThen(Effect.flatMap(backOffMs(times), Effect.sleep), next(times + 1))
        return Effect.matchCauseEffect(this.#once, {
          // the stay before may have been a long one
          onSuccess: () => Effect.andThen(Effect.flatMap(backOffMs(0), Effect.sleep), next(0)),
          onFailure: (cause) => {
            const failure = cause.reasons.find(Cause.isFailReason)
            if (failure !== undefined) this.#parts.onTrouble(failure.error)
            if (Cause.hasInterruptsOnly(cause)) return Effect.interrupt
            return failure === undefined ? Effect.andThen(warn("A stay in etcd ended badly", cause), again) : again
          }
        })
      })
    return next(0)
  })

  readonly #once: Effect.Effect<void, EtcdError> = Effect.suspend(() => {
    const {
      client,
      commits,
      layout,
      members,
      mirror,
      names,
      onCaughtUp,
      onChange,
      sections,
      self,
      tenure,
      ttlSeconds
    } = this.#parts
    const member = layout.member(self)
    return Effect.gen({ self: this }, function* () {
      this.#lost = Deferred.makeUnsafe<void>()
      // the lease before may still be there: what it holds would end with it
      if (this.#lease !== undefined) yield* Effect.ignore(client.revoke(this.#lease))
      this.#lease = undefined
      const asked = tenure.now()
      const lease = yield* client.grant(ttlSeconds)
      this.#lease = lease.id
      // what an earlier stay left there: it ends with that one's lease, which may not be the present one
      yield* client.txn({ then: [{ deleteRange: { key: member } }] })
      const put = yield* client.txn({
        when: [{ key: member, createRevision: 0 }],
        then: [{ put: member, value: encodeMember(members.self()), options: { lease: lease.id } }]
      })
      if (!put.succeeded) return
      this.#standing = { revision: put.revision }
      commits.clear()
      mirror.reset(yield* client.range(layout.watched))
      members.informed()
      sections.restate()
      tenure.renewed(asked, Math.min(lease.ttlSeconds, ttlSeconds))
      if (!tenure.holds()) return
      sections.synced = true
      if (!members.self().synced) members.announce({ synced: true })
      onCaughtUp()
      onChange()
      yield* Effect.raceAllFirst([
        this.#renew(lease.id),
        this.#watch,
        commits.drive,
        this.#tellNews(lease.id),
        tenure.over,
        Deferred.await(this.#lost)
      ])
    }).pipe(Effect.ensuring(Effect.sync(() => {
      tenure.end()
      this.#standing = undefined
      sections.synced = false
      sections.lapse()
      names.forgetAll()
      onChange()
    })))
  })

  /** A renewal that fails is tried again at once: until the lease's time is over there is time. */
  #renew(lease: string): Effect.Effect<never, EtcdError> {
    const { client, onTrouble, tenure, ttlSeconds } = this.#parts
    const renewal = Effect.suspend(() => {
      const asked = tenure.now()
      return Effect.matchEffect(client.keepAlive(lease), {
        onSuccess: (kept) => {
          tenure.renewed(asked, Math.min(kept.ttlSeconds, ttlSeconds))
          return Effect.void
        },
        onFailure: (error) => {
          if (error.reason === "LeaseNotFound") return Effect.fail(error)
          onTrouble(error)
          return Effect.flatMap(backOffMs(1), Effect.sleep)
        }
      })
    })
    return Effect.forever(Effect.andThen(Effect.sleep(ttlSeconds * 1000 * RENEW_SHARE), renewal))
  }

  /** What others do, as it happens. Where events were lost, all is read again. */
  readonly #watch: Effect.Effect<never> = Effect.suspend(() => {
    const { client, layout, mirror, onTrouble } = this.#parts
    const keys = layout.watched
    const follow = (from: number): Effect.Effect<void, EtcdError> =>
      Stream.runForEach(client.watch(keys, { from }), (batch) => Effect.sync(() => mirror.apply(batch)))
    const again = (times: number): Effect.Effect<never> =>
      Effect.flatMap(backOffMs(times), Effect.sleep).pipe(
        Effect.andThen(client.range(keys)),
        Effect.flatMap((all) => {
          mirror.reset(all)
          return follow(mirror.listed + 1)
        }),
        Effect.matchEffect({
          onSuccess: () => again(0),
          onFailure: (error) => {
            onTrouble(error)
            return again(times + 1)
          }
        })
      )
    return Effect.matchEffect(follow(mirror.listed + 1), {
      onSuccess: () => again(0),
      onFailure: (error) => {
        onTrouble(error)
        return again(0)
      }
    })
  })

  /** Under the same lease; the key stays the same. */
  #tellNews(lease: string): Effect.Effect<never> {
    const { commits, layout, members, self } = this.#parts
    const tell = Effect.suspend(() => {
      this.#news.closeUnsafe()
      const done = Deferred.makeUnsafe<void>()
      commits.add({
        wishes: [],
        writes: [{ put: layout.member(self), value: encodeMember(members.self()), options: { lease } }],
        onDone: () => Deferred.doneUnsafe(done, Effect.void),
        onRefused: () => Deferred.doneUnsafe(done, Effect.void)
      })
      return Deferred.await(done)
    })
    return Effect.forever(Effect.andThen(this.#news.await, tell))
  }

  /** Says goodbye: what this node had is free at once. */
  readonly leave: Effect.Effect<void> = Effect.suspend(() => {
    this.#hasLeft = true
    const lease = this.#lease
    this.#lease = undefined
    this.lose()
    if (lease === undefined) return Effect.void
    const { client, layout, members, self } = this.#parts
    // others tell by it that it has left, and was not lost
    const value = encodeMember({ ...members.self(), status: "leaving" })
    const told = client.put(layout.member(self), value, { lease })
    return Effect.ignore(Effect.timeout(Effect.andThen(told, client.revoke(lease)), LEAVE_MS))
  })
}
