//! The free list of the real pool.

use crossbeam_queue::ArrayQueue;

use super::protocol::FreeList;

/// First in, first out, no mutex. A pop may wait for a push that was preempted half-way: lock-free is what
/// the algorithm is called, wait-free it is not.
impl FreeList for ArrayQueue<u32> {
    #[inline]
    fn push(&self, slot: u32) -> bool {
        ArrayQueue::push(self, slot).is_ok()
    }

    #[inline]
    fn pop(&self) -> Option<u32> {
        ArrayQueue::pop(self)
    }
}
