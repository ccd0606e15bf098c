//! What can be asked of a socket and of a receiver.

use std::net::SocketAddr;
use std::os::fd::RawFd;

use super::address::Family;
use crate::error::{Code, Error};

/// How a socket is made. Everything but the family has a default; the names are dgram's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UdpOptions {
    /// IPv4 or IPv6.
    pub family: Family,
    /// Where to bind; `None` is any address and a port that the kernel chooses. Ignored with `fd`.
    pub address: Option<SocketAddr>,
    /// A V6 socket that takes no IPv4 traffic (IPV6_V6ONLY). Not allowed on V4.
    pub ipv6_only: bool,
    /// SO_REUSEADDR: several sockets may bind the same port; the last one gets unicast packets.
    pub reuse_addr: bool,
    /// SO_REUSEPORT: several sockets share the port and the kernel spreads the flows over them.
    pub reuse_port: bool,
    /// SO_RCVBUF in bytes, 1 to 2147483647. The kernel may give less: see
    /// [`UdpSocket::recv_buffer`](super::UdpSocket::recv_buffer).
    pub recv_buffer: Option<usize>,
    /// SO_SNDBUF in bytes, 1 to 2147483647.
    pub send_buffer: Option<usize>,
    /// The kernel stamps each packet with the time of its arrival (SO_TIMESTAMPNS). It begins to do so a moment
    /// after the first socket of the machine asks for it; packets that came before carry the time at which they
    /// were read.
    pub timestamps: bool,
    /// Adopt this descriptor instead of making one. It must be a UDP socket of `family`. It is owned from a
    /// successful bind on; after an error it still belongs to the caller and is still open.
    pub fd: Option<RawFd>,
}

impl UdpOptions {
    /// Defaults: any address, any port, nothing set.
    pub fn new(family: Family) -> UdpOptions {
        UdpOptions {
            family,
            address: None,
            ipv6_only: false,
            reuse_addr: false,
            reuse_port: false,
            recv_buffer: None,
            send_buffer: None,
            timestamps: false,
            fd: None,
        }
    }

    /// Defaults, bound to `address`, whose family it takes.
    pub fn at(address: SocketAddr) -> UdpOptions {
        UdpOptions { address: Some(address), ..UdpOptions::new(Family::of(&address)) }
    }
}

/// The size of a socket buffer: what was asked, what the kernel gave, and what to do when it gave less.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BufferSize {
    /// The value given at bind or set last, in bytes.
    pub asked: Option<usize>,
    /// What getsockopt reports, in bytes. Linux doubles what is asked, to make room for its own bookkeeping
    /// (socket(7)), and reports the doubled value; so does dgram's `getRecvBufferSize`.
    pub got: usize,
    /// When the kernel gave less than was asked: why, and the command that lifts the limit.
    pub note: Option<String>,
}

/// Which system call receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Backend {
    /// recvmmsg(2): a batch a call. Linux only.
    Recvmmsg,
    /// recvmsg(2), one packet a call: everywhere, and on Linux for the tests.
    Recvfrom,
}

impl Default for Backend {
    fn default() -> Backend {
        if cfg!(any(target_os = "linux", target_os = "android")) {
            Backend::Recvmmsg
        } else {
            Backend::Recvfrom
        }
    }
}

/// How a [`Receiver`](super::Receiver) works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiverOptions {
    /// Most slots posted at a time, hence most datagrams a call: 1 to 1024, by default 64.
    pub batch_size: usize,
    /// Packets larger than a slot are counted and left out instead of given cut off.
    pub drop_truncated: bool,
    /// The system call to use.
    pub backend: Backend,
    /// UDP_GRO: the kernel may put a run of packets of one flow into one slot, which then holds many rows. Needs
    /// slots of at least 65535 bytes and Linux 5.0.
    pub gro: bool,
}

impl ReceiverOptions {
    /// Largest `batch_size`: the kernel's own bound for a vector (UIO_MAXIOV).
    pub const MAX_BATCH: usize = 1024;
    /// Least slot size for `gro`: the largest UDP packet there is.
    pub const GRO_SLOT: usize = 65_535;

    pub(super) fn check(&self, slot_size: usize) -> Result<(), Error> {
        if !(1..=Self::MAX_BATCH).contains(&self.batch_size) {
            let what = format!("batch_size is {}; allowed are 1 to {}", self.batch_size, Self::MAX_BATCH);
            return Err(Error::new(Code::OutOfRange, what));
        }
        let linux = cfg!(any(target_os = "linux", target_os = "android"));
        if !linux && (self.gro || self.backend == Backend::Recvmmsg) {
            return Err(Error::new(Code::Unsupported, "recvmmsg and GRO exist on Linux only"));
        }
        if self.gro && slot_size < Self::GRO_SLOT {
            let least = Self::GRO_SLOT;
            let what = format!("gro was asked for with slots of {slot_size} bytes; it needs {least}");
            return Err(Error::new(Code::OutOfRange, what));
        }
        Ok(())
    }
}

impl Default for ReceiverOptions {
    fn default() -> ReceiverOptions {
        ReceiverOptions { batch_size: 64, drop_truncated: false, backend: Backend::default(), gro: false }
    }
}
