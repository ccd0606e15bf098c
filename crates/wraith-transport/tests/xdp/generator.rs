//! Frames that the kernel generates and really sends: BPF_PROG_TEST_RUN with live frames (Linux 5.18).
//!
//! Also part of the benchmark `benches/xdp.rs`.

use std::ffi::CString;
use std::fs;
use std::io;
use std::mem::size_of_val;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// Bytes of a generated frame; as many as an Ethernet frame has at least.
pub(crate) const FRAME: usize = 64;
/// The last byte of each.
pub(crate) const MARK: u8 = 0x5a;

// linux/bpf.h: commands of bpf(2), and what they are given.
const BPF_MAP_CREATE: i32 = 0;
const BPF_MAP_LOOKUP_ELEM: i32 = 1;
const BPF_PROG_LOAD: i32 = 5;
const BPF_PROG_TEST_RUN: i32 = 10;
const BPF_MAP_TYPE_ARRAY: u64 = 2;
const BPF_PROG_TYPE_XDP: u64 = 6;
/// The frames really go.
const BPF_F_TEST_XDP_LIVE_FRAMES: u64 = 2;

/// An Ethernet frame with IPv4 and UDP to a port, whose last byte is [`MARK`].
pub(crate) fn frame(port: u16) -> [u8; FRAME] {
    let mut frame = [0_u8; FRAME];
    frame[..12].copy_from_slice(&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2]);
    frame[12..14].copy_from_slice(&[8, 0]);
    frame[14..24].copy_from_slice(&[0x45, 0, 0, 50, 0, 0, 0, 0, 64, 17]);
    frame[26..34].copy_from_slice(&[192, 0, 2, 2, 192, 0, 2, 1]);
    frame[34..36].copy_from_slice(&40_000_u16.to_be_bytes());
    frame[36..38].copy_from_slice(&port.to_be_bytes());
    frame[38..40].copy_from_slice(&30_u16.to_be_bytes());
    frame[FRAME - 1] = MARK;
    frame
}

/// A program that sends every frame it is run on out of an interface: the other end of a veth pair gets them. It counts them,
/// and can hold each back until its time has come.
///
/// A call of [`Generator::run`] makes a pool of pages and, what is far worse, waits some 25 ms at its end until the kernel has
/// let go of it. So a rate is kept inside of one call, and not by many calls of few frames: those come to 0.04 Mpps.
pub(crate) struct Generator {
    program: OwnedFd,
    /// When the next frame is due, in nanoseconds of the monotonic clock, and how many have gone.
    state: OwnedFd,
    ifindex: u32,
    frame: [u8; FRAME],
    /// Frames that the kernel makes before the receiving end of the link gets the CPU: 1 to 256. That end's ring holds 256, and it
    /// takes 64 at a time: with more than [`Generator::BATCH`], frames are lost there whenever it is not done before the next batch.
    pub(crate) batch: u64,
}

impl Generator {
    /// As many as the receiving end takes at a time.
    pub(crate) const BATCH: u64 = 64;

    /// Frames to UDP `port` out of `interface`, in the calling thread's namespace, as fast as the CPU can.
    pub(crate) fn new(interface: &str, port: u16) -> Generator {
        Generator::at_rate(interface, port, None)
    }

    /// The same, no more than `rate` a second on average: what is late is caught up with.
    pub(crate) fn at_rate(interface: &str, port: u16, rate: Option<u32>) -> Generator {
        let name = CString::new(interface).expect("a name");
        // SAFETY: a NUL-terminated string that lives through the call.
        let ifindex = unsafe { libc::if_nametoindex(name.as_ptr()) };
        assert_ne!(ifindex, 0, "there is no interface {interface}");
        // Type and size of keys, size of values and how many.
        let state = new_fd(BPF_MAP_CREATE, &[BPF_MAP_TYPE_ARRAY | 4 << 32, 16 | 1 << 32, 0]);
        let code = program(&state, ifindex, rate.map_or(0, |rate| 1_000_000_000 / rate));
        // Type, how many instructions, instructions, licence.
        let attributes = [
            BPF_PROG_TYPE_XDP | (code.len() as u64) << 32,
            code.as_ptr() as u64,
            c"GPL".as_ptr() as u64,
            0,
            0,
            0,
        ];
        let program = new_fd(BPF_PROG_LOAD, &attributes);
        Generator { program, state, ifindex, frame: frame(port), batch: Generator::BATCH }
    }

    /// Sends that many frames; returns how long it took. The receiving end of the link runs on the same CPU, in between.
    pub(crate) fn run(&self, frames: usize) -> Duration {
        // struct xdp_md: data, data_end, data_meta, ifindex, queue, egress.
        let context = [0_u32, FRAME as u32, 0, self.ifindex, 0, 0];
        let attributes = [
            self.program.as_raw_fd() as u64,
            FRAME as u64,
            self.frame.as_ptr() as u64,
            0,
            frames as u64,
            size_of_val(&context) as u64,
            context.as_ptr() as u64,
            0,
            BPF_F_TEST_XDP_LIVE_FRAMES,
            self.batch,
        ];
        let start = Instant::now();
        bpf(BPF_PROG_TEST_RUN, &attributes);
        start.elapsed()
    }

    /// How many frames have gone, by the program's own count.
    pub(crate) fn sent(&self) -> u64 {
        let (key, mut value) = (0_u32, [0_u64; 2]);
        let (key, place) = (&raw const key as u64, &raw mut value as u64);
        bpf(BPF_MAP_LOOKUP_ELEM, &[self.state.as_raw_fd() as u64, key, place, 0]);
        // SAFETY: the array that the kernel has written to, which is alive.
        unsafe { (&raw const value).read_volatile()[1] }
    }
}

/// Counts the frame, waits until it is due, and redirects it.
fn program(state: &OwnedFd, ifindex: u32, period_ns: u32) -> Vec<u64> {
    /// How often a frame looks at the clock at most, so that the verifier sees an end: some 50 µs.
    const LOOKS: u32 = 2000;
    let (state, ifindex, period, looks) =
        (state.as_raw_fd() as u64, u64::from(ifindex), u64::from(period_ns), u64::from(LOOKS));
    // An instruction is code, registers (destination, source << 4), offset, immediate: struct bpf_insn.
    let mut code = vec![
        // r7 = the address of the map's value
        0x18 | 0x27 << 8 | state << 32,
        0,
        // r1 = [r7 + 8]; r1 += 1; [r7 + 8] = r1
        0x79 | 0x71 << 8 | 8 << 16,
        0x07 | 0x01 << 8 | 1 << 32,
        0x7b | 0x17 << 8 | 8 << 16,
    ];
    if period > 0 {
        let back = |instructions: i16| u64::from(instructions as u16) << 16;
        code.extend([
            // r8 = [r7]; r9 = looks
            0x79 | 0x78 << 8,
            0xb7 | 0x09 << 8 | looks << 32,
            // r0 = bpf_ktime_get_ns(); if r0 >= r8: on; r9 -= 1; if r9 != 0: again
            0x85 | 5 << 32,
            0x3d | 0x80 << 8 | 2 << 16,
            0x07 | 0x09 << 8 | 0xffff_ffff << 32,
            0x55 | 0x09 << 8 | back(-4),
            // The first frame is due now: if r8 == 0: r8 = r0
            0x55 | 0x08 << 8 | 1 << 16,
            0xbf | 0x08 << 8,
            // r8 += period; [r7] = r8
            0x07 | 0x08 << 8 | period << 32,
            0x7b | 0x87 << 8,
        ]);
    }
    // r1 = ifindex; r2 = 0; call bpf_redirect; exit
    code.extend([0xb7 | 0x01 << 8 | ifindex << 32, 0xb7 | 0x02 << 8, 0x85 | 23 << 32, 0x95]);
    code
}

/// Frames that were lost on the link, before any program of the receiver's ran, since it was made: the receiving end's ring
/// was full. `interface` is the sending end, in the calling thread's namespace.
pub(crate) fn lost_on_link(interface: &str) -> u64 {
    // Eight columns of what was received, then bytes, packets, errors and drops of what was sent.
    column(interface, 11)
}

/// A column of `/proc/net/dev` of the calling thread's namespace.
pub(crate) fn column(interface: &str, number: usize) -> u64 {
    let table = fs::read_to_string("/proc/thread-self/net/dev").expect("procfs");
    let head = format!("{interface}:");
    let line = table.lines().find_map(|line| line.trim().strip_prefix(&head)).expect("the interface");
    line.split_whitespace().nth(number).and_then(|text| text.parse().ok()).expect("a number")
}

/// bpf(2) with the beginning of `union bpf_attr`, in words.
pub(crate) fn bpf(command: i32, attributes: &[u64]) -> i64 {
    // SAFETY: the caller's words are the beginning of union bpf_attr for the command, and what they point to lives through the
    // call.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, attributes.as_ptr(), size_of_val(attributes) as u32) };
    assert!(result >= 0, "bpf({command}): {}", io::Error::last_os_error());
    result
}

/// bpf(2) with a command that makes a descriptor.
pub(crate) fn new_fd(command: i32, attributes: &[u64]) -> OwnedFd {
    // SAFETY: a new descriptor, which nobody else knows.
    unsafe { OwnedFd::from_raw_fd(bpf(command, attributes) as i32) }
}
