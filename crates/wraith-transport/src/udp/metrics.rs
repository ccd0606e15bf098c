//! Counters of one socket.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counters of one socket, kept over the life of the socket, whoever receives from it. Relaxed atomics,
        /// added to once a batch or once a send: a reading may be one batch behind.
        #[derive(Debug, Default)]
        pub struct UdpMetrics {
            $(pub(crate) $name: AtomicU64,)*
        }

        /// The values of [`UdpMetrics`] at one moment.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct UdpSnapshot {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl UdpMetrics {
            /// Reads every counter once.
            pub fn snapshot(&self) -> UdpSnapshot {
                UdpSnapshot { $($name: self.$name.load(Ordering::Relaxed),)* }
            }
        }
    };
}

counters! {
    /// Packets given to the consumer.
    packets,
    /// Their bytes, as given (a truncated packet counts what fitted).
    bytes,
    /// Batches given to the consumer.
    batches,
    /// Receive system calls, including those that found nothing.
    receive_calls,
    /// Receive calls that found nothing.
    empty_polls,
    /// Batches that filled every posted slot: there may have been more.
    full_batches,
    /// Packets larger than a slot, given or dropped.
    truncated,
    /// Of those, the ones left out because of `drop_truncated`.
    dropped_truncated,
    /// Packets of batches whose consumer ended without a word in the middle of them: its isolate died.
    abandoned,
    /// Receives that were not tried because there was no slot to receive into.
    starved,
    /// ICMP errors that the kernel reported on a send or a receive; none of them ends the socket.
    icmp_errors,
    /// Entries read from the error queue (MSG_ERRQUEUE).
    error_queue_entries,
    /// Drops that the kernel had counted when the first packet of the latest batch was queued (SO_RXQ_OVFL).
    drops_at_batch,
    /// Peers seen that were not in the cache.
    peer_misses,
    /// Rows whose peer found no place in the cache.
    peers_uncached,
    /// Slots that were not in the state that the receiver had left them in: 0 unless there is a bug.
    ownership_faults,
    /// Datagrams sent.
    sent,
    /// Their bytes.
    sent_bytes,
    /// Sends that would have blocked.
    send_would_block,
    /// Sends that failed.
    send_errors,
    /// Slots that were still waiting to be sent when their queue ended: dropped.
    unsent,
}

impl UdpMetrics {
    /// Counts the packets of a batch that ends because its consumer died. The binding knows, the receiver cannot.
    pub fn count_abandoned(&self, packets: usize) {
        UdpMetrics::add(&self.abandoned, packets as u64);
    }

    pub(crate) fn add(counter: &AtomicU64, value: u64) {
        // Relaxed: a counter orders nothing.
        counter.fetch_add(value, Ordering::Relaxed);
    }
}
