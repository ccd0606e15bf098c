//! The system calls of a UDP socket behind safe functions. Each returns the errno; the callers say what it
//! means. One of the doors for unsafe code.
#![expect(unsafe_code, reason = "calls into libc")]

use std::ffi::CString;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use libc::{c_int, socklen_t};

use super::address::{Family, NAME_BYTES, SockAddr};

/// An errno.
pub(crate) type Errno = i32;

pub(crate) fn errno() -> Errno {
    io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

fn check(result: c_int) -> Result<(), Errno> {
    if result < 0 { Err(errno()) } else { Ok(()) }
}

/// A new UDP socket: non-blocking, closed on exec.
pub(crate) fn socket(family: Family) -> Result<OwnedFd, Errno> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let kind = libc::SOCK_DGRAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let kind = libc::SOCK_DGRAM;
    // SAFETY: takes numbers only.
    let fd = unsafe { libc::socket(family.raw(), kind, libc::IPPROTO_UDP) };
    check(fd)?;
    // SAFETY: the descriptor was made on the line above and belongs to nobody else.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    if cfg!(not(any(target_os = "linux", target_os = "android"))) {
        set_flags(fd.as_raw_fd())?;
    }
    Ok(fd)
}

/// Makes a descriptor non-blocking and closed on exec.
pub(crate) fn set_flags(fd: RawFd) -> Result<(), Errno> {
    // SAFETY: fcntl with these commands takes and returns numbers only.
    unsafe {
        let status = libc::fcntl(fd, libc::F_GETFL);
        check(status)?;
        check(libc::fcntl(fd, libc::F_SETFL, status | libc::O_NONBLOCK))?;
        let flags = libc::fcntl(fd, libc::F_GETFD);
        check(flags)?;
        check(libc::fcntl(fd, libc::F_SETFD, flags | libc::FD_CLOEXEC))
    }
}

/// Takes ownership of a descriptor that the caller promises to give away: see `UdpOptions::fd`.
pub(crate) fn own(fd: RawFd) -> OwnedFd {
    // SAFETY: `adopt` has just asked the kernel about this descriptor, so it is open, and the caller of `bind`
    // gives it away by the contract of `UdpOptions::fd`.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// setsockopt with a value of plain data.
pub(crate) fn set<T: Copy>(fd: RawFd, level: c_int, name: c_int, value: &T) -> Result<(), Errno> {
    // SAFETY: the kernel reads size_of::<T>() bytes from a reference that lives through the call.
    check(unsafe {
        libc::setsockopt(fd, level, name, (&raw const *value).cast(), mem::size_of::<T>() as socklen_t)
    })
}

pub(crate) fn set_int(fd: RawFd, level: c_int, name: c_int, value: c_int) -> Result<(), Errno> {
    set(fd, level, name, &value)
}

/// A source of an IPv6 group: `group_source_req` of RFC 3678, 5.1.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn set_source_group(
    fd: RawFd,
    name: c_int,
    interface: u32,
    group: &SockAddr,
    source: &SockAddr,
) -> Result<(), Errno> {
    // SAFETY: all zeros are a valid value of this plain structure; each copy is NAME_BYTES long into a
    // sockaddr_storage, which is larger.
    let request = unsafe {
        let mut request: libc::group_source_req = mem::zeroed();
        request.gsr_interface = interface;
        (&raw mut request.gsr_group).cast::<[u8; NAME_BYTES]>().write(*group.raw());
        (&raw mut request.gsr_source).cast::<[u8; NAME_BYTES]>().write(*source.raw());
        request
    };
    set(fd, libc::IPPROTO_IPV6, name, &request)
}

/// getsockopt into words of 32 bits; words that the kernel does not know stay 0.
pub(crate) fn get_words<const N: usize>(fd: RawFd, level: c_int, name: c_int) -> Result<[u32; N], Errno> {
    let mut words = [0_u32; N];
    let mut len = mem::size_of_val(&words) as socklen_t;
    // SAFETY: the kernel writes at most `len` bytes into an array of exactly that size; any bits are valid u32s.
    check(unsafe { libc::getsockopt(fd, level, name, words.as_mut_ptr().cast(), &raw mut len) })?;
    Ok(words)
}

pub(crate) fn get_int(fd: RawFd, level: c_int, name: c_int) -> Result<c_int, Errno> {
    Ok(get_words::<1>(fd, level, name)?[0] as c_int)
}

pub(crate) fn bind(fd: RawFd, address: &SockAddr) -> Result<(), Errno> {
    // SAFETY: pointer and length describe one SockAddr that lives through the call.
    check(unsafe { libc::bind(fd, address.as_ptr(), address.len() as socklen_t) })
}

pub(crate) fn connect(fd: RawFd, address: &SockAddr) -> Result<(), Errno> {
    // SAFETY: as in `bind`.
    check(unsafe { libc::connect(fd, address.as_ptr(), address.len() as socklen_t) })
}

/// Dissolves the association (connect(2): an address of AF_UNSPEC).
pub(crate) fn disconnect(fd: RawFd) -> Result<(), Errno> {
    let none = SockAddr::from_raw([0; NAME_BYTES], NAME_BYTES as u32);
    match connect(fd, &none) {
        // BSD systems dissolve the association and then complain about the address.
        Err(libc::EAFNOSUPPORT | libc::EINVAL) if cfg!(not(target_os = "linux")) => Ok(()),
        other => other,
    }
}

type NameCall = unsafe extern "C" fn(c_int, *mut libc::sockaddr, *mut socklen_t) -> c_int;

fn name(fd: RawFd, call: NameCall) -> Result<SockAddr, Errno> {
    let mut raw = [0_u8; NAME_BYTES];
    let mut len = NAME_BYTES as socklen_t;
    // SAFETY: `call` is getsockname or getpeername, which writes at most `len` bytes into `raw`.
    check(unsafe { call(fd, raw.as_mut_ptr().cast(), &raw mut len) })?;
    Ok(SockAddr::from_raw(raw, len as u32))
}

pub(crate) fn local_name(fd: RawFd) -> Result<SockAddr, Errno> {
    name(fd, libc::getsockname)
}

pub(crate) fn peer_name(fd: RawFd) -> Result<SockAddr, Errno> {
    name(fd, libc::getpeername)
}

/// One sendto(2) that does not wait; no signal.
///
/// # Safety
/// `bytes` must be readable for `len` bytes during the call. Another thread may write them meanwhile: the kernel
/// copies, and what is sent is then undefined, but nothing else is.
pub(crate) unsafe fn send(
    fd: RawFd,
    bytes: *const u8,
    len: usize,
    to: Option<&SockAddr>,
) -> Result<usize, Errno> {
    let (name, name_len) = match to {
        Some(to) => (to.as_ptr(), to.len() as socklen_t),
        None => (std::ptr::null(), 0),
    };
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let flags = libc::MSG_DONTWAIT;
    // SAFETY: the bytes by this function's contract; the name is null or lives through the call.
    let sent = unsafe { libc::sendto(fd, bytes.cast(), len, flags, name, name_len) };
    if sent < 0 { Err(errno()) } else { Ok(sent as usize) }
}

/// One sendmsg(2) whose bytes the kernel cuts into datagrams of `segment` bytes (UDP_SEGMENT); does not wait.
///
/// # Safety
/// As [`send`].
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) unsafe fn send_segments(
    fd: RawFd,
    bytes: *const u8,
    len: usize,
    segment: u16,
    to: Option<&SockAddr>,
) -> Result<usize, Errno> {
    /// linux/udp.h.
    const UDP_SEGMENT: c_int = 103;
    // Room for one u16, aligned as control data must be.
    let mut control = [0_u64; 4];
    let mut vector = libc::iovec { iov_base: bytes.cast_mut().cast(), iov_len: len };
    // SAFETY: a zeroed msghdr is valid; every pointer put into it lives through the call, the kernel only reads, and
    // CMSG_FIRSTHDR points into `control`, which has CMSG_SPACE(2) bytes (24 on 64-bit systems) and more.
    let sent = unsafe {
        let mut header: libc::msghdr = mem::zeroed();
        if let Some(to) = to {
            header.msg_name = to.as_ptr().cast_mut().cast();
            header.msg_namelen = to.len() as socklen_t;
        }
        header.msg_iov = &raw mut vector;
        header.msg_iovlen = 1;
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = libc::CMSG_SPACE(size_of::<u16>() as u32) as _;
        let first = libc::CMSG_FIRSTHDR(&raw const header);
        (*first).cmsg_level = libc::SOL_UDP;
        (*first).cmsg_type = UDP_SEGMENT;
        (*first).cmsg_len = libc::CMSG_LEN(size_of::<u16>() as u32) as _;
        libc::CMSG_DATA(first).cast::<u16>().write_unaligned(segment);
        libc::sendmsg(fd, &raw const header, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
    };
    if sent < 0 { Err(errno()) } else { Ok(sent as usize) }
}

/// Other systems have no UDP_SEGMENT.
///
/// # Safety
/// None: nothing is read.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) unsafe fn send_segments(
    _fd: RawFd,
    _bytes: *const u8,
    _len: usize,
    _segment: u16,
    _to: Option<&SockAddr>,
) -> Result<usize, Errno> {
    Err(libc::ENOSYS)
}

/// Takes one entry from the error queue and throws it away. False: the queue is empty.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn discard_error_entry(fd: RawFd) -> Result<bool, Errno> {
    // SAFETY: a zeroed msghdr is a valid one without name, buffers or control data, so the kernel writes only
    // the header itself. It cuts the entry off and discards the rest.
    let taken = unsafe {
        let mut header: libc::msghdr = mem::zeroed();
        libc::recvmsg(fd, &raw mut header, libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT)
    };
    match taken {
        0.. => Ok(true),
        _ => match errno() {
            libc::EAGAIN => Ok(false),
            other => Err(other),
        },
    }
}

/// The index of the interface with this name.
pub(crate) fn interface_index(name: &str) -> Option<u32> {
    let name = CString::new(name).ok()?;
    // SAFETY: a NUL-terminated string that lives through the call.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => None,
        index => Some(index),
    }
}

/// A descriptor for the length of a call, if it is open.
pub(crate) fn is_open(fd: RawFd) -> bool {
    // SAFETY: F_GETFD takes and returns numbers only.
    fd >= 0 && unsafe { libc::fcntl(fd, libc::F_GETFD) } >= 0
}
