/** Faults in calls: each is executed at most once, and answered or failed. */
import { edit, type Mutant } from "./mutant.ts"

const calls = "src/protocol/calls.ts"

export const callMutants: ReadonlyArray<Mutant> = [
  {
    id: "calls-repeated",
    what: "a call that comes again is executed again",
    rule: "H21",
    edits: edit(calls, "    if (known !== undefined) return known\n", ""),
    seeds: [3],
    test: ["test/protocol/calls.test.ts", "[H21]"]
  },
  {
    id: "floor-not-minded",
    what: "a late copy of a call that its caller has settled is executed again",
    rule: "H21",
    edits: edit(calls, `    if (seq < floor) return { _tag: "Settled" }\n`, "    void floor\n"),
    seeds: [141],
    test: ["test/protocol/calls.test.ts", "[H21]"]
  },
  {
    id: "answers-forgotten",
    what: "answers are forgotten at the deadline of their calls, late copies of which are executed again",
    rule: "H21",
    edits: edit(calls, "if (call.deadlineMs + LATE_MS < nowMs)", "if (call.deadlineMs + 0 * LATE_MS < nowMs)"),
    test: ["test/protocol/calls.test.ts", "[H21] remembers an answer for a minute"]
  },
  {
    id: "repeated-after-loss",
    what: "a call under way at a node that is lost is made again at the next",
    rule: "H21",
    edits: edit(
      "src/runtime/Caller.ts",
      `if (at !== "moving" && sentTo !== undefined && at?.continuity !== sentTo.continuity) {`,
      `if (at !== "moving" && sentTo !== undefined && at === undefined) {`
    ),
    seeds: [27],
    test: ["test/services/moving.test.ts", "[H21] that it isn't there"]
  },
  {
    id: "not-here-is-sure",
    what: "that a node says it has not the process counts for all copies of a call, also for one that it took before",
    rule: "H21",
    edits: edit(
      "src/runtime/Caller.ts",
      `if (reply._tag === "Lost" || this.#pending.isUncertain(seq)) sentTo ??= at`,
      `if (reply._tag === "Lost") sentTo ??= at`
    ),
    test: ["test/services/moving.test.ts", "[H21] that it isn't there"]
  },
  {
    id: "one-refusal-is-all",
    what: "a call that was sent twice is taken for refused when one copy of it was",
    rule: "H21",
    edits: edit(
      "src/runtime/PendingCalls.ts",
      "++call.misses < call.sent",
      "++call.misses < 1"
    ),
    test: ["test/services/pendingcalls.test.ts", "are refused for certain"]
  }
]
