//! Crate `xdp` (MIT or Apache-2.0), which does AF_XDP in Rust without C as well: its rings and its memory, with the program that it
//! leaves to others.

use std::ffi::CString;
use std::os::fd::{AsRawFd, OwnedFd};

use crate_xdp::nic::NicIndex;
use crate_xdp::slab::{HeapSlab, Slab};
use crate_xdp::socket::{XdpSocket, XdpSocketBuilder};
use crate_xdp::umem::{FrameSize, Umem, UmemCfgBuilder};
use crate_xdp::{FillRing, RingConfigBuilder, Rings, RxRing};

use super::contender::{Contender, Look, Ours, mark, whole};
use super::generator::{bpf, new_fd};
use super::link::Link;

// linux/bpf.h.
const BPF_MAP_CREATE: i32 = 0;
const BPF_MAP_UPDATE_ELEM: i32 = 2;
const BPF_PROG_LOAD: i32 = 5;
const BPF_LINK_CREATE: i32 = 28;
const BPF_MAP_TYPE_XSKMAP: u64 = 17;
const BPF_PROG_TYPE_XDP: u64 = 6;
const BPF_XDP: u64 = 37;
const XDP_FLAGS_DRV_MODE: u64 = 4;

pub(crate) struct Peer {
    rx: RxRing,
    fill: FillRing,
    packets: HeapSlab,
    // Behind what was made of it.
    _link: OwnedFd,
    _socket: XdpSocket,
    umem: Umem,
}

impl Peer {
    /// With the same numbers of frames as ours has.
    pub(crate) fn new(link: &Link, batch: usize) -> Peer {
        let (entries, fill_frames) = (Ours::RX_RING as u32, Ours::FILL_FRAMES);
        let config =
            UmemCfgBuilder { frame_size: FrameSize::TwoK, frame_count: entries, ..UmemCfgBuilder::default() };
        let mut umem = Umem::map(config.build().expect("a UMEM")).expect("memory");
        let mut builder = XdpSocketBuilder::new().expect("a socket");
        let config = RingConfigBuilder {
            rx_count: entries,
            tx_count: Ours::TX_RING as u32,
            fill_count: entries,
            completion_count: entries,
        };
        let (rings, flags) = builder.build_rings(&umem, config.build().expect("sizes")).expect("rings");
        let Rings { mut fill_ring, rx_ring, .. } = rings;
        let name = CString::new(link.near.as_str()).expect("a name");
        // SAFETY: a NUL-terminated string that lives through the call.
        let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
        let socket = builder.bind(NicIndex::new(index), 0, flags).expect("bind");
        // SAFETY: the UMEM outlives the ring's use.
        let filled = unsafe { fill_ring.enqueue(&mut umem, fill_frames) };
        assert_eq!(filled, fill_frames);
        Peer {
            rx: rx_ring.expect("an RX ring"),
            fill: fill_ring,
            packets: HeapSlab::with_capacity(batch),
            _link: attach(socket.as_raw_fd(), index),
            _socket: socket,
            umem,
        }
    }
}

/// A program that hands every frame of queue 0 to the socket; it is detached when the descriptor is closed.
fn attach(socket: i32, ifindex: u32) -> OwnedFd {
    // Type and size of keys, size of values and how many.
    let map = new_fd(BPF_MAP_CREATE, &[BPF_MAP_TYPE_XSKMAP | 4 << 32, 4 | 1 << 32, 0]);
    let (key, value) = (0_u32, socket as u32);
    bpf(BPF_MAP_UPDATE_ELEM, &[map.as_raw_fd() as u64, &raw const key as u64, &raw const value as u64, 0]);
    // r1 = the map; r2 = 0; r3 = XDP_PASS; call bpf_redirect_map; exit
    let code: [u64; 6] =
        [0x18 | 0x11 << 8 | (map.as_raw_fd() as u64) << 32, 0, 0x2b7, 0x3b7 | 2 << 32, 0x85 | 51 << 32, 0x95];
    let attributes = [BPF_PROG_TYPE_XDP | 6 << 32, code.as_ptr() as u64, c"GPL".as_ptr() as u64, 0, 0, 0];
    let program = new_fd(BPF_PROG_LOAD, &attributes);
    // Program and interface, type and flags.
    new_fd(
        BPF_LINK_CREATE,
        &[program.as_raw_fd() as u64 | u64::from(ifindex) << 32, BPF_XDP | XDP_FLAGS_DRV_MODE << 32],
    )
}

impl Contender for Peer {
    fn drain(&mut self, look: Look) -> (usize, u64) {
        let (mut count, mut sum) = (0, 0);
        loop {
            // SAFETY: the packets go back to their UMEM below.
            let received = unsafe { self.rx.recv(&self.umem, &mut self.packets) };
            if received == 0 {
                return (count, sum);
            }
            while let Some(packet) = self.packets.pop_back() {
                // SAFETY: a packet holds its frame's bytes, and every frame has FRAME.
                sum += unsafe {
                    match look {
                        Look::Mark => mark(packet.as_ptr()),
                        Look::Whole => whole(packet.as_ptr()),
                    }
                };
                self.umem.free_packet(packet);
            }
            // SAFETY: as above.
            let filled = unsafe { self.fill.enqueue(&mut self.umem, received) };
            assert_eq!(filled, received);
            count += received;
        }
    }
}
