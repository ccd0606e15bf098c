//! Sends numbered Ethernet frames out of an interface, as fast as the kernel makes them or at a rate.
//!
//! ```sh
//! cargo run --release -p wraith-transport --example xdp_generate -- --interface NAME [--count N] [--rate PER_SECOND]
//!     [--size 64] [--flows 1] [--batch 64] [--port 6343] [--to 02:00:00:00:00:0a]
//! ```
//!
//! With `--count` it sends so many. Without, each line of its input is a command `COUNT [RATE]`, and it ends with the input. Each time it
//! prints one line of JSON with what went, by the program's own count. Needs root.
//!
//! The kernel runs an XDP program on frames that it makes itself (`BPF_PROG_TEST_RUN` with live frames), and the program redirects each to
//! the interface. `interface` is one end of a veth pair; whoever tests the other end gets the frames with their number in bytes 8 to 11 (the
//! sender's address) and in the first four bytes of the UDP payload, 42 to 45, most significant byte first. Flows are source
//! ports from 40000 on. The receiving end of the pair runs on the same CPU, in the kernel: pin this program to one CPU, and the
//! receiver to another. That CPU chooses the receiving end's queue as well.
//!
//! What limits the rate: each call makes a pool of pages and at its end waits about 25 ms until the kernel has let go of it, so a rate is kept inside
//! of a call, by the program itself. `--batch` is how many frames are made before the receiving end gets the CPU; that takes 64 at a time, and
//! its ring holds 256, so that more than 64 are lost there whenever it is late (`lostOnLink`).

#![cfg_attr(target_os = "linux", expect(unsafe_code, reason = "bpf(2) is a C interface"))]

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("xdp_generate needs bpf(2), which only Linux has");
}

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    match linux::run() {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xdp_generate: {message}");
            std::process::ExitCode::FAILURE
        }
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::ffi::CString;
    use std::io::{self, BufRead as _};
    use std::mem::size_of_val;
    use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
    use std::time::Instant;
    use std::{env, fs};

    /// Ethernet, IPv4, UDP.
    const HEADERS: usize = 42;
    /// Behind the headers, the frame's number.
    const NUMBERED: usize = HEADERS + 4;
    const FIRST_PORT: u16 = 40_000;
    /// No command sends more: every load ends.
    const MOST: u64 = 50_000_000;
    /// Frames a second: a program may not wait longer than this for one.
    const SLOWEST: u64 = 15_000;
    const LARGEST: usize = 3_000;

    // linux/bpf.h: commands of bpf(2), and what they are given.
    const BPF_MAP_CREATE: i32 = 0;
    const BPF_MAP_LOOKUP_ELEM: i32 = 1;
    const BPF_MAP_UPDATE_ELEM: i32 = 2;
    const BPF_PROG_LOAD: i32 = 5;
    const BPF_PROG_TEST_RUN: i32 = 10;
    const BPF_MAP_TYPE_ARRAY: u64 = 2;
    const BPF_PROG_TYPE_XDP: u64 = 6;
    /// The frames really go.
    const BPF_F_TEST_XDP_LIVE_FRAMES: u64 = 2;

    struct Arguments {
        interface: String,
        count: Option<u64>,
        rate: u64,
        size: usize,
        flows: u16,
        batch: u64,
        port: u16,
        to: [u8; 6],
    }

    fn arguments() -> Result<Arguments, String> {
        let mut wanted = Arguments {
            interface: String::new(),
            count: None,
            rate: 0,
            size: 64,
            flows: 1,
            batch: 64,
            port: 6343,
            to: [2, 0, 0, 0, 0, 0x0a],
        };
        let mut given = env::args().skip(1);
        while let Some(name) = given.next() {
            let value = given.next().ok_or(format!("{name} needs a value"))?;
            let number = |least: u64, most: u64| {
                let parsed = value.parse().ok().filter(|number| (least..=most).contains(number));
                parsed.ok_or(format!("{name} needs a number from {least} to {most}"))
            };
            match name.as_str() {
                "--interface" => wanted.interface = value,
                "--count" => wanted.count = Some(number(1, MOST)?),
                "--rate" => wanted.rate = number(0, 1_000_000_000)?,
                "--size" => wanted.size = number(NUMBERED as u64, LARGEST as u64)? as usize,
                "--flows" => wanted.flows = number(1, 16_384)? as u16,
                "--batch" => wanted.batch = number(1, 256)?,
                "--port" => wanted.port = number(1, 65_535)? as u16,
                "--to" => wanted.to = address(&value).ok_or(format!("{value} is no Ethernet address"))?,
                other => return Err(format!("{other} is unknown; see the head of this file")),
            }
        }
        if wanted.interface.is_empty() {
            return Err("--interface says where the frames go".into());
        }
        Ok(wanted)
    }

    fn address(text: &str) -> Option<[u8; 6]> {
        let bytes: Option<Vec<u8>> = text.split(':').map(|part| u8::from_str_radix(part, 16).ok()).collect();
        bytes?.try_into().ok()
    }

    pub(super) fn run() -> Result<(), String> {
        let arguments = arguments()?;
        let generator = Generator::new(&arguments)?;
        if let Some(count) = arguments.count {
            return generator.send(count, arguments.rate);
        }
        for line in io::stdin().lock().lines() {
            let line = line.map_err(|error| error.to_string())?;
            let mut words = line.split_whitespace().map(str::parse::<u64>);
            match (words.next(), words.next().unwrap_or(Ok(arguments.rate))) {
                (Some(Ok(count)), Ok(rate)) if (1..=MOST).contains(&count) => generator.send(count, rate)?,
                _ => return Err(format!("{line:?} is not COUNT [RATE], with 1 to {MOST} frames")),
            }
        }
        Ok(())
    }

    struct Generator {
        program: OwnedFd,
        /// Three words: when the next frame is due in nanoseconds of the monotonic clock, frames so far, nanoseconds between two.
        state: OwnedFd,
        interface: String,
        ifindex: u32,
        batch: u64,
        frame: Vec<u8>,
    }

    impl Generator {
        fn new(arguments: &Arguments) -> Result<Generator, String> {
            let Arguments { interface, batch, .. } = arguments;
            let name = CString::new(interface.as_str()).map_err(|error| error.to_string())?;
            // SAFETY: a NUL-terminated string that lives through the call.
            let ifindex = unsafe { libc::if_nametoindex(name.as_ptr()) };
            if ifindex == 0 {
                return Err(format!("there is no interface {interface} in this network namespace"));
            }
            // Type and size of keys, size of values and how many.
            let state = new_fd(BPF_MAP_CREATE, &[BPF_MAP_TYPE_ARRAY | 4 << 32, 24 | 1 << 32, 0])?;
            let code = program(&state, ifindex, arguments.flows);
            let attributes = [
                BPF_PROG_TYPE_XDP | (code.len() as u64) << 32,
                code.as_ptr() as u64,
                c"GPL".as_ptr() as u64,
                0,
                0,
                0,
            ];
            let program = new_fd(BPF_PROG_LOAD, &attributes)?;
            let frame = frame(arguments);
            Ok(Generator { program, state, interface: interface.clone(), ifindex, batch: *batch, frame })
        }

        /// Sends `count` frames, no more than `rate` a second on average (0: as many as the CPU can), and prints what came of it.
        fn send(&self, count: u64, rate: u64) -> Result<(), String> {
            if (1..SLOWEST).contains(&rate) {
                return Err(format!("a rate is {SLOWEST} a second or more, or 0 for as many as the CPU can"));
            }
            let [_, before, _] = self.state()?;
            let lost = lost_on_link(&self.interface)?;
            self.set_state([0, before, 1_000_000_000_u64.checked_div(rate).unwrap_or(0)])?;
            // struct xdp_md: data, data_end, data_meta, ifindex, queue, egress.
            let context = [0_u32, self.frame.len() as u32, 0, self.ifindex, 0, 0];
            let attributes = [
                self.program.as_raw_fd() as u64,
                self.frame.len() as u64,
                self.frame.as_ptr() as u64,
                0,
                count,
                size_of_val(&context) as u64,
                context.as_ptr() as u64,
                0,
                BPF_F_TEST_XDP_LIVE_FRAMES,
                self.batch,
            ];
            let start = Instant::now();
            bpf(BPF_PROG_TEST_RUN, &attributes)?;
            let seconds = start.elapsed().as_secs_f64();
            let [_, after, _] = self.state()?;
            let lost = lost_on_link(&self.interface)? - lost;
            let (sent, mpps) = (after - before, (after - before) as f64 / seconds / 1e6);
            println!(
                "{{\"asked\":{count},\"sent\":{sent},\"first\":{before},\"seconds\":{seconds:.6},\"mpps\":{mpps:.3},\
                 \"lostOnLink\":{lost}}}"
            );
            Ok(())
        }

        fn state(&self) -> Result<[u64; 3], String> {
            let (key, mut value) = (0_u32, [0_u64; 3]);
            let (key, place) = (&raw const key as u64, &raw mut value as u64);
            bpf(BPF_MAP_LOOKUP_ELEM, &[self.state.as_raw_fd() as u64, key, place, 0])?;
            // SAFETY: the array that the kernel has written to, which is alive.
            Ok(unsafe { (&raw const value).read_volatile() })
        }

        fn set_state(&self, value: [u64; 3]) -> Result<(), String> {
            let key = 0_u32;
            let (key, place) = (&raw const key as u64, &raw const value as u64);
            bpf(BPF_MAP_UPDATE_ELEM, &[self.state.as_raw_fd() as u64, key, place, 0]).map(drop)
        }
    }

    /// An Ethernet frame with IPv4 and UDP without a checksum. Payload: each byte is its place in the frame, but for the number.
    fn frame(arguments: &Arguments) -> Vec<u8> {
        let size = arguments.size;
        let mut frame: Vec<u8> = (0..size).map(|at| at as u8).collect();
        frame[..6].copy_from_slice(&arguments.to);
        frame[6..12].copy_from_slice(&[2, 0, 0, 0, 0, 0]);
        frame[12..16].copy_from_slice(&[8, 0, 0x45, 0]);
        frame[16..18].copy_from_slice(&((size - 14) as u16).to_be_bytes());
        frame[18..26].copy_from_slice(&[0, 0, 0, 0, 64, 17, 0, 0]);
        frame[26..34].copy_from_slice(&[192, 0, 2, 2, 192, 0, 2, 1]);
        let checksum = checksum(&frame[14..34]);
        frame[24..26].copy_from_slice(&checksum.to_be_bytes());
        frame[34..36].copy_from_slice(&FIRST_PORT.to_be_bytes());
        frame[36..38].copy_from_slice(&arguments.port.to_be_bytes());
        frame[38..40].copy_from_slice(&((size - 34) as u16).to_be_bytes());
        frame[40..42].fill(0);
        frame
    }

    /// The Internet checksum of whole words: RFC 1071.
    fn checksum(bytes: &[u8]) -> u16 {
        let words = bytes.chunks_exact(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
        let mut sum: u32 = words.sum();
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !(sum as u16)
    }

    /// Numbers the frame, waits until it is due, and redirects it. Instructions are `struct bpf_insn`: code, registers (destination,
    /// source << 4), offset, immediate.
    fn program(state: &OwnedFd, ifindex: u32, flows: u16) -> Vec<u64> {
        /// How often a frame looks at the clock at most, so that the verifier sees an end: some 100 µs.
        const LOOKS: u64 = 4000;
        let back = |instructions: i16| u64::from(instructions as u16) << 16;
        let stores: Vec<u64> = [
            // r4 = r5, most significant byte first; bytes 8 to 11 and 42 to 45
            vec![0xbf | 0x54 << 8, 0xdc | 0x04 << 8 | 32 << 32],
            vec![0x63 | 0x42 << 8 | 8 << 16, 0x63 | 0x42 << 8 | (HEADERS as u64) << 16],
            // r4 = r5 % flows + first port, most significant byte first; bytes 34 and 35
            vec![0xbf | 0x54 << 8, 0x97 | 0x04 << 8 | u64::from(flows) << 32],
            vec![0x07 | 0x04 << 8 | u64::from(FIRST_PORT) << 32, 0xdc | 0x04 << 8 | 16 << 32],
            vec![0x6b | 0x42 << 8 | 34 << 16],
        ]
        .concat();
        let mut code = vec![
            // r7 = the address of the map's value
            0x18 | 0x27 << 8 | (state.as_raw_fd() as u64) << 32,
            0,
            // r5 = [r7 + 8]; r4 = r5 + 1; [r7 + 8] = r4
            0x79 | 0x75 << 8 | 8 << 16,
            0xbf | 0x54 << 8,
            0x07 | 0x04 << 8 | 1 << 32,
            0x7b | 0x47 << 8 | 8 << 16,
            // r2 = data; r3 = data_end; if r2 + 46 > r3: behind the stores
            0x61 | 0x12 << 8,
            0x61 | 0x13 << 8 | 4 << 16,
            0xbf | 0x24 << 8,
            0x07 | 0x04 << 8 | (NUMBERED as u64) << 32,
            0x2d | 0x34 << 8 | (stores.len() as u64) << 16,
        ];
        code.extend(stores);
        code.extend([
            // r6 = [r7 + 16]; if r6 == 0: send
            0x79 | 0x76 << 8 | 16 << 16,
            0x15 | 0x06 << 8 | 10 << 16,
            // r8 = [r7]; r9 = looks
            0x79 | 0x78 << 8,
            0xb7 | 0x09 << 8 | LOOKS << 32,
            // r0 = bpf_ktime_get_ns(); if r0 >= r8: due; r9 -= 1; if r9 != 0: look again
            0x85 | 5 << 32,
            0x3d | 0x80 << 8 | 2 << 16,
            0x07 | 0x09 << 8 | 0xffff_ffff << 32,
            0x55 | 0x09 << 8 | back(-4),
            // The first frame is due now: if r8 == 0: r8 = r0
            0x55 | 0x08 << 8 | 1 << 16,
            0xbf | 0x08 << 8,
            // r8 += period; [r7] = r8
            0x0f | 0x68 << 8,
            0x7b | 0x87 << 8,
            // send: r1 = ifindex; r2 = 0; call bpf_redirect; exit
            0xb7 | 0x01 << 8 | u64::from(ifindex) << 32,
            0xb7 | 0x02 << 8,
            0x85 | 23 << 32,
            0x95,
        ]);
        code
    }

    /// Frames that found the ring of the pair's other end full, since the pair was made.
    fn lost_on_link(interface: &str) -> Result<u64, String> {
        let table = fs::read_to_string("/proc/thread-self/net/dev").map_err(|error| error.to_string())?;
        let head = format!("{interface}:");
        let line = table.lines().find_map(|line| line.trim().strip_prefix(&head)).unwrap_or_default();
        // Eight columns of what was received, then bytes, packets, errors and drops of what was sent.
        let column = line.split_whitespace().nth(11).and_then(|text| text.parse().ok());
        column.ok_or(format!("/proc/net/dev does not tell of {interface}"))
    }

    /// bpf(2) with the beginning of `union bpf_attr`, in words.
    fn bpf(command: i32, attributes: &[u64]) -> Result<i64, String> {
        // SAFETY: the caller's words are the beginning of union bpf_attr for the command, and what they point to lives through the
        // call.
        let result = unsafe {
            libc::syscall(libc::SYS_bpf, command, attributes.as_ptr(), size_of_val(attributes) as u32)
        };
        if result >= 0 {
            return Ok(result);
        }
        Err(format!("bpf({command}): {}; it needs root", io::Error::last_os_error()))
    }

    /// bpf(2) with a command that makes a descriptor.
    fn new_fd(command: i32, attributes: &[u64]) -> Result<OwnedFd, String> {
        // SAFETY: a new descriptor, which nobody else knows.
        bpf(command, attributes).map(|fd| unsafe { OwnedFd::from_raw_fd(fd as i32) })
    }
}
