//! Counters of one socket: the kernel's and ours, and what to do about drops.

use std::fmt;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicU64, Ordering};

use super::abi;
use super::explain::refused;
use super::sys;
use crate::Error;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Our counters of one socket. Relaxed atomics, added to once a batch: a reading may be one batch behind.
        #[derive(Debug, Default)]
        pub struct XdpMetrics {
            $(pub(super) $name: AtomicU64,)*
        }

        /// The values of [`XdpMetrics`] at one moment.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct XdpSnapshot {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl XdpMetrics {
            /// Reads every counter once.
            pub fn snapshot(&self) -> XdpSnapshot {
                XdpSnapshot { $($name: self.$name.load(Ordering::Relaxed),)* }
            }
        }
    };
}

counters! {
    /// Frames given to the consumer.
    packets,
    /// Their bytes.
    bytes,
    /// Batches given to the consumer.
    batches,
    /// Frames of batches that ended with their consumer ([`XdpMetrics::count_abandoned`]); they are among `packets`.
    abandoned,
    /// Looks at the RX ring that found nothing.
    empty_polls,
    /// Receives that found no frame with the kernel and none in the pool to give it.
    starved,
    /// Descriptors of the kernel's that were not used because they cannot be right: 0 unless there is a bug.
    bad_descriptors,
    /// Slots that were not in the state that the socket had left them in: 0 unless there is a bug.
    ownership_faults,
    /// System calls that told the kernel of the fill ring or had it poll.
    receive_kicks,
    /// Frames handed to the kernel to send.
    sent,
    /// Their bytes.
    sent_bytes,
    /// Frames that the kernel has sent or given up, and given back.
    completions,
    /// System calls that told the kernel of the TX ring.
    send_kicks,
    /// Sends that found no room in the TX ring, or a device that was busy.
    send_would_block,
}

impl XdpMetrics {
    /// Counts frames whose consumer is gone, so that nobody has seen them.
    pub fn count_abandoned(&self, frames: usize) {
        XdpMetrics::add(&self.abandoned, frames as u64);
    }

    pub(super) fn add(counter: &AtomicU64, value: u64) {
        if value > 0 {
            // Relaxed: a counter orders nothing.
            counter.fetch_add(value, Ordering::Relaxed);
        }
    }
}

/// XDP_STATISTICS of one socket, since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KernelStatistics {
    /// Frames dropped on the way into the UMEM: too long for a frame, or there was none (see
    /// `rx_fill_ring_empty_descs`, which counts those once more).
    pub rx_dropped: u64,
    /// Frames of the fill ring that the kernel did not take: bad addresses.
    pub rx_invalid_descs: u64,
    /// Frames of the TX ring that the kernel did not send: bad addresses or lengths.
    pub tx_invalid_descs: u64,
    /// Frames dropped because the RX ring was full.
    pub rx_ring_full: u64,
    /// Times that the fill ring was empty when a frame came.
    pub rx_fill_ring_empty_descs: u64,
    /// Times that the kernel was told to send and found the TX ring empty.
    pub tx_ring_empty_descs: u64,
}

impl KernelStatistics {
    pub(super) fn of(fd: RawFd) -> Result<KernelStatistics, Error> {
        let words: [u64; abi::STATISTICS_WORDS] =
            sys::get(fd, abi::SOL_XDP, abi::XDP_STATISTICS).map_err(|errno| {
                refused("getsockopt", errno, "The statistics cannot be read (XDP_STATISTICS)")
            })?;
        Ok(KernelStatistics {
            rx_dropped: words[0],
            rx_invalid_descs: words[1],
            tx_invalid_descs: words[2],
            rx_ring_full: words[3],
            rx_fill_ring_empty_descs: words[4],
            tx_ring_empty_descs: words[5],
        })
    }

    /// The frames that the socket should have received and did not, by reason, each counted once; only reasons that
    /// occurred.
    pub fn drops(&self) -> Vec<Drops> {
        // The kernel counts a frame that found the fill ring empty under both names.
        let other = self.rx_dropped.saturating_sub(self.rx_fill_ring_empty_descs);
        let all = [
            (DropReason::FillEmpty, self.rx_fill_ring_empty_descs),
            (DropReason::RxFull, self.rx_ring_full),
            (DropReason::TooLong, other),
        ];
        all.into_iter()
            .filter(|&(_, frames)| frames > 0)
            .map(|(reason, frames)| Drops { reason, frames })
            .collect()
    }

    /// Frames dropped for any of the reasons.
    pub fn dropped(&self) -> u64 {
        self.drops().iter().map(|drops| drops.frames).sum()
    }
}

/// Why frames were dropped between the program's decision and the RX ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// The kernel had no frame to receive into.
    FillEmpty,
    /// The RX ring was full.
    RxFull,
    /// The packet does not fit into a frame, or could not be copied.
    TooLong,
}

impl DropReason {
    /// One thing to do about it.
    pub const fn remedy(self) -> &'static str {
        match self {
            DropReason::FillEmpty => {
                "Finish batches sooner, take fewer slots, or give the socket more frames (memory_budget, frames)."
            }
            DropReason::RxFull => "Receive more often, or use a deeper RX ring (rx_ring).",
            DropReason::TooLong => {
                "Use frame_size 4096 or a smaller headroom, or switch LRO and GRO off on the interface."
            }
        }
    }
}

/// How many frames were dropped for one reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drops {
    /// Why.
    pub reason: DropReason,
    /// How many.
    pub frames: u64,
}

impl fmt::Display for Drops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self.reason {
            DropReason::FillEmpty => "the kernel had no frame to receive into",
            DropReason::RxFull => "the RX ring was full",
            DropReason::TooLong => "the packet did not fit into a frame",
        };
        write!(f, "{} frames dropped: {why}. {}", self.frames, self.reason.remedy())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drop_that_the_kernel_counts_twice_is_counted_once() {
        let kernel = KernelStatistics {
            rx_dropped: 12,
            rx_fill_ring_empty_descs: 10,
            rx_ring_full: 5,
            ..KernelStatistics::default()
        };
        let drops = kernel.drops();
        let wanted = [(DropReason::FillEmpty, 10), (DropReason::RxFull, 5), (DropReason::TooLong, 2)];
        assert_eq!(drops.iter().map(|d| (d.reason, d.frames)).collect::<Vec<_>>(), wanted);
        assert_eq!(kernel.dropped(), 17);
        assert!(drops[0].to_string().ends_with(DropReason::FillEmpty.remedy()));
        assert_eq!(KernelStatistics::default().drops(), []);
    }
}
