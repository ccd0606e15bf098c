//! A UMEM is the slab of a pool: its frames are the slots, and the owner table says who holds each.

use std::fmt;
use std::sync::Arc;

use super::abi::Descriptor;
use crate::memory::{Dirty, Owner, State};
use crate::pool::PoolCore;
use crate::{Code, Error};

/// Frames and who holds them. The kernel's are in state `Posted` (to receive into) or `Op` (being sent) of `owner`.
pub(super) struct Umem {
    pub(super) core: Arc<PoolCore>,
    pub(super) owner: Owner,
    /// The stride is 2 to this power.
    shift: u32,
}

/// Why a descriptor of the kernel's is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rejected {
    /// It lies outside of the UMEM.
    Outside,
    /// It reaches over the end of its frame.
    Overlong,
    /// It has options, or no bytes.
    Odd,
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Rejected::Outside => "lies outside of the UMEM",
            Rejected::Overlong => "reaches over the end of its frame",
            Rejected::Odd => "has unknown options or no bytes",
        })
    }
}

impl Umem {
    /// # Errors
    /// [`Code::OutOfRange`]: the slots are not 2048 or 4096 bytes apart.
    pub(super) fn new(core: Arc<PoolCore>, owner: Owner) -> Result<Umem, Error> {
        let stride = core.slab().stride();
        if ![2048, 4096].contains(&stride) {
            let what = format!("The slots are {stride} bytes apart; allowed are 2048 and 4096");
            return Err(Error::new(Code::OutOfRange, what));
        }
        Ok(Umem { core, owner, shift: stride.trailing_zeros() })
    }

    pub(super) fn posted(&self) -> (State, Owner) {
        (State::Posted, self.owner)
    }

    pub(super) fn lent(&self) -> (State, Owner) {
        (State::Lent, self.owner)
    }

    pub(super) fn sending(&self) -> (State, Owner) {
        (State::Op, self.owner)
    }

    /// Bytes of a frame.
    pub(super) fn stride(&self) -> u32 {
        1 << self.shift
    }

    /// The frame's first byte.
    pub(super) fn address(&self, slot: u32) -> u64 {
        u64::from(slot) << self.shift
    }

    /// The frame that a byte lies in.
    #[inline]
    pub(super) fn slot(&self, address: u64) -> Option<u32> {
        let slot = address >> self.shift;
        (slot < u64::from(self.core.capacity())).then_some(slot as u32)
    }

    /// The slot of a received frame.
    #[inline]
    pub(super) fn check(&self, frame: &Descriptor) -> Result<u32, Rejected> {
        let slot = self.slot(frame.addr).ok_or(Rejected::Outside)?;
        let start = frame.addr - self.address(slot);
        if start + u64::from(frame.len) > u64::from(self.stride()) {
            return Err(Rejected::Overlong);
        }
        if frame.options != 0 || frame.len == 0 {
            return Err(Rejected::Odd);
        }
        Ok(slot)
    }

    /// Moves every frame that the kernel had of this socket to `Retiring`: the socket is closed. Returns how many.
    pub(super) fn retire(&self) -> u32 {
        let mut retired = 0;
        for slot in 0..self.core.capacity() {
            let Some(word) = self.core.holding(slot) else { continue };
            let from = (word.state, word.owner);
            if from == self.posted() || from == self.sending() {
                retired += u32::from(self.core.exchange(slot, from, (State::Retiring, self.owner)).is_ok());
            }
        }
        retired
    }

    /// Brings the retired frames home: the kernel writes to them no more.
    pub(super) fn bring_home(&self) -> u32 {
        let retiring = (State::Retiring, self.owner);
        let home = |slot: &u32| {
            let held = self.core.holding(*slot).map(|word| (word.state, word.owner));
            held == Some(retiring) && self.core.push(*slot, retiring, Dirty::All).is_ok()
        };
        (0..self.core.capacity()).filter(home).count() as u32
    }
}
