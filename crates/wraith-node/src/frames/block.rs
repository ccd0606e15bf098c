//! Columns in one ArrayBuffer of JavaScript's: cut anew in each call, never kept.
#![expect(unsafe_code, reason = "slices over memory of an ArrayBuffer, for the length of a call")]

use std::marker::PhantomData;
use std::slice;

use wraith_core::frames::FrameColumnsMut;
use wraith_core::frames::packet::PacketColumnsMut;
use wraith_transport::{Code, Error};

use super::Kind;
use crate::raw::Args;

/// Bytes that a row takes in all columns together.
const fn row_bytes(kind: Kind) -> usize {
    match kind {
        Kind::Frames => 8 + 2 * 4 + 2 * 2 + 3,
        Kind::Packets => 5 * 4 + 7 * 2 + 3,
    }
}

/// What a column holds: any bytes are a value.
trait Number: Copy {}
impl Number for u8 {}
impl Number for u16 {}
impl Number for u32 {}
impl Number for u64 {}

/// The memory of columns. The widest come first, so that each is aligned when the block is, for any number of rows.
pub(super) struct Block<'a> {
    base: *mut u8,
    rows: usize,
    memory: PhantomData<&'a mut [u8]>,
}

impl<'a> Block<'a> {
    /// Argument `index` of this call as columns for `count` rows.
    pub(super) fn of(args: &'a Args, index: usize, kind: Kind, count: usize) -> Result<Self, Error> {
        let (base, len) = args.array_buffer(index)?;
        if len == 0 {
            return Err(Error::new(Code::Detached, "the memory of the columns was transferred away"));
        }
        let rows = len / row_bytes(kind);
        if len % row_bytes(kind) != 0 || base.addr() % align_of::<u64>() != 0 {
            return Err(Error::new(Code::Internal, format!("a block of {len} bytes is no block of columns")));
        }
        if rows < count {
            let what = format!("columns must have room for {count} rows, but they have {rows}");
            return Err(Error::with_remedy(Code::OutOfRange, what, "Make longer columns."));
        }
        Ok(Self { base, rows, memory: PhantomData })
    }

    /// Refuses bytes to be parsed that lie among the columns, which are written meanwhile.
    pub(super) fn must_not_hold(&self, kind: Kind, data: *const u8, len: usize) -> Result<(), Error> {
        let (start, end) = (self.base.addr(), self.base.addr() + self.rows * row_bytes(kind));
        if data.addr() < end && data.addr() + len > start {
            let what = "bytes must not lie in the memory of the columns";
            return Err(Error::with_remedy(Code::InvalidArgType, what, "Copy them elsewhere."));
        }
        Ok(())
    }

    /// `count` rows from `first` on.
    pub(super) fn frames(&mut self, first: usize, count: usize) -> Result<FrameColumnsMut<'_>, Error> {
        let mut cut = self.cut(first, count);
        let offset = cut.column();
        let (sequence, payload_offset) = (cut.column(), cut.column());
        let (stream, payload_length) = (cut.column(), cut.column());
        let (kind, flags, status) = (cut.column(), cut.column(), cut.column());
        FrameColumnsMut::new(kind, flags, stream, sequence, offset, payload_offset, payload_length, status)
            .map_err(|error| Error::new(Code::Internal, error.to_string()))
    }

    /// As [`Block::frames`].
    pub(super) fn packets(&mut self, first: usize, count: usize) -> Result<PacketColumnsMut<'_>, Error> {
        let mut cut = self.cut(first, count);
        let (source, destination) = (cut.column(), cut.column());
        let (payload_offset, payload_length, hash) = (cut.column(), cut.column(), cut.column());
        let (ethertype, vlan, vlan_inner) = (cut.column(), cut.column(), cut.column());
        let (l3_offset, l4_offset) = (cut.column(), cut.column());
        let (source_port, destination_port) = (cut.column(), cut.column());
        let (protocol, flags, status) = (cut.column(), cut.column(), cut.column());
        PacketColumnsMut::new(
            status,
            flags,
            protocol,
            ethertype,
            vlan,
            vlan_inner,
            l3_offset,
            l4_offset,
            source_port,
            destination_port,
            source,
            destination,
            payload_offset,
            payload_length,
            hash,
        )
        .map_err(|error| Error::new(Code::Internal, error.to_string()))
    }

    /// Panics when there are not so many rows: callers have checked.
    fn cut(&mut self, first: usize, count: usize) -> Cut<'_> {
        assert!(first <= self.rows && count <= self.rows - first);
        Cut { next: self.base, rows: self.rows, first, count, memory: PhantomData }
    }
}

/// Cuts one column after the other off the front of a block. It is asked for as many bytes a row as the block has.
struct Cut<'a> {
    next: *mut u8,
    rows: usize,
    first: usize,
    count: usize,
    memory: PhantomData<&'a mut [u8]>,
}

impl<'a> Cut<'a> {
    fn column<T: Number>(&mut self) -> &'a mut [T] {
        let start = self.next.cast::<T>();
        // SAFETY: the columns of a row have `row_bytes` bytes together and there are `rows` of them, so each column lies in
        // the block, aligned, behind the one before it. The block is exclusively ours for 'a: JavaScript cannot run in the
        // call, no other thread sees its memory, and what is parsed was checked to lie elsewhere.
        unsafe {
            self.next = self.next.add(self.rows * size_of::<T>());
            slice::from_raw_parts_mut(start.add(self.first), self.count)
        }
    }
}
