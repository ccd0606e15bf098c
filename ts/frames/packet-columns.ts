import { ipv4Text, ipv6Text } from './addresses.js'
import { Columns, type Kind } from './columns.js'
import { PacketFlag, type PacketStatusName } from './names.js'

/** What is wrong with a packet. */
export interface PacketProblem {
  /** The same as a word: the name of the number in `statuses`. */
  readonly status: PacketStatusName
  /** The header that it is about, in words. */
  readonly layer: string
  /** The field of that header. */
  readonly field: string
  /** Where the field begins, in bytes from the start of the packet. */
  readonly offset: number
  /** How many bytes, or which value, it takes. */
  readonly needed: number
  /** How many bytes, or which value, is there. */
  readonly present: number
  /** Who says what is needed. */
  readonly claimedBy: string
  /** Who says what is there. */
  readonly limitedBy: string
  /** All of that as a sentence for people. */
  readonly message: string
}

const PACKETS: Kind<PacketProblem> = {
  rowBytes: 37,
  parse: 'parsePackets',
  explain: 'explainPacket',
  taken: (row) => ({
    status: 'out-of-bounds',
    layer: 'descriptor',
    field: 'offset and length',
    offset: 0,
    needed: 0,
    present: 0,
    claimedBy: 'the descriptor',
    limitedBy: 'the batch',
    message: `row ${row} was taken out of the batch; read it through its guard`,
  }),
}

/** Where the addresses lie in an IPv6 header: RFC 8200, section 3. */
const IPV6_SOURCE = 8
const IPV6_DESTINATION = 24
const IPV6_BYTES = 16

/** Whether a value is columns of packets, whatever its prototype says. */
export let isPacketColumns: (value: unknown) => value is PacketColumns

/**
 * Packets that begin with an Ethernet header, one array a field, one row a packet. Make them once, for as many rows as a batch can
 * have, and give them to each `parsePackets`.
 *
 * A row whose status is `PacketStatus.Ok` (0) has every column filled, one that is `NotIp` (1) those of the link layer and the
 * payload. In any other row every column but the status is 0.
 */
export class PacketColumns extends Columns<PacketProblem> {
  /** IPv4 source addresses as numbers; 0 for IPv6. {@link PacketColumns.sourceAddress} gives both as text. */
  readonly sources: Uint32Array
  /** IPv4 destination addresses as numbers; 0 for IPv6. */
  readonly destinations: Uint32Array
  /** Where each payload begins, in bytes from the start of what was parsed: `batch.view`, or the bytes that were given. */
  readonly payloadOffsets: Uint32Array
  /** Bytes of each payload, without Ethernet padding. */
  readonly payloadLengths: Uint32Array
  /**
   * A hash of addresses, ports and protocol, the same in both directions of a connection: `hashes[i] % workers` keeps a flow
   * together. Fragments leave the ports out. 0 when the packet is not IP.
   */
  readonly hashes: Uint32Array
  /** The EtherType behind the VLAN tags (see `EtherType`), or an IEEE 802.3 length up to 1500. */
  readonly etherTypes: Uint16Array
  /** Tag control information of the outer VLAN tag, when `PacketFlag.Vlan` is set; the lower 12 bits are the VLAN's number. */
  readonly vlans: Uint16Array
  /** The same of the inner VLAN tag, when `PacketFlag.VlanInner` is set. */
  readonly innerVlans: Uint16Array
  /** Where the link layer ends, in bytes from the start of the packet. */
  readonly l3Offsets: Uint16Array
  /** Where the transport header begins, in bytes from the start of the packet; 0 when the packet is not IP. */
  readonly l4Offsets: Uint16Array
  /** UDP or TCP source ports, else 0. */
  readonly sourcePorts: Uint16Array
  /** UDP or TCP destination ports, else 0. */
  readonly destinationPorts: Uint16Array
  /** The IPv4 protocol, or what follows the last IPv6 extension header: see `IpProtocol`. */
  readonly protocols: Uint8Array
  /** Bits of each packet: see `PacketFlag`. */
  readonly flags: Uint8Array
  /** What became of each packet: see `PacketStatus`. 0 is an IP packet all of whose lengths hold, 1 one that is not IP. */
  readonly statuses: Uint8Array
  readonly #isPackets = true

  static {
    isPacketColumns = (value): value is PacketColumns =>
      typeof value === 'object' && value !== null && #isPackets in value
  }

  /**
   * @param capacity Rows that there is room for, 1 to 16,777,216: 37 bytes each.
   * @throws WRAITH_ERR_INVALID_ARG_TYPE, WRAITH_ERR_OUT_OF_RANGE
   */
  constructor(capacity: number) {
    super(PACKETS, capacity)
    this.sources = this.column(Uint32Array)
    this.destinations = this.column(Uint32Array)
    this.payloadOffsets = this.column(Uint32Array)
    this.payloadLengths = this.column(Uint32Array)
    this.hashes = this.column(Uint32Array)
    this.etherTypes = this.column(Uint16Array)
    this.vlans = this.column(Uint16Array)
    this.innerVlans = this.column(Uint16Array)
    this.l3Offsets = this.column(Uint16Array)
    this.l4Offsets = this.column(Uint16Array)
    this.sourcePorts = this.column(Uint16Array)
    this.destinationPorts = this.column(Uint16Array)
    this.protocols = this.column(Uint8Array)
    this.flags = this.column(Uint8Array)
    this.statuses = this.column(Uint8Array)
  }

  /**
   * A packet's source address as text; `undefined` when it is not IP. An IPv6 address is read where it lies, so a batch must
   * not have ended.
   *
   * @throws WRAITH_ERR_OUT_OF_RANGE, WRAITH_ERR_STALE_BATCH
   */
  sourceAddress(i: number): string | undefined {
    return this.#address(i, this.sources, IPV6_SOURCE)
  }

  /** A packet's destination address, as {@link PacketColumns.sourceAddress}. */
  destinationAddress(i: number): string | undefined {
    return this.#address(i, this.destinations, IPV6_DESTINATION)
  }

  #address(i: number, ipv4: Uint32Array, place: number): string | undefined {
    const flags = this.flags[this.row(i)] as number
    if ((flags & PacketFlag.Ipv4) !== 0) return ipv4Text(ipv4[i] as number)
    if ((flags & PacketFlag.Ipv6) === 0) return undefined
    const at = (this.l3Offsets[i] as number) + place
    const address = this.bytes(i).subarray(at, at + IPV6_BYTES)
    return address.length === IPV6_BYTES ? ipv6Text(address) : undefined
  }
}
