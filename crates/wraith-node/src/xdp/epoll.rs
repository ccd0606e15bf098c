//! One descriptor that is readable when any of several is, for an event loop that watches one.
#![allow(unsafe_code, reason = "epoll(7) is a C interface")]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use wraith_transport::Error;

/// An epoll(7) set of descriptors that are to be read from.
pub(super) struct Epoll {
    fd: OwnedFd,
    /// One that is readable for good.
    bell: Option<OwnedFd>,
}

impl Epoll {
    pub(super) fn new() -> Result<Epoll, Error> {
        // SAFETY: no pointers.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(refused("epoll_create1"));
        }
        // SAFETY: a new descriptor that nobody else has.
        Ok(Epoll { fd: unsafe { OwnedFd::from_raw_fd(fd) }, bell: None })
    }

    /// Is readable from now on, whatever its descriptors are: there is something to be told.
    pub(super) fn ring(&mut self) -> Result<(), Error> {
        // SAFETY: no pointers.
        let fd = unsafe { libc::eventfd(1, libc::EFD_CLOEXEC) };
        if fd < 0 {
            return Err(refused("eventfd"));
        }
        // SAFETY: a new descriptor that nobody else has.
        self.bell = Some(unsafe { OwnedFd::from_raw_fd(fd) });
        self.add(fd)
    }

    pub(super) fn fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// Is readable from now on when `fd` is.
    pub(super) fn add(&self, fd: RawFd) -> Result<(), Error> {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 0 };
        // SAFETY: the event lives through the call.
        if unsafe { libc::epoll_ctl(self.fd(), libc::EPOLL_CTL_ADD, fd, &mut event) } < 0 {
            return Err(refused("epoll_ctl"));
        }
        Ok(())
    }

    /// Not any more. The descriptor stays open, so the kernel does not do it by itself.
    pub(super) fn remove(&self, fd: RawFd) {
        // SAFETY: no event is read for this operation.
        unsafe { libc::epoll_ctl(self.fd(), libc::EPOLL_CTL_DEL, fd, std::ptr::null_mut()) };
    }
}

fn refused(call: &'static str) -> Error {
    let errno = io::Error::last_os_error().raw_os_error().unwrap_or(0);
    Error::system(call, errno, "The queues' sockets cannot be watched")
}
