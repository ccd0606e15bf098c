//! Sending one datagram.
#![expect(unsafe_code, reason = "offers a send from memory that JavaScript can see, by pointer")]

use std::net::SocketAddr;

use super::address::SockAddr;
use super::metrics::UdpMetrics;
use super::socket::UdpSocket;
use super::sys::{self, Errno};
use crate::error::{Code, Error};

/// What became of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// The kernel has taken it. Whether it arrives is another matter.
    Done,
    /// The send buffer is full: nothing was sent. Try again when the socket is writable.
    WouldBlock,
}

/// Most datagrams of one [`UdpSocket::send_segments_raw`]: UDP_MAX_SEGMENTS of every kernel that has UDP_SEGMENT
/// (64 until Linux 6.9, 128 since).
pub const MAX_SEGMENTS: usize = 64;

/// Tries before an error that may be an ICMP report of an earlier send is taken for this send's own.
const ATTEMPTS: u32 = 4;

/// Errors by which the kernel reports what ICMP said about an *earlier* datagram (ip(7), udp(7)).
/// The kernel's tables: icmp_err_convert in net/ipv4/icmp.c, tab_unreach in net/ipv6/icmp.c.
pub(super) fn is_icmp(errno: Errno) -> bool {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if errno == libc::ENONET {
        return true;
    }
    matches!(
        errno,
        libc::ECONNREFUSED
            | libc::EHOSTUNREACH
            | libc::ENETUNREACH
            | libc::EHOSTDOWN
            | libc::ENOPROTOOPT
            | libc::EOPNOTSUPP
            | libc::EPROTO
            | libc::EMSGSIZE
            | libc::EACCES
    )
}

impl UdpSocket {
    /// Sends one datagram, to `to` or, on a connected socket, to its peer. The bytes are the caller's again when
    /// this returns. A pending ICMP error is counted and the send tried again: it was about an earlier datagram.
    ///
    /// # Errors
    /// [`Code::AlreadyConnected`] (a destination on a connected socket), [`Code::NotConnected`] (none on another),
    /// [`Code::InvalidAddress`], [`Code::MessageTooLarge`], [`Code::Permission`] (a firewall; a broadcast address
    /// without [`set_broadcast`](Self::set_broadcast)), [`Code::System`] (ENETUNREACH: no route).
    pub fn send(&self, bytes: &[u8], to: Option<&SockAddr>) -> Result<Sent, Error> {
        // SAFETY: pointer and length of a slice that lives through the call.
        unsafe { self.send_raw(bytes.as_ptr(), bytes.len(), to) }
    }

    /// As [`send`](Self::send) with an address in std's form.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_to(&self, bytes: &[u8], to: SocketAddr) -> Result<Sent, Error> {
        self.send(bytes, Some(&self.destination(to)?))
    }

    /// As [`send`](Self::send), from memory of which no reference may be formed.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    ///
    /// # Safety
    /// `bytes` must be readable for `len` bytes during the call.
    pub unsafe fn send_raw(
        &self,
        bytes: *const u8,
        len: usize,
        to: Option<&SockAddr>,
    ) -> Result<Sent, Error> {
        // SAFETY: by this function's own contract.
        self.attempt(len, 1, to, || unsafe { sys::send(self.fd(), bytes, len, to) })
    }

    /// Sends `len` bytes as datagrams of `segment` bytes each, the last one shorter, with one system call and one way
    /// through the network stack (UDP_SEGMENT, udp(7); Linux 4.18). All of them are sent, or none.
    ///
    /// # Errors
    /// As [`send`](Self::send); [`Code::OutOfRange`] (no bytes in a segment, or more than [`MAX_SEGMENTS`] of them),
    /// [`Code::Unsupported`] (not Linux, or the interface cannot).
    ///
    /// # Safety
    /// As [`send_raw`](Self::send_raw).
    pub unsafe fn send_segments_raw(
        &self,
        bytes: *const u8,
        len: usize,
        segment: u16,
        to: Option<&SockAddr>,
    ) -> Result<Sent, Error> {
        let segments = if segment == 0 { 0 } else { len.div_ceil(usize::from(segment)) };
        if segment == 0 || segments > MAX_SEGMENTS {
            let what =
                format!("{len} bytes in segments of {segment}; allowed are 1 to {MAX_SEGMENTS} segments");
            return Err(Error::with_remedy(Code::OutOfRange, what, "Send them with several calls."));
        }
        let datagrams = segments.max(1) as u64;
        // SAFETY: by this function's own contract.
        self.attempt(len, datagrams, to, || unsafe { sys::send_segments(self.fd(), bytes, len, segment, to) })
            .map_err(|error| match error.errno() {
                // What UDP_SEGMENT says when the interface computes no checksums.
                Some(libc::EIO) => Error::new(Code::Unsupported, "the interface cannot send segments"),
                _ => error,
            })
    }

    fn attempt(
        &self,
        len: usize,
        datagrams: u64,
        to: Option<&SockAddr>,
        mut send: impl FnMut() -> Result<usize, Errno>,
    ) -> Result<Sent, Error> {
        self.check_destination(to)?;
        let mut attempts = 0;
        let mut refused = 0;
        let errno = loop {
            match send() {
                Ok(_) => {
                    UdpMetrics::add(&self.metrics.sent, datagrams);
                    UdpMetrics::add(&self.metrics.sent_bytes, len as u64);
                    self.count_icmp(refused);
                    return Ok(Sent::Done);
                }
                Err(libc::EINTR) => {}
                // ENOBUFS: a full queue of the interface where the system reports one, as in libuv.
                Err(libc::EAGAIN | libc::ENOBUFS) => {
                    UdpMetrics::add(&self.metrics.send_would_block, 1);
                    self.count_icmp(refused);
                    return Ok(Sent::WouldBlock);
                }
                Err(errno) if is_icmp(errno) => {
                    attempts += 1;
                    refused += 1;
                    if attempts == ATTEMPTS {
                        break errno;
                    }
                }
                Err(errno) => break errno,
            }
        };
        UdpMetrics::add(&self.metrics.send_errors, 1);
        Err(self.send_error(errno, len, to))
    }

    fn count_icmp(&self, refused: u64) {
        if refused > 0 {
            UdpMetrics::add(&self.metrics.icmp_errors, refused);
        }
    }

    fn check_destination(&self, to: Option<&SockAddr>) -> Result<(), Error> {
        match (to, self.is_connected()) {
            // Linux would send it, and the caller's two statements of the destination would contradict each other.
            (Some(_), true) => Err(Error::new(Code::AlreadyConnected, "a destination was given")),
            (None, false) => Err(Error::new(Code::NotConnected, "no destination was given")),
            (Some(to), false) if to.family() != Some(self.family()) => Err(Error::new(
                Code::InvalidAddress,
                format!("an {} socket cannot send to {to:?}", self.family()),
            )),
            _ => Ok(()),
        }
    }

    fn send_error(&self, errno: Errno, len: usize, to: Option<&SockAddr>) -> Error {
        let to = to.and_then(SockAddr::to_socket_addr).map(|to| format!(" to {to}")).unwrap_or_default();
        let error = Error::system("sendto", errno, format!("sending {len} bytes{to}"));
        match errno {
            libc::EACCES => {
                error.advise("Allow broadcasts on this socket first, if it is a broadcast address.")
            }
            libc::EPERM => error.advise("Let the firewall of this machine pass it."),
            libc::ENETUNREACH | libc::EHOSTUNREACH => error.advise("See `ip route get` for the address."),
            _ => error,
        }
    }
}
