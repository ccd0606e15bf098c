//! System calls behind functions that return the errno. One of the doors for unsafe code.
#![expect(unsafe_code, reason = "calls into libc")]

use std::ffi::CString;
use std::io;
use std::mem::{self, MaybeUninit};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::{self, NonNull};

use libc::{c_int, c_void, socklen_t};

use super::Errno;
use crate::xdp::abi;

/// Whether this system can have AF_XDP at all.
pub(crate) const SUPPORTED: bool = true;

fn errno() -> Errno {
    io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

fn check(result: c_int) -> Result<c_int, Errno> {
    if result < 0 { Err(errno()) } else { Ok(result) }
}

/// bpf(2). Descriptors that it returns are closed on exec: the kernel always sets that for them.
///
/// # Safety
/// `T` is the start of `union bpf_attr` for `command`, and each address in it is good for what that command does
/// with it.
pub(crate) unsafe fn bpf<T>(command: i32, attributes: &mut T) -> Result<i32, Errno> {
    // SAFETY: the kernel reads and writes size_of::<T>() bytes of a reference that lives through the call; the rest is
    // the caller's promise.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, command, ptr::from_mut(attributes), mem::size_of::<T>() as u32)
    };
    check(result as c_int)
}

/// As [`bpf`] for commands that return a descriptor.
///
/// # Safety
/// As [`bpf`], and `command` is one that returns a new descriptor.
pub(crate) unsafe fn bpf_fd<T>(command: i32, attributes: &mut T) -> Result<OwnedFd, Errno> {
    // SAFETY: the caller's promise.
    let fd = unsafe { bpf(command, attributes) }?;
    // SAFETY: new, and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn socket(domain: c_int, kind: c_int, protocol: c_int) -> Result<OwnedFd, Errno> {
    // SAFETY: takes numbers only.
    let fd = check(unsafe { libc::socket(domain, kind | libc::SOCK_CLOEXEC, protocol) })?;
    // SAFETY: new, and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Keeps a descriptor that somebody else has made from programs that are started from now on.
#[cfg(feature = "xsk-rs")]
pub(crate) fn close_on_exec(fd: RawFd) -> Result<(), Errno> {
    // SAFETY: takes numbers only.
    check(unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) })?;
    Ok(())
}

/// An unbound AF_XDP socket, closed on exec.
pub(crate) fn xdp_socket() -> Result<OwnedFd, Errno> {
    socket(abi::AF_XDP, libc::SOCK_RAW | libc::SOCK_NONBLOCK, 0)
}

/// A socket for ioctl(2), in the calling thread's network namespace.
pub(crate) fn control_socket() -> Result<OwnedFd, Errno> {
    socket(libc::AF_INET, libc::SOCK_DGRAM, 0)
}

/// A socket that asks netlink(7).
pub(crate) fn netlink_socket(protocol: i32) -> Result<OwnedFd, Errno> {
    socket(libc::AF_NETLINK, libc::SOCK_RAW, protocol)
}

/// A socket that keeps an interface promiscuous for as long as it is open (packet(7), PACKET_MR_PROMISC).
pub(crate) fn promiscuous_socket(ifindex: u32) -> Result<OwnedFd, Errno> {
    // Protocol 0: it receives nothing.
    let fd = socket(libc::AF_PACKET, libc::SOCK_RAW, 0)?;
    let request = libc::packet_mreq {
        mr_ifindex: ifindex as c_int,
        mr_type: libc::PACKET_MR_PROMISC as u16,
        mr_alen: 0,
        mr_address: [0; 8],
    };
    set(fd.as_raw_fd(), libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &request)?;
    Ok(fd)
}

/// setsockopt(2) with a value of plain data.
pub(crate) fn set<T: Copy>(fd: RawFd, level: c_int, name: c_int, value: &T) -> Result<(), Errno> {
    // SAFETY: the kernel reads size_of::<T>() bytes from a reference that lives through the call.
    check(unsafe {
        libc::setsockopt(fd, level, name, ptr::from_ref(value).cast(), mem::size_of::<T>() as socklen_t)
    })?;
    Ok(())
}

/// Registers memory as the UMEM of a socket.
///
/// # Safety
/// The memory stays mapped, and no Rust reference to it exists, for as long as the socket is open.
pub(crate) unsafe fn register_umem(fd: RawFd, umem: &abi::UmemReg) -> Result<(), Errno> {
    /// linux/if_xdp.h.
    const XDP_UMEM_REG: c_int = 4;
    set(fd, abi::SOL_XDP, XDP_UMEM_REG, umem)
}

/// getsockopt(2) into words; what the kernel does not know stays 0.
pub(crate) fn get<T: Copy + Default + Into<u64>, const N: usize>(
    fd: RawFd,
    level: c_int,
    name: c_int,
) -> Result<[T; N], Errno> {
    let mut words = [T::default(); N];
    let mut len = mem::size_of_val(&words) as socklen_t;
    // SAFETY: the kernel writes at most `len` bytes into an array of that size; T is an integer (it is Into<u64> and
    // Default), of which any bits are a value.
    check(unsafe { libc::getsockopt(fd, level, name, words.as_mut_ptr().cast(), &raw mut len) })?;
    Ok(words)
}

/// Takes the error that is pending on a socket: SO_ERROR.
pub(crate) fn take_error(fd: RawFd) -> Result<Errno, Errno> {
    get::<u32, 1>(fd, libc::SOL_SOCKET, libc::SO_ERROR).map(|[error]| error as Errno)
}

/// bind(2) to a queue.
pub(crate) fn bind(fd: RawFd, address: &abi::SockaddrXdp) -> Result<(), Errno> {
    // SAFETY: pointer and length describe one structure that lives through the call.
    check(unsafe {
        libc::bind(fd, ptr::from_ref(address).cast(), mem::size_of::<abi::SockaddrXdp>() as socklen_t)
    })?;
    Ok(())
}

/// The memory of a ring, unmapped when dropped.
#[derive(Debug)]
pub(crate) struct Mapping {
    base: NonNull<u8>,
    bytes: usize,
}

// SAFETY: a region of memory that belongs to no thread; what is done with it is up to its only owner.
unsafe impl Send for Mapping {}

impl Mapping {
    /// Maps a ring of an AF_XDP socket. It is not inherited by children: they would share our rings.
    pub(crate) fn of_ring(fd: RawFd, offset: u64, bytes: usize) -> Result<Mapping, Errno> {
        // SAFETY: a new mapping at an address of the kernel's choice replaces nothing.
        let base = unsafe {
            libc::mmap(
                ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_POPULATE,
                fd,
                offset as libc::off_t,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(errno());
        }
        let base = NonNull::new(base.cast()).ok_or(libc::EFAULT)?;
        let mapping = Mapping { base, bytes };
        // SAFETY: exactly the mapping that was made above.
        check(unsafe { libc::madvise(base.as_ptr().cast(), bytes, libc::MADV_DONTFORK) })?;
        Ok(mapping)
    }

    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: exactly the mapping that this value made; the rings that point into it are its owner's.
        let _ = unsafe { libc::munmap(self.base.as_ptr().cast::<c_void>(), self.bytes) };
    }
}

/// Wakes the kernel for the TX ring: sendto(2) without data.
pub(crate) fn kick_send(fd: RawFd) -> Result<(), Errno> {
    // SAFETY: no data and no address.
    let sent = unsafe { libc::sendto(fd, ptr::null(), 0, libc::MSG_DONTWAIT, ptr::null(), 0) };
    if sent < 0 { Err(errno()) } else { Ok(()) }
}

/// Wakes the kernel for the fill ring, and polls the queue with busy polling: recvfrom(2) without a buffer.
pub(crate) fn kick_receive(fd: RawFd) -> Result<(), Errno> {
    // SAFETY: no buffer and no address.
    let got = unsafe {
        libc::recvfrom(fd, ptr::null_mut(), 0, libc::MSG_DONTWAIT, ptr::null_mut(), ptr::null_mut())
    };
    if got < 0 { Err(errno()) } else { Ok(()) }
}

/// ioctl(2) SIOCETHTOOL on an interface with a buffer whose first word is the command. The kernel may write to all of
/// it.
///
/// # Safety
/// `buffer` is as long as the command makes it.
pub(crate) unsafe fn ethtool(fd: RawFd, interface: &str, buffer: &mut [u32]) -> Result<(), Errno> {
    /// linux/sockios.h.
    const SIOCETHTOOL: u64 = 0x8946;
    if interface.len() >= libc::IFNAMSIZ {
        return Err(libc::ENODEV);
    }
    // SAFETY: all zeros are a valid ifreq.
    let mut request: libc::ifreq = unsafe { MaybeUninit::zeroed().assume_init() };
    for (to, from) in request.ifr_name.iter_mut().zip(interface.bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_data = buffer.as_mut_ptr().cast();
    // SAFETY: the name ends with a 0 (it is shorter than the zeroed field), and the buffer lives through the call and is
    // long enough by the caller's promise.
    check(unsafe { libc::ioctl(fd, SIOCETHTOOL as _, &raw mut request) })?;
    Ok(())
}

/// Sends a request to netlink and returns the first datagram of its answer.
pub(crate) fn ask(fd: RawFd, request: &[u8]) -> Result<Vec<u8>, Errno> {
    // SAFETY: reads the slice, which lives through the call.
    let sent = unsafe { libc::send(fd, request.as_ptr().cast(), request.len(), 0) };
    if sent < 0 {
        return Err(errno());
    }
    // The largest answer about one interface: linux/netlink.h, NLMSG_GOODSIZE, is half of this.
    let mut answer = vec![0_u8; 32 * 1024];
    // SAFETY: writes at most the vector's length into it.
    let got = unsafe { libc::recv(fd, answer.as_mut_ptr().cast(), answer.len(), 0) };
    if got < 0 {
        return Err(errno());
    }
    answer.truncate(got as usize);
    Ok(answer)
}

/// The index of the interface with this name, in the calling thread's namespace.
pub(crate) fn interface_index(name: &str) -> Option<u32> {
    let name = CString::new(name).ok()?;
    // SAFETY: a NUL-terminated string that lives through the call.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => None,
        index => Some(index),
    }
}

/// Waits until every CPU has left what it was doing in the kernel under RCU, such as receiving: membarrier(2),
/// MEMBARRIER_CMD_GLOBAL, which is `synchronize_rcu()`. Takes some milliseconds.
pub(crate) fn wait_for_readers() {
    const MEMBARRIER_CMD_GLOBAL: c_int = 1;
    // EINVAL with nohz_full CPUs: then closing the descriptor has to do.
    // SAFETY: takes numbers only.
    let _ = unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) };
}

/// The soft limit of locked memory in bytes; `None`: unlimited.
pub(crate) fn locked_memory_limit() -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the structure is ours and getrlimit fills it.
    let got = unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) };
    (got == 0 && limit.rlim_cur != libc::RLIM_INFINITY).then_some(limit.rlim_cur)
}
