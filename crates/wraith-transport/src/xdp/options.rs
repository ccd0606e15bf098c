//! What can be asked of a device, and what it comes to.

use super::abi;
use super::filter::{Filter, Select};
use super::interface::Interface;
use super::rings::{RingSizes, RingsKind};
use crate::memory::{MemoryOptions, Owner};
use crate::{Code, Error};

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
    /// Bytes of frames over all queues, by default 256 MiB.
    pub memory_budget: usize,
    /// Frames of each queue; `None`: its share of the budget, at most 32768.
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
    /// Most frames of a batch, 1 to 1024, by default 64.
    pub batch_size: usize,
    /// Busy polling.
    pub busy_poll: Option<BusyPoll>,
    /// Receive also what is addressed to others, for as long as the device is open.
    pub promiscuous: bool,
    /// Huge pages and locking of the UMEM. (The kernel pins a UMEM in any case.)
    pub memory: MemoryOptions,
    /// Who the sockets' slots belong to, in the table of each queue's pool.
    pub owner: Owner,
}

impl XdpOptions {
    /// Largest `batch_size`.
    pub const MAX_BATCH: usize = 1024;
    /// Most frames that a queue gets without being asked for: a burst of 32768 is lost from 4096 frames on a busy machine.
    pub const DEFAULT_FRAMES: u32 = 32_768;
    /// Most frames of a queue.
    pub const MAX_FRAMES: u32 = 1 << 20;
    /// Fewest frames of a queue.
    pub const MIN_FRAMES: u32 = 16;
    /// Bytes of frames over all queues by default.
    pub const DEFAULT_BUDGET: usize = 256 << 20;
    const TX_RING: u32 = 2048;

    /// The defaults.
    pub fn new(interface: impl Into<String>, filter: Filter) -> XdpOptions {
        XdpOptions {
            interface: interface.into(),
            filter,
            queues: None,
            mode: Mode::Auto,
            memory_budget: XdpOptions::DEFAULT_BUDGET,
            frames: None,
            frame_size: 2048,
            headroom: 0,
            tx_frames: None,
            rx_ring: None,
            tx_ring: None,
            rings: RingsKind::default(),
            batch_size: 64,
            busy_poll: None,
            promiscuous: false,
            memory: MemoryOptions::default(),
            owner: Owner::RUST,
        }
    }

    /// What each queue gets on this interface.
    pub(super) fn layout(&self, interface: &Interface) -> Result<Layout, Error> {
        self.check()?;
        let queues = self.queues_of(interface)?;
        let receives = self.filter.select != Select::None;
        if receives {
            self.check_mtu(interface)?;
        }
        let share = self.memory_budget / queues.len() / self.frame_size as usize;
        let frames = self
            .frames
            .unwrap_or_else(|| XdpOptions::DEFAULT_FRAMES.min(u32::try_from(share).unwrap_or(u32::MAX)));
        self.check_frames(frames, queues.len())?;
        let deep = frames.next_power_of_two();
        let tx = self.tx_ring.unwrap_or(XdpOptions::TX_RING.min(deep));
        let rx = if receives { self.rx_ring.unwrap_or(deep) } else { 0 };
        if rx == 0 && tx == 0 {
            let what =
                "The filter selects nothing and tx_ring is 0: the socket could neither receive nor send";
            return Err(Error::new(Code::OutOfRange, what));
        }
        let reserve = match self.tx_frames {
            Some(frames) => frames,
            None if tx == 0 => 0,
            None => (frames / 8).min(XdpOptions::TX_RING),
        };
        if reserve > frames {
            let what = format!("tx_frames is {reserve}; each queue has {frames} frames");
            return Err(Error::new(Code::OutOfRange, what));
        }
        let fill = if receives { frames - reserve } else { 0 };
        if receives && fill == 0 {
            let what =
                format!("tx_frames is {reserve}, which leaves none of {frames} frames to receive into");
            return Err(Error::new(Code::OutOfRange, what));
        }
        Ok(Layout { queues, frames, fill, rings: RingSizes { fill: deep, rx, tx, completion: deep } })
    }

    fn check(&self) -> Result<(), Error> {
        let range = |what: String| Err(Error::new(Code::OutOfRange, what));
        self.rings.require(self.memory.huge_pages)?;
        if ![2048, 4096].contains(&self.frame_size) {
            return range(format!("frame_size is {}; allowed are 2048 and 4096", self.frame_size));
        }
        if !(1..=XdpOptions::MAX_BATCH).contains(&self.batch_size) {
            return range(format!(
                "batch_size is {}; allowed are 1 to {}",
                self.batch_size,
                XdpOptions::MAX_BATCH
            ));
        }
        if self.busy_poll.is_some_and(|busy| busy.budget == 0) {
            return range("busy_poll.budget is 0; allowed are 1 to 65535".into());
        }
        let most = self.frame_size - abi::XDP_PACKET_HEADROOM - 64;
        if self.headroom > most {
            return range(format!(
                "headroom is {}; with frames of {} bytes allowed are 0 to {most}",
                self.headroom, self.frame_size
            ));
        }
        for (name, ring, least) in [("rx_ring", self.rx_ring, 1), ("tx_ring", self.tx_ring, 0)] {
            let fits = |&size: &u32| {
                size >= least && size <= XdpOptions::MAX_FRAMES && (size == 0 || size.is_power_of_two())
            };
            if let Some(size) = ring.filter(|size| !fits(size)) {
                return range(format!(
                    "{name} is {size}; allowed are powers of two up to {}",
                    XdpOptions::MAX_FRAMES
                ));
            }
        }
        if Owner::NONE == self.owner {
            return range("owner is nobody; the slots must belong to somebody".into());
        }
        Ok(())
    }

    fn check_frames(&self, frames: u32, queues: usize) -> Result<(), Error> {
        let (least, most) = (XdpOptions::MIN_FRAMES, XdpOptions::MAX_FRAMES);
        if (least..=most).contains(&frames) {
            return Ok(());
        }
        let what = match self.frames {
            Some(frames) => format!("frames is {frames}; allowed are {least} to {most}"),
            None => format!(
                "memory_budget is {} bytes, which gives each of {queues} queues {frames} frames of {} bytes; {least} are needed",
                self.memory_budget, self.frame_size
            ),
        };
        Err(Error::new(Code::OutOfRange, what))
    }

    fn queues_of(&self, interface: &Interface) -> Result<Vec<u32>, Error> {
        let there = interface.queues;
        let Some(asked) = &self.queues else { return Ok((0..there).collect()) };
        let mut queues = asked.clone();
        queues.sort_unstable();
        queues.dedup();
        if queues.is_empty() || queues.len() != asked.len() || queues.iter().any(|&queue| queue >= there) {
            let what = format!(
                "queues is {asked:?}; {} has queues 0 to {}, and each may be named once",
                interface.name,
                there - 1
            );
            return Err(Error::new(Code::OutOfRange, what));
        }
        Ok(queues)
    }

    /// The largest MTU whose packets fit into a frame, Ethernet header and one VLAN tag included.
    pub(super) fn largest_mtu(frame_size: u32, headroom: u32) -> u32 {
        frame_size - abi::XDP_PACKET_HEADROOM - headroom - 18
    }

    fn check_mtu(&self, interface: &Interface) -> Result<(), Error> {
        let largest = XdpOptions::largest_mtu(self.frame_size, self.headroom);
        if interface.mtu <= largest {
            return Ok(());
        }
        let name = &interface.name;
        let what = format!(
            "The MTU of {name} is {}; frames of {} bytes with {} bytes of headroom hold packets up to an MTU of {largest}",
            interface.mtu, self.frame_size, self.headroom
        );
        let whole = XdpOptions::largest_mtu(4096, self.headroom);
        let remedy = if self.frame_size < 4096 && interface.mtu <= whole {
            "Use frame_size 4096.".to_owned()
        } else {
            format!("Lower it: `ip link set dev {name} mtu {largest}`.")
        };
        Err(Error::with_remedy(Code::MessageTooLarge, what, &remedy))
    }
}

/// What each queue gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) queues: Vec<u32>,
    pub(super) frames: u32,
    /// Frames that the kernel gets to receive into.
    pub(super) fill: u32,
    pub(super) rings: RingSizes,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(queues: u32, mtu: u32) -> Interface {
        Interface {
            name: "eth0".into(),
            index: 2,
            up: true,
            mtu,
            program: None,
            driver: None,
            queues,
            most_queues: queues,
        }
    }

    fn options() -> XdpOptions {
        XdpOptions::new("eth0", Filter::udp_ports([9]))
    }

    #[test]
    fn the_budget_is_shared_between_the_queues() {
        for (queues, frames, deep) in
            [(1, 32_768, 32_768), (4, 32_768, 32_768), (8, 16_384, 16_384), (6, 21_845, 32_768)]
        {
            let layout = options().layout(&interface(queues, 1500)).unwrap();
            assert_eq!((layout.frames, layout.rings.fill, layout.rings.rx), (frames, deep, deep));
            assert_eq!(layout.fill, frames - 2048);
            assert_eq!(layout.queues.len(), queues as usize);
        }
        let only_receives = XdpOptions { tx_ring: Some(0), ..options() }.layout(&interface(1, 1500)).unwrap();
        assert_eq!((only_receives.fill, only_receives.rings.tx), (32_768, 0));
        let only_sends =
            XdpOptions { filter: Filter::none(), ..options() }.layout(&interface(1, 65_536)).unwrap();
        assert_eq!((only_sends.fill, only_sends.rings.rx, only_sends.rings.tx), (0, 0, 2048));
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        let refuse = |change: &dyn Fn(&mut XdpOptions), word: &str| {
            let mut options = options();
            change(&mut options);
            let error = options.layout(&interface(2, 1500)).unwrap_err();
            assert_eq!(error.code(), Code::OutOfRange, "{error}");
            assert!(error.message().contains(word), "{error}");
        };
        refuse(&|o| o.frame_size = 1500, "frame_size is 1500");
        refuse(&|o| o.batch_size = 0, "batch_size is 0");
        refuse(&|o| o.batch_size = 1025, "allowed are 1 to 1024");
        refuse(&|o| o.headroom = 1800, "headroom is 1800");
        refuse(&|o| o.rx_ring = Some(0), "rx_ring is 0");
        refuse(&|o| o.tx_ring = Some(1000), "tx_ring is 1000");
        refuse(&|o| o.frames = Some(15), "frames is 15");
        refuse(&|o| o.frames = Some(XdpOptions::MAX_FRAMES + 1), "frames is 1048577");
        refuse(&|o| o.memory_budget = 40_000, "gives each of 2 queues 9 frames");
        refuse(&|o| o.tx_frames = Some(40_000), "tx_frames is 40000");
        refuse(&|o| o.tx_frames = Some(32_768), "leaves none");
        refuse(&|o| o.queues = Some(vec![]), "queues is []");
        refuse(&|o| o.queues = Some(vec![1, 1]), "queues is [1, 1]");
        refuse(&|o| o.queues = Some(vec![2]), "has queues 0 to 1");
        refuse(&|o| o.owner = Owner::NONE, "owner is nobody");
        refuse(&|o| o.busy_poll = Some(BusyPoll { usecs: 20, budget: 0 }), "busy_poll.budget is 0");
        refuse(&|o| (o.filter, o.tx_ring) = (Filter::none(), Some(0)), "neither receive nor send");
    }

    #[test]
    fn rings_that_this_build_lacks_are_refused_with_the_feature() {
        let layout = XdpOptions { rings: RingsKind::XskRs, ..options() }.layout(&interface(1, 1500));
        if RingsKind::XskRs.is_available() {
            layout.unwrap();
            return;
        }
        let error = layout.unwrap_err();
        assert_eq!(error.code(), Code::Unsupported);
        assert!(error.message().contains("--features xsk-rs"), "{error}");
    }

    #[test]
    fn an_mtu_above_one_frame_is_refused_with_the_number() {
        let error = options().layout(&interface(1, 9000)).unwrap_err();
        assert_eq!(error.code(), Code::MessageTooLarge);
        assert!(error.message().ends_with("`ip link set dev eth0 mtu 1774`."), "{error}");
        assert!(options().layout(&interface(1, 1774)).is_ok());
        let error = options().layout(&interface(1, 1775)).unwrap_err();
        assert!(error.message().ends_with("Use frame_size 4096."), "{error}");
        let large = XdpOptions { frame_size: 4096, ..options() };
        assert!(large.layout(&interface(1, 3822)).is_ok());
        assert!(large.layout(&interface(1, 3823)).is_err());
    }
}
