//! A slab between two pages that nobody may touch: a read of one byte outside ends the process.
#![expect(unsafe_code, reason = "maps memory")]

use std::ptr;

use wraith_core::frames::{Backend, Batch, Descriptor, FrameColumns, Slab};

use crate::support::{agrees, good_frame};

/// Pages that can be read, with one before and one behind that cannot.
struct Guarded {
    base: *mut u8,
    page: usize,
}

impl Guarded {
    fn new() -> Self {
        // SAFETY: asks a question.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
        let (read_write, private) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: new memory at a place that the kernel chooses; the middle page is inside it.
        let base = unsafe {
            let base = libc::mmap(ptr::null_mut(), 3 * page, libc::PROT_NONE, private, -1, 0).cast::<u8>();
            assert_ne!(base.cast(), libc::MAP_FAILED);
            assert_eq!(libc::mprotect(base.add(page).cast(), page, read_write), 0);
            base
        };
        Self { base, page }
    }

    fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: the middle page is readable, writable, zeroed and borrowed by this reference alone.
        unsafe { std::slice::from_raw_parts_mut(self.base.add(self.page), self.page) }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: what `new` mapped, and nothing borrows it any more.
        assert_eq!(unsafe { libc::munmap(self.base.cast(), 3 * self.page) }, 0);
    }
}

/// Frames of each length that end with the slab, at each place of a block.
#[test]
fn nothing_behind_the_slab_is_read() {
    let mut guarded = Guarded::new();
    let page = guarded.page;
    let frame = good_frame(132);
    for length in 0..=frame.len() {
        let bytes = guarded.bytes();
        bytes[page - length..].copy_from_slice(&frame[..length]);
        let last = Descriptor::new((page - length) as u32, length as u32);
        for rows in [1, 8, 16, 33] {
            let mut descriptors = vec![Descriptor::new(0, 64); rows];
            descriptors[length % rows] = last;
            for backend in Backend::available() {
                agrees(backend, bytes, &descriptors);
                agrees(backend, bytes, &vec![last; rows]);
            }
        }
    }
}

#[test]
fn nothing_before_the_slab_is_read() {
    let mut guarded = Guarded::new();
    let frame = good_frame(100);
    let bytes = guarded.bytes();
    bytes[..frame.len()].copy_from_slice(&frame);
    for backend in Backend::available() {
        agrees(backend, bytes, &[Descriptor::new(0, frame.len() as u32); 33]);
    }
}

/// The slab's bytes may be written by others where no descriptor points to; here they cannot even be read.
#[test]
fn a_slab_of_raw_memory_is_read_only_where_descriptors_point_to() {
    let mut guarded = Guarded::new();
    let (page, base) = (guarded.page, guarded.base);
    let frame = good_frame(100);
    guarded.bytes()[..frame.len()].copy_from_slice(&frame);
    // SAFETY: three mapped pages; descriptors name bytes of the middle one, and 96 bytes from their start are in it.
    let slab = unsafe { Slab::from_raw_parts(base, 3 * page) };
    let descriptors = [Descriptor::new(page as u32, frame.len() as u32); 33];
    let batch = Batch::new(slab, &descriptors).expect("a small slab");
    for backend in Backend::available() {
        let mut columns = FrameColumns::with_capacity(33);
        assert_eq!(batch.frames(backend, &mut columns.as_mut()), Ok(33));
    }
}
