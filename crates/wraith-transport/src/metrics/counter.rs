//! Counters that cost a thread a plain load and store: a padded row per thread, added up when read.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crossbeam_utils::CachePadded;

/// Threads with a row of their own, at the same time. All others share one more row.
pub(crate) const OWN_ROWS: usize = 32;
const UNSET: usize = usize::MAX;

/// Which of the rows belong to a living thread, a bit each.
static TAKEN: AtomicU32 = AtomicU32::new(0);

thread_local! {
    static ROW: Cell<usize> = const { Cell::new(UNSET) };
    static LEASE: Lease = const { Lease };
}

/// Gives the thread's row back when the thread ends.
struct Lease;

impl Drop for Lease {
    fn drop(&mut self) {
        // Destructors that run later in this thread count in the shared row.
        let row = ROW.replace(OWN_ROWS);
        if row < OWN_ROWS {
            // Release: the next owner of the row adds to what this thread stored.
            TAKEN.fetch_and(!(1 << row), Ordering::Release);
        }
    }
}

/// The calling thread's row. Below [`OWN_ROWS`] it is no other living thread's.
#[inline]
pub(crate) fn row() -> usize {
    match ROW.get() {
        UNSET => take_row(),
        row => row,
    }
}

#[cold]
fn take_row() -> usize {
    // A thread whose thread-locals are being destroyed gets no row: nobody would give it back.
    if LEASE.try_with(|_| ()).is_err() {
        return OWN_ROWS;
    }
    let free = |taken: u32| (taken != u32::MAX).then(|| taken | (taken + 1));
    // Acquire: see the drop above.
    let row = match TAKEN.fetch_update(Ordering::Acquire, Ordering::Relaxed, free) {
        Ok(taken) => taken.trailing_ones() as usize,
        Err(_) => OWN_ROWS,
    };
    ROW.set(row);
    row
}

/// `N` counters. Adding touches memory of the calling thread only; reading adds up all rows, and misses at
/// most what other threads are adding at that moment.
#[derive(Debug)]
pub(crate) struct Counters<const N: usize> {
    rows: Box<[CachePadded<[AtomicU64; N]>]>,
}

impl<const N: usize> Default for Counters<N> {
    fn default() -> Self {
        let row = || CachePadded::new([const { AtomicU64::new(0) }; N]);
        Counters { rows: (0..=OWN_ROWS).map(|_| row()).collect() }
    }
}

impl<const N: usize> Counters<N> {
    #[inline]
    pub(crate) fn add(&self, counter: usize, n: u64) {
        self.add_in(row(), counter, n);
    }

    /// As `add`, for a caller that has asked for its [`row`] already.
    #[inline]
    pub(crate) fn add_in(&self, row: usize, counter: usize, n: u64) {
        let cell = &self.rows[row][counter];
        // Relaxed everywhere: a count orders nothing.
        if row < OWN_ROWS {
            // Nobody else writes this row, so no read-modify-write is needed.
            cell.store(cell.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
        } else {
            cell.fetch_add(n, Ordering::Relaxed);
        }
    }

    pub(crate) fn sum(&self, counter: usize) -> u64 {
        self.rows.iter().fold(0, |sum, row| sum.wrapping_add(row[counter].load(Ordering::Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::thread;

    use super::*;

    #[test]
    fn more_threads_than_rows_lose_no_count() {
        let counters = Counters::<2>::default();
        let threads = OWN_ROWS + 8;
        let together = Barrier::new(threads);
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    counters.add(0, 1);
                    // All are alive at once, so some must share.
                    together.wait();
                    (0..1000).for_each(|_| counters.add(1, 3));
                });
            }
        });
        assert_eq!(counters.sum(0), threads as u64);
        assert_eq!(counters.sum(1), threads as u64 * 3000);
    }

    #[test]
    fn rows_of_ended_threads_are_used_again_and_keep_their_counts() {
        let counters = Counters::<1>::default();
        for _ in 0..OWN_ROWS * 4 {
            thread::scope(|scope| {
                scope.spawn(|| counters.add(0, 1));
            });
        }
        assert_eq!(counters.sum(0), OWN_ROWS as u64 * 4);
    }

    #[test]
    fn destructors_of_thread_locals_still_count() {
        static LATE: std::sync::LazyLock<Counters<1>> = std::sync::LazyLock::new(Counters::default);
        struct CountsWhenDropped;
        impl Drop for CountsWhenDropped {
            fn drop(&mut self) {
                LATE.add(0, 1);
            }
        }
        thread_local!(static EARLY: CountsWhenDropped = const { CountsWhenDropped });
        // Destructors run in an order that is not ours to choose: register before and after the lease.
        for count_first in [true, false] {
            thread::spawn(move || {
                if count_first {
                    LATE.add(0, 1);
                }
                EARLY.with(|_| ());
                if !count_first {
                    LATE.add(0, 1);
                }
            })
            .join()
            .unwrap();
        }
        assert_eq!(LATE.sum(0), 4);
    }
}
