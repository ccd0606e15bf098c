//! What options may be, by themselves and on an interface: everything else is refused by name.

use super::abi;
use super::interface::Interface;
use super::options::XdpOptions;
use super::shared::UmemPlan;
use crate::memory::Owner;
use crate::{Code, Error};

impl XdpOptions {
    pub(super) fn check_owners(&self, queues: usize) -> Result<(), Error> {
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

    pub(super) fn check(&self) -> Result<(), Error> {
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

    /// The largest MTU whose packets fit into a frame, Ethernet header and one VLAN tag included.
    pub(super) fn largest_mtu(frame_size: u32, headroom: u32) -> u32 {
        frame_size - abi::XDP_PACKET_HEADROOM - headroom - 18
    }
}

pub(super) fn check_mtu(interface: &Interface, frame_size: u32, headroom: u32) -> Result<(), Error> {
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
    #[cfg(all(target_os = "linux", feature = "xsk-rs"))]
    use crate::memory::MemoryOptions;
    #[cfg(all(target_os = "linux", feature = "xsk-rs"))]
    use crate::pool::PoolCore;
    use crate::xdp::filter::Filter;
    use crate::xdp::layout::tests::{interface, options};
    use crate::xdp::options::BusyPoll;
    use crate::xdp::rings::RingsKind;
    #[cfg(all(target_os = "linux", feature = "xsk-rs"))]
    use crate::xdp::shared::XdpUmem;

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
}
