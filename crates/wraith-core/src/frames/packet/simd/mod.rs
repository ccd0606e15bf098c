//! Chooses the code that parses a batch of packets. The conditions on what is compiled for stand here and nowhere else.

#[cfg(all(
    feature = "simd",
    any(target_arch = "x86_64", all(target_arch = "aarch64", target_endian = "little"))
))]
mod kernel;

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

pub(super) use arch::packets;
