//! What can be asked of a device.

use super::filter::Filter;
use super::rings::RingsKind;
use super::shared::UmemPlan;
use crate::memory::{MemoryOptions, Owner};
use crate::pool::SharingOptions;

/// How frames get from the driver into the UMEM.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// The best that the driver can: zero-copy, else a copy, else generic.
    #[default]
    Auto,
    /// The driver writes into the UMEM, or opening fails.
    ZeroCopy,
    /// The kernel copies each frame once.
    Copy,
    /// The program runs in the stack (XDP_FLAGS_SKB_MODE) and the kernel copies: for drivers without XDP.
    Generic,
}

/// Busy polling (Linux 5.11): the receiving thread drives the card itself, with as few interrupts as can be. The interface should
/// have `gro_flush_timeout` and `napi_defer_hard_irqs` set (`/sys/class/net/<name>/`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BusyPoll {
    /// Microseconds that a poll spins for a packet: SO_BUSY_POLL.
    pub usecs: u32,
    /// Packets a poll takes at most: SO_BUSY_POLL_BUDGET, 1 to 65535.
    pub budget: u16,
}

/// How a device is opened. [`XdpOptions::new`] gives the defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XdpOptions {
    /// The interface's name.
    pub interface: String,
    /// Which frames go to the sockets. There is no default.
    pub filter: Filter,
    /// The queues to bind; `None`: all. Frames that arrive at a queue without a socket go to the kernel.
    pub queues: Option<Vec<u32>>,
    /// How frames get into the UMEM.
    pub mode: Mode,
    /// Where the frames lie; by default each queue has a UMEM of its own.
    pub umem: UmemPlan,
    /// Bytes of frames over all queues, by default 256 MiB.
    pub memory_budget: usize,
    /// Frames of each queue; `None`: its share of the budget, at most 32768. With [`UmemPlan::PerDevice`] they add up in one UMEM,
    /// which must stay below 4 GiB, and are each queue's share of it.
    ///
    /// With [`UmemPlan::Of`]: how many of the UMEM's frames each queue may use; `None`: its share of half of those that are
    /// free now, at most 32768. All but `tx_frames` of them are taken at once, from what is free: at first that is what the other
    /// device keeps for sending, so open that one with `tx_frames` for both.
    pub frames: Option<u32>,
    /// Bytes of a frame, 2048 or 4096. The kernel keeps 256 of them.
    pub frame_size: u32,
    /// Bytes left free before each received frame, beyond those 256.
    pub headroom: u32,
    /// Frames of each queue that the kernel does not get to receive into, so that there are always some to send; `None`: an
    /// eighth, at most 2048, or none without a TX ring.
    pub tx_frames: Option<u32>,
    /// Entries of the RX ring of each queue, a power of two; `None`: as many as there are frames.
    pub rx_ring: Option<u32>,
    /// Entries of the TX ring, a power of two; 0: the sockets only receive. `None`: 2048, or as many as there are frames.
    pub tx_ring: Option<u32>,
    /// Whose code the rings are.
    pub rings: RingsKind,
    /// Most frames of a batch, 1 to 1024; `None`: 256, or a quarter of those that a queue receives into if that is less, so that no batch
    /// leaves the kernel without frames.
    pub batch_size: Option<usize>,
    /// Busy polling.
    pub busy_poll: Option<BusyPoll>,
    /// Receive also what is addressed to others, for as long as the device is open.
    pub promiscuous: bool,
    /// Huge pages and locking of the UMEM. (The kernel pins a UMEM in any case.)
    pub memory: MemoryOptions,
    /// Who the slots of each socket belong to in the pool's table, by ascending queue: as many as queues are bound, and distinct
    /// among all sockets of a UMEM. Empty: [`Owner::RUST`] where each queue has a UMEM of its own, else the largest
    /// numbers that no socket of the UMEM has.
    pub owners: Vec<Owner>,
    /// Makes the pools shared ones ([`PoolCore::shared`](crate::pool::PoolCore::shared)), to which others attach and for whose slots
    /// they wait. Of no effect with [`UmemPlan::Of`].
    pub sharing: Option<SharingOptions>,
}

impl XdpOptions {
    /// Largest `batch_size`.
    pub const MAX_BATCH: usize = 1024;
    /// Most frames of a batch without being asked for: what a batch costs besides its frames is a small part then.
    pub const DEFAULT_BATCH: usize = 256;
    /// Most frames that a queue gets without being asked for: a burst of 32768 is lost from 4096 frames on a busy machine.
    pub const DEFAULT_FRAMES: u32 = 32_768;
    /// Most frames of a queue.
    pub const MAX_FRAMES: u32 = 1 << 20;
    /// Fewest frames of a queue.
    pub const MIN_FRAMES: u32 = 16;
    /// Bytes of frames over all queues by default.
    pub const DEFAULT_BUDGET: usize = 256 << 20;
    pub(super) const TX_RING: u32 = 2048;

    /// The defaults.
    pub fn new(interface: impl Into<String>, filter: Filter) -> XdpOptions {
        XdpOptions {
            interface: interface.into(),
            filter,
            queues: None,
            mode: Mode::Auto,
            umem: UmemPlan::PerQueue,
            memory_budget: XdpOptions::DEFAULT_BUDGET,
            frames: None,
            frame_size: 2048,
            headroom: 0,
            tx_frames: None,
            rx_ring: None,
            tx_ring: None,
            rings: RingsKind::default(),
            batch_size: None,
            busy_poll: None,
            promiscuous: false,
            memory: MemoryOptions::default(),
            owners: Vec::new(),
            sharing: None,
        }
    }
}
