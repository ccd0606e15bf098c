//! Systems without AF_XDP: every call says ENOSYS, nothing is ever opened.
#![expect(unsafe_code, reason = "has the signatures of the Linux functions")]

use std::os::fd::{OwnedFd, RawFd};
use std::ptr::NonNull;

use super::Errno;
use crate::xdp::abi;

pub(crate) const SUPPORTED: bool = false;

/// # Safety
/// None is needed.
pub(crate) unsafe fn bpf<T>(_command: i32, _attributes: &mut T) -> Result<i32, Errno> {
    Err(libc::ENOSYS)
}

/// # Safety
/// None is needed.
pub(crate) unsafe fn bpf_fd<T>(_command: i32, _attributes: &mut T) -> Result<OwnedFd, Errno> {
    Err(libc::ENOSYS)
}

pub(crate) fn xdp_socket() -> Result<OwnedFd, Errno> {
    Err(libc::ENOSYS)
}

pub(crate) fn control_socket() -> Result<OwnedFd, Errno> {
    Err(libc::ENOSYS)
}

pub(crate) fn netlink_socket(_protocol: i32) -> Result<OwnedFd, Errno> {
    Err(libc::ENOSYS)
}

pub(crate) fn promiscuous_socket(_ifindex: u32) -> Result<OwnedFd, Errno> {
    Err(libc::ENOSYS)
}

pub(crate) fn set<T: Copy>(_fd: RawFd, _level: i32, _name: i32, _value: &T) -> Result<(), Errno> {
    Err(libc::ENOSYS)
}

/// # Safety
/// None is needed.
pub(crate) unsafe fn register_umem(_fd: RawFd, _umem: &abi::UmemReg) -> Result<(), Errno> {
    Err(libc::ENOSYS)
}

pub(crate) fn get<T: Copy + Default + Into<u64>, const N: usize>(
    _fd: RawFd,
    _level: i32,
    _name: i32,
) -> Result<[T; N], Errno> {
    Err(libc::ENOSYS)
}

pub(crate) fn take_error(_fd: RawFd) -> Result<Errno, Errno> {
    Err(libc::ENOSYS)
}

pub(crate) fn bind(_fd: RawFd, _address: &abi::SockaddrXdp) -> Result<(), Errno> {
    Err(libc::ENOSYS)
}

/// There is none.
#[derive(Debug)]
pub(crate) enum Mapping {}

impl Mapping {
    pub(crate) fn of_ring(_fd: RawFd, _offset: u64, _bytes: usize) -> Result<Mapping, Errno> {
        Err(libc::ENOSYS)
    }

    pub(crate) fn base(&self) -> NonNull<u8> {
        match *self {}
    }

    pub(crate) fn bytes(&self) -> usize {
        match *self {}
    }
}

pub(crate) fn kick_send(_fd: RawFd) -> Result<(), Errno> {
    Err(libc::ENOSYS)
}

pub(crate) fn kick_receive(_fd: RawFd) -> Result<(), Errno> {
    Err(libc::ENOSYS)
}

/// # Safety
/// None is needed.
pub(crate) unsafe fn ethtool(_fd: RawFd, _interface: &str, _buffer: &mut [u32]) -> Result<(), Errno> {
    Err(libc::ENOSYS)
}

pub(crate) fn ask(_fd: RawFd, _request: &[u8]) -> Result<Vec<u8>, Errno> {
    Err(libc::ENOSYS)
}

pub(crate) fn interface_index(_name: &str) -> Option<u32> {
    None
}

pub(crate) fn wait_for_readers() {}

pub(crate) fn locked_memory_limit() -> Option<u64> {
    None
}
