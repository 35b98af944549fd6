/** `host:port`, as people write it. */
import { TransportError } from "../../src/SwormError.ts"

export interface Address {
  readonly host: string
  readonly port: number
}

/** Default port of a Sworm node. */
export const DEFAULT_PORT = 4100

/** `host:port`, `host` (port 4100), `[v6]:port` or `:port` (all interfaces). */
export const parseAddress = (text: string): Address | TransportError => {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]\s/]*))(?::(\d{1,5}))?$/.exec(text)
  const host = match?.[1] ?? match?.[2]
  const port = match?.[3] === undefined ? DEFAULT_PORT : Number(match[3])
  if (host === undefined || text === "" || port > 65535) {
    return new TransportError({
      reason: "Configuration",
      address: text,
      detail: 'it is not an address: write "host:port", or "[address]:port" for IPv6'
    })
  }
  return { host: host === "" ? "0.0.0.0" : host, port }
}

export const formatAddress = ({ host, port }: Address): string =>
  host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`

export const isLoopback = (host: string): boolean => host === "localhost" || host === "::1" || /^127\./.test(host)

export const isWildcard = (host: string): boolean => host === "0.0.0.0" || host === "::"
