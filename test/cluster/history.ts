/** What a test has done to a cluster and what it was told: the checkers hold the cluster to it. */
import type { CommandError, Outcome, Ref } from "./protocol.ts"

/** A call ends by then, and a registration: their deadlines, and what a busy machine may add. */
const SLACK_MS = 7000
const LIMIT_MS = { call: 5000 + SLACK_MS, register: 30_000 + SLACK_MS } as const

/** With these a call may have been executed or not; with any other failure it was not. */
const unknownReasons = ["Timeout", "OutcomeUnknown", "Crashed"]
/** How a call of a registered name may end while nodes come and go. */
const callReasons = [...unknownReasons, "MailboxFull", "Stopped"]
const registerTags = ["Unavailable", "NameTaken"]

/** What a counter may stand at: every acknowledged call counts, every one of unknown outcome may. */
interface Tally {
  readonly start: number
  least: number
  most: number
  /** It may start from its args at any time: what it counted before may be gone. */
  isLoose: boolean
}

export class History {
  readonly #tallies = new Map<string, Tally>()
  readonly #epochs = new Map<string, number>()
  readonly #violations = new Set<string>()
  /** How calls and registrations ended, for people to read. */
  readonly ends = new Map<string, number>()
  acknowledged = 0

  /** Names whose registration was acknowledged. */
  get names(): ReadonlyArray<string> {
    return [...this.#tallies.keys()]
  }

  /** What must never be, and was. */
  get violations(): ReadonlyArray<string> {
    return [...this.#violations]
  }

  registered(name: string, start: number): void {
    this.#tallies.set(name, { start, least: start, most: start, isLoose: false })
  }

  triedToRegister(node: string, outcomes: ReadonlyArray<Outcome<Ref>>, start: number): void {
    for (const outcome of outcomes) {
      this.#ended("register", node, outcome)
      if ("ok" in outcome) this.registered(outcome.name, start)
      else if (!registerTags.includes(outcome.error.tag)) this.#undocumented("register", node, outcome)
    }
  }

  called(node: string, outcomes: ReadonlyArray<Outcome<number>>, by: number): void {
    for (const outcome of outcomes) {
      this.#ended("call", node, outcome)
      const tally = this.#tallies.get(outcome.name)!
      if ("ok" in outcome) {
        if (!tally.isLoose) tally.least += by
        tally.most += by
        this.acknowledged++
      } else if (outcome.error.tag !== "CallError" || !callReasons.includes(String(outcome.error.reason))) {
        this.#undocumented("call", node, outcome)
      } else if (unknownReasons.includes(String(outcome.error.reason))) tally.most += by
    }
  }

  /** The node that was asked is gone, and its answer with it. */
  neverAnswered(names: ReadonlyArray<string>, by: number): void {
    this.#count("call: its client is gone", names.length)
    for (const name of names) this.#tallies.get(name)!.most += by
  }

  /** Their node is gone, or is about to be, or is thought to be: until all has settled they may start from their args. */
  mayHaveRestarted(names: ReadonlyArray<string>): void {
    for (const name of names) {
      const tally = this.#tallies.get(name)!
      tally.least = tally.start
      tally.isLoose = true
    }
  }

  /** A node that runs was seen to know these: it never goes back behind them. */
  saw(node: string, refs: ReadonlyArray<Ref>): void {
    for (const { epoch, name } of refs) {
      const key = `${node} ${name}`
      const before = this.#epochs.get(key) ?? 0
      if (epoch < before) this.#violations.add(`epochs: ${node} saw "${name}" at ${before}, then at ${epoch}`)
      else this.#epochs.set(key, epoch)
    }
  }

  /** What is wrong with a total. */
  wrong(name: string, total: number): string | undefined {
    const { least, most } = this.#tallies.get(name)!
    if (total >= least && total <= most) return undefined
    return `state: "${name}" is at ${total}, and must be ${least === most ? least : `from ${least} to ${most}`}`
  }

  /** From here on they go on from what they were found to stand at. */
  settled(totals: ReadonlyMap<string, number>): void {
    for (const [name, total] of totals) {
      const { start } = this.#tallies.get(name)!
      this.#tallies.set(name, { start, least: total, most: total, isLoose: false })
    }
  }

  #ended(kind: "call" | "register", node: string, outcome: Outcome<unknown>): void {
    const how = "ok" in outcome ? "done" : textOf(outcome.error)
    this.#count(`${kind}: ${how}`, 1)
    if (outcome.tookMs <= LIMIT_MS[kind]) return
    this.#violations.add(`deadlines: a ${kind} of "${outcome.name}" at ${node} took ${outcome.tookMs} ms: ${how}`)
  }

  #count(what: string, times: number): void {
    this.ends.set(what, (this.ends.get(what) ?? 0) + times)
  }

  #undocumented(
    kind: string,
    node: string,
    { error, name }: { readonly error: CommandError; readonly name: string }
  ): void {
    this.#violations.add(`results: a ${kind} of "${name}" at ${node} ended with ${textOf(error)}: ${error.message}`)
  }
}

const textOf = ({ reason, tag }: CommandError): string => reason === null ? tag : `${tag} ${reason}`
