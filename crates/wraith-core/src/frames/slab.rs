//! Where the bytes of a batch lie: one region, and descriptors into it.
#![expect(unsafe_code, reason = "memory that was received into is read through raw pointers, range by range")]

use std::marker::PhantomData;
use std::ptr::NonNull;
use std::slice;

/// The bytes from a frame's first one on that a parser may read even when the frame is shorter: 96.
///
/// Nothing outside the slab is ever read. What is read beyond a frame's length never shows in a result.
pub const MAX_OVER_READ: usize = 96;

/// One contiguous region that batches are parsed in, borrowed for `'a`.
///
/// It is a pointer and a length, not a slice: the region may have slots that the kernel is writing to while others
/// are parsed. A reference is formed only to the bytes of one descriptor.
#[derive(Clone, Copy, Debug)]
pub struct Slab<'a> {
    base: NonNull<u8>,
    length: usize,
    memory: PhantomData<&'a [u8]>,
}

// SAFETY: a slab only reads, and its bytes are shared as a `&[u8]` would share them.
unsafe impl Send for Slab<'_> {}
// SAFETY: as above; there is no interior mutability.
unsafe impl Sync for Slab<'_> {}

impl<'a> Slab<'a> {
    /// The bytes of a slice. Free.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        // SAFETY: a slice is readable for `'a`, and nobody writes to it while it is borrowed.
        unsafe { Self::from_raw_parts(bytes.as_ptr(), bytes.len()) }
    }

    /// `length` bytes from `base` on. Free.
    ///
    /// # Safety
    ///
    /// `base` is not null. The whole region is one allocation and readable for `'a`. While a call that was given this slab runs, nobody writes
    /// to the bytes that its descriptors name, nor to the [`MAX_OVER_READ`] bytes from the start of each; and nobody does for as
    /// long as a reference into the slab that such a call returned is alive.
    #[must_use]
    pub const unsafe fn from_raw_parts(base: *const u8, length: usize) -> Self {
        // SAFETY: the caller says that it is not null.
        let base = unsafe { NonNull::new_unchecked(base.cast_mut()) };
        Self { base, length, memory: PhantomData }
    }

    /// Its length in bytes.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "an empty slab is of no interest")]
    pub const fn len(&self) -> usize {
        self.length
    }

    /// Its first byte, for backends that check each range themselves before they read it.
    #[must_use]
    pub const fn as_ptr(&self) -> *const u8 {
        self.base.as_ptr()
    }

    /// The bytes that a descriptor names, or `None` when not all of them are inside. Free; any descriptor is safe.
    #[inline]
    #[must_use]
    pub const fn bytes(&self, descriptor: Descriptor) -> Option<&'a [u8]> {
        let (offset, length) = (descriptor.offset as usize, descriptor.length as usize);
        if offset > self.length || length > self.length - offset {
            return None;
        }
        // SAFETY: the range is inside the region, which is readable for 'a; whoever made the slab promised that what descriptors
        // name is not written.
        Some(unsafe { slice::from_raw_parts(self.base.as_ptr().add(offset), length) })
    }
}

/// Where one frame or packet lies in its slab. Checked against the slab whenever it is used, never trusted.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Descriptor {
    /// The first byte, from the start of the slab.
    pub offset: u32,
    /// How many bytes.
    pub length: u32,
}

impl Descriptor {
    /// `length` bytes from `offset` on.
    #[must_use]
    pub const fn new(offset: u32, length: u32) -> Self {
        Self { offset, length }
    }
}
