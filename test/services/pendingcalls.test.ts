/** When a call is sent again, and when a refusal means that nobody has executed it (PROTOCOL H21). */
import { assert, describe, it } from "@effect/vitest"
import type { Reply } from "../../src/runtime/callFrames.ts"
import { PendingCalls } from "../../src/runtime/PendingCalls.ts"

const NOT_HERE: Reply = { _tag: "NotHere" }
const ANSWER: Reply = { _tag: "Answer", kind: 0, value: 1 }

/** One call to node b; `look` passes time as a node does that is not held up. */
const calling = () => {
  let nowMs = 0
  const calls = new PendingCalls(() => nowMs)
  const replies: Array<Reply> = []
  let sent = 1
  const seq = calls.next()
  calls.reserve(seq)
  calls.set(seq, { node: "b", resume: (reply) => replies.push(reply), resend: () => sent++ })
  const look = (times: number, everyMs = 250): void => {
    for (let i = 0; i < times; i++) {
      nowMs += everyMs
      calls.resend()
    }
  }
  return { calls, look, replies, seq, sent: () => sent }
}

describe("calls that are waited for", () => {
  it("are sent again twice a second", () => {
    const { look, sent } = calling()
    look(1)
    assert.strictEqual(sent(), 1)
    look(1)
    assert.strictEqual(sent(), 2)
    look(4)
    assert.strictEqual(sent(), 4)
  })

  it("aren't sent again by a node that was held up, before it has read what came meanwhile", () => {
    const { calls, look, replies, sent, seq } = calling()
    look(1, 3000)
    assert.strictEqual(sent(), 1)
    calls.reply("b", seq, ANSWER)
    assert.deepStrictEqual(replies, [ANSWER])
  })

  it("are sent again all the same by a node that is always held up", () => {
    const { look, sent } = calling()
    look(2, 3000)
    assert.strictEqual(sent(), 2)
    look(2, 3000)
    assert.strictEqual(sent(), 3)
  })

  it("are refused for certain when each copy was", () => {
    const { calls, replies, seq } = calling()
    calls.reply("b", seq, NOT_HERE)
    assert.deepStrictEqual(replies, [NOT_HERE])
    assert.isFalse(calls.isUncertain(seq))
    const twice = calling()
    twice.look(2)
    twice.calls.reply("b", twice.seq, NOT_HERE)
    assert.deepStrictEqual(twice.replies, [])
    twice.calls.reply("b", twice.seq, NOT_HERE)
    assert.deepStrictEqual(twice.replies, [NOT_HERE])
    assert.isFalse(twice.calls.isUncertain(twice.seq))
  })

  it("are answered by one copy though the other was refused", () => {
    const { calls, look, replies, seq } = calling()
    look(2)
    calls.reply("b", seq, NOT_HERE)
    calls.reply("b", seq, ANSWER)
    assert.deepStrictEqual(replies, [ANSWER])
  })

  it("may have been executed when one copy was refused and the other not answered", () => {
    const { calls, look, replies, seq, sent } = calling()
    look(2)
    calls.reply("b", seq, NOT_HERE)
    look(2)
    assert.deepStrictEqual(replies, [NOT_HERE])
    assert.isTrue(calls.isUncertain(seq))
    assert.strictEqual(sent(), 2)
  })

  it("aren't refused by a node that isn't asked any more", () => {
    const { calls, replies, seq } = calling()
    calls.reply("a", seq, NOT_HERE)
    assert.deepStrictEqual(replies, [])
    calls.reply("a", seq, ANSWER)
    assert.deepStrictEqual(replies, [ANSWER])
  })

  it("of a node that is lost may have been executed; the others are waited for", () => {
    const { calls, replies, seq } = calling()
    calls.lose("a", { _tag: "Lost" })
    assert.deepStrictEqual(replies, [])
    calls.lose("b", { _tag: "Lost" })
    assert.deepStrictEqual(replies, [{ _tag: "Lost" }])
    calls.delete(seq)
    assert.strictEqual(calls.floor(), seq + 1)
  })
})
