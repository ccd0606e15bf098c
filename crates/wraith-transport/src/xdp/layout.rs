//! What the options come to on an interface, or why they cannot be.

use super::abi;
use super::filter::Select;
use super::interface::Interface;
use super::options::XdpOptions;
use super::rings::RingSizes;
use super::shared::UmemPlan;
use crate::memory::Owner;
use crate::{Code, Error};

/// What to do when another device's UMEM has too few frames.
const MORE: &str = "Open the device whose UMEM it is with more tx_frames, or ask for fewer frames here.";

/// What each queue gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) queues: Vec<u32>,
    pub(super) frames: u32,
    /// Frames that the kernel gets to receive into.
    pub(super) fill: u32,
    pub(super) batch_size: usize,
    /// Frames of the UMEM that it uses: its own, or that of all.
    pub(super) umem_frames: u32,
    pub(super) frame_size: u32,
    pub(super) headroom: u32,
    pub(super) rings: RingSizes,
}

impl XdpOptions {
    /// What each queue gets on this interface.
    pub(super) fn layout(&self, interface: &Interface) -> Result<Layout, Error> {
        self.check()?;
        let queues = self.queues_of(interface)?;
        let receives = self.filter.select != Select::None;
        let (frame_size, headroom) = match &self.umem {
            UmemPlan::Of(umem) => (umem.frame_size(), umem.headroom()),
            UmemPlan::PerQueue | UmemPlan::PerDevice => (self.frame_size, self.headroom),
        };
        if receives {
            check_mtu(interface, frame_size, headroom)?;
        }
        self.check_owners(queues.len())?;
        let frames = self.frames_of(queues.len(), frame_size)?;
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
        let umem_frames = self.umem_frames(queues.len() as u32, frames, fill, frame_size)?;
        let rings = RingSizes { fill: deep, rx, tx, completion: deep };
        let batch_size = self.batch_size.unwrap_or(XdpOptions::DEFAULT_BATCH.min(fill as usize / 4).max(1));
        Ok(Layout { queues, frames, fill, batch_size, umem_frames, frame_size, headroom, rings })
    }

    /// Frames of each queue of an interface.
    fn frames_of(&self, queues: usize, frame_size: u32) -> Result<u32, Error> {
        let share = match &self.umem {
            UmemPlan::Of(umem) => umem.pool().available() as usize / 2 / queues,
            UmemPlan::PerQueue | UmemPlan::PerDevice => self.memory_budget / queues / frame_size as usize,
        };
        let default = XdpOptions::DEFAULT_FRAMES.min(u32::try_from(share).unwrap_or(u32::MAX));
        let frames = self.frames.unwrap_or(default);
        let (least, most) = (XdpOptions::MIN_FRAMES, XdpOptions::MAX_FRAMES);
        if (least..=most).contains(&frames) {
            return Ok(frames);
        }
        let what = match (self.frames, &self.umem) {
            (Some(frames), _) => format!("frames is {frames}; allowed are {least} to {most}"),
            (None, UmemPlan::Of(umem)) => {
                let what = format!(
                    "Half of the {} free frames of the UMEM give each of {queues} queues {frames} frames; {least} are needed",
                    umem.pool().available()
                );
                return Err(Error::with_remedy(Code::OutOfRange, what, MORE));
            }
            (None, _) => format!(
                "memory_budget is {} bytes, which gives each of {queues} queues {frames} frames of {frame_size} bytes; {least} are needed",
                self.memory_budget
            ),
        };
        Err(Error::new(Code::OutOfRange, what))
    }

    /// Frames of the UMEM that a queue uses.
    fn umem_frames(&self, queues: u32, frames: u32, fill: u32, frame_size: u32) -> Result<u32, Error> {
        match &self.umem {
            UmemPlan::PerQueue => Ok(frames),
            UmemPlan::PerDevice => {
                // At most 2^20 frames for each queue, of which there are fewer than 2^32.
                let all = u64::from(queues) * u64::from(frames);
                let bytes = all * u64::from(frame_size);
                if bytes > u64::from(u32::MAX) {
                    let what = format!(
                        "frames is {frames}, which makes a UMEM of {bytes} bytes for {queues} queues; it must stay below 4 GiB"
                    );
                    let remedy = "Lower memory_budget or frames, or give each queue a UMEM of its own.";
                    return Err(Error::with_remedy(Code::OutOfRange, what, remedy));
                }
                Ok(all as u32)
            }
            UmemPlan::Of(umem) => {
                let (wanted, free) = (u64::from(queues) * u64::from(fill), umem.pool().available());
                if wanted > u64::from(free) {
                    let what = format!(
                        "frames is {frames}, which takes {wanted} frames of the UMEM to receive into; {free} are free"
                    );
                    return Err(Error::with_remedy(Code::OutOfRange, what, MORE));
                }
                Ok(umem.pool().capacity())
            }
        }
    }

    fn check_owners(&self, queues: usize) -> Result<(), Error> {
        let range = |what: String| Err(Error::new(Code::OutOfRange, what));
        let owners = &self.owners;
        if !owners.is_empty() && owners.len() != queues {
            return range(format!(
                "owners has {}; {queues} queues are bound, and each needs one",
                owners.len()
            ));
        }
        if owners.contains(&Owner::NONE) {
            return range("owners has nobody; the slots must belong to somebody".into());
        }
        let mut numbers: Vec<u32> = owners.iter().map(|owner| owner.get()).collect();
        numbers.sort_unstable();
        numbers.dedup();
        if self.umem != UmemPlan::PerQueue && numbers.len() != owners.len() {
            return range(format!("owners is {owners:?}; sockets that share a UMEM need distinct ones"));
        }
        Ok(())
    }

    fn check(&self) -> Result<(), Error> {
        let range = |what: String| Err(Error::new(Code::OutOfRange, what));
        self.rings.require(self.memory.huge_pages, &self.umem)?;
        if ![2048, 4096].contains(&self.frame_size) {
            return range(format!("frame_size is {}; allowed are 2048 and 4096", self.frame_size));
        }
        if let Some(batch) = self.batch_size.filter(|batch| !(1..=XdpOptions::MAX_BATCH).contains(batch)) {
            return range(format!("batch_size is {batch}; allowed are 1 to {}", XdpOptions::MAX_BATCH));
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
        Ok(())
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
}

fn check_mtu(interface: &Interface, frame_size: u32, headroom: u32) -> Result<(), Error> {
    let largest = XdpOptions::largest_mtu(frame_size, headroom);
    if interface.mtu <= largest {
        return Ok(());
    }
    let name = &interface.name;
    let what = format!(
        "The MTU of {name} is {}; frames of {frame_size} bytes with {headroom} bytes of headroom hold packets up to an MTU of {largest}",
        interface.mtu
    );
    let whole = XdpOptions::largest_mtu(4096, headroom);
    let remedy = if frame_size < 4096 && interface.mtu <= whole {
        "Use frame_size 4096.".to_owned()
    } else {
        format!("Lower it: `ip link set dev {name} mtu {largest}`.")
    };
    Err(Error::with_remedy(Code::MessageTooLarge, what, &remedy))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{MemoryOptions, State};
    use crate::pool::PoolCore;
    use crate::xdp::filter::Filter;
    use crate::xdp::options::BusyPoll;
    use crate::xdp::rings::RingsKind;
    use crate::xdp::shared::XdpUmem;

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
    fn a_batch_leaves_the_kernel_frames_to_receive_into() {
        for (frames, batch) in [(32_768, 256), (1170, 256), (1169, 255), (64, 14), (16, 3)] {
            let few = XdpOptions { frames: Some(frames), ..options() };
            assert_eq!(few.layout(&interface(1, 1500)).unwrap().batch_size, batch, "{frames}");
            let asked = XdpOptions { batch_size: Some(700), ..few };
            assert_eq!(asked.layout(&interface(1, 1500)).unwrap().batch_size, 700);
        }
        let only_sends = XdpOptions { filter: Filter::none(), ..options() };
        assert_eq!(only_sends.layout(&interface(1, 1500)).unwrap().batch_size, 1);
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
        refuse(&|o| o.batch_size = Some(0), "batch_size is 0");
        refuse(&|o| o.batch_size = Some(1025), "allowed are 1 to 1024");
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
        refuse(&|o| o.owners = vec![Owner::NONE, Owner::RUST], "owners has nobody");
        refuse(&|o| o.owners = vec![Owner::RUST], "owners has 1; 2 queues are bound");
        let same = |o: &mut XdpOptions| o.owners = vec![Owner::RUST, Owner::RUST];
        refuse(
            &|o| {
                same(o);
                o.umem = UmemPlan::PerDevice;
            },
            "need distinct ones",
        );
        refuse(
            &|o| (o.umem, o.frames) = (UmemPlan::PerDevice, Some(XdpOptions::MAX_FRAMES)),
            "makes a UMEM of 4294967296 bytes for 2 queues",
        );
        let mut options = options();
        same(&mut options);
        assert!(options.layout(&interface(2, 1500)).is_ok(), "each queue has a table of its own");
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

    #[cfg(all(target_os = "linux", feature = "xsk-rs"))]
    #[test]
    fn rings_over_xsk_rs_are_refused_on_a_umem_that_sockets_share() {
        let core = PoolCore::new(2048, 1024, &MemoryOptions::default()).unwrap();
        for umem in [UmemPlan::PerDevice, UmemPlan::Of(XdpUmem::new(core, 0))] {
            let shared = XdpOptions { umem, ..options() };
            // One queue is no exception: another device may ask for its UMEM.
            for queues in [1, 2] {
                assert!(shared.layout(&interface(queues, 1500)).is_ok());
                let error = XdpOptions { rings: RingsKind::XskRs, ..shared.clone() }
                    .layout(&interface(queues, 1500))
                    .unwrap_err();
                assert_eq!(error.code(), Code::Unsupported);
                assert!(error.message().contains("xsk-rs"), "{error}");
                assert!(error.message().contains("Use RingsKind::Kernel"), "{error}");
            }
        }
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

    #[test]
    fn frames_of_a_shared_umem_add_up_or_come_from_what_is_free() {
        let together = XdpOptions { umem: UmemPlan::PerDevice, ..options() };
        let layout = together.layout(&interface(4, 1500)).unwrap();
        assert_eq!((layout.frames, layout.umem_frames), (32_768, 131_072));
        let most = XdpOptions { frames: Some(XdpOptions::MAX_FRAMES), ..together };
        assert!(most.layout(&interface(1, 1500)).is_ok());

        let core = PoolCore::new(4096, 1024, &MemoryOptions::default()).unwrap();
        let umem = XdpUmem::new(core, 100);
        let other = XdpOptions { umem: UmemPlan::Of(umem.clone()), headroom: 7, ..options() };
        let layout = other.layout(&interface(2, 1500)).unwrap();
        assert_eq!((layout.frames, layout.fill, layout.umem_frames), (256, 224, 1024));
        assert_eq!((layout.frame_size, layout.headroom), (4096, 100));
        assert!(other.layout(&interface(1, 3900)).is_err(), "its frames are what they are");

        let all = XdpOptions { frames: Some(512), tx_frames: Some(0), ..other.clone() };
        assert!(all.layout(&interface(2, 1500)).is_ok());
        let slots: Vec<_> = (0..993).map(|_| umem.pool().pop((State::Lent, Owner::RUST)).unwrap()).collect();
        let error = all.layout(&interface(2, 1500)).unwrap_err();
        assert!(
            error.message().contains("takes 1024 frames of the UMEM to receive into; 31 are free"),
            "{error}"
        );
        let error = other.layout(&interface(1, 1500)).unwrap_err();
        assert!(error.message().contains("Half of the 31 free frames"), "{error}");
        assert_eq!(slots.len(), 993);
    }
}
