//! What a receive came to: packets of a batch, and how it ended otherwise.

use crate::error::Error;

/// Bits of [`Row::flags`].
pub mod row_flags {
    /// The packet was larger than its slot: `wire_length` says by how much.
    pub const TRUNCATED: u8 = 1;
    /// Other rows lie in the same slot (GRO): it cannot be taken.
    pub const SHARED: u8 = 2;
}

/// One packet of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Arrival in nanoseconds since 1970, 0 without timestamps.
    pub timestamp_ns: u64,
    /// The slot it lies in.
    pub slot: u32,
    /// Its first byte, from the start of the slab.
    pub offset: u32,
    /// Bytes that are there.
    pub length: u32,
    /// Bytes that were sent: more than `length` when it is truncated.
    pub wire_length: u32,
    /// The peer's number, or [`NO_PEER`](super::NO_PEER).
    pub peer: u32,
    /// Its place in the system call's vector.
    pub(super) message: u16,
    /// See [`row_flags`].
    pub flags: u8,
}

/// What a receive came to.
#[derive(Debug)]
pub enum Received {
    /// A batch of at least one row is out until [`Receiver::finish`](super::Receiver::finish).
    Rows {
        /// How many rows.
        rows: usize,
        /// Every posted slot was filled: there may be more.
        more: bool,
    },
    /// There was nothing to receive.
    Empty,
    /// There was no slot to receive into; nothing was tried. Counted. The pool is empty or closed.
    Starved,
    /// A system call failed for a reason that is none of the network's, or the owner table refused a slot.
    Failed(Error),
}
