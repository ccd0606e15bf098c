//! The columns of a batch, in memory that JavaScript reads.
#![expect(unsafe_code, reason = "writes into memory that JavaScript can read and scribble on")]

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};

use super::peers::{PEER_ENTRY_BYTES, PEERS};
use super::row::Row;
use crate::error::{Code, Error};

/// Both blocks start on a page and end on one.
const PAGE: usize = 4096;
/// Each column starts on a cache line.
const LINE: usize = 64;

/// Where each column begins, in bytes from the start of its block. All columns have `rows` entries; the peer
/// table has [`PEERS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ColumnLayout {
    /// Rows that a batch can have.
    pub rows: usize,
    /// Public, u64: arrival in nanoseconds since 1970, 0 without timestamps.
    pub timestamps: usize,
    /// Public, f64: the same in milliseconds, with the fraction.
    pub timestamps_ms: usize,
    /// Public, u32: first byte of the packet, from the start of the slab.
    pub offsets: usize,
    /// Public, u32: bytes of the packet that are there.
    pub lengths: usize,
    /// Public, u8: see [`row_flags`](super::row_flags).
    pub flags: usize,
    /// Size of the public block.
    pub public_bytes: usize,
    /// Private, u32: slot number.
    pub slots: usize,
    /// Private, u32: as the public column.
    pub private_offsets: usize,
    /// Private, u32: as the public column.
    pub private_lengths: usize,
    /// Private, u32: length on the wire, more than `lengths` when the packet was truncated.
    pub wire_lengths: usize,
    /// Private, u32: place in the peer table, or [`NO_PEER`](super::NO_PEER).
    pub peers: usize,
    /// Private: [`PEERS`] entries of [`PEER_ENTRY_BYTES`] bytes. u16 family (4 or 6), u16 port, u32 scope id,
    /// 16 bytes of address (IPv4 in the first four), u32 version (0: never used; another one: another peer),
    /// u32 of nothing. Integers in the machine's order.
    pub peer_table: usize,
    /// Size of the private block.
    pub private_bytes: usize,
}

impl ColumnLayout {
    /// The layout for batches of up to `rows` rows.
    pub const fn for_rows(rows: usize) -> ColumnLayout {
        const fn after(start: usize, bytes: usize) -> usize {
            (start + bytes).next_multiple_of(LINE)
        }
        let timestamps = 0;
        let timestamps_ms = after(timestamps, rows * 8);
        let offsets = after(timestamps_ms, rows * 8);
        let lengths = after(offsets, rows * 4);
        let flags = after(lengths, rows * 4);
        let public_bytes = after(flags, rows).next_multiple_of(PAGE);
        let slots = 0;
        let private_offsets = after(slots, rows * 4);
        let private_lengths = after(private_offsets, rows * 4);
        let wire_lengths = after(private_lengths, rows * 4);
        let peers = after(wire_lengths, rows * 4);
        let peer_table = after(peers, rows * 4);
        let private_bytes = after(peer_table, PEERS * PEER_ENTRY_BYTES).next_multiple_of(PAGE);
        ColumnLayout {
            rows,
            timestamps,
            timestamps_ms,
            offsets,
            lengths,
            flags,
            public_bytes,
            slots,
            private_offsets,
            private_lengths,
            wire_lengths,
            peers,
            peer_table,
            private_bytes,
        }
    }
}

/// Two blocks of columns. Native only ever writes them: what JavaScript writes there harms nobody but itself.
/// JavaScript is given pointers and holds an `Arc` for as long as it can see them.
#[derive(Debug)]
pub struct Columns {
    layout: ColumnLayout,
    public: Block,
    private: Block,
}

impl Columns {
    pub(super) fn new(rows: usize) -> Result<Columns, Error> {
        let layout = ColumnLayout::for_rows(rows);
        let public = Block::new(layout.public_bytes)?;
        let private = Block::new(layout.private_bytes)?;
        Ok(Columns { layout, public, private })
    }

    /// Where the columns lie.
    pub fn layout(&self) -> &ColumnLayout {
        &self.layout
    }

    /// The block that users may see: start and size in bytes. Valid while this value lives.
    pub fn public_block(&self) -> (*mut u8, usize) {
        (self.public.start.as_ptr(), self.public.bytes)
    }

    /// The block for the binding's own code: start and size in bytes. Valid while this value lives.
    pub fn private_block(&self) -> (*mut u8, usize) {
        (self.private.start.as_ptr(), self.private.bytes)
    }

    pub(super) fn write(&self, index: usize, row: &Row, stamped: bool) {
        assert!(index < self.layout.rows, "row {index} of {}", self.layout.rows);
        let (public, private, at) = (&self.public, &self.private, &self.layout);
        if stamped {
            public.put_u64(at.timestamps + index * 8, row.timestamp_ns);
            // Split, because 2^64 ns have more digits than an f64: exact to well below a microsecond.
            let ms = (row.timestamp_ns / 1_000_000) as f64;
            let rest = (row.timestamp_ns % 1_000_000) as f64;
            public.put_u64(at.timestamps_ms + index * 8, (ms + rest / 1e6).to_bits());
        }
        public.put_u32(at.offsets + index * 4, row.offset);
        public.put_u32(at.lengths + index * 4, row.length);
        public.put_u8(at.flags + index, row.flags);
        private.put_u32(at.slots + index * 4, row.slot);
        private.put_u32(at.private_offsets + index * 4, row.offset);
        private.put_u32(at.private_lengths + index * 4, row.length);
        private.put_u32(at.wire_lengths + index * 4, row.wire_length);
        private.put_u32(at.peers + index * 4, row.peer);
    }

    /// Writes a peer: its version last, so that a reader of the new version finds the new peer.
    pub(super) fn write_peer(&self, id: u32, peer: &PeerEntry) {
        assert!((id as usize) < PEERS, "peer {id} of {PEERS}");
        let at = self.layout.peer_table + id as usize * PEER_ENTRY_BYTES;
        self.private.put_u16(at, peer.family);
        self.private.put_u16(at + 2, peer.port);
        self.private.put_u32(at + 4, peer.scope);
        for (index, word) in peer.address.chunks_exact(4).enumerate() {
            let word = u32::from_ne_bytes([word[0], word[1], word[2], word[3]]);
            self.private.put_u32(at + 8 + index * 4, word);
        }
        self.private.put_u32(at + 24, peer.version);
    }
}

/// One row of the peer table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PeerEntry {
    pub(super) family: u16,
    pub(super) port: u16,
    pub(super) scope: u32,
    pub(super) address: [u8; 16],
    pub(super) version: u32,
}

/// Zeroed, page-aligned memory. Written through atomics with relaxed ordering, which cost what plain stores do,
/// because JavaScript could move its buffer to another thread and read it there.
#[derive(Debug)]
struct Block {
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: the memory is owned; `put_*` are atomic, and nothing reads it here.
unsafe impl Send for Block {}
// SAFETY: as above.
unsafe impl Sync for Block {}

macro_rules! put {
    ($name:ident, $value:ty, $atomic:ty) => {
        #[inline]
        fn $name(&self, at: usize, value: $value) {
            debug_assert!(at + size_of::<$value>() <= self.bytes && at % align_of::<$value>() == 0);
            // SAFETY: the callers have checked their index against the layout by which the block was made, and
            // every column starts on a cache line, so the place is inside and aligned.
            unsafe { <$atomic>::from_ptr(self.start.as_ptr().add(at).cast()).store(value, Ordering::Relaxed) }
        }
    };
}

impl Block {
    fn layout(bytes: usize) -> Option<Layout> {
        Layout::from_size_align(bytes, PAGE).ok().filter(|layout| layout.size() > 0)
    }

    fn new(bytes: usize) -> Result<Block, Error> {
        let no_memory = || Error::new(Code::NoMemory, format!("{bytes} bytes of columns cannot be had"));
        let layout = Block::layout(bytes).ok_or_else(no_memory)?;
        // SAFETY: the layout is not empty.
        let start = unsafe { alloc_zeroed(layout) };
        Ok(Block { start: NonNull::new(start).ok_or_else(no_memory)?, bytes })
    }

    put!(put_u8, u8, AtomicU8);
    put!(put_u16, u16, AtomicU16);
    put!(put_u32, u32, AtomicU32);
    put!(put_u64, u64, AtomicU64);
}

impl Drop for Block {
    fn drop(&mut self) {
        if let Some(layout) = Block::layout(self.bytes) {
            // SAFETY: allocated with this very layout.
            unsafe { dealloc(self.start.as_ptr(), layout) }
        }
    }
}
