//! The algorithm, written once: each backend gives it vectors of one 32-bit lane a row, and expands it with its instructions switched on.
//!
//! A chunk of 64 rows is taken in three steps. First the 16 bytes from the EtherType on are loaded for each row and
//! transposed; compare masks tell which of the common shapes each row has, whatever they are side by side, and an 802.1Q tag only moves the
//! fields by one lane. Then the addresses of the IPv6 rows, if any, are folded for the hash. Then the bytes around the start of the transport header, which is now known for each
//! row, are loaded and transposed, and what holds for UDP, TCP and ICMP is checked in all lanes. Rows in which something does not
//! hold, and other shapes, are left: a bit each, for the scalar code to write.

use super::super::hash::fold_ipv6;
use crate::frames::{Descriptor, Slab};

/// Rows of a chunk: one bit each in a word.
pub(super) const CHUNK: usize = 64;

/// Bytes of a slab from which on headers are asked for a chunk ahead. Over a slab of 64 MiB that makes all backends faster, by a tenth to by
/// half; over one of 8 MiB, which the last-level cache holds, it costs three in a hundred.
pub(super) const PREFETCHED: usize = 16 << 20;

/// Defines `packets`, which is [`scalar::packets`](super::super::scalar::packets) with vectors.
///
/// Needs in scope: `V` (a vector of `ROWS` lanes of `u32`), `M` (a mask of as many), and the functions over them that the backends define.
macro_rules! kernel {
    ($feature:literal) => {
        /// Parses each descriptor's packet into its row; how many were read. The columns have a row for each.
        #[target_feature(enable = $feature)]
        pub(in super::super) fn packets(
            slab: Slab<'_>,
            descriptors: &[Descriptor],
            columns: &mut PacketColumnsMut<'_>,
        ) -> usize {
            // Whole rows are loaded: up to MAX_OVER_READ bytes from a packet's first.
            let Some(last_start) = slab.len().checked_sub(MAX_OVER_READ) else {
                return scalar::packets(slab, descriptors, columns);
            };
            let whole = descriptors.len() / ROWS * ROWS;
            let mut read = 0;
            let mut state = Transports::EMPTY;
            for (chunk, some) in descriptors[..whole].chunks(CHUNK).enumerate() {
                let first = chunk * CHUNK;
                if slab.len() >= PREFETCHED {
                    prefetch(slab, descriptors, first + some.len());
                }
                let rows = columns.rows(first, some.len());
                let left = common_rows(slab, last_start as u32, some, &mut state, rows);
                read += some.len() - left.count_ones() as usize;
                if left != 0 {
                    read += scalar::rare_rows(slab, some, left, columns, first);
                }
            }
            let tail = &descriptors[whole..];
            read + scalar::packets(slab, tail, &mut columns.rows(whole, tail.len()))
        }

        /// Asks for the headers of the chunk that begins at row `first`.
        #[target_feature(enable = $feature)]
        #[inline]
        fn prefetch(slab: Slab<'_>, descriptors: &[Descriptor], first: usize) {
            for descriptor in descriptors.iter().skip(first).take(CHUNK) {
                ask_for(slab.as_ptr().wrapping_add(descriptor.offset as usize + 12));
            }
        }

        /// Writes the rows of at most [`CHUNK`] packets, a multiple of [`ROWS`], and returns a bit for each that is not common: its columns hold nothing useful.
        #[target_feature(enable = $feature)]
        #[inline]
        fn common_rows(
            slab: Slab<'_>,
            last_start: u32,
            descriptors: &[Descriptor],
            state: &mut Transports,
            mut columns: PacketColumnsMut<'_>,
        ) -> u64 {
            assert!(descriptors.len() <= CHUNK && columns.len() == descriptors.len());
            let mut good = 0;
            let mut is_v6 = 0;
            for first in (0..descriptors.len() / ROWS * ROWS).step_by(ROWS) {
                let rows = &descriptors[first..];
                // SAFETY: there are ROWS rows from `first` on, in the columns too, and both are at most CHUNK.
                let (ok, v6) = unsafe { network(slab, last_start, rows, first, state, &mut columns) };
                good |= ok << first;
                is_v6 |= v6 << first;
            }
            fold_addresses(slab, is_v6 & good, state);
            for first in (0..descriptors.len() / ROWS * ROWS).step_by(ROWS) {
                // SAFETY: as above, and step one has filled the state for these rows.
                let holds = unsafe { transport(slab, is_v6 >> first, first, state, &mut columns) };
                good &= !(!holds & ALL) << first | !(ALL << first);
            }
            !good & (u64::MAX >> (CHUNK - descriptors.len()))
        }

        /// Step one, for [`ROWS`] rows from `first` on: link and network layer. Bits of the rows that are common so far, and of those that are IPv6.
        ///
        /// # Safety
        ///
        /// The columns have [`ROWS`] rows from `first` on, and so has the state. A slab is `last_start` and MAX_OVER_READ bytes long.
        #[target_feature(enable = $feature)]
        #[inline]
        unsafe fn network(
            slab: Slab<'_>,
            last_start: u32,
            descriptors: &[Descriptor],
            first: usize,
            state: &mut Transports,
            columns: &mut PacketColumnsMut<'_>,
        ) -> (u64, u64) {
            let (start, length) = load_descriptors(descriptors);
            let room = sub(splat(slab.len() as u32), start);
            let inside = both(at_most(start, splat(last_start)), at_most(length, room));
            // A row that is not inside is read at the slab's start, and left.
            let start = keep(inside, start);
            let mut starts = [0; ROWS];
            // SAFETY: there are ROWS of them; each start is at most `last_start`, so MAX_OVER_READ bytes from it on are inside the slab, and 12 + 16 are fewer.
            let [d0, d1, d2, d3] = unsafe {
                store(starts.as_mut_ptr(), start);
                load_rows(slab.as_ptr().wrapping_add(12), &starts)
            };

            let tagged = equal(and(d0, splat(0xFFFF)), splat(0x0081));
            let tci = keep(tagged, shift_right::<16>(swap_halves(d0)));
            // EtherType and version; lengths; fragment and protocol (IPv4) or next header (IPv6).
            let (e0, e1, e2) = (pick(tagged, d1, d0), pick(tagged, d2, d1), pick(tagged, d3, d2));
            let v4 = both(
                equal(and(e0, splat(0x00FF_FFFF)), splat(0x0045_0008)),
                equal(and(e2, splat(0xFF3F)), splat(0)),
            );
            let v6 = equal(and(e0, splat(0x00F0_FFFF)), splat(0x0060_DD86));
            let lengths = swap_halves(e1);
            let total = sub(and(lengths, splat(0xFFFF)), splat(20));
            let carried = pick(v6, shift_right::<16>(lengths), total);
            let number = pick(v6, and(e2, splat(0xFF)), shift_right::<24>(e2));
            let l3 = add(splat(14), keep(tagged, splat(4)));
            let l4 = add(add(l3, splat(20)), keep(v6, splat(20)));
            let fits = at_most(add(l4, carried), length);
            let flags = add(add(keep(v6, splat(1)), splat(1)), keep(tagged, splat(4)));

            // SAFETY: all columns have ROWS rows from `first` on, and so has the state.
            unsafe {
                store(state.at.as_mut_ptr().add(first), add(start, l4));
                store(state.carried.as_mut_ptr().add(first), carried);
                store(state.number.as_mut_ptr().add(first), number);
                store8(columns.status.as_mut_ptr().add(first), splat(0));
                store8(columns.flags.as_mut_ptr().add(first), flags);
                store8(columns.protocol.as_mut_ptr().add(first), number);
                store16(columns.ethertype.as_mut_ptr().add(first), and(swap_halves(e0), splat(0xFFFF)));
                store16(columns.vlan.as_mut_ptr().add(first), tci);
                store16(columns.vlan_inner.as_mut_ptr().add(first), splat(0));
                store16(columns.l3_offset.as_mut_ptr().add(first), l3);
                store16(columns.l4_offset.as_mut_ptr().add(first), l4);
            }
            (bits(both(both(inside, fits), either(v4, v6))), bits(v6))
        }

        /// Step three, for [`ROWS`] rows from `first` on: the transport layer. Bits of the rows in which it holds.
        ///
        /// # Safety
        ///
        /// The columns have [`ROWS`] rows from `first` on, and [`network`] has filled the state for these rows of this slab.
        #[target_feature(enable = $feature)]
        #[inline]
        unsafe fn transport(
            slab: Slab<'_>,
            is_v6: u64,
            first: usize,
            state: &Transports,
            columns: &mut PacketColumnsMut<'_>,
        ) -> u64 {
            let at = state.at[first..].first_chunk().expect("a chunk holds whole vectors");
            let (base, before) = (slab.as_ptr(), slab.as_ptr().wrapping_sub(8));
            // SAFETY: `at` is 34 to 58 bytes behind a start that has MAX_OVER_READ bytes of slab from it on: 8 bytes before it and 16 from it
            // on are inside.
            let ([source, destination], rows) = unsafe { (load_pairs(before, at), load_rows(base, at)) };
            let [ports, second, _, fourth] = rows;
            // SAFETY: the state has ROWS rows from `first` on.
            let [at_rows, carried, number, folded_source, folded_destination] = unsafe {
                [&state.at, &state.carried, &state.number, &state.folded_source, &state.folded_destination]
                    .map(|words| load(words.as_ptr().add(first)))
            };
            let v6 = mask(is_v6);
            let source = keep_not(v6, swap(source));
            let destination = keep_not(v6, swap(destination));

            let is_udp = equal(number, splat(17));
            let is_tcp = equal(number, splat(6));
            let is_icmp = equal(number, add(keep(v6, splat(57)), splat(1)));
            let data_offset = and(shift_right::<2>(fourth), splat(0x3C));
            let header = pick(is_tcp, data_offset, splat(8));
            let shortest = add(keep(is_tcp, splat(12)), splat(8));
            let end = pick(is_udp, and(swap_halves(second), splat(0xFFFF)), carried);
            // Signed: a total length below 20 has made `carried` negative.
            let breaks =
                either(either(greater(shortest, header), greater(header, end)), greater(end, carried));
            let holds = both(either(either(is_udp, is_tcp), is_icmp), not(breaks));

            let ports = keep_not(is_icmp, swap(ports));
            let from = pick(v6, folded_source, source);
            let to = pick(v6, folded_destination, destination);
            let from = multiply(xor(from, and(ports, splat(0xFFFF_0000))), splat(hash::ENDPOINT));
            let to = multiply(xor(to, shift_left::<16>(ports)), splat(hash::ENDPOINT));
            let sum = add(xor(from, shift_right::<15>(from)), xor(to, shift_right::<15>(to)));
            let mixed = multiply(xor(sum, number), splat(hash::FINAL));

            // SAFETY: all columns have ROWS rows from `first` on, and so has the state.
            unsafe {
                store16(columns.source_port.as_mut_ptr().add(first), shift_right::<16>(ports));
                store16(columns.destination_port.as_mut_ptr().add(first), and(ports, splat(0xFFFF)));
                store(columns.source.as_mut_ptr().add(first), source);
                store(columns.destination.as_mut_ptr().add(first), destination);
                store(columns.payload_offset.as_mut_ptr().add(first), add(at_rows, header));
                store(columns.payload_length.as_mut_ptr().add(first), sub(end, header));
                store(columns.hash.as_mut_ptr().add(first), xor(mixed, shift_right::<16>(mixed)));
            }
            bits(holds)
        }
    };
}

/// What step one leaves for the steps after it, by row of the chunk.
pub(super) struct Transports {
    /// Where the transport header begins, from the start of the slab.
    pub(super) at: [u32; CHUNK],
    /// Bytes that IP says it carries; negative when its length is below its header's.
    pub(super) carried: [u32; CHUNK],
    /// Protocol or next header.
    pub(super) number: [u32; CHUNK],
    /// IPv6 addresses as the hash takes them.
    pub(super) folded_source: [u32; CHUNK],
    pub(super) folded_destination: [u32; CHUNK],
}

impl Transports {
    pub(super) const EMPTY: Self = Self {
        at: [0; CHUNK],
        carried: [0; CHUNK],
        number: [0; CHUNK],
        folded_source: [0; CHUNK],
        folded_destination: [0; CHUNK],
    };
}

/// Step two: folds the addresses of the rows whose bit is set in `rows`, whose fixed IPv6 header ends at `at`.
#[inline(always)]
pub(super) fn fold_addresses(slab: Slab<'_>, mut rows: u64, state: &mut Transports) {
    while rows != 0 {
        let row = rows.trailing_zeros() as usize;
        rows &= rows - 1;
        let addresses = slab.bytes(Descriptor::new(state.at[row].wrapping_sub(32), 32));
        let Some(([source, destination], [])) = addresses.map(<[u8]>::as_chunks::<16>) else { continue };
        state.folded_source[row] = fold_ipv6(source);
        state.folded_destination[row] = fold_ipv6(destination);
    }
}

pub(super) use kernel;
