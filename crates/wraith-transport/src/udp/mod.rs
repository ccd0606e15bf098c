//! UDP sockets that receive straight into the slots of a pool.
//!
//! A [`UdpSocket`] owns the descriptor and everything that is set on it. A [`Receiver`] posts slots of a
//! [`PoolCore`](crate::pool::PoolCore) to the kernel, receives a whole batch with one system call, and lends
//! the rows to a consumer until the batch is finished. A [`SendQueue`] sends slots, and keeps those that would
//! block until the socket is writable.
//!
//! Nothing here starts a thread or waits: every call returns at once, and the caller's event loop decides when
//! the next one is made.
#![cfg(all(unix, not(loom)))]

mod address;
mod bind;
mod columns;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux;
mod messages;
mod metrics;
mod multicast;
mod options;
mod peers;
mod portable;
mod posted;
mod receiver;
mod row;
mod send;
mod send_queue;
mod socket;
mod sys;

pub use address::{Family, Interface, SockAddr, parse_address};
pub use columns::{ColumnLayout, Columns};
pub use metrics::{UdpMetrics, UdpSnapshot};
pub use options::{Backend, BufferSize, ReceiverOptions, UdpOptions};
pub use peers::{NO_PEER, PEER_ENTRY_BYTES, PEERS};
pub use posted::BeforeLeave;
pub use receiver::Receiver;
pub use row::{Received, Row, row_flags};
pub use send::{MAX_SEGMENTS, Sent};
pub use send_queue::{Flushed, SendQueue, SlotSend, SlotSent};
pub use socket::UdpSocket;

/// What only fuzz targets reach (`--cfg fuzzing`).
#[cfg(fuzzing)]
pub mod fuzzing {
    /// Control data as a receive reads it: timestamp in nanoseconds, drop count, segment size.
    pub fn parse_control(bytes: &[u8]) -> (u64, Option<u32>, Option<usize>) {
        let extras = super::messages::parse_control(bytes);
        (extras.timestamp_ns, extras.drops, extras.segment)
    }
}
