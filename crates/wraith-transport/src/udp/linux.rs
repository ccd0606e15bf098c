//! recvmmsg(2): a batch of packets with one system call.
#![expect(unsafe_code, reason = "lets the kernel write into posted slots")]

use std::os::fd::RawFd;
use std::ptr;

use super::messages::Messages;
use super::sys::{self, Errno};

/// linux/udp.h.
pub(super) const UDP_GRO: libc::c_int = 104;

/// Receives up to `count` packets that are there already; `Ok(n)` with n ≥ 1. EAGAIN: there were none. When an
/// error follows some packets, the kernel keeps it for the next call (recvmmsg(2), BUGS, does not lose it for
/// datagram sockets: net/socket.c stores it in sk_err).
///
/// # Safety
/// The first `count` buffers must be writable and nobody else's during the call.
pub(super) unsafe fn receive(messages: &mut Messages, fd: RawFd, count: usize) -> Result<usize, Errno> {
    let first = messages.prepare(count).cast::<libc::mmsghdr>();
    // MSG_TRUNC: the length is that of the packet, not of what fitted.
    let flags = libc::MSG_DONTWAIT | libc::MSG_TRUNC;
    // SAFETY: `first` is the first of at least `count` headers (checked by `prepare`) of mmsghdr's layout
    // (checked at compile time), whose names and control data are owned by `messages` and whose buffers are
    // the caller's by contract. The types of count and flags differ between C libraries.
    let received = unsafe { libc::recvmmsg(fd, first, count as _, flags as _, ptr::null_mut()) };
    if received < 0 {
        return Err(sys::errno());
    }
    messages.received(received as usize);
    Ok(received as usize)
}
