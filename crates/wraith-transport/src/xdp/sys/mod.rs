//! The system calls of AF_XDP. The one place of this module where platforms differ: elsewhere than on Linux each
//! call gives ENOSYS, so that everything above compiles everywhere and reports that it is not supported.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod other;

#[cfg(target_os = "linux")]
pub(super) use linux::*;
#[cfg(not(target_os = "linux"))]
pub(super) use other::*;

/// An errno.
pub(super) type Errno = i32;
