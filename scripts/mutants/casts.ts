/** Faults in the order of casts: each sender's come in its order, each at most once, wherever the process goes. */
import { edit, type Mutant } from "./mutant.ts"

const casts = "src/protocol/casts.ts"
const caster = "src/runtime/Caster.ts"
const receiver = "src/runtime/CastReceiver.ts"
const mover = "adapters/gossip/mover.ts"
const tests = "test/services/casts.test.ts"

export const castMutants: ReadonlyArray<Mutant> = [
  {
    id: "casts-unordered",
    what: "a cast that comes too early is handed over at once",
    rule: "H22",
    edits: edit(
      casts,
      "    return isExpected({ last, series }, head) ||",
      "    return last >= 0 || isExpected({ last, series }, head) ||"
    ),
    test: [tests, "[H22] the first is sent on"]
  },
  {
    id: "casts-repeated",
    what: "a cast that comes again is handed over again",
    rule: "H22",
    edits: edit(
      casts,
      "    if (isPast(record, cast)) return undefined\n    if (record.early.length",
      "    if (isPast(record, cast)) return item\n    if (record.early.length"
    ),
    test: [tests, "[H22] repeated and overtaken"]
  },
  {
    id: "cast-waits-for-ever",
    what: "the gap that a lost cast leaves is never given up",
    rule: "H22",
    edits: edit(casts, "  return since + GAP_MS", "  return since + GAP_MS * Infinity"),
    test: [tests, "[H22] one that is lost"]
  },
  {
    id: "casts-here-unnumbered",
    what: "a cast to a process that has come to its sender's node does not wait for those still under way",
    rule: "H22",
    edits: edit(
      caster,
      "if (cast !== undefined) return receiver.arrive",
      "if (cast !== undefined && now < 0) return receiver.arrive"
    ),
    test: [tests, "[H22] the process comes to the sender"]
  },
  {
    id: "casts-leave-unnumbered",
    what: "casts of its own node that wait at a process leave with it without a number",
    rule: "H22",
    edits: edit(
      caster,
      "    const forward = (): Forwarded => this.#numbered(message, encoded, this.#numbers.next(sworm, name, nowMs()))",
      "    const forward = (): Forwarded => ({\n" +
        "      ...this.#numbered(message, encoded, this.#numbers.next(sworm, name, nowMs())),\n" +
        "      cast: undefined\n    })"
    ),
    test: [tests, "[H22] those that wait when it leaves"]
  },
  {
    id: "cast-numbers-not-moved",
    what: "how far a process has come with each sender does not move along",
    rule: "H22",
    edits: edit(
      "adapters/gossip/ledger.ts",
      "movedCasts(dispatch.casts.progress(process))",
      "movedCasts([])"
    ),
    test: [tests, "[H22] how far it has come"]
  },
  {
    id: "waiting-casts-as-handled",
    what: "casts that wait in the mailbox count as handled when their process moves",
    rule: "H22",
    edits: edit(casts, "if (at !== undefined && isPast(at", "if (at !== undefined && series < 0 && isPast(at"),
    test: [tests, "[H22] there and back"]
  },
  {
    id: "early-casts-not-moved",
    what: "casts that came too early do not move along with their process",
    rule: "H22",
    edits: edit(mover, "forwardedOf(waiting, dispatch.casts.takeEarly(process))", "forwardedOf(waiting, [])"),
    test: [tests, "[H22] one that came too early goes along"]
  },
  {
    id: "gaps-given-up-in-moves",
    what: "the target of a move does not wait for the casts that the commit has yet to bring",
    rule: "H22",
    edits: edit(
      receiver,
      `  status === "prepared" || commitUntilMs > nowMs`,
      `  status === "prepared" && commitUntilMs > nowMs`
    ),
    test: [tests, "[H22] what comes directly waits for all parts"]
  },
  {
    id: "casts-not-sent-back",
    what: "casts that wait at a copy that ends are dropped, though the name is elsewhere",
    rule: "H22",
    edits: edit(
      receiver,
      `    if (error.reason !== "Stopped") return\n`,
      `    if (error.reason !== "Timeout") return\n`
    ),
    test: [tests, "[H22] a move that is called off"]
  },
  {
    id: "cast-life-not-minded",
    what: "a process that has lost all it knew waits for the casts that it has handled in its life before",
    rule: "H22",
    edits: edit(
      casts,
      "this.#isComplete ? 0 : Math.min(first, number) - 1",
      "this.#isComplete ? 0 : 0 * Math.min(first, number)"
    ),
    test: [tests, "[H22] of a process that was lost"]
  }
]
