//! What pools count, and the guide's warning thresholds.

pub(crate) mod counter;
mod monitor;
mod snapshot;

pub use monitor::{Crossing, Monitor, Observed, Threshold};
pub use snapshot::{Counter, PoolMetrics, PoolSnapshot};
