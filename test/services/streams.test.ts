// Streamed answers: every element once and in order whatever the network does, and no more of them under way than the
// reader can take.
import { assert, describe, it } from "@effect/vitest"
import { type Cause, Effect, Exit, Fiber, Queue, Schema, Semaphore, Stream } from "effect"
import { seededRandom } from "../../src/protocol/random.ts"
import { CALL_ERROR, CANCEL, CHUNK, END, FAILURE, MORE, SUCCESS } from "../../src/runtime/callFrames.ts"
import { type Message, plainCodec } from "../../src/runtime/Hosted.ts"
import { InboundStreams, OutboundStreams } from "../../src/runtime/streams.ts"
import { CallError } from "../../src/SwormError.ts"

type Frame = ReadonlyArray<unknown>

/** Chunks under way or waiting for the reader, at most. */
const WINDOW = 16
const RESEND_MS = 500
const CALLER = "1/caller"
const HOLDER = "holder"

const messageOf = (success: Schema.Top): Message => ({
  type: "T",
  tag: "Count",
  make: (input) => input,
  payload: plainCodec(Schema.Void),
  success: plainCodec(success),
  error: plainCodec(Schema.String),
  isStream: true
})
const message = messageOf(Schema.Int)

interface Faults {
  readonly seed?: number
  /** Of all frames. */
  readonly lost?: number
  readonly doubled?: number
  /** How many places a frame may be overtaken by. */
  readonly overtaken?: number
}

/** Both sides, and the network between them: frames wait there until they are let through. */
const setup = ({ doubled = 0, lost = 0, overtaken = 0, seed = 1 }: Faults = {}) => {
  const random = seededRandom(seed)
  const waiting: Array<readonly [to: "holder" | "caller", frame: Frame]> = []
  const delivered: Array<readonly [to: "holder" | "caller", frame: Frame]> = []
  const clock = { nowMs: 0 }
  const send = (to: "holder" | "caller") => (address: string, frame: Frame): void => {
    assert.strictEqual(address, to === "holder" ? HOLDER : CALLER)
    if (random() >= lost) waiting.push([to, frame])
    if (random() < doubled) waiting.push([to, frame])
  }
  const outbound = new OutboundStreams(send("caller"), () => clock.nowMs, 1 << 20)
  const inbound = new InboundStreams(send("holder"))

  const take = (to: "holder" | "caller", [kind, seq, index, ...rest]: Frame): void => {
    const [number, at] = [seq as number, index as number]
    if (to === "caller" && kind === CHUNK) return inbound.chunk(HOLDER, number, at, rest[0] as Frame)
    if (to === "caller" && kind === END) {
      return inbound.end(HOLDER, number, at, (name) => {
        if (rest[0] === SUCCESS) return Exit.void
        return Exit.fail(rest[0] === FAILURE ? rest[1] : new CallError({ name, reason: "Stopped", detail: "" }))
      })
    }
    if (to === "holder" && kind === CANCEL) return outbound.cancel(CALLER, number)
    assert.deepStrictEqual([to, kind], ["holder", MORE])
    // as a receiver answers for a stream that it doesn't have
    if (!outbound.more(CALLER, number, at, rest[0] as number)) {
      send("caller")(CALLER, [END, number, at, CALL_ERROR, ["Stopped", ""]])
    }
  }
  const deliver = (): void => {
    const at = Math.min(waiting.length - 1, Math.floor(random() * (overtaken + 1)))
    const [next] = waiting.splice(at, 1)
    delivered.push(next!)
    take(...next!)
  }
  /** Lets everything through, what comes of it too; fails if that never ends. */
  const settle = (): void => {
    for (let i = 0; waiting.length > 0; i++) {
      assert.isBelow(i, 10_000, "they answer each other for ever")
      deliver()
    }
  }
  /** Time passes and all is quiet, so what is without an answer is sent again. */
  const pass = (): void => {
    clock.nowMs += RESEND_MS
    outbound.resend()
  }
  /** At its holder; the caller has noted it. */
  const run = (seq: number, stream: Stream.Stream<unknown, unknown>, of: Message = message): void => {
    inbound.open(seq, "p", of)
    outbound.start(CALLER, seq, of, stream, (exit) => {
      if (Exit.isSuccess(exit)) return [SUCCESS, null]
      const reason = exit.cause.reasons[0]
      return reason?._tag === "Fail" && typeof reason.error === "string" ? [FAILURE, reason.error] : [CALL_ERROR, null]
    })
  }
  const close = (seq: number): void => inbound.close(seq, (holder) => send("holder")(holder, [CANCEL, seq]))
  const read = <A>(seq: number, of: (items: Stream.Stream<unknown, unknown>) => Stream.Stream<A, unknown>) =>
    Effect.runFork(Stream.runCollect(of(inbound.read(seq))).pipe(Effect.ensuring(Effect.sync(() => close(seq)))))
  const start = (seq: number, stream: Stream.Stream<unknown, unknown>, of?: Message) => {
    run(seq, stream, of)
    return read(seq, (items) => items)
  }
  /** Runs network and time until it is so. */
  const until = (isSo: () => boolean): Effect.Effect<void> =>
    Effect.gen(function* () {
      for (let quiet = 0; !isSo();) {
        // fibers of both sides go on meanwhile
        yield* Effect.promise(() => new Promise<void>((resolve) => void setImmediate(resolve)))
        if (waiting.length > 0) deliver()
        else if (++quiet % 5 === 0) pass()
        assert.isBelow(quiet, 100_000, "it never was")
      }
    })
  const outcome = <A>(fiber: Fiber.Fiber<A, unknown>): Effect.Effect<Exit.Exit<A, unknown>> =>
    Effect.andThen(until(() => fiber.pollUnsafe() !== undefined), Fiber.await(fiber))
  return { clock, delivered, inbound, outbound, outcome, pass, read, run, settle, start, until, waiting }
}

const failureOf = (exit: Exit.Exit<unknown, unknown>): unknown =>
  Exit.isFailure(exit) && exit.cause.reasons[0]?._tag === "Fail" ? exit.cause.reasons[0].error : exit

const range = (count: number): Array<number> => Array.from({ length: count }, (_, i) => i)
/** In chunks of so many. */
const numbers = (count: number, chunk: number): Stream.Stream<number> =>
  Stream.rechunk(Stream.fromIterable(range(count)), chunk)

describe("streams between nodes", () => {
  const networks: ReadonlyArray<readonly [string, Faults]> = [
    ["a network that works", {}],
    ["one that loses a few", { lost: 0.05 }],
    ["one that loses half", { lost: 0.5 }],
    ["one that lets frames overtake", { overtaken: 6 }],
    ["one that doubles", { doubled: 0.3 }],
    ["one that does all of it", { lost: 0.2, doubled: 0.2, overtaken: 6 }]
  ]
  for (const [what, faults] of networks) {
    it.live.each([1, 2, 3, 4, 5, 6, 7, 8])(
      `${what}: every element once and in order (seed %i)`,
      (seed) =>
        Effect.gen(function* () {
          const { inbound, outbound, outcome, start, until } = setup({ ...faults, seed })
          const [count, chunk] = [40 * seed, 1 + seed % 3]
          const exit = yield* outcome(start(seed, numbers(count, chunk)))
          assert.deepStrictEqual(exit, Exit.succeed(range(count)))
          yield* until(() => outbound.size === 0)
          assert.strictEqual(inbound.size, 0)
        })
    )

    it.live.each([1, 2, 3, 4])(
      `${what}: an error comes after all that came before it (seed %i)`,
      (seed) =>
        Effect.gen(function* () {
          const { inbound, outbound, outcome, read, run, until } = setup({ ...faults, seed })
          run(1, Stream.concat(numbers(30, 2), Stream.fail("the end")))
          const seen: Array<unknown> = []
          const reader = read(1, (items) => Stream.tap(items, (item) => Effect.sync(() => seen.push(item))))
          assert.strictEqual(failureOf(yield* outcome(reader)), "the end")
          assert.deepStrictEqual(seen, range(30))
          yield* until(() => outbound.size === 0)
          assert.strictEqual(inbound.size, 0)
        })
    )

    it.live.each([1, 2, 3, 4])(
      `${what}: many at once, none sees another's elements (seed %i)`,
      (seed) =>
        Effect.gen(function* () {
          const { outbound, outcome, start, until } = setup({ ...faults, seed })
          const readers = range(6).map((n) => start(n + 1, Stream.map(numbers(25, 1 + n), (item) => 1000 * n + item)))
          for (const [n, reader] of readers.entries()) {
            assert.deepStrictEqual(yield* outcome(reader), Exit.succeed(range(25).map((item) => 1000 * n + item)))
          }
          yield* until(() => outbound.size === 0)
        })
    )

    it.live.each([1, 2, 3, 4])(
      `${what}: one that is read no further is stopped at its holder (seed %i)`,
      (seed) =>
        Effect.gen(function* () {
          const { inbound, outbound, outcome, read, run, until } = setup({ ...faults, seed })
          let isEnded = false
          run(1, Stream.ensuring(Stream.forever(numbers(5, 5)), Effect.sync(() => void (isEnded = true))))
          assert.deepStrictEqual(yield* outcome(read(1, Stream.take(7))), Exit.succeed([0, 1, 2, 3, 4, 0, 1]))
          yield* until(() => isEnded && outbound.size === 0)
          assert.strictEqual(inbound.size, 0)
        })
    )
  }

  it.live("no elements at all: it ends, or fails", () =>
    Effect.gen(function* () {
      const { outbound, outcome, start, until } = setup()
      assert.deepStrictEqual(yield* outcome(start(1, Stream.empty)), Exit.succeed([]))
      assert.strictEqual(failureOf(yield* outcome(start(2, Stream.fail("no")))), "no")
      yield* until(() => outbound.size === 0)
    }))

  it.live("elements that come one by one, later, are read as they come", () =>
    Effect.gen(function* () {
      const { outbound, outcome, read, run, until } = setup()
      const queue = yield* Queue.unbounded<number, Cause.Done>()
      run(1, Stream.fromQueue(queue))
      const seen: Array<unknown> = []
      const reader = read(1, (items) => Stream.tap(items, (item) => Effect.sync(() => seen.push(item))))
      for (const item of range(20)) {
        yield* Queue.offer(queue, item)
        yield* until(() => seen.length === item + 1)
      }
      yield* Queue.end(queue)
      assert.deepStrictEqual(yield* outcome(reader), Exit.succeed(range(20)))
      yield* until(() => outbound.size === 0)
    }))
})

describe("the window", () => {
  it.live("a reader that doesn't read holds the stream up; each chunk it takes lets one more through", () =>
    Effect.gen(function* () {
      const { delivered, inbound, outbound, outcome, read, run, until } = setup()
      let made = 0
      const gate = yield* Semaphore.make(0)
      run(1, Stream.tap(Stream.rechunk(Stream.range(1, 100), 1), () => Effect.sync(() => made++)))
      const chunks = (): number => delivered.filter(([, [kind]]) => kind === CHUNK).length
      yield* until(() => chunks() === WINDOW)
      // many rounds of everything change nothing
      let rounds = 0
      yield* until(() => ++rounds > 50)
      assert.strictEqual(chunks(), WINDOW)
      assert.isAtMost(made, WINDOW + 2)
      const reader = read(1, (items) => Stream.tap(items, () => gate.take(1)))
      for (let taken = 1; taken <= 30; taken++) {
        yield* gate.release(1)
        yield* until(() => chunks() >= WINDOW + taken)
        assert.isAtMost(chunks(), WINDOW + taken + 1)
        assert.isAtMost(made, WINDOW + taken + 3)
      }
      yield* gate.release(1000)
      assert.deepStrictEqual(yield* outcome(reader), Exit.succeed(range(101).slice(1)))
      yield* until(() => outbound.size === 0)
      assert.strictEqual(inbound.size, 0)
    }))

  it.live("a slow reader on a bad network: never more under way or waiting than that", () =>
    Effect.gen(function* () {
      const { inbound, outcome, read, run, until, waiting } = setup({ doubled: 0.2, lost: 0.2, overtaken: 5, seed: 11 })
      let [made, taken] = [0, 0]
      run(1, Stream.tap(Stream.rechunk(Stream.range(0, 119), 1), () => Effect.sync(() => made++)))
      const reader = read(1, (items) =>
        Stream.tap(items, () =>
          Effect.gen(function* () {
            taken++
            assert.isAtMost(made - taken, WINDOW + 3)
            for (let i = 0; i < 5; i++) yield* Effect.yieldNow
          })))
      assert.deepStrictEqual(yield* outcome(reader), Exit.succeed(range(120)))
      yield* until(() => waiting.length === 0)
      assert.strictEqual(inbound.size, 0)
    }))

  it.live("elements are packed into chunks by weight: a large one goes by itself, none is split or lost", () =>
    Effect.gen(function* () {
      const { delivered, outcome, start } = setup()
      const texts = range(60).map((n) => String.fromCharCode(97 + n % 26).repeat(n % 7 === 0 ? 50_000 : 3000))
      const reader = start(1, Stream.fromIterable(texts), messageOf(Schema.String))
      assert.deepStrictEqual(yield* outcome(reader), Exit.succeed(texts))
      const chunks = delivered.flatMap(([, [kind, , , items]]) =>
        kind === CHUNK ? [items as ReadonlyArray<string>] : []
      )
      for (const items of chunks) {
        const size = items.reduce((sum, { length }) => sum + length, 0)
        assert.isTrue(items.length === 1 || size <= 32 * 1024, `${items.length} of ${size}`)
      }
      assert.isBelow(chunks.length, 40)
    }))
})

describe("ends", () => {
  it.live("an element that its schema refuses ends the stream; so does one that cannot be read", () =>
    Effect.gen(function* () {
      const { outbound, outcome, read, run, until } = setup()
      run(1, Stream.rechunk(Stream.fromIterable<unknown>([1, 2, "no number", 4]), 2))
      const seen: Array<unknown> = []
      const reader = read(1, (items) => Stream.tap(items, (item) => Effect.sync(() => seen.push(item))))
      assert.instanceOf(failureOf(yield* outcome(reader)), CallError)
      assert.deepStrictEqual(seen, [1, 2])
      yield* until(() => outbound.size === 0)
      // what comes over the wire may be of another schema
      const { inbound, read: readHere, waiting } = setup()
      inbound.open(1, "p", message)
      const here = readHere(1, (items) => items)
      inbound.chunk(HOLDER, 1, 0, ["no number"])
      const error = failureOf(yield* Fiber.await(here))
      assert.strictEqual(error instanceof CallError && error.reason, "Encoding")
      assert.deepInclude(waiting, ["holder", [CANCEL, 1]], "and is stopped")
    }))

  it.live("a holder that is gone: what has come is read, then the error; others' streams go on", () =>
    Effect.gen(function* () {
      const { inbound, outcome, read, run, settle } = setup()
      for (const seq of [1, 2]) run(seq, Stream.concat(numbers(3, 1), Stream.never))
      const seen: Array<unknown> = []
      const lost = read(1, (items) => Stream.tap(items, (item) => Effect.sync(() => seen.push(item))))
      const kept = read(2, Stream.take(3))
      assert.deepStrictEqual(yield* outcome(kept), Exit.succeed([0, 1, 2]))
      settle()
      const gone = new CallError({ name: "", reason: "OutcomeUnknown", detail: "lost" })
      inbound.fail(gone, (_, holder) => holder === "another")
      assert.isUndefined(lost.pollUnsafe())
      inbound.fail(gone, (_, holder) => holder === HOLDER)
      assert.strictEqual(failureOf(yield* outcome(lost)), gone)
      assert.deepStrictEqual(seen, [0, 1, 2])
      assert.strictEqual(inbound.size, 0)
    }))

  it.live("a failure doesn't take the place of an end that was there before", () =>
    Effect.gen(function* () {
      const { inbound, outcome, read, run, settle, until, waiting } = setup()
      run(1, numbers(3, 1))
      yield* until(() => waiting.some(([, [kind]]) => kind === END))
      settle()
      inbound.fail(new CallError({ name: "", reason: "OutcomeUnknown", detail: "" }), () => true)
      assert.deepStrictEqual(yield* outcome(read(1, (items) => items)), Exit.succeed([0, 1, 2]))
    }))

  it.live("a caller that is gone: its streams stop at the holder, others go on", () =>
    Effect.gen(function* () {
      const { outbound, until } = setup()
      const stopped: Array<string> = []
      for (const caller of [CALLER, CALLER, "2/other"]) {
        const seq = outbound.size + 1
        const stream = Stream.ensuring(Stream.never, Effect.sync(() => void stopped.push(`${caller}:${seq}`)))
        outbound.start(caller, seq, message, stream, () => [SUCCESS, null])
      }
      yield* until(() => outbound.size === 3)
      outbound.lose((caller) => caller === CALLER)
      assert.strictEqual(outbound.size, 1)
      yield* until(() => stopped.length === 2)
      assert.deepStrictEqual(stopped, [`${CALLER}:1`, `${CALLER}:2`])
      outbound.lose(() => true)
      yield* until(() => stopped.length === 3)
    }))

  it.live("cancelling twice, or what isn't there, does nothing; nothing is sent of what was cancelled", () =>
    Effect.gen(function* () {
      const { clock, outbound, pass, until, waiting } = setup()
      outbound.start(CALLER, 1, message, Stream.concat(numbers(3, 1), Stream.never), () => [SUCCESS, null])
      yield* until(() => waiting.length > 0)
      for (const seq of [1, 1, 7]) outbound.cancel(CALLER, seq)
      outbound.cancel("2/other", 1)
      assert.strictEqual(outbound.size, 0)
      waiting.length = 0
      for (let i = 0; i < 5; i++) pass()
      assert.isAtLeast(clock.nowMs, RESEND_MS)
      let rounds = 0
      yield* until(() => ++rounds > 20)
      assert.deepStrictEqual(waiting, [])
    }))

  it("two that know nothing don't answer each other for ever", () => {
    const { inbound, outbound, settle, waiting } = setup()
    inbound.chunk(HOLDER, 1, 0, [1])
    inbound.end(HOLDER, 2, 5, () => Exit.void)
    settle()
    assert.isFalse(outbound.more(CALLER, 3, 4, 2))
    waiting.push(["holder", [MORE, 4, 3, 1]], ["holder", [CANCEL, 5]])
    settle()
    assert.deepStrictEqual([inbound.size, outbound.size], [0, 0])
  })

  it.live("a stream that its holder has forgotten ends with an error", () =>
    Effect.gen(function* () {
      const { inbound, outcome, read } = setup()
      inbound.open(1, "p", message)
      const reader = read(1, (items) => items)
      inbound.chunk(HOLDER, 1, 0, [0])
      const error = failureOf(yield* outcome(reader))
      assert.strictEqual(error instanceof CallError && error.reason, "Stopped")
    }))

  it.live("sends again only after a while without a word, and only what wasn't confirmed", () =>
    Effect.gen(function* () {
      const { clock, outbound, until, waiting } = setup()
      outbound.start(CALLER, 1, message, numbers(4, 1), () => [SUCCESS, null])
      yield* Effect.promise(() => new Promise<void>((resolve) => void setImmediate(resolve)))
      const sent = (): Array<unknown> => waiting.splice(0).map(([, [kind, , index]]) => [kind, index])
      const all = [[CHUNK, 0], [CHUNK, 1], [CHUNK, 2], [CHUNK, 3], [END, 4]]
      assert.deepStrictEqual(sent(), all)
      clock.nowMs = RESEND_MS - 1
      outbound.resend()
      assert.deepStrictEqual(sent(), [])
      clock.nowMs = RESEND_MS
      outbound.resend()
      assert.deepStrictEqual(sent(), all)
      clock.nowMs += 200
      assert.isTrue(outbound.more(CALLER, 1, 3, 0))
      clock.nowMs += RESEND_MS - 1
      outbound.resend()
      assert.deepStrictEqual(sent(), [])
      clock.nowMs += 1
      outbound.resend()
      assert.deepStrictEqual(sent(), [[CHUNK, 3], [END, 4]])
      // an older word, come late, takes nothing back
      assert.isTrue(outbound.more(CALLER, 1, 1, 0))
      clock.nowMs += RESEND_MS
      outbound.resend()
      assert.deepStrictEqual(sent(), [[CHUNK, 3], [END, 4]])
      assert.isTrue(outbound.more(CALLER, 1, 5, 0))
      assert.isFalse(outbound.more(CALLER, 1, 5, 0))
      yield* until(() => outbound.size === 0)
    }))
})
