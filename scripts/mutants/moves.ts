/** Faults in moves and in settling: R6, R7. */
import { edit, type Mutant } from "./mutant.ts"

const claims = "src/protocol/claims.ts"
const mover = "adapters/gossip/mover.ts"
const settler = "adapters/gossip/settler.ts"

export const moveMutants: ReadonlyArray<Mutant> = [
  {
    id: "prepared-goes-live",
    what: "a prepared copy serves without a commit, its source alive and not released",
    rule: "R6, H7",
    edits: edit(
      claims,
      "if (preparedFrom === undefined || isGone(preparedFrom)) return true",
      "if (self !== undefined) return true"
    ),
    test: ["test/services/holes.test.ts", "[H7]"]
  },
  {
    id: "prepared-never-goes-live",
    what: "a prepared copy whose source is gone waits for its commit for ever",
    rule: "R6",
    edits: edit(
      claims,
      "if (preparedFrom === undefined || isGone(preparedFrom)) return true",
      "if (preparedFrom === undefined && isGone(self)) return true"
    ),
    test: ["test/protocol/claims.test.ts", ""]
  },
  {
    id: "withdrawn-offer-taken",
    what: "that the source stands above what it offered, and goes on, is not minded",
    rule: "R6, H7",
    edits: edit(
      claims,
      "return source !== undefined && source.epoch > prepared.epoch && source.successor !== standing.self",
      "return source !== undefined && source.epoch > prepared.epoch && source.epoch < 0"
    ),
    seeds: [3],
    test: ["test/services/holes.test.ts", "[H7]"]
  },
  {
    id: "released-is-orphan",
    what: "the home starts a released name from its args before its successor's claim has arrived",
    rule: "R6, R8",
    edits: edit(
      claims,
      `mode === "released" && (successor === undefined || isGone(successor) || (successor === self && mine === undefined))`,
      `mode === "released" && (successor === undefined || isGone(successor) || mine === undefined || self !== successor)`
    ),
    test: ["test/protocol/claims.test.ts", "decide R8"]
  },
  {
    id: "resume-not-above",
    what: "after a failed offer the source serves again at its old epoch, and stays below the offered one",
    rule: "R6, H7",
    edits: [
      ...edit(
        mover,
        "const epoch = Math.max(this.#core.nextEpoch(sworm, name), offered + 1)",
        "const epoch = Math.min(claim.epoch, offered)"
      ),
      ...edit(
        claims,
        `if (top.claim.mode === "prepared" && !elsewhere) return { _tag: "Resume", epoch: view.highestEpoch + 1 }`,
        `if (top.claim.mode === "prepared" && !elsewhere) return undefined`
      )
    ],
    test: ["test/services/holes.test.ts", "[H7]"]
  },
  {
    id: "resume-below-prepared",
    what: "a source that finds its name prepared elsewhere serves again below it",
    rule: "R6, H7",
    edits: edit(
      claims,
      `if (top.claim.mode === "prepared" && !elsewhere) return { _tag: "Resume", epoch: view.highestEpoch + 1 }`,
      `if (top.claim.mode === "prepared" && !elsewhere) return { _tag: "Resume", epoch: mine.epoch }`
    ),
    test: ["test/protocol/claims.test.ts", ""]
  },
  {
    id: "no-resume-below-prepared",
    what: "a source that finds its name prepared elsewhere, and no move under way, does nothing",
    rule: "R6, H7",
    edits: edit(
      claims,
      `if (top.claim.mode === "prepared" && !elsewhere) return { _tag: "Resume", epoch: view.highestEpoch + 1 }`,
      `if (top.claim.mode === "prepared" && !elsewhere) return undefined`
    ),
    test: ["test/protocol/claims.test.ts", ""]
  },
  {
    id: "frozen-stays",
    what: "a frozen copy whose claim is the top one again stays frozen",
    rule: "R6, R7",
    edits: edit(
      claims,
      `if (running === "frozen") return { _tag: "Resume", epoch }`,
      `if (running === "frozen") return undefined`
    ),
    test: ["test/protocol/claims.test.ts", "decide R6"]
  },
  {
    id: "frozen-loser-stays",
    what: "a loser that froze to settle stays frozen when its winner is gone",
    rule: "R4, R7, H18",
    edits: edit(
      claims,
      `best.section === self && running !== "no" ? {`,
      `best.section === self && running === "live" ? {`
    ),
    test: ["test/protocol/claims.test.ts", "decide R4"]
  },
  {
    id: "resume-without-epoch",
    what: "a frozen copy that is on top again serves at its old epoch",
    rule: "R6",
    edits: edit(
      claims,
      `if (running === "frozen") return { _tag: "Resume", epoch }`,
      `if (running === "frozen") return { _tag: "Resume", epoch: top.claim.epoch }`
    ),
    test: ["test/protocol/claims.test.ts", ""]
  },
  {
    id: "moved-and-kept",
    what: "the source of a move does not close its copy when it releases its claim",
    rule: "R6, H7",
    edits: edit(mover, `return process.close("Moved", options.handoffTimeoutMs).pipe(`, "return Effect.void.pipe("),
    seeds: [1]
  },
  {
    id: "answers-not-moved",
    what: "the answers already given do not move along with a process",
    rule: "H21, H22",
    edits: edit(
      "adapters/gossip/ledger.ts",
      "  if (withAnswers) absorb(core, sworm, name, calls)\n",
      "  if (withAnswers && !isAll) absorb(core, sworm, name, calls)\n"
    ),
    test: ["test/services/moving.test.ts", "[R6] [H21]"]
  },
  {
    id: "waiting-not-moved",
    what: "the messages that wait at the source are not sent along with the commit",
    rule: "R6",
    edits: edit(mover, "const waiting = process.takeWaiting()", "const waiting = process.takeWaiting().slice(0, 0)"),
    test: ["test/services/moving.test.ts", "[R6] casts"]
  },
  {
    id: "loser-never-closes",
    what: "a loser does not look whether the winner has merged it: it never closes",
    rule: "R7, H18",
    edits: edit(claims, `    if (top.claim.merged.includes(claimId(mine.epoch, self))) return { _tag: "Close" }\n`, ""),
    seeds: [1],
    test: ["test/services/split.test.ts", "[D1] settles each name"]
  },
  {
    id: "loser-closes-at-once",
    what: "a loser closes before the winner has its state",
    rule: "R7, H18",
    edits: edit(
      claims,
      "if (top.claim.merged.includes(claimId(mine.epoch, self)))",
      "if (serves(top) || top.claim.merged.includes(claimId(mine.epoch, self)))"
    ),
    test: ["test/services/split.test.ts", "[D1] settles each name"]
  },
  {
    id: "settle-without-epoch",
    what: "the winner of a settling keeps its epoch",
    rule: "R7",
    edits: edit(
      settler,
      "const epoch = Math.max(core.nextEpoch(sworm, name), theirs.claim.epoch + 1)",
      "const epoch = claim.epoch"
    ),
    test: ["test/services/once.test.ts", "[R7] and settled"]
  },
  {
    id: "settle-without-union",
    what: "the winner of a settling does not take the loser's registrations",
    rule: "R7, H16",
    edits: edit(
      settler,
      "registrations: union(claim.registrations, theirs.claim.registrations)",
      "registrations: claim.registrations"
    ),
    seeds: [1],
    test: ["test/services/once.test.ts", "[R7] [H16] [R8]"]
  },
  {
    id: "settle-twice",
    what: "a loser that asks again is merged again",
    rule: "R7, H18",
    edits: edit(
      settler,
      "      if (claim.merged.includes(id)) return this.#kept(process)\n",
      ""
    ),
    test: ["test/services/mergedonce.test.ts", "[R7] [H18]"]
  },
  {
    id: "shorter-life-stays",
    what: "of two states the one with the shorter unbroken life stays",
    rule: "R7, H6",
    edits: edit(
      "adapters/gossip/merging.ts",
      "return theirs.continuity < mine.continuity ? theirs : mine",
      "return theirs.continuity > mine.continuity ? theirs : mine"
    ),
    test: ["test/services/split.test.ts", "[D1] settles each name"]
  },
  {
    id: "groups-not-merged",
    what: "the winner of a settling does not take the loser's groups",
    rule: "R7, H28",
    edits: edit(settler, "groups: union(claim.groups, theirs.claim.groups)", "groups: claim.groups"),
    test: ["test/services/merging.test.ts", "[H28]"]
  }
]
