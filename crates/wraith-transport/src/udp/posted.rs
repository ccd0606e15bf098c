//! The slots that a receiver has given to the kernel, and those of them that its consumer is reading.
#![expect(
    unsafe_code,
    reason = "receives into slots and clears them while the owner table says they are ours"
)]

use std::os::fd::RawFd;
use std::sync::Arc;

use super::messages::Messages;
use super::options::Backend;
use super::sys::Errno;
use crate::error::{Code, Error};
use crate::memory::{Dirty, Owner, State};
use crate::pool::PoolCore;

/// Asked before a slot leaves the receiver for the pool: `true` once no view onto it is left. `false`: one is, and cannot be
/// reached; the slot is taken out of use for good ([`PoolCore::quarantine_for_good`]), and whoever answers so keeps the slab
/// mapped for ever.
pub type BeforeLeave = Box<dyn FnMut(u32) -> bool + Send>;

/// No slot: taken by the consumer, or lost to somebody who had no right to it.
const NONE: u32 = u32::MAX;

#[derive(Clone, Copy)]
struct Entry {
    slot: u32,
    /// Bytes at its start that the kernel wrote since it was clean.
    wrote: u32,
    /// Held by the consumer: `Lent` in the owner table, otherwise `Posted`.
    lent: bool,
}

/// A vector of slots. Entries `0..len` are posted; after a receive the first `batch` of them carry packets.
/// A batch ends by posting the same slots again, so the vector's first slots are the hottest.
pub(super) struct Posted {
    core: Arc<PoolCore>,
    owner: Owner,
    entries: Box<[Entry]>,
    scratch: Box<[u32]>,
    len: usize,
    batch: usize,
    /// Entries of the batch that have no slot any more.
    holes: usize,
    pub(super) messages: Messages,
    /// Hand-overs that the owner table refused.
    pub(super) faults: u64,
    pub(super) fault: Option<Error>,
    before_leave: Option<BeforeLeave>,
}

impl Posted {
    pub(super) fn new(core: Arc<PoolCore>, owner: Owner, size: usize, control_for_all: bool) -> Posted {
        Posted {
            core,
            owner,
            entries: vec![Entry { slot: NONE, wrote: 0, lent: false }; size].into(),
            scratch: vec![NONE; size].into(),
            len: 0,
            batch: 0,
            holes: 0,
            messages: Messages::new(size, control_for_all),
            faults: 0,
            fault: None,
            before_leave: None,
        }
    }

    pub(super) fn set_before_leave(&mut self, hook: Option<BeforeLeave>) {
        self.before_leave = hook;
    }

    pub(super) fn core(&self) -> &Arc<PoolCore> {
        &self.core
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Slots that are posted or lent.
    pub(super) fn held(&self) -> usize {
        self.len - self.holes
    }

    fn posted(&self) -> (State, Owner) {
        (State::Posted, self.owner)
    }

    fn lent(&self) -> (State, Owner) {
        (State::Lent, self.owner)
    }

    /// Fills the vector from the pool as far as the pool can. Not while a batch is out.
    pub(super) fn refill(&mut self) {
        debug_assert_eq!(self.batch, 0);
        let want = self.entries.len() - self.len;
        if want == 0 {
            return;
        }
        let got = self.core.pop_into(self.posted(), &mut self.scratch[..want]);
        for &slot in &self.scratch[..got] {
            self.entries[self.len] = Entry { slot, wrote: 0, lent: false };
            self.messages.post(self.len, self.core.slab().slot(slot), self.core.buffer_size());
            self.len += 1;
        }
    }

    /// Posts one slot more, which `from` says is the caller's and clean. `false`: the vector is full or a batch is out;
    /// the slot is still the caller's then.
    pub(super) fn feed(&mut self, slot: u32, from: (State, Owner)) -> Result<bool, Error> {
        if self.batch != 0 || self.len == self.entries.len() {
            return Ok(false);
        }
        self.core.exchange(slot, from, self.posted())?;
        self.entries[self.len] = Entry { slot, wrote: 0, lent: false };
        self.messages.post(self.len, self.core.slab().slot(slot), self.core.buffer_size());
        self.len += 1;
        Ok(true)
    }

    /// One receive into all posted slots: how many of them have got a packet.
    pub(super) fn receive(&mut self, fd: RawFd, backend: Backend) -> Result<usize, Errno> {
        debug_assert_eq!(self.batch, 0);
        // SAFETY: entries 0..len are slots in state Posted of this owner, which only this value gives out and
        // takes; each buffer is one whole slot of the slab, which `core` keeps alive.
        let received = unsafe {
            match backend {
                #[cfg(any(target_os = "linux", target_os = "android"))]
                Backend::Recvmmsg => super::linux::receive(&mut self.messages, fd, self.len),
                _ => super::portable::receive(&mut self.messages, fd, self.len),
            }
        }?;
        self.batch = received;
        Ok(received)
    }

    /// The slot of entry `index` goes to the consumer. `None`: it is not ours any more, or was never.
    pub(super) fn lend(&mut self, index: usize, wrote: u32) -> Option<u32> {
        let slot = self.entries[index].slot;
        match self.core.exchange(slot, self.posted(), self.lent()) {
            Ok(_) => {
                self.entries[index] = Entry { slot, wrote, lent: true };
                Some(slot)
            }
            Err(error) => {
                self.lose(index, error);
                None
            }
        }
    }

    /// The packet in entry `index` is not wanted: the slot stays posted and is cleared.
    pub(super) fn discard(&mut self, index: usize, wrote: u32) {
        // SAFETY: the slot is in state Posted of this owner and no system call is running.
        unsafe { self.core.slab().clear(self.entries[index].slot, Dirty::Range { start: 0, len: wrote }) }
    }

    /// Whether the consumer has the slot of entry `index` through the batch.
    pub(super) fn is_lent(&self, index: usize) -> bool {
        self.entries[index].lent
    }

    /// Hands the lent slot of entry `index` on; it does not come back here.
    pub(super) fn take(&mut self, index: usize, to: (State, Owner)) -> Result<u32, Error> {
        let entry = self.entries[index];
        if !entry.lent {
            return Err(Error::new(Code::StaleBuffer, "this row of the batch was taken already"));
        }
        let generation = self.core.exchange(entry.slot, self.lent(), to)?;
        self.entries[index] = Entry { slot: NONE, wrote: 0, lent: false };
        self.holes += 1;
        Ok(generation)
    }

    /// The batch is over: lent slots are posted again, and what was received into them is cleared.
    pub(super) fn finish(&mut self) {
        for index in 0..self.batch {
            let entry = self.entries[index];
            if entry.lent {
                match self.core.exchange(entry.slot, self.lent(), self.posted()) {
                    Ok(_) => {
                        self.entries[index].lent = false;
                        // SAFETY: the exchange has just made the slot ours, and no system call is running.
                        unsafe {
                            let dirty = Dirty::Range { start: 0, len: entry.wrote };
                            self.core.slab().clear(entry.slot, dirty);
                        }
                    }
                    Err(error) => self.lose(index, error),
                }
            }
        }
        if self.holes > 0 {
            self.close_holes();
            self.holes = 0;
        }
        self.batch = 0;
    }

    fn lose(&mut self, index: usize, error: Error) {
        self.entries[index] = Entry { slot: NONE, wrote: 0, lent: false };
        self.holes += 1;
        self.faults += 1;
        self.fault = Some(error);
    }

    /// Moves slots from the end into entries that have none.
    fn close_holes(&mut self) {
        let mut index = 0;
        while index < self.len {
            if self.entries[index].slot != NONE {
                index += 1;
                continue;
            }
            self.len -= 1;
            let last =
                std::mem::replace(&mut self.entries[self.len], Entry { slot: NONE, wrote: 0, lent: false });
            if index < self.len && last.slot != NONE {
                self.entries[index] = last;
                self.messages.post(index, self.core.slab().slot(last.slot), self.core.buffer_size());
            }
        }
    }

    /// Gives posted slots back to the pool until at most `keep` are left. Not while a batch is out.
    pub(super) fn shed(&mut self, keep: usize) -> usize {
        debug_assert_eq!(self.batch, 0);
        let mut given = 0;
        while self.len > keep {
            self.len -= 1;
            let slot = std::mem::replace(&mut self.entries[self.len].slot, NONE);
            let may_leave = self.before_leave.as_mut().is_none_or(|hook| hook(slot));
            let left = if may_leave {
                self.core.push(slot, self.posted(), Dirty::Nothing).map(|()| given += 1)
            } else {
                self.core.quarantine_for_good(slot, self.posted())
            };
            match left {
                Ok(()) => {}
                Err(error) => {
                    self.faults += 1;
                    self.fault = Some(error);
                }
            }
        }
        given
    }
}

impl Drop for Posted {
    fn drop(&mut self) {
        self.finish();
        self.shed(0);
    }
}
