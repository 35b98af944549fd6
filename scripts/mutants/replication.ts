/** Faults in how copies are kept alike, and in what is dropped of them: R9 to R12. */
import { edit, type Mutant } from "./mutant.ts"

const replica = "src/protocol/replica.ts"
const replication = "adapters/gossip/replication.ts"
const collector = "adapters/gossip/collector.ts"
const collection = "src/protocol/collection.ts"

export const replicationMutants: ReadonlyArray<Mutant> = [
  {
    id: "gap-stored",
    what: "a delta that begins above what is here is stored, with a gap",
    rule: "R12, H11",
    edits: edit(replica, "    if (delta.from > have) return false\n", ""),
    seeds: [8],
    test: ["test/protocol/replica.test.ts", "[P62]"]
  },
  {
    id: "delta-backwards",
    what: "the entries of a delta are sent newest first",
    rule: "R12",
    edits: edit(
      replica,
      "for (const [key, entry] of section.since(from)) {",
      "for (const [key, entry] of [...section.since(from)].reverse()) {"
    ),
    seeds: [1],
    test: ["test/protocol/replica.test.ts", "oldest first"]
  },
  {
    id: "old-entries-stored",
    what: "entries of a delta that are older than what is here are stored over it",
    rule: "R12",
    edits: edit(replica, "      if (version <= have) continue\n", ""),
    test: ["test/protocol/replica.test.ts", "overlaps"]
  },
  {
    id: "copies-said-equal",
    what: "a peer whose copy differs is told that it is the same",
    rule: "R12",
    edits: [
      ...edit(
        replication,
        "        if (message.hash !== this.replica.digestHash()) return this.#send(from.id, this.#digest(true))\n",
        ""
      ),
      ...edit(replication, "        if (message.hash !== this.replica.digestHash()) break\n", "")
    ],
    seeds: [32]
  },
  {
    id: "never-compared",
    what: "copies are not compared: what was missed stays missed",
    rule: "R12",
    edits: edit(
      "adapters/gossip/gossiping.ts",
      "      if (peer !== undefined) replication.compareWith(peer)\n",
      "      void peer\n"
    ),
    seeds: [20]
  },
  {
    id: "relayed-without-tombs",
    what: "tombs of other nodes are left out of what is passed on",
    rule: "R12, H11",
    edits: edit(
      replica,
      "      if (to > from) deltas.push({ section: id, from, to, swept: section.swept, entries })",
      `      const told = entries.filter(([, , value]) => id === this.own || !(Object(value) as { tomb?: unknown }).tomb)
      if (to > from) deltas.push({ section: id, from, to, swept: section.swept, entries: told })`
    ),
    seeds: [3],
    test: ["test/protocol/replica.test.ts", "[H11]"]
  },
  {
    id: "covered-not-relayed",
    what: "claims of other nodes are left out of what is passed on",
    rule: "R12, H11",
    edits: edit(
      replica,
      "      if (to > from) deltas.push({ section: id, from, to, swept: section.swept, entries })",
      `      const told = entries.filter(([, , value]) => id === this.own || !(Object(value) as { claim?: unknown }).claim)
      if (to > from) deltas.push({ section: id, from, to, swept: section.swept, entries: told })`
    ),
    seeds: [1],
    test: ["test/protocol/replica.test.ts", "[H11]"]
  },
  {
    id: "swept-too-early",
    what: "marks of erased keys go before everyone has seen the erasure",
    rule: "R12, H11",
    edits: [
      ...edit(
        replication,
        "this.replica.sweep(Math.min(this.#toSweep.version, ...seen))",
        "this.replica.sweep(Math.max(this.replica.version(own), ...seen))"
      ),
      ...edit(replication, "    if (nowMs - this.#toSweep.sinceMs < SWEEP_AFTER_MS) return\n", "")
    ],
    test: ["test/services/spent.test.ts", "[R12] [H11]"]
  },
  {
    id: "never-swept",
    what: "marks of erased keys are kept for ever",
    rule: "R12",
    edits: edit(
      replication,
      "this.replica.sweep(Math.min(this.#toSweep.version, ...seen))",
      "this.replica.sweep(Math.min(0, ...seen))"
    ),
    test: ["test/services/growth.test.ts", "metadata set anew"]
  },
  {
    id: "dead-dropped-at-once",
    what: "a dead node's section is dropped whatever stands in it alone",
    rule: "R9, H4",
    edits: [
      ...edit(collector, `      if (need === "takeover") return void this.#waiting.set(section, key)\n`, ""),
      ...edit(collector, "    if (isNeeded) return\n", "")
    ],
    seeds: [10]
  },
  {
    id: "dead-claims-dropped",
    what: "a dead node's section is dropped though nobody goes on with a claim in it",
    rule: "R9",
    edits: edit(collection, `    if (!isSuperseded) return { _tag: "Claim" }`, `    if (!isSuperseded) return NOTHING`),
    seeds: [10],
    test: ["test/protocol/collection.test.ts", "[R9]"]
  },
  {
    id: "dead-tombs-dropped",
    what: "a dead node's section is dropped though its tombs stand in no living one",
    rule: "R9, H4",
    edits: edit(
      collection,
      `  return { _tag: "Tomb", tomb: {`,
      `  if (epoch >= 0) return NOTHING\n  return { _tag: "Tomb", tomb: {`
    ),
    test: ["test/protocol/collection.test.ts", "[R9]"]
  },
  {
    id: "superseded-by-prepared",
    what: "a dead node's claim is dropped for one that is only prepared",
    rule: "R9, H10",
    edits: edit(collection, `other.claim.mode !== "prepared" && !graveyard.isGone(`, "!graveyard.isGone("),
    test: ["test/protocol/collection.test.ts", "[R9]"]
  },
  {
    id: "burial-not-minded",
    what: "a section that was dropped is taken in again from whoever still has it",
    rule: "R9",
    edits: edit(
      replica,
      "if (delta.section === this.own || this.#buried.has(delta.section)) return true",
      "if (delta.section === this.own) return true"
    ),
    test: ["test/protocol/collection.test.ts", "[R9]"]
  },
  {
    id: "tombs-by-age",
    what: "a tomb is dropped when it is old, whatever it still covers",
    rule: "R10, H4",
    edits: [
      ...edit(
        collection,
        "within(claim.registrations, view.tombed))) return false\n    if (entry.tomb !== undefined && isGone(section)) return false",
        "within(claim.registrations, view.tombed))) return isGone(section) || true"
      ),
      ...edit(
        collector,
        "if (replication.haveAll(round.versions, round.sinceMs, (section) => !members.isGone(section))) {",
        "if (members !== undefined && round.sinceMs > -Infinity) {"
      )
    ],
    test: ["test/protocol/collection.test.ts", "[R10]"]
  },
  {
    id: "tombs-unseen",
    what: "a tomb is dropped before everyone has said that it has all",
    rule: "R10, H4, H25",
    edits: edit(
      collector,
      "if (replication.haveAll(round.versions, round.sinceMs, (section) => !members.isGone(section))) {",
      "if (members !== undefined && round.sinceMs > -Infinity) {"
    ),
    test: ["test/services/spent.test.ts", "[R10] [H4]"]
  },
  {
    id: "tombs-without-floor",
    what: "dropping a tomb does not raise the floor of epochs",
    rule: "R10, H5",
    edits: edit(
      collector,
      "    replication.raiseFloor(slot.entryOf(node.section)!.tomb!.epoch)\n",
      "    void node\n"
    ),
    test: ["test/services/spent.test.ts", "[R10] [H5]"]
  },
  {
    id: "tombs-never-dropped",
    what: "tombs are kept for ever",
    rule: "R10",
    edits: edit(collector, "    this.#core.dropTomb(slot.sworm, slot.name)\n", ""),
    seeds: [20],
    test: ["test/services/spent.test.ts", "[R10]"]
  },
  {
    id: "return-remembering",
    what: "a node that everybody had forgotten goes on with what it knew of others",
    rule: "R11, H24",
    edits: edit("adapters/gossip/returning.ts", "    replica.dropForeign()\n", ""),
    test: ["test/services/forgetting.test.ts", "[R11] [H24]"]
  },
  {
    id: "return-claiming",
    what: "a node that everybody had forgotten claims names that others have by now",
    rule: "R11, H24",
    edits: edit(
      "adapters/gossip/returning.ts",
      `mode === "register" && directory.view(sworm, name).claims.length === 0`,
      `mode === "register" && directory.view(sworm, name).claims.length >= 0`
    ),
    test: ["test/services/returning.test.ts", "[H24]"]
  }
]
