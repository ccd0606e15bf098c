//! Packets as they come from a link: Ethernet, up to two VLAN tags, IPv4 or IPv6, UDP, TCP, ICMP.
//!
//! [`Batch::packets`](crate::frames::Batch::packets) parses a batch into [`PacketColumns`]; [`parse()`] reads one packet and says all about what does not
//! hold. Where what lies is in [`layout`].

mod batch;
mod columns;
mod error;
mod hash;
mod ipv4;
mod ipv6;
pub mod layout;
pub mod naive;
mod parse;
mod record;
mod scalar;
mod simd;
mod status;
mod transport;

pub use columns::{PacketColumns, PacketColumnsMut};
pub use error::{Claim, Layer, PacketError};
pub use hash::{flow_hash, fold_ipv6};
pub use parse::parse;
pub use record::{Packet, ipv6_addresses};
pub use status::{PacketStatus, flags};
