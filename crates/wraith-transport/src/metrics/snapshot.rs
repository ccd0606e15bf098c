//! What a pool counts, and a reading of it.

use super::counter::Counters;

/// What is counted. The names are those of [`PoolSnapshot`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// Calls that asked for a buffer, however they ended.
    TotalAcquires,
    /// Acquires that found no free slot.
    Exhaustions,
    /// Buffers allocated outside of the slab because of that.
    FallbackAllocations,
    /// Acquires that had to wait for a release.
    Waits,
    /// Buffers that went home to their slot.
    Releases,
    /// Fallback buffers that were zeroed and freed.
    FallbackReleases,
    /// Memory of other origin that was given to `release`.
    ForeignReleases,
    /// Guards that were lost without a release.
    Leaks,
    /// Slots brought home from an owner that died.
    Reclaimed,
    /// Slots that became tickets.
    Transferred,
    /// Tickets that found a new holder.
    Adopted,
    /// Tickets taken back by who made them.
    Cancelled,
    /// Tickets taken back because nobody adopted them in time, or because the pool was closed.
    Expired,
}

const COUNTERS: usize = Counter::Expired as usize + 1;

/// A pool's counters. Adding costs about a nanosecond and touches memory of the calling thread only.
#[derive(Debug, Default)]
pub struct PoolMetrics {
    counters: Counters<COUNTERS>,
}

impl PoolMetrics {
    /// Adds `n` to a counter.
    #[inline]
    pub fn add(&self, counter: Counter, n: u64) {
        self.counters.add(counter as usize, n);
    }

    #[inline]
    pub(crate) fn add_in(&self, row: usize, counter: Counter, n: u64) {
        self.counters.add_in(row, counter as usize, n);
    }

    /// A counter's value: the sum over all threads. What other threads are adding meanwhile may be missing; after they
    /// have been joined it is exact. Wraps at 2^64.
    pub fn get(&self, counter: Counter) -> u64 {
        self.counters.sum(counter as usize)
    }

    /// Counts an exhaustion that the caller noticed itself (guide, "Detecting Pool Exhaustion"). The pool
    /// counts those that its own acquires meet.
    pub fn record_pool_exhaustion(&self) {
        self.add(Counter::Exhaustions, 1);
    }
}

/// A pool's counters and gauges at one moment.
///
/// Counts are `f64` so that rates are a plain division, as in the guide; they are exact up to 2^53, which is a
/// million acquires a second for 285 years. Gauges are read one after the other: while other threads work they
/// need not fit each other exactly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PoolSnapshot {
    /// Slots in the pool.
    pub capacity_slots: u32,
    /// Slots at home.
    pub available_slots: u32,
    /// Usable bytes of a slot.
    pub buffer_size_bytes: usize,
    /// Bytes of the slab.
    pub memory_bytes: usize,
    /// Fallback buffers alive now.
    pub fallbacks_alive: u32,
    /// Calls that asked for a buffer, however they ended.
    pub total_acquires: f64,
    /// Acquires that found no free slot.
    pub exhaustions: f64,
    /// Buffers allocated outside of the slab because of that.
    pub fallback_allocations: f64,
    /// Acquires that had to wait for a release.
    pub waits: f64,
    /// Buffers that went home to their slot.
    pub releases: f64,
    /// Fallback buffers that were zeroed and freed.
    pub fallback_releases: f64,
    /// Memory of other origin that was given to `release`.
    pub foreign_releases: f64,
    /// Guards that were lost without a release.
    pub leaks: f64,
    /// Slots brought home from an owner that died.
    pub reclaimed: f64,
    /// Slots that became tickets.
    pub transferred: f64,
    /// Tickets that found a new holder.
    pub adopted: f64,
    /// Tickets taken back by who made them.
    pub cancelled: f64,
    /// Tickets taken back because nobody adopted them in time, or because the pool was closed.
    pub expired: f64,
}

impl PoolSnapshot {
    pub(crate) fn count(metrics: &PoolMetrics) -> PoolSnapshot {
        let count = |counter| metrics.get(counter) as f64;
        PoolSnapshot {
            capacity_slots: 0,
            available_slots: 0,
            buffer_size_bytes: 0,
            memory_bytes: 0,
            fallbacks_alive: 0,
            total_acquires: count(Counter::TotalAcquires),
            exhaustions: count(Counter::Exhaustions),
            fallback_allocations: count(Counter::FallbackAllocations),
            waits: count(Counter::Waits),
            releases: count(Counter::Releases),
            fallback_releases: count(Counter::FallbackReleases),
            foreign_releases: count(Counter::ForeignReleases),
            leaks: count(Counter::Leaks),
            reclaimed: count(Counter::Reclaimed),
            transferred: count(Counter::Transferred),
            adopted: count(Counter::Adopted),
            cancelled: count(Counter::Cancelled),
            expired: count(Counter::Expired),
        }
    }

    /// The share of slots that are not at home, 0 to 1 (guide, "Monitoring Pool Utilization").
    pub fn utilization(&self) -> f64 {
        1.0 - f64::from(self.available_slots) / f64::from(self.capacity_slots.max(1))
    }

    /// The share of acquires that found no free slot, 0 when there were none (guide, "Pool Exhaustion Under
    /// Load"). Since the pool was made; for what happens now use a [`Monitor`](super::Monitor).
    pub fn exhaustion_rate(&self) -> f64 {
        if self.total_acquires == 0.0 { 0.0 } else { self.exhaustions / self.total_acquires }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_counter_appears_under_its_own_name() {
        let metrics = PoolMetrics::default();
        let all = [
            Counter::TotalAcquires,
            Counter::Exhaustions,
            Counter::FallbackAllocations,
            Counter::Waits,
            Counter::Releases,
            Counter::FallbackReleases,
            Counter::ForeignReleases,
            Counter::Leaks,
            Counter::Reclaimed,
            Counter::Transferred,
            Counter::Adopted,
            Counter::Cancelled,
            Counter::Expired,
        ];
        assert_eq!(all.len(), COUNTERS);
        for (i, counter) in all.into_iter().enumerate() {
            metrics.add(counter, 1 << i);
        }
        let s = PoolSnapshot::count(&metrics);
        let read = [
            s.total_acquires,
            s.exhaustions,
            s.fallback_allocations,
            s.waits,
            s.releases,
            s.fallback_releases,
            s.foreign_releases,
            s.leaks,
            s.reclaimed,
            s.transferred,
            s.adopted,
            s.cancelled,
            s.expired,
        ];
        assert_eq!(read.map(|n| n as u32), std::array::from_fn(|i| 1 << i));
    }

    #[test]
    fn rates_are_shares() {
        let mut s = PoolSnapshot::count(&PoolMetrics::default());
        assert_eq!(s.exhaustion_rate(), 0.0);
        (s.capacity_slots, s.available_slots) = (256, 64);
        (s.total_acquires, s.exhaustions) = (200.0, 3.0);
        assert_eq!(s.utilization(), 0.75);
        assert_eq!(s.exhaustion_rate(), 0.015);
    }
}
