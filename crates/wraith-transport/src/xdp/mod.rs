//! AF_XDP: frames from a network interface before the kernel's stack sees them, in the slots of a pool.
//!
//! An [`XdpDevice`] attaches a program made of a [`Filter`] to an interface and binds an [`XdpSocket`] to each of its queues. The
//! selected frames of a queue come to its socket in batches, everything else goes on to the kernel. The socket's UMEM is the
//! slab of a [`PoolCore`](crate::pool::PoolCore): the kernel writes frames into its slots, and slots are sent from.
//!
//! Nothing here starts a thread, and only opening and closing wait: the caller's event loop decides when to receive.
//!
//! Opening needs CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF, and CAP_IPC_LOCK for more memory than RLIMIT_MEMLOCK. Elsewhere than on
//! Linux the types exist and opening gives [`Code::Unsupported`](crate::Code::Unsupported).
#![cfg(all(unix, not(loom)))]

mod abi;
mod attachment;
mod bpf;
mod check;
mod device;
mod explain;
mod filter;
mod info;
mod interface;
mod layout;
mod netlink;
mod options;
mod probe;
mod queue;
mod receive;
mod rings;
mod send;
mod shared;
mod socket;
mod stats;
mod sys;
mod umem;

pub use attachment::Attach;
pub use device::XdpDevice;
pub use explain::Capability;
pub use filter::{Addresses, Filter, FilterTest, Match, Ports, Prefix, Select, Verdict, test_filter};
pub use info::XdpInfo;
pub use options::{BusyPoll, Mode, XdpOptions};
pub use probe::{Finding, Severity, Subject, XdpProbe};
pub use receive::Row;
pub use rings::{RingSizes, RingsKind};
pub use send::SendFrame;
pub use shared::{UmemPlan, XdpUmem};
pub use socket::XdpSocket;
pub use stats::{DropReason, Drops, KernelStatistics, XdpMetrics, XdpSnapshot};

pub use crate::udp::Received;
