//! What a thread keeps at hand: a small stack that only its owner uses, until somebody else runs out.
//!
//! The free list is first in, first out and shared: two threads that use it write the same cache lines twice for
//! each buffer. A magazine (Bonwick and Adams, "Magazines and Vmem", 2001) is last in, first out, so its buffers are
//! still in the cache, and nobody else touches it until the free list is empty. Then it is robbed.
//!
//! Owner and robber exclude each other as in Dekker's algorithm: each raises its flag, then looks at the other's.
//! The fence between the two steps costs the owner nothing where the robber can have the kernel do it
//! (`barrier.rs`). An owner that sees a robber goes to the free list instead; it never waits. A robber waits for the
//! owner's few instructions, as a pop of the free list waits for a half-finished push.
#![expect(unsafe_code, reason = "flags decide who has the stack to itself")]

use super::barrier::Barrier;
use crate::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use crate::sync::{Backoff, UnsafeCell};

/// A stack of at most `room` items.
pub struct Magazine<T> {
    /// The owner is at the stack.
    owner: AtomicBool,
    /// A robber is at the stack, or waits for the owner to leave. Robbers exclude each other by it.
    robber: AtomicBool,
    barrier: Barrier,
    /// The stack's length, for those who only look.
    fill: AtomicU32,
    stack: UnsafeCell<Stack<T>>,
}

struct Stack<T> {
    items: Vec<T>,
    room: usize,
}

// SAFETY: items are moved in and out by whoever has the stack to itself; no reference to one is given out.
unsafe impl<T: Send> Sync for Magazine<T> {}

impl<T> Magazine<T> {
    /// An empty magazine. Its memory is allocated here and never grows, so that `put` calls no allocator.
    pub fn new(room: usize) -> Magazine<T> {
        Magazine {
            owner: AtomicBool::new(false),
            robber: AtomicBool::new(false),
            barrier: Barrier::best(),
            fill: AtomicU32::new(0),
            stack: UnsafeCell::new(Stack { items: Vec::with_capacity(room), room }),
        }
    }

    /// How many items are in it; while others work, a moment ago.
    pub fn fill(&self) -> u32 {
        self.fill.load(Ordering::Relaxed)
    }

    /// Puts an item on top, or gives it back: the magazine is full, closed, or being robbed.
    ///
    /// # Safety
    /// Only the owner calls `put` and `take`: no two of these calls overlap, and each happens before the next.
    #[inline]
    pub unsafe fn put(&self, item: T) -> Result<(), T> {
        if !self.enter() {
            return Err(item);
        }
        let put = self.with_stack(|stack| {
            if stack.items.len() >= stack.room {
                return Err(item);
            }
            stack.items.push(item);
            Ok(())
        });
        self.leave();
        put
    }

    /// Takes the item on top. `None`: the magazine is empty or being robbed.
    ///
    /// # Safety
    /// As [`Magazine::put`].
    #[inline]
    pub unsafe fn take(&self) -> Option<T> {
        if !self.enter() {
            return None;
        }
        let taken = self.with_stack(|stack| stack.items.pop());
        self.leave();
        taken
    }

    /// Takes half of the items, at least one: returns one and gives the others to `rest`.
    pub fn rob(&self, rest: impl FnMut(T)) -> Option<T> {
        if self.fill() == 0 || !self.lock_out() {
            return None;
        }
        let robbed = self.with_stack(|stack| {
            let first = stack.items.pop();
            let half = stack.items.len().div_ceil(2);
            // The oldest: the owner would come to them last.
            stack.items.drain(..half).for_each(rest);
            first
        });
        self.robber.store(false, Ordering::Release);
        robbed
    }

    /// Takes all items; nothing can be put in any more.
    pub fn close(&self) -> Vec<T> {
        if !self.lock_out() {
            return Vec::new();
        }
        let all = self.with_stack(|stack| {
            stack.room = 0;
            std::mem::take(&mut stack.items)
        });
        self.robber.store(false, Ordering::Release);
        all
    }

    /// The owner's way in. `false`: a robber is there.
    #[inline]
    fn enter(&self) -> bool {
        self.owner.store(true, Ordering::Relaxed);
        self.barrier.light();
        // Acquire: see what the last robber did to the stack.
        if self.robber.load(Ordering::Acquire) {
            self.leave();
            return false;
        }
        true
    }

    #[inline]
    fn leave(&self) {
        // Release: a robber that sees the owner gone sees what it did to the stack.
        self.owner.store(false, Ordering::Release);
    }

    /// A robber's way in: excludes other robbers, then waits until the owner is out. `false`: cannot be done.
    fn lock_out(&self) -> bool {
        let backoff = Backoff::new();
        let excluded = || self.robber.load(Ordering::Relaxed) || !self.try_exclude();
        while excluded() {
            backoff.snooze();
        }
        if !self.barrier.heavy() {
            self.robber.store(false, Ordering::Release);
            return false;
        }
        while self.owner.load(Ordering::Acquire) {
            backoff.snooze();
        }
        true
    }

    fn try_exclude(&self) -> bool {
        // Acquire: see what the last robber did to the stack.
        self.robber.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// The caller is the owner after `enter` or a robber after `lock_out`.
    #[inline]
    fn with_stack<R>(&self, work: impl FnOnce(&mut Stack<T>) -> R) -> R {
        self.stack.with_mut(|stack| {
            // SAFETY: the owner and a robber cannot both be here: each raised its flag, passed the barrier and found the
            // other's flag down. Robbers exclude each other, and the owner does not call twice at once.
            let stack = unsafe { &mut *stack };
            let result = work(stack);
            self.fill.store(stack.items.len() as u32, Ordering::Relaxed);
            result
        })
    }
}
