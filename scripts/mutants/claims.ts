/** Faults in the order of claims, in what a node decides about a name, and in takeover: R3, R4, R5, R8. */
import { edit, type Mutant } from "./mutant.ts"

const claims = "src/protocol/claims.ts"
const caretaker = "adapters/gossip/caretaker.ts"
const core = "adapters/gossip/core.ts"
const fence = "adapters/gossip/fence.ts"

export const claimMutants: ReadonlyArray<Mutant> = [
  {
    id: "order-flipped",
    what: "of two claims the one with the lower epoch stands first",
    rule: "order",
    edits: edit(claims, "b.claim.epoch - a.claim.epoch ||", "a.claim.epoch - b.claim.epoch ||"),
    test: ["test/protocol/claims.test.ts", "puts first"]
  },
  {
    id: "order-by-start-alone",
    what: "epochs are not compared",
    rule: "order",
    edits: edit(claims, "  b.claim.epoch - a.claim.epoch ||\n", ""),
    test: ["test/protocol/claims.test.ts", "puts first"]
  },
  {
    id: "order-without-start",
    what: "which of two equal epochs was registered earlier is not compared",
    rule: "order, H30",
    edits: edit(claims, "  a.claim.start - b.claim.start ||\n", ""),
    test: ["test/protocol/claims.test.ts", "puts first"]
  },
  {
    id: "order-without-node",
    what: "node ids are not compared: nodes put tied claims in different orders",
    rule: "order",
    edits: edit(claims, "  compareText(nodeOf(a.section), nodeOf(b.section)) ||\n", ""),
    test: ["test/protocol/claims.test.ts", "puts first"]
  },
  {
    id: "order-without-boot",
    what: "boots are not compared: two runs of one node tie",
    rule: "order, H8",
    edits: edit(
      claims,
      "compareText(nodeOf(a.section), nodeOf(b.section)) ||\n  bootOf(b.section) - bootOf(a.section)",
      "compareText(nodeOf(a.section), nodeOf(b.section))"
    ),
    test: ["test/protocol/claims.test.ts", "puts first"]
  },
  {
    id: "superseded-without-registrations",
    what: "a claim that stands before another supersedes it, whatever registrations it lacks",
    rule: "R8, H16",
    edits: edit(
      claims,
      "compareClaims(a, b) < 0 && includesAll(a.claim.registrations, b.claim.registrations)",
      "compareClaims(a, b) < 0"
    ),
    test: ["test/protocol/claims.test.ts", ""]
  },
  {
    id: "tomb-by-epoch",
    what: "a tomb covers what has its epoch or a lower one, instead of the registrations that it names",
    rule: "R3, H3",
    edits: [
      ...edit(
        claims,
        "if (includesAll(tombed, held.claim.registrations))",
        "if (held.claim.epoch <= endedEpoch)"
      ),
      ...edit(
        claims,
        "view.tombed.length > 0 && includesAll(view.tombed, mine.registrations)",
        "mine.epoch <= view.endedEpoch"
      )
    ],
    seeds: [28],
    test: ["test/protocol/claims.test.ts", "[H3]"]
  },
  {
    id: "covered-runs-on",
    what: "a process whose registration was ended elsewhere runs on",
    rule: "R3",
    edits: edit(
      claims,
      `    return { _tag: "Stop" }`,
      `    return undefined`
    ),
    seeds: [15],
    test: ["test/protocol/claims.test.ts", "decide R3"]
  },
  {
    id: "union-dropped",
    what: "takeover and renewal keep only the registrations of the claim on top",
    rule: "R4, H16",
    edits: edit(
      claims,
      "union(...claims.map(({ claim }) => claim.registrations))",
      "[...claims[0]!.claim.registrations]"
    ),
    test: ["test/protocol/claims.test.ts", "[H16]"]
  },
  {
    id: "live-copy-not-preferred",
    what: "with the top claim's holder gone the home starts an empty copy beside a live one",
    rule: "R4, H6",
    edits: edit(
      claims,
      "view.claims.find((held) => serves(held) && !isGone(held.section))",
      "view.claims.find(() => false)"
    ),
    seeds: [1],
    test: ["test/protocol/claims.test.ts", "[H6]"]
  },
  {
    id: "renew-without-epoch",
    what: "the live copy that is left renews itself at the highest epoch, not above it",
    rule: "R4",
    edits: edit(
      claims,
      "const epoch = view.highestEpoch + 1\n  const best",
      "const epoch = view.highestEpoch\n  const best"
    ),
    test: ["test/protocol/claims.test.ts", "decide R4"]
  },
  {
    id: "takeover-without-epoch",
    what: "what a lost node had is started again at the epoch that it had there",
    rule: "R4",
    edits: [
      ...edit(
        caretaker,
        "const epoch = Math.max(decision.epoch, core.nextEpoch(sworm, name))",
        "const epoch = decision.from.epoch"
      ),
      ...edit(caretaker, "epoch: Math.max(epoch, still.epoch, process.epoch)", "epoch")
    ],
    test: ["test/services/once.test.ts", "[R4] what is started again"]
  },
  {
    id: "takeover-by-all",
    what: "every synced node takes over what a lost node had, whichever is its home",
    rule: "R4",
    edits: edit(
      caretaker,
      "this.#core.placing.home(hosted, name, spec.type)?.id === node.id",
      "this.#core.placing.home(hosted, name, spec.type) !== undefined"
    ),
    test: ["test/services/once.test.ts", "[R4] what a lost node had"]
  },
  {
    id: "lift-dropped",
    what: "a claim that is not above all that has ended is not lifted",
    rule: "R5, H17",
    edits: edit(claims, "if (tied || view.endedEpoch >= top.claim.epoch)", "if (tied)"),
    seeds: [66],
    test: ["test/protocol/claims.test.ts", "[H17]"]
  },
  {
    id: "tie-kept",
    what: "a claim whose epoch a gone claim has, too, is not lifted",
    rule: "R5, H8",
    edits: edit(claims, "if (tied || view.endedEpoch >= top.claim.epoch)", "if (view.endedEpoch >= top.claim.epoch)"),
    test: ["test/protocol/claims.test.ts", ""]
  },
  {
    id: "lost-registrations-left",
    what: "registrations that only claims of gone nodes carry are not taken along",
    rule: "R5, H16",
    edits: edit(
      claims,
      "isMore ? registrationsOf([top, ...lost]) : top.claim.registrations",
      "top.claim.registrations"
    ),
    test: ["test/protocol/claims.test.ts", ""]
  },
  {
    id: "boots-ignored",
    what: "that a later run of a node is there does not show that what the earlier one had is gone",
    rule: "gone, H8",
    edits: edit(
      "adapters/gossip/membership.ts",
      "return member.boot > sectionBoot || (",
      "return (member.boot >= sectionBoot && isGone(member.status)) || ("
    ),
    test: ["test/services/holes.test.ts", "[H8]"]
  },
  {
    id: "released-erased-at-once",
    what: "a released claim is erased before everyone has what supersedes it",
    rule: "R8, H10",
    edits: edit(
      caretaker,
      "if (replication.seenByAll(by.section, version)) this",
      "if (version > 0) this"
    ),
    seeds: [147],
    test: ["test/services/holes.test.ts", "[H10]"]
  },
  {
    id: "epochs-start-over",
    what: "the floor of all epochs given is not minded",
    rule: "floor, H5",
    edits: edit(
      core,
      "Math.max(this.parts.directory.view(sworm, name).highestEpoch, this.parts.replication.floor) + 1",
      "this.parts.directory.view(sworm, name).highestEpoch + 1"
    ),
    test: ["test/services/holes.test.ts", "[H5]"]
  },
  {
    id: "below-the-ended-shown",
    what: "a claim below what has ended is shown before it is lifted: callers see epochs go back",
    rule: "usable, H17",
    edits: edit(
      "adapters/gossip/slot.ts",
      `top.claim.mode !== "released" && top.claim.epoch > endedEpoch`,
      `top.claim.mode !== "released" && endedEpoch >= 0`
    ),
    test: ["test/services/spent.test.ts", "[H17]"]
  },
  {
    id: "quorum-ignored",
    what: "names run and start whatever is left of a sworm's quorum",
    rule: "H20",
    edits: edit(fence, "if (!Fence.isAsked(hosted)) return true", "if (hosted !== undefined) return true"),
    seeds: [15],
    test: ["test/services/majority.test.ts", "[D3]"]
  },
  {
    id: "minority-runs-on",
    what: "a side that may not go on counts members that it has had no contact with for long",
    rule: "H20",
    edits: edit(fence, "if (atMs >= since) side.add(id)", "if (atMs >= 0 * since) side.add(id)"),
    seeds: [108],
    test: ["test/services/fence.test.ts", "[H20] held up for longer"]
  },
  {
    id: "silence-not-proven",
    what: "the side that goes on starts what a dead node ran before that node has stopped for certain",
    rule: "H20",
    edits: edit(fence, "this.#unproven().length === 0", "this.#unproven().length >= 0"),
    seeds: [28],
    test: ["test/services/fence.test.ts", "[H20] held up for less"]
  },
  {
    id: "prepared-not-fenced",
    what: "what a move has prepared serves when its source is thought dead, before that has stopped for certain",
    rule: "R4, H20",
    edits: edit("adapters/gossip/caretaker.ts", "isGone: mayRun ?", "isGone: mayRun === undefined ?"),
    test: ["test/simulation/simulation.test.ts", "[H20] a prepared copy"]
  },
  {
    id: "wrongly-dead-takes-over",
    what: "a node that was thought dead takes names over before it has exchanged with a synced one",
    rule: "R14",
    edits: edit(
      "adapters/gossip/backend.ts",
      "late.caretaker.mayTakeOver = false",
      "late.caretaker.mayTakeOver = true"
    ),
    test: ["test/services/holes.test.ts", "[H13] takes nothing over from one"]
  }
]
