//! How much a magazine may keep back from everybody else.

#[cfg(not(loom))]
use crossbeam_utils::CachePadded;

use crate::sync::atomic::{AtomicU32, Ordering};

/// How many slots the magazine of an isolate may hold: min(32, capacity / (8 × isolates)), and 0 while anybody waits and
/// when the pool is closed.
///
/// It is read without a fence by those who put a slot into their magazine. A stale value does no harm: who
/// begins to wait has every isolate notified after the word was written, and they flush then.
pub struct LimitWord {
    #[cfg(not(loom))]
    word: CachePadded<AtomicU32>,
    #[cfg(loom)]
    word: AtomicU32,
}

impl LimitWord {
    /// The most that it ever says: what crosses to an isolate at once.
    pub const MOST: u32 = 32;

    pub(super) fn new() -> LimitWord {
        LimitWord { word: AtomicU32::new(0).into() }
    }

    /// The word as it is now.
    pub fn get(&self) -> u32 {
        self.word.load(Ordering::Relaxed)
    }

    /// Where the word lies, as long as the `Arc` lives: alone on its cache line. For a binding that shows it to another
    /// language. Nothing in this crate reads it back, so a write from there misleads nobody but other
    /// readers of the word; it is a data race all the same unless both sides use atomics or plain loads of the machine.
    #[cfg(not(loom))]
    pub fn as_ptr(&self) -> *mut u32 {
        self.word.as_ptr()
    }

    pub(super) fn set(&self, limit: u32) {
        if self.get() != limit {
            self.word.store(limit, Ordering::Relaxed);
        }
    }
}
