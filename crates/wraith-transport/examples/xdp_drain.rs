//! What receiving costs over a veth pair: our native layer against a bare loop over the rings, in turns.
//!
//!     cargo run --release -p wraith-transport --example xdp_drain -- [--rounds N] [--frames N] [--batch N] [--json]
//!
//! Needs root. It makes a network namespace and a veth pair in it, fills the RX ring with frames that the kernel generates
//! (BPF_PROG_TEST_RUN with live frames), then drains it while nothing else happens and takes the CPU time of the thread. One
//! byte of each frame is read. Copy mode: nothing here is zero-copy. Numbers of two runs are not for comparison; the ratio is.

#![cfg_attr(
    target_os = "linux",
    expect(unsafe_code, reason = "the bare loop and the generator are plain libc")
)]

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("AF_XDP exists on Linux only");
}

#[cfg(target_os = "linux")]
fn main() {
    linux::main();
}

#[cfg(target_os = "linux")]
mod linux {
    use std::process::Command;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::{Duration, Instant};
    use std::{env, fs, mem, ptr};

    use wraith_transport::xdp::{Filter, FilterTest, Received, XdpDevice, XdpOptions, XdpSocket};

    const FRAME: usize = 64;
    const PORT: u16 = 6343;

    pub(crate) fn main() {
        let number = |name: &str, default: usize| {
            let mut arguments = env::args().skip_while(|argument| argument != name);
            arguments.nth(1).map_or(default, |text| text.parse().expect("a number"))
        };
        let (rounds, frames, batch) =
            (number("--rounds", 31), number("--frames", 16_384), number("--batch", 64));
        namespace();
        let filter = Filter::udp_ports([PORT]);
        let open = |interface: &str| {
            let options = XdpOptions {
                batch_size: batch,
                queues: Some(vec![0]),
                ..XdpOptions::new(interface, filter.clone())
            };
            XdpDevice::open(&options).expect("open")
        };
        // Each side has a link of its own; the socket behind the bare loop is never asked for anything.
        let (mut device, other) = (open("bench0"), open("bench2"));
        let fill = device.info().fill_frames as usize;
        assert!(frames <= fill, "--frames is {frames}; the fill ring holds {fill}");
        let (ours_from, bare_from) = (Generator::new("bench1"), Generator::new("bench3"));
        let bare_slab = other.sockets()[0].pool().slab().base();
        let bare_rings = Bare::new(other.sockets()[0].fd(), other.info().rings.fill);
        let (mut bare, mut ours, mut rate) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..rounds + 2 {
            for is_bare in [round % 2 == 0, round % 2 == 1] {
                rate.push(if is_bare { &bare_from } else { &ours_from }.run(frames));
                let start = thread_cpu_ns();
                let (count, sum) = if is_bare {
                    bare_rings.drain(bare_slab, batch)
                } else {
                    drain(&mut device.sockets_mut()[0])
                };
                let each = (thread_cpu_ns() - start) as f64 / count as f64;
                assert_eq!((count, sum), (frames, frames as u64 * 0x5a), "frames were lost or are wrong");
                // The first two rounds warm caches and pages.
                if round >= 2 {
                    if is_bare { bare.push(each) } else { ours.push(each) }
                }
            }
        }
        let mut ratios: Vec<f64> = ours.iter().zip(&bare).map(|(ours, bare)| ours / bare).collect();
        let (bare, ours, ratio, rate) =
            (quartiles(&mut bare), quartiles(&mut ours), quartiles(&mut ratios), quartiles(&mut rate));
        let program = FilterTest::new(&filter).expect("test").cost_ns(&frame(), 1_000_000).expect("cost");
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        if env::args().any(|argument| argument == "--json") {
            println!(
                "{{\"bench\":\"xdp_drain\",\"size\":{FRAME},\"batch\":{batch},\"rounds\":{rounds},\"frames\":{frames},\
                 \"mode\":\"copy\",\"bareNs\":{:.1},\"socketNs\":{:.1},\"ratio\":{:.3},\"ratioLow\":{:.3},\
                 \"ratioHigh\":{:.3},\"filterNs\":{program},\"generatedMpps\":{:.2},\"kernel\":\"{}\",\"cpu\":\"{}\"}}",
                bare[1],
                ours[1],
                ratio[1],
                ratio[0],
                ratio[2],
                rate[1],
                kernel.trim(),
                cpu_name()
            );
        } else {
            println!(
                "{FRAME} bytes, veth in copy mode: ring loop {:.1} ns/frame ({:.1} to {:.1}), XdpSocket {:.1} ({:.1} to {:.1}), \
                 ratio {:.3} ({:.3} to {:.3}); {rounds} rounds of {frames} frames in batches of {batch}; filter {program} ns; \
                 generated at {:.2} Mpps; Linux {}, {}",
                bare[1],
                bare[0],
                bare[2],
                ours[1],
                ours[0],
                ours[2],
                ratio[1],
                ratio[0],
                ratio[2],
                rate[1],
                kernel.trim(),
                cpu_name()
            );
        }
    }

    fn drain(socket: &mut XdpSocket) -> (usize, u64) {
        let base = socket.pool().slab().base();
        let (mut count, mut sum) = (0, 0);
        while let Received::Rows { rows, .. } = socket.receive() {
            count += rows;
            for row in socket.rows() {
                // SAFETY: the row is lent to this loop until `finish`.
                sum += u64::from(unsafe { base.add(row.offset as usize + FRAME - 1).read() });
            }
            socket.finish();
        }
        (count, sum)
    }

    /// A namespace for this thread, which is the process's only one, with two veth pairs.
    fn namespace() {
        // SAFETY: takes a number.
        assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNET) }, 0, "a network namespace needs root");
        for arguments in [
            "link add bench0 type veth peer name bench1",
            "link set bench0 up",
            "link set bench1 up",
            "link add bench2 type veth peer name bench3",
            "link set bench2 up",
            "link set bench3 up",
        ] {
            let status = Command::new("ip").args(arguments.split(' ')).status().expect("ip (iproute2)");
            assert!(status.success(), "ip {arguments}");
        }
    }

    /// An Ethernet frame with IPv4 and UDP, whose last byte is 0x5a.
    fn frame() -> [u8; FRAME] {
        let mut frame = [0_u8; FRAME];
        frame[..12].copy_from_slice(&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2]);
        frame[12..14].copy_from_slice(&[8, 0]);
        frame[14..24].copy_from_slice(&[0x45, 0, 0, 50, 0, 0, 0, 0, 64, 17]);
        frame[26..34].copy_from_slice(&[192, 0, 2, 2, 192, 0, 2, 1]);
        frame[34..36].copy_from_slice(&40_000_u16.to_be_bytes());
        frame[36..38].copy_from_slice(&PORT.to_be_bytes());
        frame[38..40].copy_from_slice(&30_u16.to_be_bytes());
        frame[FRAME - 1] = 0x5a;
        frame
    }

    /// A program that sends every frame it is run on out of an interface, which is the other end of ours.
    struct Generator {
        program: i32,
        ifindex: u32,
    }

    impl Generator {
        fn new(interface: &str) -> Generator {
            let name = std::ffi::CString::new(interface).expect("a name");
            // SAFETY: a NUL-terminated string that lives through the call.
            let ifindex = unsafe { libc::if_nametoindex(name.as_ptr()) };
            assert_ne!(ifindex, 0);
            // r1 = ifindex; r2 = 0; call bpf_redirect; exit
            let code: [u64; 4] = [0x1b7 | u64::from(ifindex) << 32, 0x2b7, 0x85 | 23 << 32, 0x95];
            // union bpf_attr of BPF_PROG_LOAD: type XDP, count, instructions, licence.
            let attributes = [6 | 4_u64 << 32, code.as_ptr() as u64, c"GPL".as_ptr() as u64, 0, 0, 0];
            Generator { program: bpf(5, &attributes) as i32, ifindex }
        }

        /// Sends `frames` frames; millions a second.
        fn run(&self, frames: usize) -> f64 {
            /// linux/bpf.h: the frames really go.
            const BPF_F_TEST_XDP_LIVE_FRAMES: u64 = 2;
            const BATCH: u64 = 64;
            let frame = frame();
            // struct xdp_md: data, data_end, data_meta, ifindex, queue, egress.
            let context = [0_u32, FRAME as u32, 0, self.ifindex, 0, 0];
            let attributes = [
                self.program as u64,
                FRAME as u64,
                frame.as_ptr() as u64,
                0,
                frames as u64,
                mem::size_of_val(&context) as u64,
                context.as_ptr() as u64,
                0,
                BPF_F_TEST_XDP_LIVE_FRAMES,
                BATCH,
            ];
            let start = Instant::now();
            bpf(10, &attributes);
            frames as f64 / start.elapsed().max(Duration::from_nanos(1)).as_nanos() as f64 * 1000.0
        }
    }

    fn bpf(command: i32, attributes: &[u64]) -> i64 {
        // SAFETY: the caller's words are the beginning of union bpf_attr for the command, and what they point to lives
        // through the call.
        let result = unsafe {
            libc::syscall(libc::SYS_bpf, command, attributes.as_ptr(), mem::size_of_val(attributes) as u32)
        };
        assert!(result >= 0, "bpf({command}): {}", std::io::Error::last_os_error());
        result
    }

    /// The least that receives: the RX ring and the fill ring of a socket that exists, and nothing else.
    struct Bare {
        rx: Ring,
        fill: Ring,
    }

    struct Ring {
        base: *mut u8,
        bytes: usize,
        producer: usize,
        consumer: usize,
        entries: usize,
        mask: u32,
    }

    impl Ring {
        fn word(&self, at: usize) -> &AtomicU32 {
            // SAFETY: the kernel has said that an index lies there.
            unsafe { &*self.base.add(at).cast() }
        }
    }

    impl Drop for Ring {
        fn drop(&mut self) {
            // SAFETY: exactly the mapping that was made.
            unsafe { libc::munmap(self.base.cast(), self.bytes) };
        }
    }

    impl Bare {
        fn new(fd: i32, size: u32) -> Bare {
            let mut offsets = [0_u64; 16];
            let mut len = mem::size_of_val(&offsets) as u32;
            // SAFETY: the kernel writes at most `len` bytes into the array.
            let got = unsafe { libc::getsockopt(fd, 283, 1, offsets.as_mut_ptr().cast(), &raw mut len) };
            assert_eq!(got, 0);
            let map = |ring: usize, page: i64, entry: usize| {
                let [producer, consumer, entries] = [0, 1, 2].map(|at| offsets[ring * 4 + at] as usize);
                let bytes = entries + size as usize * entry;
                let (access, flags) =
                    (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_POPULATE);
                // SAFETY: a new mapping.
                let base = unsafe { libc::mmap(ptr::null_mut(), bytes, access, flags, fd, page) };
                assert_ne!(base, libc::MAP_FAILED);
                Ring { base: base.cast(), bytes, producer, consumer, entries, mask: size - 1 }
            };
            Bare { rx: map(0, 0, 16), fill: map(2, 0x1_0000_0000, 8) }
        }

        fn drain(&self, slab: *mut u8, batch: usize) -> (usize, u64) {
            let (mut count, mut sum) = (0, 0);
            let mut consumer = self.rx.word(self.rx.consumer).load(Ordering::Relaxed);
            let mut producer = self.fill.word(self.fill.producer).load(Ordering::Relaxed);
            loop {
                let there = self.rx.word(self.rx.producer).load(Ordering::Acquire).wrapping_sub(consumer);
                if there == 0 {
                    return (count, sum);
                }
                for _ in 0..there.min(batch as u32) {
                    // SAFETY: masked indices lie in the rings, and the descriptor's frame in the slab.
                    unsafe {
                        let entry = self.rx.base.add(self.rx.entries).cast::<[u64; 2]>();
                        let [address, _] = entry.add((consumer & self.rx.mask) as usize).read();
                        sum += u64::from(slab.add(address as usize + FRAME - 1).read());
                        let place = self.fill.base.add(self.fill.entries).cast::<u64>();
                        place.add((producer & self.fill.mask) as usize).write(address & !2047);
                    }
                    consumer = consumer.wrapping_add(1);
                    producer = producer.wrapping_add(1);
                    count += 1;
                }
                self.rx.word(self.rx.consumer).store(consumer, Ordering::Release);
                self.fill.word(self.fill.producer).store(producer, Ordering::Release);
            }
        }
    }

    fn thread_cpu_ns() -> u64 {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: writes one timespec that lives through the call.
        let got = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
        assert_eq!(got, 0, "this system has no CPU clock for threads");
        time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
    }

    /// Lower quartile, median, upper quartile.
    fn quartiles(values: &mut [f64]) -> [f64; 3] {
        values.sort_by(f64::total_cmp);
        [1, 2, 3].map(|quarter| values[(values.len() - 1) * quarter / 4])
    }

    fn cpu_name() -> String {
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let line = info.lines().find(|line| line.starts_with("model name"));
        line.and_then(|line| line.split(": ").nth(1)).unwrap_or("unknown CPU").replace(['"', '\\'], "")
    }
}
