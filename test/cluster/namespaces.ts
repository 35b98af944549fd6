/**
 * Hosts of their own for the nodes of a test: network namespaces, each on a port of one switch, whose cables can be pulled.
 * Needs Linux, `ip`, and the right to make namespaces; where that is lacking it is said why, and nothing is left behind.
 */
import { Effect, type Scope } from "effect"
import { spawnSync } from "node:child_process"
import process from "node:process"

export interface Host {
  readonly address: string
  /** The command that runs another in it. */
  readonly via: ReadonlyArray<string>
}

export interface Switch {
  readonly hosts: ReadonlyArray<Host>
  /** Pulls the cables between these hosts and the others: each of them is alone with its own side. */
  readonly split: (side: ReadonlyArray<Host>) => void
  readonly heal: () => void
}

/** The namespaces cannot be made here. */
export class NotPermitted extends Error {
  readonly _tag = "NotPermitted"
}

const ip = (...args: ReadonlyArray<string>): void => {
  const { error, status, stderr } = spawnSync("ip", args, { encoding: "utf8", timeout: 10_000 })
  if (status === 0) return
  throw new NotPermitted(`ip ${args.join(" ")}: ${error?.message ?? stderr.trim()}`)
}

/**
 * Two switches, one cable between them: a split moves hosts from one to the other and pulls that cable, so that both sides
 * still have company.
 */
export const makeSwitch = (count: number): Effect.Effect<Switch, NotPermitted, Scope.Scope> => {
  const prefix = `sw${process.pid}`
  const core = `${prefix}-core`
  const made: Array<string> = []
  const namespace = (name: string): void => {
    ip("netns", "add", name)
    made.push(name)
    ip("-n", name, "link", "set", "lo", "up")
  }
  const clear = Effect.sync(() => {
    // with a namespace go the interfaces in it, and the other ends of its cables
    for (const name of made.splice(0)) spawnSync("ip", ["netns", "del", name])
  })

  const build = (): Switch => {
    namespace(core)
    for (const side of ["left", "right"]) {
      ip("-n", core, "link", "add", side, "type", "bridge")
      ip("-n", core, "link", "set", side, "up")
    }
    ip("-n", core, "link", "add", "cable", "type", "veth", "peer", "name", "elbac")
    ip("-n", core, "link", "set", "cable", "master", "left")
    ip("-n", core, "link", "set", "elbac", "master", "right")
    for (const end of ["cable", "elbac"]) ip("-n", core, "link", "set", end, "up")
    const hosts = Array.from({ length: count }, (_, index): Host => {
      const name = `${prefix}-${index}`
      const port = `port${index}`
      const address = `10.77.0.${index + 1}`
      namespace(name)
      ip("link", "add", "eth0", "netns", name, "type", "veth", "peer", "name", port, "netns", core)
      ip("-n", core, "link", "set", port, "master", "left")
      ip("-n", core, "link", "set", port, "up")
      ip("-n", name, "addr", "add", `${address}/24`, "dev", "eth0")
      ip("-n", name, "link", "set", "eth0", "up")
      return { address, via: ["ip", "netns", "exec", name] }
    })
    return {
      hosts,
      split: (side) => {
        ip("-n", core, "link", "set", "cable", "down")
        for (const host of side) ip("-n", core, "link", "set", `port${hosts.indexOf(host)}`, "master", "right")
      },
      heal: () => ip("-n", core, "link", "set", "cable", "up")
    }
  }
  const make = Effect.try({ try: build, catch: (error) => new NotPermitted(String(error)) })
  return Effect.acquireRelease(Effect.tapError(make, () => clear), () => clear)
}
