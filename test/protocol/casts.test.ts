// H22: casts of one sender keep their order and come at most once, however they arrive and wherever the process goes.
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { CastLog, type CastNumber, CastNumbers, GAP_MS } from "../../src/protocol/casts.ts"
import { int, list } from "./support.ts"

const sender = "7/a"
const MINUTE_MS = 60_000

/** One of a series, as it is sent to a process that lives on. */
const numbered = (number: number, series = 1, first = 1): CastNumber => ({ series, number, first })

/** What a log hands over when this arrives, all that follows from it included. */
const arrives = <A>(log: CastLog<A>, cast: CastNumber, item: A, nowMs = 0, from = sender): Array<A> => {
  const handed: Array<A> = []
  for (let one = log.receive(from, cast, item, nowMs); one !== undefined; one = log.next(nowMs, from)) handed.push(one)
  return handed
}

const adopts = <A>(log: CastLog<A>, cast: CastNumber, item: A, nowMs = 0): Array<A> => {
  const handed: Array<A> = []
  for (let one = log.adopt(sender, cast, item, nowMs); one !== undefined; one = log.next(nowMs, sender)) {
    handed.push(one)
  }
  return handed
}

/** What waits no longer at a time. */
const due = <A>(log: CastLog<A>, nowMs: number): Array<A> => {
  const handed: Array<A> = []
  for (let one = log.next(nowMs); one !== undefined; one = log.next(nowMs)) handed.push(one)
  return handed
}

/** A log that has come so far with a sender. */
const logAt = (last: number, series = 1): CastLog<number> => {
  const log = new CastLog<number>()
  log.absorb([{ sender, series, last }], true, 0)
  return log
}

describe("CastNumbers", () => {
  it("counts each name of each sworm by itself, from 1", () => {
    const numbers = new CastNumbers()
    const one = numbers.next("s", "one", 0)
    assert.deepStrictEqual(one, { series: 1, number: 1, first: 1 })
    assert.deepStrictEqual(numbers.next("s", "one", 0), { ...one, number: 2 })
    assert.deepStrictEqual(numbers.next("s", "two", 0), { series: 2, number: 1, first: 1 })
    assert.deepStrictEqual(numbers.next("t", "one", 0), { series: 3, number: 1, first: 1 })
    assert.strictEqual(numbers.size, 3)
  })

  it("gives a number again that did not leave", () => {
    const numbers = new CastNumbers()
    numbers.next("s", "one", 0)
    numbers.next("s", "one", 0)
    numbers.takeBack("s", "one")
    assert.strictEqual(numbers.next("s", "one", 0).number, 2)
    numbers.takeBack("s", "nobody")
  })

  it("numbers what stays on its node only while something may be under way", () => {
    const numbers = new CastNumbers()
    assert.isUndefined(numbers.nextHere("s", "one", 0))
    numbers.next("s", "one", 0)
    assert.strictEqual(numbers.nextHere("s", "one", MINUTE_MS - 1)?.number, 2)
    // what stays is not under way: it does not prolong that
    assert.isUndefined(numbers.nextHere("s", "one", MINUTE_MS))
  })

  it("begins a new series after a minute without any", () => {
    const numbers = new CastNumbers()
    const one = numbers.next("s", "one", 0)
    assert.strictEqual(numbers.next("s", "one", MINUTE_MS - 1).series, one.series)
    const other = numbers.next("s", "one", 2 * MINUTE_MS)
    assert.isAbove(other.series, one.series)
    assert.deepStrictEqual([other.number, other.first], [1, 1])
    assert.strictEqual(numbers.size, 1)
  })

  it("forgets names that nothing is under way to, and no others", () => {
    const numbers = new CastNumbers()
    numbers.next("s", "one", 0)
    numbers.next("s", "two", 1)
    numbers.expire(MINUTE_MS)
    assert.strictEqual(numbers.size, 1)
    assert.strictEqual(numbers.next("s", "two", MINUTE_MS).number, 2)
    numbers.expire(3 * MINUTE_MS)
    assert.strictEqual(numbers.size, 0)
  })

  it("says with which number it began to cast to the process in its present life", () => {
    const numbers = new CastNumbers()
    assert.strictEqual(numbers.next("s", "one", 0, 100).first, 1)
    assert.strictEqual(numbers.next("s", "one", 0, 100).first, 1)
    assert.strictEqual(numbers.next("s", "one", 0, 200).first, 3)
    assert.strictEqual(numbers.next("s", "one", 0).first, 3)
    assert.strictEqual(numbers.next("s", "one", 0, 200).first, 3)
  })

  it("does not take the first life that it learns of for a new one", () => {
    const numbers = new CastNumbers()
    numbers.next("s", "one", 0)
    assert.strictEqual(numbers.next("s", "one", 0, 100).first, 1)
  })

  it("has a bound: the name that began first begins again", () => {
    const numbers = new CastNumbers()
    for (let i = 0; i <= 100_000; i++) numbers.next("s", String(i), 0)
    assert.strictEqual(numbers.size, 100_000)
    assert.isUndefined(numbers.nextHere("s", "0", 0))
    assert.strictEqual(numbers.next("s", "1", 0).number, 2)
  })
})

describe("CastLog", () => {
  it("[H22] hands over in order, and what came too early when its turn has come", () => {
    const log = new CastLog<number>()
    assert.deepStrictEqual(arrives(log, numbered(1), 1), [1])
    assert.deepStrictEqual(arrives(log, numbered(4), 4), [])
    assert.deepStrictEqual(arrives(log, numbered(3), 3), [])
    assert.strictEqual(log.dueMs, GAP_MS)
    assert.deepStrictEqual(arrives(log, numbered(2), 2), [2, 3, 4])
    assert.strictEqual(log.dueMs, Infinity)
    assert.strictEqual(log.takeLost(), 0)
  })

  it("[H22] drops what comes again, waiting or handed over", () => {
    const log = new CastLog<string>()
    assert.deepStrictEqual(arrives(log, numbered(1), "1"), ["1"])
    assert.deepStrictEqual(arrives(log, numbered(1), "1 again"), [])
    assert.deepStrictEqual(arrives(log, numbered(3), "3"), [])
    assert.deepStrictEqual(arrives(log, numbered(3), "3 again"), [])
    assert.deepStrictEqual(arrives(log, numbered(2), "2"), ["2", "3"])
    assert.deepStrictEqual(arrives(log, numbered(3), "3 again"), [])
  })

  it("[H22] waits for what is missing so long, and no longer; then it is lost, and comes too late", () => {
    const log = logAt(1)
    arrives(log, numbered(4), 4, 10)
    arrives(log, numbered(7), 7, 20)
    assert.deepStrictEqual(due(log, 9 + GAP_MS), [])
    assert.deepStrictEqual(due(log, 10 + GAP_MS), [4])
    assert.strictEqual(log.takeLost(), 2)
    assert.strictEqual(log.dueMs, 20 + GAP_MS)
    assert.deepStrictEqual(due(log, 20 + GAP_MS), [7])
    assert.strictEqual(log.takeLost(), 2)
    assert.deepStrictEqual(arrives(log, numbered(5), 5, 600), [])
    assert.deepStrictEqual(arrives(log, numbered(8), 8, 600), [8])
    assert.strictEqual(log.takeLost(), 0)
  })

  it("keeps senders apart, two runs of one node included", () => {
    const log = logAt(3)
    assert.deepStrictEqual(arrives(log, numbered(1), 1, 0, "8/a"), [1])
    assert.deepStrictEqual(arrives(log, numbered(1), 1, 0, "7/b"), [1])
    assert.deepStrictEqual(arrives(log, numbered(4), 4), [4])
    assert.strictEqual(log.size, 3)
  })

  it("[H22] a new series begins with 1, after all that is left of the one before", () => {
    const log = logAt(1, 5)
    arrives(log, numbered(3, 5), 53)
    assert.deepStrictEqual(arrives(log, numbered(1, 8), 81), [53, 81])
    assert.deepStrictEqual(arrives(log, numbered(4, 5), 54), [])
    assert.deepStrictEqual(arrives(log, numbered(3, 8), 83), [])
    assert.deepStrictEqual(arrives(log, numbered(2, 8), 82), [82, 83])
    assert.strictEqual(log.takeLost(), 1)
  })

  it("[H22] its first one may be missing, too", () => {
    const log = logAt(1, 5)
    assert.deepStrictEqual(arrives(log, numbered(2, 8), 82), [])
    assert.deepStrictEqual(due(log, GAP_MS), [82])
    assert.strictEqual(log.takeLost(), 1)
  })

  it("[H22] who knows nothing of a sender begins where that began with the process's present life", () => {
    const log = new CastLog<number>()
    assert.deepStrictEqual(arrives(log, numbered(6, 1, 5), 6), [])
    assert.deepStrictEqual(arrives(log, numbered(5, 1, 5), 5), [5, 6])
  })

  it("[H22] who knows all that was ever handed over begins with 1 for whom it doesn't know", () => {
    const log = new CastLog<number>()
    log.absorb([], true, 0)
    assert.deepStrictEqual(arrives(log, numbered(2, 1, 2), 2), [])
    assert.deepStrictEqual(arrives(log, numbered(1, 1, 1), 1), [1, 2])
  })

  it("hands over what is sent meanwhile after what waits", () => {
    const log = new CastLog<number>()
    arrives(log, numbered(1), 1)
    arrives(log, numbered(3), 3)
    assert.strictEqual(log.receive(sender, numbered(2), 2, 0), 2)
    // as a handler would, of what is sent to its own process
    assert.strictEqual(log.receive(sender, numbered(4), 4, 0), 3)
    assert.deepStrictEqual(due(log, 0), [4])
  })

  it("keeps so many that wait, for all senders together; past that the oldest gap is given up", () => {
    const log = logAt(0)
    for (let i = 0; i < 1024; i++) assert.deepStrictEqual(arrives(log, numbered(2 * i + 2), i), [])
    assert.deepStrictEqual(arrives(log, numbered(1), 1, 0, "7/b"), [1])
    assert.deepStrictEqual(arrives(log, numbered(5000), 5000), [0])
    assert.strictEqual(log.takeLost(), 1)
  })

  it("forgets who has been silent for two minutes, and then itself", () => {
    const log = new CastLog<number>()
    arrives(log, numbered(1), 1, 0)
    arrives(log, numbered(1), 1, MINUTE_MS, "7/b")
    assert.isFalse(log.expire(2 * MINUTE_MS + 1))
    assert.strictEqual(log.size, 1)
    assert.isTrue(log.expire(3 * MINUTE_MS + 1))
  })

  it("forgets nobody whose casts wait", () => {
    const log = logAt(1)
    arrives(log, numbered(3), 3, 0)
    log.expire(10 * MINUTE_MS)
    assert.strictEqual(log.size, 1)
  })

  it("waits anew where what is missing may come with a move", () => {
    const log = logAt(1)
    arrives(log, numbered(3), 3, 0)
    log.hold(400)
    assert.deepStrictEqual(due(log, GAP_MS), [])
    assert.deepStrictEqual(due(log, 400 + GAP_MS), [3])
  })
})

describe("what moves along", () => {
  it("[H22] is what was handled: what waits in the mailbox is still to come", () => {
    const log = logAt(3)
    for (const number of [4, 5, 6]) arrives(log, numbered(number), number)
    arrives(log, numbered(8), 8)
    const waiting = [5, 6].map((number) => [sender, numbered(number)] as const)
    assert.deepStrictEqual(log.progress(waiting), [{ sender, series: 1, last: 4 }])
    assert.deepStrictEqual(log.progress([]), [{ sender, series: 1, last: 6 }])
    assert.deepStrictEqual(log.takeEarly(), [8])
    assert.strictEqual(log.dueMs, Infinity)
  })

  it("[H22] of a series that has begun while one before it waits, nothing was handled", () => {
    const log = logAt(3)
    arrives(log, numbered(1, 2), 21)
    const waiting = [[sender, numbered(3)], [sender, numbered(1, 2)]] as const
    assert.deepStrictEqual(log.progress(waiting), [{ sender, series: 1, last: 2 }])
  })

  it("[H22] what waited in a mailbox comes before what arrived directly, and doesn't wait for what is lost", () => {
    const log = logAt(3)
    assert.deepStrictEqual(arrives(log, numbered(8), 8), [])
    assert.deepStrictEqual(arrives(log, numbered(9), 9), [])
    assert.deepStrictEqual(adopts(log, numbered(5), 5), [5])
    assert.deepStrictEqual(adopts(log, numbered(7), 7), [7, 8, 9])
    assert.deepStrictEqual(adopts(log, numbered(7), 7), [])
    assert.strictEqual(log.takeLost(), 0, "that is counted where it was waited for")
  })

  it("[H22] of two copies that have gone on apart the one that is farther counts", () => {
    const log = logAt(3, 2)
    arrives(log, numbered(6, 2), 6)
    log.absorb([{ sender, series: 2, last: 5 }, { sender: "7/b", series: 1, last: 9 }], false, 0)
    assert.deepStrictEqual(due(log, 0), [6])
    log.absorb([{ sender, series: 2, last: 4 }, { sender, series: 1, last: 70 }], false, 0)
    assert.deepStrictEqual(arrives(log, numbered(7, 2), 7), [7])
    assert.deepStrictEqual(arrives(log, numbered(9), 9, 0, "7/b"), [])
    log.absorb([{ sender, series: 3, last: 1 }], false, 0)
    assert.deepStrictEqual(arrives(log, numbered(8, 2), 8), [])
  })
})

const assertRising = (numbers: ReadonlyArray<number>): void =>
  numbers.forEach((number, at) => at > 0 && assert.isAbove(number, numbers[at - 1]!, numbers.join()))

describe("any arrivals", () => {
  it.prop(
    "[H22] late, twice, in any order or never: what is handed over rises; it is all that came when nothing waits too long",
    [list(Schema.Struct({ number: int(1, 12), afterMs: int(0, 700) }), 0, 40), Schema.Boolean],
    ([arrivals, isSlow]) => {
      const log = new CastLog<number>()
      const handed: Array<number> = []
      let nowMs = 0
      for (const { afterMs, number } of arrivals) {
        if (isSlow) nowMs += afterMs
        handed.push(...due(log, nowMs), ...arrives(log, numbered(number), number, nowMs))
      }
      const whole = handed.length
      handed.push(...due(log, nowMs + GAP_MS))
      assertRising(handed)
      const came = new Set(arrivals.map(({ number }) => number))
      if (isSlow) return
      // without time passing nothing is given up but at the end
      assert.deepStrictEqual(handed, [...came].sort((a, b) => a - b))
      assertRising(handed.slice(0, whole))
      handed.slice(0, whole).forEach((number, at) => assert.strictEqual(number, at + 1))
    }
  )

  it.prop(
    "[H22] there and back under casts to both nodes, called off or not: each is handled once, in its order, none is lost",
    [
      list(
        Schema.Struct({
          what: Schema.Literals(["cast", "cast", "again", "handle", "move", "commit", "abort"]),
          at: int(0, 9)
        }),
        0,
        80
      )
    ],
    ([steps]) => {
      const history = new Moving()
      for (const { at, what } of steps) history.step(what, at)
      history.end()
      assert.deepStrictEqual(history.handled, Array.from({ length: history.sent }, (_, index) => index + 1))
    }
  )
})

/** A process between two nodes: what each knows of one sender's casts, what waits where, what is under way. */
class Moving {
  sent = 0
  readonly handled: Array<number> = []
  #holder = { log: new CastLog<number>(), mailbox: [] as Array<number> }
  #target: { readonly log: CastLog<number>; readonly mailbox: Array<number> } | undefined
  readonly #underWay: Array<number> = []

  step(what: "cast" | "again" | "handle" | "move" | "commit" | "abort", at: number): void {
    if (what === "cast") this.#underWay.push(++this.sent)
    else if (what === "handle" && this.#target === undefined) this.#handle()
    else if (what === "move" && this.#target === undefined) this.#prepare()
    else if (what === "commit") this.#commit()
    else if (what === "abort") this.#abort()
    // one of those under way arrives, here or where it goes; now and then it is repeated
    const [number] = what === "again" ? this.#underWay.slice(at) : this.#underWay.splice(at, at % 2)
    if (number !== undefined) this.#arrive(number, at % 3 === 0 ? this.#target ?? this.#holder : this.#holder)
  }

  end(): void {
    this.#commit()
    for (const number of this.#underWay.splice(0).reverse()) this.#arrive(number, this.#holder)
    this.#handle(Infinity)
  }

  #arrive(number: number, { log, mailbox }: { readonly log: CastLog<number>; readonly mailbox: Array<number> }): void {
    mailbox.push(...arrives(log, numbered(number), number))
  }

  #handle(count = 1): void {
    this.handled.push(...this.#holder.mailbox.splice(0, count))
  }

  #prepare(): void {
    const { log, mailbox } = this.#holder
    this.#target = { log: new CastLog(), mailbox: [] }
    this.#target.log.absorb(log.progress(mailbox.map((number) => [sender, numbered(number)] as const)), true, 0)
  }

  #commit(): void {
    if (this.#target === undefined) return
    const { log, mailbox } = this.#holder
    const { log: there, mailbox: arrived } = this.#target
    const moved = mailbox.flatMap((number) => adopts(there, numbered(number), number))
    const early = log.takeEarly().flatMap((number) => arrives(there, numbered(number), number))
    this.#holder = { log: there, mailbox: [...arrived, ...moved, ...early] }
    this.#target = undefined
  }

  /** What has reached a copy that ends goes back. */
  #abort(): void {
    if (this.#target === undefined) return
    const { log, mailbox } = this.#target
    this.#target = undefined
    for (const number of [...mailbox, ...log.takeEarly()]) this.#arrive(number, this.#holder)
  }
}
