//! Parsing allocates nothing: an allocator that counts says so.
#![expect(unsafe_code, reason = "an allocator")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use wraith_core::frames::{Backend, Batch, FrameColumns, Slab, naive};

use crate::support::{Laid, good_frame};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: all is left to the system's allocator; the counter is this thread's own and allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // A thread that ends has no counter any more; nobody asks it.
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(work: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(Box::new(1)))), 1);
}

#[test]
fn good_and_bad_rows_are_parsed_without_an_allocation() {
    let mut laid = Laid::default();
    for row in 0..100 {
        let mut bytes = good_frame(row);
        bytes[8] = row as u8;
        laid.push(&bytes, row);
    }
    let batch = Batch::new(Slab::new(&laid.memory), &laid.descriptors).expect("a small slab");
    let mut columns = FrameColumns::with_capacity(100);
    for backend in Backend::available() {
        let mut good = 0;
        let count = allocations(|| good = batch.frames(backend, &mut columns.as_mut()).unwrap_or(0));
        assert_eq!((good, count), (15, 0), "{}", backend.backend());
    }
    assert_eq!(allocations(|| assert_eq!(naive::frames(&batch, &mut columns.as_mut()), Ok(15))), 0);
    assert_eq!(
        allocations(|| assert!((0..100).filter(|&row| batch.explain_frame(row).is_some()).count() == 85)),
        0
    );
}
