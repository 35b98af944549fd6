/** What the tests of the protocol share: small generators, and claims that need few words. */
import { Schema } from "effect"
import type { Claim, Held, Mode, NameEntry, Tomb } from "../../src/protocol/claims.ts"

export const int = (minimum: number, maximum: number): Schema.Codec<number> =>
  Schema.Int.check(Schema.isBetween({ minimum, maximum }))

export const list = <S extends Schema.Constraint>(item: S, minimum: number, maximum: number): Schema.$Array<S> =>
  Schema.Array(item).check(Schema.isBetweenLength(minimum, maximum))

/** Text that every runtime's UTF-8 keeps as it is. */
export const text: Schema.String = Schema.String.check(
  Schema.makeFilter((value: string) => !/\p{Cs}/u.test(value))
)

export const spec: Claim["spec"] = { type: "Counter", args: { start: 1 }, restart: "transient" }

export const claim = (epoch: number, registrations: ReadonlyArray<string>, change: Partial<Claim> = {}): Claim => ({
  epoch,
  start: 1000,
  registrations,
  mode: "live",
  merged: [],
  continuity: 1000,
  spec,
  metadata: undefined,
  groups: [],
  successor: undefined,
  extras: undefined,
  ...change
})

export const released = (epoch: number, registrations: ReadonlyArray<string>, successor?: string): Claim =>
  claim(epoch, registrations, { mode: "released", successor })

export const prepared = (epoch: number, registrations: ReadonlyArray<string>): Claim =>
  claim(epoch, registrations, { mode: "prepared" })

export const adopted = (epoch: number, registrations: ReadonlyArray<string>): Claim =>
  claim(epoch, registrations, { mode: "adopted", spec: undefined })

export const tomb = (
  epoch: number,
  registrations: ReadonlyArray<string>,
  reason: Tomb["reason"] = "Unregistered"
): Tomb => ({ epoch, registrations, reason })

export const entry = (claim: Claim | undefined, tomb?: Tomb): NameEntry => ({ claim, tomb })

export const held = (section: string, claim: Claim): Held => ({ section, claim })

export const modes: ReadonlyArray<Mode> = ["live", "prepared", "released", "adopted"]
