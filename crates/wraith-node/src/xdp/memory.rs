//! The bytes of frames: the UMEM as JavaScript sees it during a batch, copies where it does not, and frames that stay.
//!
//! It sees the UMEM in windows. V8 takes an ArrayBuffer that was moved to a new one for memory that was freed and allocated, and
//! collects garbage when as much as 64 MiB were allocated since (32 MiB of young memory on Node.js 22): with one ArrayBuffer over a large
//! UMEM at each batch, which takes milliseconds. Windows of 16 MiB never come near.
#![allow(unsafe_code, reason = "copies frames of batches that are out")]

use std::ptr;

use wraith_transport::memory::Slab;
use wraith_transport::xdp::{Row, XdpSocket};
use wraith_transport::{Code, Error};

use super::binding::XdpBinding;
use crate::raw::{Args, Reply};

/// Bytes of a window; frames are powers of two, so that none lies in two. `ts/xdp/rows.ts` has the same number.
pub(super) const WINDOW: usize = 1 << 24;

/// `(window)`: its ArrayBuffer, until [`XdpBinding::hide`] empties it.
pub(super) fn show(this: &XdpBinding, args: &Args) -> Result<Reply, Error> {
    let window = args.u32(0)?;
    let memory = this.umem.show(window)?.ok_or_else(moved)?;
    let mut looked = this.looked.borrow_mut();
    if !looked.contains(&window) {
        looked.push(window);
    }
    Ok(Reply::Value(memory))
}

/// User code has moved the UMEM to an ArrayBuffer of its own, so that it may see what the kernel writes for ever.
pub(super) fn moved() -> Error {
    Error::with_remedy(
        Code::StaleBuffer,
        "The memory of the UMEM was moved to another ArrayBuffer, so the queues were closed",
        "Copy bytes that are to be transferred, and never move bytes.buffer.",
    )
}

/// `(memory)`: copies the frames of the batch that is out into an ArrayBuffer, each to its row's place in a slot of the UMEM's
/// stride; all views of the UMEM are empty then. 0 bytes are copied of a row that was taken, or that has no place there.
pub(super) fn copy_out(this: &XdpBinding, args: &Args) -> Result<Reply, Error> {
    this.hide()?;
    let (data, len) = args.array_buffer(0)?;
    this.with_batch(|socket| {
        let slab = socket.pool().slab();
        for (at, row) in socket.rows().iter().enumerate().filter(|(at, _)| socket.has(*at)) {
            let (to, from) = (at * slab.stride() + within(slab, row), row.offset as usize);
            let length = row.length as usize;
            if to + length > len || from + length > slab.len() {
                continue;
            }
            // SAFETY: both ranges were just checked. The ArrayBuffer is an argument of the running call, in which JavaScript
            // cannot run; the slot is the batch's, which nobody else writes, and is no memory of an ArrayBuffer of the facade's.
            unsafe { ptr::copy(slab.base().add(from), data.add(to), length) };
        }
        Ok(Reply::Undefined)
    })
}

/// What was changed in a copy of [`copy_out`] goes back into the row's slot.
pub(super) fn copy_back(socket: &XdpSocket, row: usize, (data, len): (*mut u8, usize)) {
    let slab = socket.pool().slab();
    let Some(entry) = socket.rows().get(row).filter(|_| socket.has(row)) else { return };
    let (from, to) = (row * slab.stride() + within(slab, entry), entry.offset as usize);
    let length = entry.length as usize;
    if from + length <= len && to + length <= slab.len() {
        // SAFETY: as in `copy_out`.
        unsafe { ptr::copy(data.cast_const().add(from), slab.base().add(to), length) };
    }
}

fn within(slab: &Slab, row: &Row) -> usize {
    row.offset as usize % slab.stride()
}

/// Moves a frame of the batch that is out to the front of its slot and clears what is behind it, which are bytes of other frames.
pub(super) fn move_to_front(socket: &XdpSocket, row: &Row) {
    let slab = socket.pool().slab();
    let (from, length) = (row.offset as usize, row.length as usize);
    let end = (row.slot as usize + 1) * slab.stride();
    if from + length > end || end > slab.len() {
        return;
    }
    let front = slab.slot(row.slot);
    // SAFETY: the frame lies in its slot, as was just checked; the slot is the batch's, so that nobody else writes it.
    unsafe {
        ptr::copy(slab.base().add(from), front, length);
        ptr::write_bytes(front.add(length), 0, slab.stride() - length);
    }
}
