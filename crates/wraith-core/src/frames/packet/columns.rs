//! Where a batch of packets is parsed into: one array a field.

use super::record::Packet;
use super::status::PacketStatus;
use crate::frames::ColumnsError;

columns!(PacketColumns, PacketColumnsMut, first status, {
    /// A [`PacketStatus`]: 0 when the row is an IP packet all of whose lengths hold, 1 when it is not IP. Every other column is
    /// 0 when it is neither.
    status: u8,
    /// Bits of [`flags`](super::flags).
    flags: u8,
    /// The IPv4 protocol, or the next header behind the last IPv6 extension header.
    protocol: u8,
    /// The EtherType behind the VLAN tags, or an IEEE 802.3 length up to 1500.
    ethertype: u16,
    /// Tag control information of the outer VLAN tag; means something when the flag `VLAN` is set.
    vlan: u16,
    /// Tag control information of the inner VLAN tag; means something when the flag `VLAN_INNER` is set.
    vlan_inner: u16,
    /// Where the link layer ends, in bytes from the packet's first: 14, 18 or 22.
    l3_offset: u16,
    /// Where the transport header begins, in bytes from the packet's first; 0 when the packet is not IP.
    l4_offset: u16,
    /// UDP or TCP source port, else 0.
    source_port: u16,
    /// UDP or TCP destination port, else 0.
    destination_port: u16,
    /// IPv4 source address in host order; 0 for IPv6, whose address lies at `l3_offset + 8`.
    source: u32,
    /// IPv4 destination address in host order; 0 for IPv6, whose address lies at `l3_offset + 24`.
    destination: u32,
    /// Where the payload begins, in bytes from the start of the slab.
    payload_offset: u32,
    /// The payload's length in bytes, without Ethernet padding.
    payload_length: u32,
    /// [`flow_hash`](super::flow_hash) of the 5-tuple, for fragments of the 3-tuple; 0 when the packet is not IP.
    hash: u32,
});

impl PacketColumnsMut<'_> {
    /// `count` rows of these columns, from `first` on. Panics when there are fewer: callers have checked.
    #[inline]
    pub(super) fn rows(&mut self, first: usize, count: usize) -> PacketColumnsMut<'_> {
        PacketColumnsMut {
            status: &mut self.status[first..first + count],
            flags: &mut self.flags[first..first + count],
            protocol: &mut self.protocol[first..first + count],
            ethertype: &mut self.ethertype[first..first + count],
            vlan: &mut self.vlan[first..first + count],
            vlan_inner: &mut self.vlan_inner[first..first + count],
            l3_offset: &mut self.l3_offset[first..first + count],
            l4_offset: &mut self.l4_offset[first..first + count],
            source_port: &mut self.source_port[first..first + count],
            destination_port: &mut self.destination_port[first..first + count],
            source: &mut self.source[first..first + count],
            destination: &mut self.destination[first..first + count],
            payload_offset: &mut self.payload_offset[first..first + count],
            payload_length: &mut self.payload_length[first..first + count],
            hash: &mut self.hash[first..first + count],
        }
    }

    /// Writes one row; `start` is where the packet begins in the slab.
    #[inline(always)]
    pub(super) fn put(&mut self, row: usize, start: u32, packet: &Packet) {
        self.status[row] = packet.status as u8;
        self.flags[row] = packet.flags;
        self.protocol[row] = packet.protocol;
        self.ethertype[row] = packet.ethertype;
        self.vlan[row] = packet.vlan;
        self.vlan_inner[row] = packet.vlan_inner;
        self.l3_offset[row] = packet.l3_offset;
        self.l4_offset[row] = packet.l4_offset;
        self.source_port[row] = packet.source_port;
        self.destination_port[row] = packet.destination_port;
        self.source[row] = packet.source;
        self.destination[row] = packet.destination;
        self.payload_offset[row] = start.wrapping_add(packet.payload_offset);
        self.payload_length[row] = packet.payload_length;
        self.hash[row] = packet.hash;
    }

    /// Writes a row that was not read: its status, and 0 everywhere else.
    pub(super) fn refuse(&mut self, row: usize, status: PacketStatus) {
        let nothing = Packet {
            status,
            flags: 0,
            ethertype: 0,
            vlan: 0,
            vlan_inner: 0,
            l3_offset: 0,
            l4_offset: 0,
            protocol: 0,
            source: 0,
            destination: 0,
            source_port: 0,
            destination_port: 0,
            payload_offset: 0,
            payload_length: 0,
            hash: 0,
        };
        self.put(row, 0, &nothing);
    }
}
