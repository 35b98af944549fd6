/**
 * Bank accounts, a process each. What is in an account is in a storage of its own, not in the process: a copy of the
 * process that has lost its name, and doesn't know it yet, can't touch it.
 */
import { Effect, Schema } from "effect"
import { Rpc } from "effect/rpc"
import { Fenced, Process, Sworm } from "@sworm/sworm"

const Balance = Schema.Struct({ cents: Schema.Int, deposits: Schema.Int })

/** What stands there while nothing was written. */
const EMPTY: typeof Balance.Type = { cents: 0, deposits: 0 }

// whoever called is told; the copy itself does nothing about it, it is ended once the nodes see each other
const error = Schema.Union([Fenced.StaleToken, Fenced.FencedStoreError])

export const Account = Process.make("Account", {
  protocol: [
    Rpc.make("Deposit", { payload: { cents: Schema.Int }, success: Balance, error }),
    Rpc.make("Read", { success: Balance, error })
  ]
})

export class Accounts extends Sworm.Service<Accounts>()("Accounts", { processes: [Account] }) {}

export const AccountLayer = Accounts.toLayer(Account, {
  init: () => Effect.void,
  handlers: {
    Deposit: Effect.fnUntraced(function* ({ cents }, self) {
      const balance = yield* Fenced.make(self, Balance)
      return yield* balance.update((before = EMPTY) => ({
        cents: before.cents + cents,
        deposits: before.deposits + 1
      }))
    }),
    Read: Effect.fnUntraced(function* (_, self) {
      const balance = yield* Fenced.make(self, Balance)
      return (yield* balance.read) ?? EMPTY
    })
  }
})
