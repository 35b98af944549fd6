/** What callers were promised, and when a promise is void because too many crashed at once. */
import { type Bits, NODES, note, type State } from "./state.ts"

const bitsOf = (s: State): Array<Bits> => Array.from({ length: s.ghost.nextReg }, (_, at) => 1 << at)

/** A promise that was stored on so many nodes, before so many crashes. */
const kept = (s: State, copies: number): number => copies * 64 + s.ghost.crashes

export const newReg = (s: State, caller: number): Bits => {
  const reg = 1 << s.ghost.nextReg
  const { asked, nextReg, open } = s.ghost
  note(s, { nextReg: nextReg + 1, open: open | reg, asked: [...asked, [reg, caller]] })
  return reg
}

export const acknowledged = (s: State, reg: Bits, copies: number): void => {
  const { acked, asked, keptAcked, open } = s.ghost
  const kepts = [...keptAcked]
  kepts[Math.log2(reg)] = kept(s, copies)
  note(s, { acked: acked | reg, open: open & ~reg, keptAcked: kepts, asked: asked.filter(([one]) => one !== reg) })
}

/** The caller waits no more, and knows nothing. */
export const givenUp = (s: State, reg: Bits): void => note(s, { asked: s.ghost.asked.filter(([one]) => one !== reg) })

export const ended = (s: State, regs: Bits, copies: number): void => {
  const keptEnded = [...s.ghost.keptEnded]
  for (const [at, reg] of bitsOf(s).entries()) if ((regs & reg) !== 0) keptEnded[at] = kept(s, copies)
  note(s, { ended: s.ghost.ended | regs, ending: s.ghost.ending | regs, open: s.ghost.open & ~regs, keptEnded })
}

/** Ended, perhaps: the answer did not come. */
export const maybeEnded = (s: State, regs: Bits): void =>
  note(s, { ending: s.ghost.ending | regs, open: s.ghost.open | regs, acked: s.ghost.acked & ~regs })

const isVoid = (s: State, at: number, kepts: ReadonlyArray<number>): boolean => {
  const one = kepts[at] ?? 0
  return s.ghost.crashes - (one & 63) >= one >> 6
}

/** What all who knew it have lost, in as many crashes as it was stored on nodes, is excused. */
export const excuseLost = (s: State): void => {
  for (const [at, reg] of bitsOf(s).entries()) {
    const { acked, ended, open } = s.ghost
    const isKnown = NODES.some((id) =>
      s.nodes[id]!.up &&
      [...s.nodes[id]!.sections.values()].some(({ claim, tombed }) =>
        ((claim?.regs ?? 0) & reg) !== 0 || (tombed & reg) !== 0
      )
    )
    if ((acked & reg) !== 0 && !isKnown && isVoid(s, at, s.ghost.keptAcked)) {
      note(s, { acked: acked & ~reg, open: open | reg })
    }
    const isEnded = NODES.some((id) =>
      s.nodes[id]!.up && [...s.nodes[id]!.sections.values()].some(({ tombed }) => (tombed & reg) !== 0)
    )
    if ((ended & reg) !== 0 && !isEnded && isVoid(s, at, s.ghost.keptEnded)) {
      note(s, { ended: ended & ~reg, acked: s.ghost.acked & ~reg, open: s.ghost.open | reg })
    }
  }
}
