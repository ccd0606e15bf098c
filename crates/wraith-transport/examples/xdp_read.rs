//! Reads frames in Rust as the benchmark of AF_XDP for Node.js (`benches/node/xdp.mjs`) has them read in JavaScript: what of the cost is not
//! the language's. Linux; needs root.
//!
//! ```sh
//! cargo run --release -p wraith-transport --example xdp_read -- --interface NAME [--bare] [--batch 64] [--read 32] [--port 6343]
//! ```
//!
//! Prints `{"ready":true}`. For each line of its input, a number of frames that have come, it receives so many, adds up the first bytes of each, and
//! prints the CPU time of that, their number and the sum. `--bare`: by a loop over the two rings that does nothing else. It ends with its input.

#![cfg_attr(target_os = "linux", expect(unsafe_code, reason = "reads slots and rings by pointer"))]

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("AF_XDP exists on Linux only");
}

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    match linux::run() {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xdp_read: {message}");
            std::process::ExitCode::FAILURE
        }
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::env;
    use std::io::{self, BufRead as _};
    use std::mem::size_of_val;
    use std::ptr;
    use std::sync::atomic::{AtomicU32, Ordering};

    use wraith_transport::xdp::{Filter, Received, XdpDevice, XdpOptions, XdpSocket};

    struct Arguments {
        interface: String,
        bare: bool,
        batch: usize,
        read: usize,
        port: u16,
    }

    fn arguments() -> Result<Arguments, String> {
        let mut wanted = Arguments { interface: String::new(), bare: false, batch: 64, read: 32, port: 6343 };
        let mut given = env::args().skip(1);
        while let Some(name) = given.next() {
            if name == "--bare" {
                wanted.bare = true;
                continue;
            }
            let value = given.next().ok_or(format!("{name} needs a value"))?;
            let number = |least: usize, most: usize| {
                let parsed = value.parse().ok().filter(|number| (least..=most).contains(number));
                parsed.ok_or(format!("{name} needs a number from {least} to {most}"))
            };
            match name.as_str() {
                "--interface" => wanted.interface = value,
                "--batch" => wanted.batch = number(1, 1024)?,
                "--read" => wanted.read = number(0, 64)?,
                "--port" => wanted.port = number(1, 65_535)? as u16,
                other => return Err(format!("{other} is unknown; see the head of this file")),
            }
        }
        Ok(wanted)
    }

    pub(super) fn run() -> Result<(), String> {
        let wanted = arguments()?;
        let options = XdpOptions {
            batch_size: Some(wanted.batch),
            ..XdpOptions::new(wanted.interface.as_str(), Filter::udp_ports([wanted.port]))
        };
        let mut device = XdpDevice::open(&options).map_err(|error| error.to_string())?;
        let rings = device.info().rings;
        let socket = device.sockets_mut().first_mut().ok_or("the interface has no queue")?;
        let base = socket.pool().slab().base();
        // The socket behind the bare loop is never asked for anything.
        let bare = wanted.bare.then(|| Bare::new(socket.fd(), [rings.rx, rings.fill]));
        println!("{{\"ready\":true}}");
        for line in io::stdin().lock().lines() {
            let line = line.map_err(|error| error.to_string())?;
            let frames: usize =
                line.trim().parse().map_err(|_| format!("{line:?} is no number of frames"))?;
            let start = cpu_ns();
            let (count, sum) = match &bare {
                Some(rings) => rings.drain(base, &wanted, frames),
                None => drain(socket, wanted.read, frames)?,
            };
            let ns = cpu_ns() - start;
            println!("{{\"ns\":{ns},\"frames\":{count},\"sum\":{}}}", sum as u32 as i32);
        }
        Ok(())
    }

    /// # Safety
    /// `read` readable bytes that nobody writes during the call.
    #[inline(always)]
    unsafe fn add_up(bytes: *const u8, read: usize) -> u64 {
        // SAFETY: by this function's contract.
        unsafe { std::slice::from_raw_parts(bytes, read) }.iter().map(|&byte| u64::from(byte)).sum()
    }

    fn drain(socket: &mut XdpSocket, read: usize, frames: usize) -> Result<(usize, u64), String> {
        let base = socket.pool().slab().base();
        let (mut count, mut sum) = (0, 0);
        while count < frames {
            match socket.receive() {
                Received::Rows { rows, .. } => count += rows,
                Received::Empty => break,
                Received::Starved => return Err("no frame for the kernel to receive into".into()),
                Received::Failed(error) => return Err(error.to_string()),
            }
            for row in socket.rows() {
                // SAFETY: the row is lent to this loop until `finish`, and lies in the slab.
                sum += unsafe { add_up(base.add(row.offset as usize), read.min(row.length as usize)) };
            }
            socket.finish();
        }
        Ok((count, sum))
    }

    /// The least that receives: the RX ring and the fill ring.
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
        fn new(fd: i32, [rx, fill]: [u32; 2]) -> Bare {
            let mut offsets = [0_u64; 16];
            let mut len = size_of_val(&offsets) as u32;
            // SAFETY: the kernel writes at most `len` bytes into the array.
            let got = unsafe { libc::getsockopt(fd, 283, 1, offsets.as_mut_ptr().cast(), &raw mut len) };
            assert_eq!(got, 0, "XDP_MMAP_OFFSETS");
            let map = |ring: usize, page: i64, entry: usize, size: u32| {
                let [producer, consumer, entries] = [0, 1, 2].map(|at| offsets[ring * 4 + at] as usize);
                let bytes = entries + size as usize * entry;
                let (access, flags) =
                    (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_POPULATE);
                // SAFETY: a new mapping.
                let base = unsafe { libc::mmap(ptr::null_mut(), bytes, access, flags, fd, page) };
                assert_ne!(base, libc::MAP_FAILED, "a ring cannot be mapped");
                Ring { base: base.cast(), bytes, producer, consumer, entries, mask: size - 1 }
            };
            Bare { rx: map(0, 0, 16, rx), fill: map(2, 0x1_0000_0000, 8, fill) }
        }

        fn drain(&self, slab: *mut u8, wanted: &Arguments, frames: usize) -> (usize, u64) {
            let (mut count, mut sum) = (0, 0);
            let mut consumer = self.rx.word(self.rx.consumer).load(Ordering::Relaxed);
            let mut producer = self.fill.word(self.fill.producer).load(Ordering::Relaxed);
            while count < frames {
                let there = self.rx.word(self.rx.producer).load(Ordering::Acquire).wrapping_sub(consumer);
                if there == 0 {
                    break;
                }
                for _ in 0..there.min(wanted.batch as u32) {
                    // SAFETY: masked indices lie in the rings, and the descriptor's frame in the slab.
                    unsafe {
                        let entry = self.rx.base.add(self.rx.entries).cast::<[u64; 2]>();
                        let [address, length] = entry.add((consumer & self.rx.mask) as usize).read();
                        let read = wanted.read.min(length as u32 as usize);
                        sum += add_up(slab.add(address as usize), read);
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
            (count, sum)
        }
    }

    /// CPU time of the calling thread, which is the process's only one.
    fn cpu_ns() -> u64 {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: writes one timespec that lives through the call.
        let got = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
        assert_eq!(got, 0, "this system has no CPU clock for threads");
        time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
    }
}
