/**
 * A `FencedStore` in SQLite, which Node, Deno and Bun bring along. Its condition is in the statement that writes, so it
 * holds for whatever programs share the database; the statement is the same in PostgreSQL.
 */
import { DatabaseSync } from "node:sqlite"
import { Effect, Layer } from "effect"
import { Fenced } from "@sworm/sworm"

const TABLE = `
  CREATE TABLE IF NOT EXISTS fenced (
    key   TEXT PRIMARY KEY,
    epoch INTEGER NOT NULL,
    node  TEXT NOT NULL,
    boot  INTEGER NOT NULL,
    value TEXT
  )`

/** `Fenced.mayReplace`, where the data is. No value: the token is written, and the value that is there stays. */
const WRITE = `
  INSERT INTO fenced (key, epoch, node, boot, value) VALUES (?, ?, ?, ?, ?)
  ON CONFLICT (key) DO UPDATE SET
    epoch = excluded.epoch,
    node  = excluded.node,
    boot  = excluded.boot,
    value = coalesce(excluded.value, fenced.value)
  WHERE excluded.epoch > fenced.epoch
     OR (excluded.epoch = fenced.epoch AND excluded.node = fenced.node AND excluded.boot = fenced.boot)
  RETURNING epoch, node, boot, value`

const READ = "SELECT epoch, node, boot, value FROM fenced WHERE key = ?"

/** Another program may be writing: it is waited for so long. */
const BUSY_MS = 2000

interface Row {
  readonly epoch: number
  readonly node: string
  readonly boot: number
  readonly value: string | null
}

const written = ({ boot, epoch, node, value }: Row): Fenced.Written => ({
  token: { epoch, node, boot },
  value: value === null ? undefined : JSON.parse(value)
})

/** In a file, or in memory as `":memory:"`; made when it is missing. It is closed with the layer's scope. */
export const layerSqlite = (path: string): Layer.Layer<Fenced.FencedStore, Fenced.FencedStoreError> =>
  Layer.effect(Fenced.FencedStore)(Effect.gen(function* () {
    const attempt = <A>(work: () => A): Effect.Effect<A, Fenced.FencedStoreError> =>
      Effect.try({ try: work, catch: (error) => new Fenced.FencedStoreError({ detail: String(error) }) })
    const database = yield* Effect.acquireRelease(
      attempt(() => new DatabaseSync(path)),
      (open) => Effect.sync(() => open.close())
    )
    const { read, write } = yield* attempt(() => {
      database.exec(`PRAGMA busy_timeout = ${BUSY_MS}`)
      database.exec(TABLE)
      return { read: database.prepare(READ), write: database.prepare(WRITE) }
    })
    const find = (key: string): Fenced.Written | undefined => {
      const row = read.get(key) as Row | undefined
      return row === undefined ? undefined : written(row)
    }
    return {
      read: (key) => attempt(() => find(key)),
      write: (key, { token, value }) =>
        attempt(() => {
          const json = value === undefined ? null : JSON.stringify(value)
          const row = write.get(key, token.epoch, token.node, token.boot, json) as Row | undefined
          // no row: it was refused, by what is there
          return row === undefined ? find(key)! : written(row)
        })
    }
  }))
