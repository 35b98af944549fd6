/** Faults in who is there, and in how a node comes in: R13, R14, SWIM. */
import { edit, type Mutant } from "./mutant.ts"

const swim = "src/protocol/swim.ts"

export const membershipMutants: ReadonlyArray<Mutant> = [
  {
    id: "no-second-observer",
    what: "one node's suspicion is enough for a death, though others could look",
    rule: "H19",
    edits: edit(
      swim,
      "if (suspicion.observers.size >= 2 || this.#roster.helpers(id).length === 0) return this.#declareDead(id, now)",
      "if (suspicion.observers.size >= 0) return this.#declareDead(id, now)"
    ),
    test: ["test/protocol/swim.test.ts", "[H19]"]
  },
  {
    id: "refused-once-is-dead",
    what: "one node's refused connection is a death, though others could look",
    rule: "H19",
    edits: edit(
      swim,
      "const isSeenByTwo = probe.refusedThere || this.#suspicions.isDoubted(id, this.self.id)",
      "const isSeenByTwo = probe.refusedHere"
    ),
    test: ["test/protocol/swim.test.ts", "[H19]"]
  },
  {
    id: "no-refutation",
    what: "a node that is told that it is dead does not refute it",
    rule: "R14, H9",
    edits: edit(swim, "    this.#restate({ ...self, incarnation: update.incarnation + 1 })\n", ""),
    test: ["test/protocol/swim.test.ts", "told that it is"]
  },
  {
    id: "older-run-believed",
    what: "what an earlier run of a node says is taken for news",
    rule: "H8, H9",
    edits: edit("src/protocol/members.ts", "? b.boot > a.boot", "? b.boot !== a.boot"),
    test: ["test/protocol/swim.test.ts", "[H8]"]
  },
  {
    id: "lower-incarnation-believed",
    what: "a dead member is alive again by old news",
    rule: "R14",
    edits: edit("src/protocol/members.ts", "? b.incarnation > a.incarnation", "? b.incarnation !== a.incarnation"),
    test: ["test/protocol/swim.test.ts", "[P76]"]
  },
  {
    id: "warming-skipped",
    what: "a node counts as synced at once: it registers and takes over before it knows anything",
    rule: "R13, H13",
    edits: edit("adapters/gossip/joiner.ts", "  let company = 0\n", "  replication.synced = true\n  let company = 0\n"),
    test: ["test/services/holes.test.ts", "[H13]"]
  },
  {
    id: "warming-registers",
    what: "members that are not synced are given names, and register them",
    rule: "R1, R13, H13",
    edits: [
      ...edit(
        "adapters/gossip/views.ts",
        `({ status, synced }) => synced && status !== "leaving"`,
        `({ status }) => status !== "leaving"`
      ),
      ...edit(
        "adapters/gossip/registrar.ts",
        "const registrar = replication.synced ? this.#core.placing.registrar(sworm, name) : undefined",
        "const registrar = replication === undefined ? undefined : this.#core.placing.registrar(sworm, name)"
      ),
      ...edit(
        "adapters/gossip/registrar.ts",
        "if (!replication.synced || members",
        "if (replication === undefined || members"
      )
    ],
    test: ["test/services/joining.test.ts", "[P73]"]
  },
  {
    id: "all-form",
    what: "every node that finds nobody synced forms a cluster, not the lowest id alone",
    rule: "R13",
    edits: edit("adapters/gossip/joiner.ts", "compareText(self, id) <= 0", "compareText(self, id) !== undefined"),
    test: ["test/services/once.test.ts", "[R13]"]
  },
  {
    id: "wall-clock-waits",
    what: "how long something takes is read from the wall clock, which may be set",
    rule: "H20, H30",
    edits: edit(
      "src/runtime/clocks.ts",
      "Number(clock.monotonicTimeNanosUnsafe() / 1_000_000n)",
      "clock.currentTimeMillisUnsafe()"
    ),
    seeds: [13]
  },
  {
    id: "stamps-go-back",
    what: "stamps follow the wall clock back when it is set",
    rule: "H30",
    edits: edit(
      "src/protocol/stamp.ts",
      "this.#last = Math.max(this.#last + 1, nowMs * COUNTER)",
      "this.#last = nowMs * COUNTER"
    ),
    test: ["test/protocol/stamp.test.ts", "[H30]"]
  },
  {
    id: "lag-not-forgiven",
    what: "a node that was held up blames others for what it missed itself",
    rule: "R14",
    edits: edit(
      "src/protocol/localHealth.ts",
      "    if (lag <= 2 * expectedMs) return 0\n",
      "    if (lag >= 0 * expectedMs) return 0\n"
    ),
    test: ["test/protocol/swim.test.ts", "a probe and a suspicion wait as much longer"]
  }
]
