/** `host:port`, as people write it. */
import { isIPv4, isIPv6 } from "node:net"
import { TransportError } from "../../src/SwormError.ts"

export interface Address {
  readonly host: string
  readonly port: number
}

/** Default port of a Sworm node. */
export const DEFAULT_PORT = 4100

/** `host:port`, `host` (port 4100), `[v6]:port` or `:port` (all interfaces). */
export const parseAddress = (text: string): Address | TransportError => {
  const match = /^(?:\[([^\]]*)\]|([^:[\]]*))(?::(\d{1,5}))?$/.exec(text)
  const [, v6, name, digits] = match ?? []
  const host = v6 ?? name
  const port = digits === undefined ? DEFAULT_PORT : Number(digits)
  const isHost = v6 === undefined ? name !== undefined && isHostName(name) : isIPv6(v6)
  if (host === undefined || text === "" || !isHost || port > 65535) {
    return new TransportError({
      reason: "Configuration",
      address: text,
      detail: 'it is not an address: write "host:port", or "[address]:port" for IPv6'
    })
  }
  return { host: host === "" ? "0.0.0.0" : host, port }
}

/** An IPv4 address, or a name by the rules of DNS; nothing stands for all interfaces. */
const isHostName = (host: string): boolean =>
  host === "" || isIPv4(host) ||
  (!/^[\d.]+$/.test(host) && host.length <= 253 && /^(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.?)+$/i.test(host))

export const formatAddress = ({ host, port }: Address): string =>
  host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`

export const isLoopback = (host: string): boolean =>
  host === "localhost" || host === "::1" || (isIPv4(host) && host.startsWith("127."))

export const isWildcard = (host: string): boolean => host === "0.0.0.0" || host === "::"
