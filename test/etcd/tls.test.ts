// TLS on a real etcd: whom the client trusts, and whom the server does. Needs `openssl` for the certificates.
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { spawnSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { make } from "../../adapters/etcd/client.ts"
import type { TlsOptions } from "../../adapters/etcd/tls.ts"
import { waitUntil } from "../cluster/wait.ts"
import { brief, fails, watching } from "./contract.ts"
import { hasEtcd, startServers } from "./servers.ts"

const openssl = (...args: ReadonlyArray<string>): void => {
  const { status, stderr } = spawnSync("openssl", args, { timeout: 20_000, encoding: "utf8" })
  if (status !== 0) throw new Error(`openssl ${args[0]}: ${stderr}`)
}

const hasOpenssl = spawnSync("openssl", ["version"], { timeout: 10_000 }).status === 0

const newKey = ["-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"] as const

/** Two authorities, and certificates of the first one for the server and for a client. */
const certificates = (directory: string) => {
  const path = (name: string): string => join(directory, name)
  for (const ca of ["ca", "other"]) {
    openssl(
      "req",
      "-x509",
      ...newKey,
      "-days",
      "2",
      "-keyout",
      path(`${ca}.key`),
      "-out",
      path(`${ca}.pem`),
      "-subj",
      `/CN=${ca}`
    )
  }
  writeFileSync(path("ext"), "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n")
  for (const name of ["server", "client"]) {
    openssl(
      "req",
      "-new",
      ...newKey,
      "-keyout",
      path(`${name}.key`),
      "-out",
      path(`${name}.csr`),
      "-subj",
      `/CN=${name}`
    )
    const signing = ["-CA", path("ca.pem"), "-CAkey", path("ca.key"), "-CAcreateserial", "-days", "2"]
    openssl(
      "x509",
      "-req",
      "-in",
      path(`${name}.csr`),
      ...signing,
      "-extfile",
      path("ext"),
      "-out",
      path(`${name}.pem`)
    )
  }
  return path
}

describe.runIf(hasEtcd && hasOpenssl)("TLS", () => {
  it.live("both sides show who they are, or nothing is done", () =>
    Effect.gen(function* () {
      const directory = yield* Effect.acquireRelease(
        Effect.sync(() => mkdtempSync(join(tmpdir(), "sworm-tls-"))),
        (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
      )
      const path = yield* Effect.sync(() => certificates(directory))
      const pem = (name: string): string => readFileSync(path(name), "utf8")
      const files = ["--cert-file", path("server.pem"), "--key-file", path("server.key")]
      const flags = [...files, "--trusted-ca-file", path("ca.pem"), "--client-cert-auth"]
      const { endpoints } = yield* startServers({ isTls: true, flags })
      const open = (tls?: TlsOptions) => make({ endpoints, retryFor: 0, tls })
      const [ca, cert, key] = [pem("ca.pem"), pem("client.pem"), pem("client.key")]

      const client = yield* open({ ca, cert, key })
      yield* waitUntil("it is up", Effect.map(Effect.result(client.put("a", "1")), ({ _tag }) => _tag === "Success"))
      const seen = yield* watching(client.watch({ prefix: "a" }))
      yield* waitUntil("the watch is there", () => seen.batches.length === 1)
      for (let at = 0; at < 20; at++) yield* client.put(`a${at}`, new Uint8Array(50_000))
      yield* waitUntil("all is seen", () => seen.events().length === 20)
      assert.match(brief(seen.events(), "")[19] ?? "", /^put a19 /)

      yield* fails((yield* open({ ca: pem("other.pem"), cert, key })).put("b", "1"), "Untrusted")
      yield* fails((yield* open({ ca })).put("b", "1"), "Untrusted")
      yield* fails((yield* open()).put("b", "1"), "Untrusted")
      const plain = yield* make({ endpoints: endpoints.map((one) => one.replace("https", "http")), retryFor: 0 })
      yield* fails(plain.get("b"), "Unreachable")
      assert.isUndefined(yield* client.get("b"))
    }))
})
