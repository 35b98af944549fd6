/** Faults in what is kept of processes: nothing that was acknowledged is lost with a node, and nothing comes back that ended. */
import { edit, type Mutant } from "./mutant.ts"

const table = "src/protocol/snapshots.ts"
const when = "src/runtime/Snapshots.ts"
const where = "adapters/gossip/snapshots.ts"
const recall = "adapters/gossip/recall.ts"
const tests = "test/services/snapshots.test.ts"

export const snapshotMutants: ReadonlyArray<Mutant> = [
  {
    id: "snapshot-no-promise",
    what: "a replica goes on taking snapshots of a copy that was taken over from",
    rule: "H23",
    edits: edit(
      table,
      '    if (held !== undefined && snapshot.epoch < held.promised) return "stale"\n',
      ""
    ),
    test: ["test/protocol/snapshots.test.ts", "takes nothing below what it has promised"]
  },
  {
    id: "snapshot-newest-only",
    what: "of two sides of a split only the newest snapshot counts",
    rule: "H23, R7",
    edits: edit(
      table,
      "    if (before === undefined || isNewer(one, before)) newest.set(one.holder, one)",
      "    if (newest.size === 0 || (before !== undefined && isNewer(one, before))) newest.set(one.holder, one)"
    ),
    test: ["test/protocol/snapshots.test.ts", "are the newest of each holder"]
  },
  {
    id: "answer-before-kept",
    what: "a call is answered before its state is kept",
    rule: "H23",
    edits: edit(when, "    if (!this.isEachCall) {\n", "    if (this.plan.everyMs >= 0) {\n"),
    test: [tests, "survives one node after the other"]
  },
  {
    id: "snapshot-not-kept-anew",
    what: "a replica that is lost is not replaced",
    rule: "H23",
    edits: edit(where, "      snapshots.expire()\n      this.#core.parts.owner.keepLater(process, 0)\n", ""),
    test: [tests, "is kept anew when one of those that had it is lost"]
  },
  {
    id: "ended-comes-back",
    what: "a replica keeps what has ended, and gives it to whoever starts the name anew",
    rule: "H23, R2",
    edits: [
      {
        file: recall,
        find: "lineages(found.filter((one) => one.epoch > endedEpoch && one.type === type))",
        replace: "lineages(found.filter((one) => one.epoch > endedEpoch * 0 && one.type === type))"
      },
      {
        file: where,
        find: "    if (top === undefined) return this.table.drop(key)\n",
        replace: ""
      }
    ],
    test: [tests, "is gone with its registration"]
  },
  {
    id: "floors-not-moved",
    what: "a move leaves behind below which numbers callers wait for nothing",
    rule: "R6, H21",
    edits: edit(
      "adapters/gossip/ledger.ts",
      "  for (const [caller, floor] of told) dispatch.calls.settleBelow(caller, floor)\n",
      ""
    ),
    test: ["test/services/once.test.ts", "a late copy of a call"]
  },
  {
    id: "state-not-retained",
    what: "the source of a move forgets the state before the target serves",
    rule: "R6",
    edits: edit(
      "adapters/gossip/mover.ts",
      "      if (withState) this.#snapshots.retain(process, section, epoch, state)\n",
      ""
    ),
    test: ["test/services/movesteps.test.ts", "a move with the loss of its target"]
  },
  {
    id: "debts-not-settled",
    what: "what a lost copy had acknowledged after a split is not asked for",
    rule: "H23, R7",
    edits: [
      { file: "adapters/gossip/caretaker.ts", find: "      else this.#settleDebts(slot)\n", replace: "" },
      { file: where, find: "        this.#tellSoon(slot)\n", replace: "" }
    ],
    test: ["test/services/snapshots-faults.test.ts", "brings"]
  },
  {
    id: "nothing-found-is-all",
    what: "that nobody had a state of one epoch counts for what was kept at earlier ones",
    rule: "H23, R7",
    edits: edit("src/protocol/snapshots.ts", "(gone.seq > 0 || seq === 0)", "gone.seq >= 0"),
    test: ["test/protocol/snapshots.test.ts", "is nothing where nothing was found"]
  }
]
