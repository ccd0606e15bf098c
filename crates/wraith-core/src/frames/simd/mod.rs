//! Backends that use vectors, and the choice between them. The one place that asks what is compiled for.

#[cfg(all(feature = "simd", target_arch = "aarch64", target_endian = "little"))]
#[path = "aarch64/mod.rs"]
mod arch;

#[cfg(all(feature = "simd", target_arch = "x86_64"))]
#[path = "x86_64/mod.rs"]
mod arch;

#[cfg(not(all(
    feature = "simd",
    any(target_arch = "x86_64", all(target_arch = "aarch64", target_endian = "little"))
)))]
#[path = "none.rs"]
mod arch;

#[cfg(all(
    feature = "simd",
    any(target_arch = "x86_64", all(target_arch = "aarch64", target_endian = "little"))
))]
mod blocks;

pub(super) use arch::{frames, has};
