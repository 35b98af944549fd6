/** What a program does with the accounts, on any node. */
import { Effect, Option } from "effect"
import { Account, Accounts } from "./account.ts"

export const open = Effect.fn("open")(function* (name: string) {
  return yield* (yield* Accounts).register(name, Account, {})
})

/** Answers what is in the account afterwards. */
export const deposit = Effect.fn("deposit")(function* (name: string, cents: number) {
  return yield* (yield* Accounts).client(Account, name).Deposit({ cents })
})

export const read = Effect.fn("read")(function* (name: string) {
  return yield* (yield* Accounts).client(Account, name).Read()
})

/** Where the account's process is, as a node knows. */
export const homeOf = Effect.fn("homeOf")(function* (name: string) {
  return Option.getOrUndefined(yield* (yield* Accounts).whereis(name))?.node
})
