/** Rows in one memory. */
interface LaidOut {
  readonly bytes: Uint8Array
  readonly offsets: Uint32Array
  readonly lengths: Uint32Array
}

type Next = () => number

export declare function random(seed: number): Next
export declare function ethernet(
  tags: readonly (readonly [number, number])[],
  etherType: number,
  payload: readonly number[] | Uint8Array,
): Uint8Array
export declare function ipv4(
  next: Next,
  options: number,
  fragment: number,
  protocol: number,
  payload: readonly number[],
): number[]
export declare function ipv6(next: Next, protocol: number, payload: readonly number[]): number[]
export declare function udp(next: Next, payload: number): number[]
export declare function tcp(next: Next, options: number, payload: number): number[]
export declare function icmp(next: Next): number[]
export declare function mixedPackets(count: number, seed: number): Uint8Array[]
export declare function mixedFrames(count: number, seed: number): Uint8Array[]
export declare function laidOut(rows: readonly Uint8Array[], seed: number): LaidOut
