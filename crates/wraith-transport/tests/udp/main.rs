//! UDP over real sockets: on loopback, and in network namespaces that the tests make themselves.
#![expect(unsafe_code, reason = "reads slots by pointer and makes raw descriptors to be adopted")]
#![cfg(target_os = "linux")]

mod adopt;
mod connected;
mod drops;
mod families;
mod gro;
mod multicast;
mod options;
mod peers;
mod receive;
mod send;
mod send_queue;
mod slots;
mod support;
