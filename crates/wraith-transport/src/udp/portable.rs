//! recvmsg(2), one packet a call: for systems without recvmmsg, with the same result.
#![expect(unsafe_code, reason = "lets the kernel write into posted slots")]

use std::os::fd::RawFd;

use super::messages::Messages;
use super::sys::{self, Errno};

/// Linux gives the packet's own length for MSG_TRUNC; elsewhere it is an output flag only.
#[cfg(any(target_os = "linux", target_os = "android"))]
const FLAGS: libc::c_int = libc::MSG_DONTWAIT | libc::MSG_TRUNC;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const FLAGS: libc::c_int = libc::MSG_DONTWAIT;

/// Receives up to `count` packets that are there already; `Ok(n)` with n ≥ 1. EAGAIN: there were none. An error
/// that follows some packets is given by the next call.
///
/// # Safety
/// The first `count` buffers must be writable and nobody else's during the call.
pub(super) unsafe fn receive(messages: &mut Messages, fd: RawFd, count: usize) -> Result<usize, Errno> {
    if let Some(errno) = messages.pending.take() {
        return Err(errno);
    }
    let first = messages.prepare(count);
    let mut received = 0;
    while received < count {
        // SAFETY: `prepare` has checked that there are `count` messages; names and control data are owned by
        // `messages`, the buffer is the caller's by contract.
        let (length, errno) = unsafe {
            let message = first.add(received);
            let length = libc::recvmsg(fd, &raw mut (*message).header, FLAGS);
            if length >= 0 {
                (*message).length = length as libc::c_uint;
            }
            (length, if length < 0 { sys::errno() } else { 0 })
        };
        match errno {
            0 => {
                debug_assert!(length >= 0);
                received += 1;
            }
            libc::EINTR => {}
            errno if received == 0 => return Err(errno),
            libc::EAGAIN => break,
            errno => {
                messages.pending = Some(errno);
                break;
            }
        }
    }
    messages.received(received);
    Ok(received)
}
