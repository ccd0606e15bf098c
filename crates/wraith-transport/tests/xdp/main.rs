//! AF_XDP in network namespaces that the tests make themselves: they need root.
//!
//! What the kernel's own `tools/testing/selftests/bpf/xskxceiver.c` tests is tested here as well, through our API:
//!
//! | xskxceiver | here |
//! |---|---|
//! | SEND_RECEIVE, _2K_FRAME, _SINGLE_PKT | `receive::every_packet_…`, `send::frames_arrive_…`, `receive::larger_frames_…` |
//! | BIDIRECTIONAL | `traffic::both_ends_send_and_receive_at_once` |
//! | POLL_RX, POLL_TX, POLL_RXQ_FULL, POLL_TXQ_FULL | `poll::…` |
//! | UMEM_HEADROOM | `receive::larger_frames_and_headroom_are_where_they_should_be` |
//! | ALIGNED_INV_DESC, STAT_TX_INVALID | `send::what_cannot_be_sent_…`, `hostile::descriptors_that_the_kernel_rejects_…` |
//! | STAT_RX_DROPPED, STAT_RX_FULL, STAT_RX_FILL_EMPTY | `statistics::…` |
//! | TEARDOWN | `lifecycle::…`, `traffic::closing_while_traffic_flows_…` |
//! | XDP_PROG_CLEANUP, XDP_DROP_HALF | `lifecycle::…`, `filter_frames::…`, `traffic::a_filter_that_changes_…` |
//! | XDP_SHARED_UMEM | `shared::…`, `forward::…` |
//! | HW_SW_MIN_RING_SIZE, HW_SW_MAX_RING_SIZE | `statistics::the_smallest_rings_work`; the largest are 2 GiB of frames |
//! | UNALIGNED_*, *_MULTI_BUFF, TOO_MANY_FRAGS, XDP_METADATA_* | not offered: a frame is a slot, and a packet is in one frame |
#![expect(
    unsafe_code,
    reason = "makes namespaces, reads slots by pointer and forges what a kernel would write"
)]
#![cfg(target_os = "linux")]

mod burst;
mod filter_frames;
mod filter_random;
mod forward;
mod frames;
mod generator;
mod hostile;
mod lifecycle;
#[cfg(feature = "xsk-rs")]
mod only_xsk_rs;
mod oracle;
mod poll;
mod probe;
mod queues;
mod receive;
mod refusals;
mod send;
mod shared;
mod statistics;
mod support;
mod traffic;
mod waiting;
mod waiting_forward;
