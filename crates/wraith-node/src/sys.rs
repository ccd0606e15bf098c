//! The few system calls of the binding itself.
#![allow(unsafe_code, reason = "system calls")]

use wraith_transport::Error;

/// Sixteen bytes from the kernel's random source.
pub(crate) fn random_bytes() -> Result<[u8; 16], Error> {
    let mut bytes = [0u8; 16];
    // SAFETY: the kernel writes at most the 16 bytes that it is given.
    let got = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    if got == 16 { Ok(bytes) } else { Err(Error::last_system("getrandom", "cannot make a random id")) }
}

/// Nanoseconds of the monotonic clock; 20 ns, no system call.
pub(crate) fn now_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is writable; CLOCK_MONOTONIC always exists.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
