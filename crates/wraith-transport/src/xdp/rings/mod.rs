//! The four rings between a socket and the kernel.

mod kernel;

pub(super) use kernel::{KernelRings, Refused};

use std::os::fd::RawFd;

use super::abi::Descriptor;
use super::sys::Errno;

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
