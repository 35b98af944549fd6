/** The rules that can be taken away, one by one, to see what each of them is for. */
export const switches = {
  // what ends, ends for good
  stored: "R1 R2: an answer is given when a second node has stored the change (H1, H2)",
  registrations: "R2: tombs name registrations, not epochs (H3)",
  carry: "R3: a covered claim becomes a tomb in the same entry",
  mask: "R3: foreign covered claims are only masked, never edited (H11)",
  tombs: "R9: the tombs of a dead section are copied before it is dropped (H4)",
  discharge: "R9: a peer's burial mark discharges the tombs in my copy",
  revive: "R9: a burial mark is void once that node is alive again (H9)",
  keepTombs: "R10: a tomb stays until everyone has seen what it is about (H4)",
  everyone: "R10: the dead are waited for too (H24)",
  buriedByAll: "R10: whoever stored a section that I buried has buried it",
  frameAge: "R10: a tomb outlives the requests that were under way",
  forget: "R11: a node that was forgotten comes back with a new boot and nothing of its own (H24)",
  // who has the name
  floor: "R1: epochs start above all that were ever given out (H5)",
  retries: "R1: a registration is known by its id (H12)",
  union: "R4 R5: claims carry all registrations that they supersede (H16)",
  renew: "R4: a live copy that is known renews itself, and none is started beside it (H6)",
  lift: "R5: a claim at or below an ended epoch is lifted above it (H17)",
  boots: "the order knows boots (H8)",
  released: "R8: a claim that serves no more stays until everyone has what supersedes it (H10)",
  letGo:
    "R8: nor is it erased, or written over, while whoever goes on with it has it only prepared: it may not know yet that it may serve",
  // moves
  prepared: "R6: what is offered serves only after the source has closed (H7)",
  above: "R6: a source resumes above what it offered",
  withdrawn: "R6: a copy prepared from an offer that was taken back is closed",
  sameLife: "R6: an offer is taken back by the life that made it, not by one started anew beside it",
  goLive: "R6: a prepared copy serves by itself when its source has let go, or is gone",
  // settling
  freeze: "R7: a losing copy is frozen before its state is sent (H18)",
  merged: "R7: the loser closes only when the winner lists it (H18)",
  once: "R7: a winner takes each claim's state in once (H18)",
  longer: "R7: the state with the longer continuity stays (H6)",
  relay: "R7: what has no direct way goes through a third node (H18)",
  // who registers
  registrar: "H14: registrations of a name are serialised by its registrar",
  reserve: "H14: the registrar keeps the name reserved while it is being started",
  hold: "H14: a reservation outlives an unanswered start, until the claim is seen or cannot come any more",
  view: "H15: requests under another view are refused",
  grace: "H15: just after a change the registrar before is asked first",
  tell: "H15: whoever is asked as the registrar before learns the asker's view, and is not one any more",
  // who is there
  members: "R12: connections begin with the members that each end knows (H25)",
  observer: "H19: a death needs a second observer where there is one",
  refute: "R14: a node that is thought dead says otherwise, louder",
  warm: "R13: a node that knows nothing yet neither registers nor takes over (H13)",
  frames: "R13: frames belong to both boots of their connection"
} as const

export type Switch = keyof typeof switches
export type Rules = Readonly<Record<Switch, boolean>>

const names = Object.keys(switches) as ReadonlyArray<Switch>

const having = (has: (name: Switch) => boolean): Rules =>
  Object.fromEntries(names.map((name) => [name, has(name)])) as Record<Switch, boolean>

export const allRules: Rules = having(() => true)

export const without = (...missing: ReadonlyArray<string>): Rules => having((name) => !missing.includes(name))

/** Epochs, tombs that name epochs, dead sections dropped at once: the obvious design. */
export const naive: Rules = having(() => false)
