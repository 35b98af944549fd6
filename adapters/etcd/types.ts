/**
 * What is asked of etcd, and what it answers. Revisions are whole numbers; a lease's id is text, for it has 64 bits.
 */

/** One key; all that begin with a prefix (`""`: all there are); or from a key up to another, without that. */
export type Keys =
  | { readonly key: string }
  | { readonly prefix: string }
  | { readonly from: string; readonly to: string }

export interface KeyValue {
  /** UTF-8. */
  readonly key: string
  readonly value: Uint8Array
  /** The revision at which the key came to be. */
  readonly createRevision: number
  /** The revision of the last change. */
  readonly modRevision: number
  /** How many times it was put since it came to be; 1 at first. */
  readonly version: number
  /** The lease that ends the key; `"0"` without one. */
  readonly lease: string
}

export interface RangeOptions {
  /** As of this revision. Default: as it is now. */
  readonly revision?: number | undefined
  /**
   * Answered by one member from what it has, which may be old: quicker, and it works without a leader. Default `false`:
   * what is answered is what was written last, anywhere.
   */
  readonly serializable?: boolean | undefined
  /** At most so many keys. Default: all. */
  readonly limit?: number | undefined
  /** Without values. Default `false`. */
  readonly keysOnly?: boolean | undefined
}

export interface RangeResult {
  /** Of the whole store, when it was read. */
  readonly revision: number
  /** Ordered by key, byte by byte. */
  readonly kvs: ReadonlyArray<KeyValue>
  /** How many there are, whatever the limit. */
  readonly count: number
}

export interface PutOptions {
  /** The key ends with this lease. Default: it stays. */
  readonly lease?: string | undefined
  /** Answer what was there before. Default `false`. */
  readonly previous?: boolean | undefined
}

export interface PutResult {
  /** The revision that this write made. */
  readonly revision: number
  readonly previous?: KeyValue
}

export interface DeleteResult {
  readonly revision: number
  readonly deleted: number
  /** What was there, when it was asked for. */
  readonly previous: ReadonlyArray<KeyValue>
}

export type Comparison = "=" | "!=" | "<" | ">"

/** What must be true of a key. One that is not there has version, revisions and lease 0; and no value is true of it. */
export type Compare =
  | { readonly key: string; readonly version: number; readonly is?: Comparison }
  | { readonly key: string; readonly createRevision: number; readonly is?: Comparison }
  | { readonly key: string; readonly modRevision: number; readonly is?: Comparison }
  | { readonly key: string; readonly value: string | Uint8Array; readonly is?: Comparison }
  | { readonly key: string; readonly lease: string; readonly is?: Comparison }

/** One step of a transaction; `put` and `deleteRange` answer what was there when `previous` says so. */
export type Operation =
  | { readonly range: Keys; readonly options?: RangeOptions }
  | { readonly put: string; readonly value: string | Uint8Array; readonly options?: PutOptions }
  | { readonly deleteRange: Keys; readonly previous?: boolean }

/** What a step answers. */
export type ResultOf<O> = O extends { readonly range: Keys } ? RangeResult
  : O extends { readonly put: string } ? PutResult
  : O extends { readonly deleteRange: Keys } ? DeleteResult
  : never

/** In the order of the steps. */
export type ResultsOf<Os extends ReadonlyArray<Operation>> = { readonly [K in keyof Os]: ResultOf<Os[K]> }

export interface Transaction<Success extends ReadonlyArray<Operation>, Failure extends ReadonlyArray<Operation>> {
  /** All of them must be true. Default: nothing need be. */
  readonly when?: ReadonlyArray<Compare>
  /** Done in one step if they are. */
  readonly then?: Success
  /** Done in one step otherwise. */
  readonly otherwise?: Failure
}

export type TransactionResult<Success extends ReadonlyArray<Operation>, Failure extends ReadonlyArray<Operation>> =
  | { readonly succeeded: true; readonly revision: number; readonly results: ResultsOf<Success> }
  | { readonly succeeded: false; readonly revision: number; readonly results: ResultsOf<Failure> }

export interface Lease {
  readonly id: string
  /** Seconds; etcd may give more than was asked for. */
  readonly ttlSeconds: number
}

export interface LeaseState {
  readonly id: string
  /** Seconds until it ends, rounded down by etcd. */
  readonly ttlSeconds: number
  readonly grantedTtlSeconds: number
  readonly keys: ReadonlyArray<string>
}

export interface WatchOptions {
  /** The first revision whose events are wanted. Default: the one after the watch is there. */
  readonly from?: number | undefined
  /** With what was there before each event. Default `false`. */
  readonly previous?: boolean | undefined
}

export type WatchEvent =
  | { readonly type: "put"; readonly kv: KeyValue; readonly previous?: KeyValue }
  | { readonly type: "delete"; readonly key: string; readonly revision: number; readonly previous?: KeyValue }

/** The events of one revision or more, never of a part of one. Without events: nothing happened up to `revision`. */
export interface WatchBatch {
  /** All events up to this revision have been given. */
  readonly revision: number
  readonly events: ReadonlyArray<WatchEvent>
}

export interface Status {
  /** Like `3.5.9`. */
  readonly version: string
  readonly endpoint: string
  readonly member: string
  /** `undefined`: it has none. */
  readonly leader: string | undefined
  readonly revision: number
  readonly databaseBytes: number
}
