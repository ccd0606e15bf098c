//! The four rings between a socket and the kernel.

mod kernel;
#[cfg(all(target_os = "linux", feature = "xsk-rs"))]
mod xsk_rs;

#[cfg(all(target_os = "linux", feature = "xsk-rs"))]
pub(super) use self::xsk_rs::{NotOpened, XskRings};
pub(super) use kernel::{KernelRings, Refused};

use std::os::fd::RawFd;

use super::abi::{self, Descriptor};
use super::shared::UmemPlan;
use super::sys::{self, Errno};
use crate::{Code, Error};

/// Whose code moves frames between a socket and the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RingsKind {
    /// This crate's own, over mmap(2).
    #[default]
    Kernel,
    /// Those of crate xsk-rs, over libxdp: for comparison. They need the Cargo feature `xsk-rs`. Each socket maps its memory twice, huge pages
    /// and [UMEMs that sockets share](super::UmemPlan) are not to be had, and a frame that is sent from elsewhere in its slot than where
    /// frames are received to is copied there first.
    XskRs,
}

impl RingsKind {
    /// Whether this build has them.
    pub const fn is_available(self) -> bool {
        match self {
            RingsKind::Kernel => true,
            RingsKind::XskRs => cfg!(all(target_os = "linux", feature = "xsk-rs")),
        }
    }

    /// The name that people know.
    pub const fn name(self) -> &'static str {
        match self {
            RingsKind::Kernel => "kernel",
            RingsKind::XskRs => "xsk-rs",
        }
    }

    /// This build has no rings over xsk-rs.
    pub(super) fn missing() -> Error {
        Error::with_remedy(
            Code::Unsupported,
            "This build has no rings over xsk-rs",
            "Build wraith-transport for Linux with the Cargo feature xsk-rs (--features xsk-rs), or use RingsKind::Kernel.",
        )
    }

    /// Rings over xsk-rs have a UMEM each.
    pub(super) fn not_shared() -> Error {
        Error::with_remedy(
            Code::Unsupported,
            "Rings over xsk-rs have a UMEM for each queue, and do not share one (UmemPlan::PerDevice and Of)",
            "Use RingsKind::Kernel, or UmemPlan::PerQueue.",
        )
    }

    /// # Errors
    /// [`Code::Unsupported`]: this build has not got them, or not with huge pages, or not on a UMEM that sockets share.
    pub(super) fn require(self, huge_pages: bool, plan: &UmemPlan) -> Result<(), Error> {
        if !self.is_available() {
            return Err(RingsKind::missing());
        }
        if self == RingsKind::XskRs && huge_pages {
            return Err(Error::with_remedy(
                Code::Unsupported,
                "xsk-rs maps the memory of a UMEM itself, and not on transparent huge pages",
                "Leave memory.huge_pages off, or use RingsKind::Kernel.",
            ));
        }
        if self == RingsKind::XskRs && *plan != UmemPlan::PerQueue {
            return Err(RingsKind::not_shared());
        }
        Ok(())
    }
}

/// How many entries each ring has; powers of two. The rings of a socket are its own and are used from one thread at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RingSizes {
    /// Frames that wait for the kernel to receive into.
    pub fill: u32,
    /// Received frames that wait for us; 0: no RX ring, the socket only sends.
    pub rx: u32,
    /// Frames that wait for the kernel to send; 0: no TX ring, the socket only receives.
    pub tx: u32,
    /// Sent frames that wait for us.
    pub completion: u32,
}

/// The rings of one bound socket. Addresses are bytes from the start of the UMEM. None of these calls waits, and only the
/// two kicks are system calls.
pub(super) trait Rings: Send {
    /// The socket.
    fn fd(&self) -> RawFd;

    /// Bytes of the longest frame that can be sent.
    fn longest_frame(&self) -> u32;

    /// Whether the kernel and the driver use the UMEM without copying.
    fn is_zero_copy(&self) -> Result<bool, Errno> {
        let [options]: [u32; 1] = sys::get(self.fd(), abi::SOL_XDP, abi::XDP_OPTIONS)?;
        Ok(options & abi::XDP_OPTIONS_ZEROCOPY != 0)
    }

    /// Gives frames to the kernel to receive into; returns how many there was room for, from the first one on.
    fn fill(&mut self, addresses: &[u64]) -> usize;

    /// Takes received frames.
    fn receive(&mut self, out: &mut [Descriptor]) -> usize;

    /// How many frames there is room for in the TX ring now.
    fn send_room(&mut self) -> usize;

    /// Gives frames to the kernel to send; returns how many there was room for. Some drivers need a kick then.
    fn send(&mut self, frames: &[Descriptor]) -> usize;

    /// Frames in the TX ring that the kernel has not taken yet.
    fn unsent(&mut self) -> usize;

    /// Takes the addresses of frames that were sent.
    fn complete(&mut self, out: &mut [u64]) -> usize;

    /// Whether the kernel sleeps until it is told of new frames in the fill ring.
    fn fill_needs_kick(&self) -> bool;

    /// Whether the kernel sleeps until it is told of new frames in the TX ring.
    fn send_needs_kick(&self) -> bool;

    /// Tells the kernel of the fill ring; with busy polling, has it poll the queue.
    fn kick_receive(&self) -> Result<(), Errno>;

    /// Tells the kernel of the TX ring. In copy mode this call sends, a few frames at a time: EAGAIN says that there are more.
    fn kick_send(&self) -> Result<(), Errno>;
}
