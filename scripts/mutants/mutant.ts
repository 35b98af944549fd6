/** What a mutant is: a small fault, put into a copy of the project on purpose, that something must catch. */
import type { Shape } from "../../test/simulation/simulate.ts"

/** Puts one text in the place of another; the text must stand in the file exactly once. */
export interface Edit {
  readonly file: string
  readonly find: string
  readonly replace: string
}

export interface Mutant {
  readonly id: string
  /** What is broken, in one line. */
  readonly what: string
  /** The rules and holes that it breaks: `R4, H6`. */
  readonly rule: string
  readonly edits: ReadonlyArray<Edit>
  /** Seeds whose simulated histories showed it when they were looked for. Others are tried when none does any more. */
  readonly seeds?: ReadonlyArray<number>
  /** Of these simulations, where they differ from the usual ones. */
  readonly shape?: Shape
  /** A test that shows it: a file, and part of the test's title. */
  readonly test?: readonly [file: string, title: string]
}

/** Of a mutant with one edit, which most have. */
export const edit = (file: string, find: string, replace: string): ReadonlyArray<Edit> => [{ file, find, replace }]
