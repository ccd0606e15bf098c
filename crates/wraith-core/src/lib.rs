//! What the other crates agree on and that touches no operating system.
//!
//! For now that is [`sizes`]: the buffer and pool sizes of the WRAITH Buffer Pool Integration Guide.

pub mod sizes;
