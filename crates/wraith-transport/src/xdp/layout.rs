//! What the options come to on an interface, or why they cannot be.

use super::check::check_mtu;
use super::filter::Select;
use super::interface::Interface;
use super::options::XdpOptions;
use super::rings::RingSizes;
use super::shared::UmemPlan;
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
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::memory::{MemoryOptions, Owner, State};
    use crate::pool::PoolCore;
    use crate::xdp::filter::Filter;
    use crate::xdp::shared::XdpUmem;

    pub(in crate::xdp) fn interface(queues: u32, mtu: u32) -> Interface {
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

    pub(in crate::xdp) fn options() -> XdpOptions {
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
