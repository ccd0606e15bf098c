//! What a thread keeps at hand: a small stack that only its thread uses, until somebody else runs out.
//!
//! The free list is first in, first out and shared: two threads that use it write the same cache lines twice for
//! each buffer. A magazine (Bonwick and Adams, "Magazines and Vmem", 2001) is last in, first out, so its buffers are still in
//! the cache, and it is its thread's own, so its flag never leaves the core. Others look into it only when the
//! free list is empty; then they rob it.
//!
//! The flag `busy` is a try-lock. The owner never waits for it: it uses the free list instead. A robber waits for
//! the owner's few instructions, as a pop of the free list waits for a half-finished push.
#![expect(unsafe_code, reason = "the holder of the flag has the stack to itself")]

use crate::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use crate::sync::{Backoff, UnsafeCell};

/// A stack of at most `room` items.
pub struct Magazine<T> {
    busy: AtomicBool,
    /// The stack's length, for those who only look.
    fill: AtomicU32,
    stack: UnsafeCell<Stack<T>>,
}

struct Stack<T> {
    items: Vec<T>,
    room: usize,
}

// SAFETY: items are moved in and out by whoever holds `busy`, which is taken with acquire and given back with
// release; no reference to one is given out.
unsafe impl<T: Send> Sync for Magazine<T> {}

impl<T> Magazine<T> {
    /// An empty magazine. Its memory is allocated here and never grows, so that `put` calls no allocator.
    pub fn new(room: usize) -> Magazine<T> {
        Magazine {
            busy: AtomicBool::new(false),
            fill: AtomicU32::new(0),
            stack: UnsafeCell::new(Stack { items: Vec::with_capacity(room), room }),
        }
    }

    /// How many items are in it; while others work, a moment ago.
    pub fn fill(&self) -> u32 {
        self.fill.load(Ordering::Relaxed)
    }

    /// Puts an item on top, or gives it back: the magazine is full, closed, or being robbed.
    #[inline]
    pub fn put(&self, item: T) -> Result<(), T> {
        if !self.try_lock() {
            return Err(item);
        }
        self.locked(|stack| {
            if stack.items.len() >= stack.room {
                return Err(item);
            }
            stack.items.push(item);
            Ok(())
        })
    }

    /// Takes the item on top. `None`: the magazine is empty or being robbed.
    #[inline]
    pub fn take(&self) -> Option<T> {
        if self.try_lock() { self.locked(|stack| stack.items.pop()) } else { None }
    }

    /// Takes an item from another thread's magazine; waits for that thread's few instructions if need be.
    pub fn rob(&self) -> Option<T> {
        if self.fill() == 0 {
            return None;
        }
        self.lock();
        self.locked(|stack| stack.items.pop())
    }

    /// Takes all items; nothing can be put in any more.
    pub fn close(&self) -> Vec<T> {
        self.lock();
        self.locked(|stack| {
            stack.room = 0;
            std::mem::take(&mut stack.items)
        })
    }

    #[inline]
    fn try_lock(&self) -> bool {
        // Acquire: see what the last holder did to the stack.
        self.busy.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    fn lock(&self) {
        let backoff = Backoff::new();
        while self.busy.load(Ordering::Relaxed) || !self.try_lock() {
            backoff.snooze();
        }
    }

    /// Runs `work` on the stack and gives the flag back. The caller has just taken the flag; `work` does not panic.
    #[inline]
    fn locked<R>(&self, work: impl FnOnce(&mut Stack<T>) -> R) -> R {
        let result = self.stack.with_mut(|stack| {
            // SAFETY: `busy` was taken by this call's caller and is given back below, so nobody else has a
            // reference to the stack.
            let stack = unsafe { &mut *stack };
            let result = work(stack);
            self.fill.store(stack.items.len() as u32, Ordering::Relaxed);
            result
        });
        // Release: see `try_lock`.
        self.busy.store(false, Ordering::Release);
        result
    }
}
