/** Faults in how names are registered and ended: R1, R2. */
import { edit, type Mutant } from "./mutant.ts"

const core = "adapters/gossip/core.ts"
const registrar = "adapters/gossip/registrar.ts"

export const registrationMutants: ReadonlyArray<Mutant> = [
  {
    id: "registrar-not-asked",
    what: "every node registers names by itself",
    rule: "R1, H14",
    edits: edit(
      "adapters/gossip/placing.ts",
      "return rendezvous(hash32(keyOf(sworm, name)), active)?.id",
      "return rendezvous(hash32(keyOf(sworm, name)), active) && this.#core.parts.node.id"
    ),
    test: ["test/services/holes.test.ts", "[H15]"]
  },
  {
    id: "views-not-compared",
    what: "a registrar does not mind that whoever asks it sees other members",
    rule: "R1, H15",
    edits: edit(
      registrar,
      "if (!replication.synced || members.view().hash !== viewHash) return again",
      "if (!replication.synced || members.view().hash === undefined) return again"
    ),
    test: ["test/services/registrations.test.ts", "[H15]"]
  },
  {
    id: "previous-not-asked",
    what: "just after a change of members the registrar before is not asked",
    rule: "R1, H15",
    edits: edit(
      registrar,
      "for (const view of members.previous()) {",
      "for (const view of members.previous().slice(0, 0)) {"
    ),
    test: ["test/services/holes.test.ts", "[H15]"]
  },
  {
    id: "not-reserved",
    what: "a registrar decides two registrations of one name at once",
    rule: "R1, H14",
    edits: edit(
      registrar,
      "if (reserved !== undefined) return this.#afterReserved(",
      "if (reserved !== undefined && reserved.reg === reg) return this.#afterReserved("
    ),
    seeds: [8, 16],
    test: ["test/services/holes.test.ts", "[H15]"]
  },
  {
    id: "reserved-too-short",
    what: "a name is free again before its registrar sees the claim",
    rule: "R1, H14",
    edits: edit(
      registrar,
      "Effect.tap((made) => made === AGAIN ? Effect.void : Effect.ignore(this.#stored(made, name)))",
      "Effect.tap(() => Effect.void)"
    ),
    test: ["test/services/registrations.test.ts", "[H14]"]
  },
  {
    id: "retried-as-another",
    what: "a registration that is tried again is another one",
    rule: "R1, H12",
    edits: edit(
      registrar,
      "this.#attempt(reg, registration, doubts)",
      "this.#attempt(`${++this.#lastSeq}${reg}`, registration, doubts)"
    ),
    seeds: [72],
    test: ["test/services/holes.test.ts", "[H12]"]
  },
  {
    id: "ended-registered-again",
    what: "a registration that comes late, after its end, is made again",
    rule: "R1, H12",
    edits: edit(
      registrar,
      "    if (view.tombed.includes(reg)) return Effect.fail(new Unregistered({ sworm, name }))\n",
      ""
    ),
    test: ["test/services/registrations.test.ts", "[H12]"]
  },
  {
    id: "refusal-believed",
    what: "a registration that may have been made is refused by whoever has not heard of it",
    rule: "R1, H12",
    edits: edit(
      "adapters/gossip/doubts.ts",
      "if (this.#silent.size === 0 ||",
      "if (this.#silent.size >= 0 ||"
    ),
    test: ["test/services/lostanswers.test.ts", "[H12] is not refused"]
  },
  {
    id: "answered-before-stored",
    what: "what changes is acknowledged before a second node has stored it",
    rule: "R1, R2, H1, H2",
    edits: edit(
      "adapters/gossip/replication.ts",
      "return others.length === 0 || others.some((id) => (this.#peers.get(id)?.confirmed ?? 0) >= version)",
      "return others.length >= 0 || version < 0"
    ),
    test: ["test/services/holes.test.ts", "acknowledged means kept"]
  },
  {
    id: "unregister-without-tomb",
    what: "what is ended is only erased",
    rule: "R2, H2, H4",
    edits: edit(
      core,
      "return this.#write(sworm, name, { claim: undefined, tomb: { registrations, epoch, reason } })",
      "return this.writeClaim(sworm, name, undefined)"
    ),
    seeds: [1],
    test: ["test/services/holes.test.ts", "[H2]"]
  },
  {
    id: "tomb-names-top-only",
    what: "a tomb names the registrations of the claim on top, not all that are known",
    rule: "R2, H16",
    edits: edit(
      "adapters/gossip/ends.ts",
      "union(...view.claims.map(({ claim }) => claim.registrations))",
      "view.claims[0]?.claim.registrations ?? union()"
    ),
    test: ["test/services/once.test.ts", "[R2] [H16]"]
  },
  {
    id: "end-without-tomb",
    what: "a process that ends by itself leaves no tomb",
    rule: "R2, H26",
    edits: edit(
      "adapters/gossip/owner.ts",
      "    ends.entomb(sworm, name, how)\n",
      "    core.writeClaim(sworm, name, undefined)\n"
    ),
    test: ["test/services/holes.test.ts", "[H26]"]
  },
  {
    id: "caller-not-caught-up",
    what: "a registrar does not wait for what its caller knows has ended",
    rule: "R1, R2",
    edits: edit(
      registrar,
      "Effect.andThen(this.#catchUp(registration.name, seen), served)",
      "Effect.andThen(this.#catchUp(registration.name, asArray(seen).slice(0, 0)), served)"
    ),
    test: ["test/services/once.test.ts", "[R1]"]
  }
]
