//! AF_XDP in network namespaces that the tests make themselves: they need root.
#![expect(
    unsafe_code,
    reason = "makes namespaces, reads slots by pointer and forges what a kernel would write"
)]
#![cfg(target_os = "linux")]

mod burst;
mod filter_frames;
mod filter_random;
mod frames;
mod generator;
mod hostile;
mod lifecycle;
#[cfg(feature = "xsk-rs")]
mod only_xsk_rs;
mod oracle;
mod probe;
mod queues;
mod receive;
mod refusals;
mod send;
mod support;
