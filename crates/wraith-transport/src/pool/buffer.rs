//! A lent buffer that goes home when it is dropped.
#![expect(unsafe_code, reason = "lends the bytes of a slot, or of a fallback allocation, as a slice")]

use std::alloc::Layout;
use std::fmt;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::core::{Parked, PoolCore};
use crate::memory::Dirty;
use crate::memory::slab::{Slab, zero};
use crate::metrics::Counter;
use crate::{Code, Error};

/// Exclusive access to the bytes of one slot, until it is dropped or released.
///
/// It derefs to `[u8]` of the pool's buffer size, 64-byte aligned. Dropping it zeroes the bytes, if they were
/// ever borrowed mutably, and makes the slot free; forgetting it (`mem::forget`) leaks the slot and nothing else. It
/// keeps the slab alive: it may outlive the pool. It may be sent to and dropped in any thread.
pub struct Buffer {
    bytes: NonNull<u8>,
    len: usize,
    /// [`FALLBACK`]: the bytes are an allocation of their own.
    slot: u32,
    clear: bool,
    written: bool,
    /// Moved out by `drop`, and nowhere else.
    core: ManuallyDrop<Arc<PoolCore>>,
}

/// No slot has this number: a slab of 4 GiB has fewer.
const FALLBACK: u32 = u32::MAX;

impl Buffer {
    /// The buffer of a slot that the caller has just taken.
    #[inline]
    pub(super) fn pooled(Parked { slot, core }: Parked, clear: bool) -> Buffer {
        let slab = core.slab();
        let (bytes, len) = (slab.slot_ptr(slot), slab.slot_size());
        Buffer { bytes, len, slot, clear, written: false, core: ManuallyDrop::new(core) }
    }

    /// A zeroed buffer outside of the slab, as long as fewer than `most` are alive.
    #[cold]
    pub(super) fn fallback(core: &Arc<PoolCore>, most: u32) -> Result<Buffer, Error> {
        let more = |alive| (alive < most).then_some(alive + 1);
        // Relaxed: a count; the buffers' contents are ordered by whatever sends them between threads.
        if core.fallbacks().fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_err() {
            let what = format!("All {} buffers and all {most} fallback buffers are in use", core.capacity());
            return Err(Error::new(Code::PoolExhausted, what));
        }
        let len = core.buffer_size();
        // SAFETY: the layout's size is not 0: a slab has no slots of 0 bytes.
        let bytes = NonNull::new(unsafe { std::alloc::alloc_zeroed(layout(len)) });
        let Some(bytes) = bytes else {
            core.fallbacks().fetch_sub(1, Ordering::Relaxed);
            return Err(Error::new(
                Code::NoMemory,
                format!("No memory for a fallback buffer of {len} bytes"),
            ));
        };
        core.metrics().add(Counter::FallbackAllocations, 1);
        let core = ManuallyDrop::new(Arc::clone(core));
        Ok(Buffer { bytes, len, slot: FALLBACK, clear: true, written: false, core })
    }

    /// Whether the bytes lie in the pool's slab, rather than in a fallback allocation.
    pub fn is_pooled(&self) -> bool {
        self.slot != FALLBACK
    }

    /// The slot's number, if the buffer is pooled.
    pub fn slot(&self) -> Option<u32> {
        self.is_pooled().then_some(self.slot)
    }

    #[cold]
    fn free_fallback(&self, core: &PoolCore) {
        // SAFETY: `fallback` allocated the bytes with this layout, and they are this buffer's alone.
        unsafe {
            if self.written {
                zero(self.bytes, self.len);
            }
            std::alloc::dealloc(self.bytes.as_ptr(), layout(self.len));
        }
        core.fallbacks().fetch_sub(1, Ordering::Relaxed);
        core.metrics().add(Counter::FallbackReleases, 1);
    }
}

/// How a fallback buffer is allocated: aligned as slots are.
fn layout(len: usize) -> Layout {
    const { assert!(Slab::ALIGN.is_power_of_two()) };
    // SAFETY: a power of two, and slots are less than 4 GiB, which does not overflow isize on 64-bit systems; on 32-bit
    // ones a slab of more than isize::MAX bytes cannot be mapped.
    unsafe { Layout::from_size_align_unchecked(len, Slab::ALIGN) }
}

impl Deref for Buffer {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: `bytes` is valid for `len` bytes and initialised (zeros at first), and the slot's word says
        // that it is this buffer's: nobody else reads or writes it. `core` keeps the slab mapped.
        unsafe { std::slice::from_raw_parts(self.bytes.as_ptr(), self.len) }
    }
}

impl DerefMut for Buffer {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        self.written = true;
        // SAFETY: as in `deref`; `&mut self` makes it the only reference.
        unsafe { std::slice::from_raw_parts_mut(self.bytes.as_ptr(), self.len) }
    }
}

impl AsRef<[u8]> for Buffer {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl AsMut<[u8]> for Buffer {
    #[inline]
    fn as_mut(&mut self) -> &mut [u8] {
        self
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the bytes: they are other people's packets.
        f.debug_struct("Buffer").field("slot", &self.slot()).field("len", &self.len).finish_non_exhaustive()
    }
}

impl Drop for Buffer {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: `drop` runs once, and nothing uses the field after it.
        let core = unsafe { ManuallyDrop::take(&mut self.core) };
        if !self.is_pooled() {
            return self.free_fallback(&core);
        }
        let dirty = if self.written && self.clear { Dirty::All } else { Dirty::Nothing };
        Parked { slot: self.slot, core }.give_back(dirty);
    }
}

// SAFETY: a buffer is the only holder of its bytes; the pool's own parts are Send and Sync.
unsafe impl Send for Buffer {}
// SAFETY: through a shared reference the bytes can only be read.
unsafe impl Sync for Buffer {}

/// What [`BufferPool::release`](super::BufferPool::release) takes: a [`Buffer`], or a `Vec<u8>` of any origin.
pub trait Releasable: sealed::Sealed {}

impl Releasable for Buffer {}
impl Releasable for Vec<u8> {}

pub(super) mod sealed {
    use super::{Arc, Buffer, Counter, NonNull, PoolCore, zero};

    pub trait Sealed {
        fn release_to(self, core: &Arc<PoolCore>);
    }

    impl Sealed for Buffer {
        #[inline]
        fn release_to(self, core: &Arc<PoolCore>) {
            if !Arc::ptr_eq(&self.core, core) {
                core.metrics().add(Counter::ForeignReleases, 1);
            }
            // Dropping it brings it home, to the pool that it came from.
        }
    }

    impl Sealed for Vec<u8> {
        fn release_to(mut self, core: &Arc<PoolCore>) {
            let spare = self.spare_capacity_mut().len();
            let all = self.len() + spare;
            if let Some(bytes) = NonNull::new(self.as_mut_ptr()).filter(|_| all > 0) {
                // SAFETY: the vector owns len + spare writable bytes from there on, and nobody else has them.
                unsafe { zero(bytes, all) };
            }
            core.metrics().add(Counter::ForeignReleases, 1);
        }
    }
}
