//! Counters: native, padded, per thread, merged when they are read.

/// What a pool counts.
#[derive(Debug, Default)]
pub struct PoolMetrics {}
