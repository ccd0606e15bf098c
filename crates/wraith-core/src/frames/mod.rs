//! Frames and packets, a whole batch at a time: bytes of one [`Slab`] in, columns out.
//!
//! A [`Batch`] is descriptors over a slab. [`Batch::frames`] parses each as a frame of the WRAITH protocol ([`wraith`]) into
//! [`FrameColumns`]: one array a field, one row a frame, with a status in each row. What does the work is a
//! [`Backend`], chosen once for the CPU; all of them give the same bytes as [`Backend::Scalar`], the oracle.

mod backend;
mod batch;
#[macro_use]
mod columns;
pub mod naive;
pub mod packet;
mod scalar;
mod simd;
mod slab;
pub mod wraith;

pub use backend::{Backend, BackendError, Supported, VARIABLE};
pub use batch::{Batch, BatchError};
pub use columns::{ColumnsError, FrameColumns, FrameColumnsMut};
pub use slab::{Descriptor, MAX_OVER_READ, Slab};
