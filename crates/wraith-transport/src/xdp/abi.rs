//! Structures and numbers of the kernel's interface: linux/bpf.h, linux/if_xdp.h, linux/if_link.h.
//!
//! They are spelt out here instead of taken from libc, which lacks bpf(2) and knows them on Linux only.

/// linux/socket.h.
pub(super) const AF_XDP: i32 = 44;
pub(super) const SOL_XDP: i32 = 283;
/// asm-generic/socket.h.
pub(super) const SOL_SOCKET: i32 = 1;

// linux/if_xdp.h: socket options.
pub(super) const XDP_MMAP_OFFSETS: i32 = 1;
pub(super) const XDP_RX_RING: i32 = 2;
pub(super) const XDP_TX_RING: i32 = 3;
pub(super) const XDP_UMEM_FILL_RING: i32 = 5;
pub(super) const XDP_UMEM_COMPLETION_RING: i32 = 6;
pub(super) const XDP_STATISTICS: i32 = 7;
pub(super) const XDP_OPTIONS: i32 = 8;

// linux/if_xdp.h: flags of bind(2).
pub(super) const XDP_SHARED_UMEM: u16 = 1 << 0;
pub(super) const XDP_COPY: u16 = 1 << 1;
pub(super) const XDP_ZEROCOPY: u16 = 1 << 2;
pub(super) const XDP_USE_NEED_WAKEUP: u16 = 1 << 3;

/// Bit of [`XDP_OPTIONS`].
pub(super) const XDP_OPTIONS_ZEROCOPY: u32 = 1;
/// Bit of a ring's flags word.
pub(super) const XDP_RING_NEED_WAKEUP: u32 = 1;

// linux/if_xdp.h: offsets for mmap(2).
pub(super) const XDP_PGOFF_RX_RING: u64 = 0;
pub(super) const XDP_PGOFF_TX_RING: u64 = 0x8000_0000;
pub(super) const XDP_UMEM_PGOFF_FILL_RING: u64 = 0x1_0000_0000;
pub(super) const XDP_UMEM_PGOFF_COMPLETION_RING: u64 = 0x1_8000_0000;

/// Bytes before the packet in each frame: XDP_PACKET_HEADROOM of linux/bpf.h.
pub(super) const XDP_PACKET_HEADROOM: u32 = 256;

// asm-generic/socket.h: busy polling.
pub(super) const SO_BUSY_POLL: i32 = 46;
pub(super) const SO_PREFER_BUSY_POLL: i32 = 69;
pub(super) const SO_BUSY_POLL_BUDGET: i32 = 70;

// linux/if_link.h: how a program is attached.
pub(super) const XDP_FLAGS_SKB_MODE: u32 = 1 << 1;
pub(super) const XDP_FLAGS_DRV_MODE: u32 = 1 << 2;

// linux/bpf.h.
pub(super) const BPF_MAP_CREATE: i32 = 0;
pub(super) const BPF_MAP_UPDATE_ELEM: i32 = 2;
pub(super) const BPF_MAP_DELETE_ELEM: i32 = 3;
pub(super) const BPF_PROG_LOAD: i32 = 5;
pub(super) const BPF_PROG_TEST_RUN: i32 = 10;
pub(super) const BPF_OBJ_GET_INFO_BY_FD: i32 = 15;
pub(super) const BPF_LINK_CREATE: i32 = 28;
pub(super) const BPF_LINK_UPDATE: i32 = 29;
pub(super) const BPF_LINK_DETACH: i32 = 34;
pub(super) const BPF_MAP_TYPE_ARRAY: u32 = 2;
pub(super) const BPF_MAP_TYPE_XSKMAP: u32 = 17;
pub(super) const BPF_PROG_TYPE_XDP: u32 = 6;
pub(super) const BPF_XDP: u32 = 37;

// linux/bpf.h: what an XDP program returns.
pub(super) const XDP_PASS: u32 = 2;
pub(super) const XDP_REDIRECT: u32 = 4;

/// `struct sockaddr_xdp`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SockaddrXdp {
    pub(super) family: u16,
    pub(super) flags: u16,
    pub(super) ifindex: u32,
    pub(super) queue_id: u32,
    pub(super) shared_umem_fd: u32,
}

/// `struct xdp_umem_reg` up to and including `flags`: what every kernel with AF_XDP and headroom knows.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct UmemReg {
    pub(super) addr: u64,
    pub(super) len: u64,
    pub(super) chunk_size: u32,
    pub(super) headroom: u32,
    pub(super) flags: u32,
    pub(super) pad: u32,
}

/// `struct xdp_ring_offset`, as words: producer, consumer, desc, flags.
pub(super) const RING_OFFSET_WORDS: usize = 4;
/// `struct xdp_mmap_offsets`, as words: rx, tx, fill, completion.
pub(super) const MMAP_OFFSETS_WORDS: usize = 4 * RING_OFFSET_WORDS;
/// `struct xdp_statistics`, as words: see [`KernelStatistics`](super::stats::KernelStatistics).
pub(super) const STATISTICS_WORDS: usize = 6;

/// `struct xdp_desc`: a frame in the RX or TX ring.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Descriptor {
    /// First byte of the packet, from the start of the UMEM.
    pub(super) addr: u64,
    /// Bytes of the packet.
    pub(super) len: u32,
    /// Option bits; 0 in everything that this crate offers.
    pub(super) options: u32,
}

/// `struct bpf_insn`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Instruction {
    pub(super) code: u8,
    /// Destination and source, four bits each; which are the low ones depends on the machine's byte order.
    pub(super) registers: u8,
    pub(super) offset: i16,
    pub(super) immediate: i32,
}

/// `union bpf_attr` of BPF_MAP_CREATE.
#[repr(C)]
#[derive(Default)]
pub(super) struct MapCreate {
    pub(super) map_type: u32,
    pub(super) key_size: u32,
    pub(super) value_size: u32,
    pub(super) max_entries: u32,
    pub(super) map_flags: u32,
    pub(super) inner_map_fd: u32,
    pub(super) numa_node: u32,
    pub(super) map_name: [u8; 16],
}

/// `union bpf_attr` of BPF_MAP_*_ELEM.
#[repr(C)]
#[derive(Default)]
pub(super) struct MapElement {
    pub(super) map_fd: u32,
    pub(super) pad: u32,
    pub(super) key: u64,
    pub(super) value: u64,
    pub(super) flags: u64,
}

/// `union bpf_attr` of BPF_PROG_LOAD.
#[repr(C)]
#[derive(Default)]
pub(super) struct ProgLoad {
    pub(super) prog_type: u32,
    pub(super) insn_cnt: u32,
    pub(super) insns: u64,
    pub(super) license: u64,
    pub(super) log_level: u32,
    pub(super) log_size: u32,
    pub(super) log_buf: u64,
    pub(super) kern_version: u32,
    pub(super) prog_flags: u32,
    pub(super) prog_name: [u8; 16],
    pub(super) prog_ifindex: u32,
    pub(super) expected_attach_type: u32,
}

/// `union bpf_attr` of BPF_PROG_TEST_RUN, up to `cpu`: what Linux 5.9 knows.
#[repr(C)]
#[derive(Default)]
pub(super) struct TestRun {
    pub(super) prog_fd: u32,
    pub(super) retval: u32,
    pub(super) data_size_in: u32,
    pub(super) data_size_out: u32,
    pub(super) data_in: u64,
    pub(super) data_out: u64,
    pub(super) repeat: u32,
    pub(super) duration: u32,
    pub(super) ctx_size_in: u32,
    pub(super) ctx_size_out: u32,
    pub(super) ctx_in: u64,
    pub(super) ctx_out: u64,
}

/// `union bpf_attr` of BPF_OBJ_GET_INFO_BY_FD.
#[repr(C)]
#[derive(Default)]
pub(super) struct ObjectInfo {
    pub(super) bpf_fd: u32,
    pub(super) info_len: u32,
    pub(super) info: u64,
}

/// `union bpf_attr` of BPF_LINK_CREATE for an interface.
#[repr(C)]
#[derive(Default)]
pub(super) struct LinkCreate {
    pub(super) prog_fd: u32,
    pub(super) target_ifindex: u32,
    pub(super) attach_type: u32,
    pub(super) flags: u32,
}

/// `union bpf_attr` of BPF_LINK_DETACH.
#[repr(C)]
#[derive(Default)]
pub(super) struct LinkDetach {
    pub(super) link_fd: u32,
}

/// `union bpf_attr` of BPF_LINK_UPDATE.
#[repr(C)]
#[derive(Default)]
pub(super) struct LinkUpdate {
    pub(super) link_fd: u32,
    pub(super) new_prog_fd: u32,
    pub(super) flags: u32,
    pub(super) old_prog_fd: u32,
}

const _: () = {
    // The sizes that the kernel expects; Instruction and Descriptor are laid out by the hardware of both sides.
    assert!(size_of::<SockaddrXdp>() == 16);
    assert!(size_of::<UmemReg>() == 32);
    assert!(size_of::<Descriptor>() == 16);
    assert!(size_of::<Instruction>() == 8);
    assert!(size_of::<MapElement>() == 32);
    assert!(size_of::<ProgLoad>() == 72);
    assert!(size_of::<TestRun>() == 64);
};
