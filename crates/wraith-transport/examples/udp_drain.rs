//! CPU time per packet of draining a filled receive buffer: a bare recvmmsg loop against [`Receiver`].
//!
//! ```sh
//! cargo run --release -p wraith-transport --example udp_drain -- [--json] [--size 64|1472] [--rounds 21]
//!     [--batch 64] [--buffer BYTES] [--read BYTES] [--timestamps] [--recvfrom]
//! ```
//!
//! A round fills the socket's buffer from another socket, stops, and measures the thread's CPU time
//! (CLOCK_THREAD_CPUTIME_ID) of taking every packet out and adding up its bytes (`--read`: the first so many). The two loops take turns, who is
//! first changes from round to round, and the medians are printed with their quartiles. Both get the same
//! packets into buffers of 2048 bytes and must come to the same sum. The receive buffer is 8 MiB when the process
//! may exceed the limit (SO_RCVBUFFORCE), else what is usual on the machine; `--buffer` asks for a size within the limit
//! (SO_RCVBUF), as a program does.
//!
//! The bare loop is less than any usable program does: it keeps no peers, hands nothing over, clears nothing.

#![cfg_attr(target_os = "linux", expect(unsafe_code, reason = "the bare loop is plain libc"))]

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("udp_drain measures recvmmsg, which only Linux has");
}

#[cfg(target_os = "linux")]
fn main() {
    linux::main();
}

#[cfg(target_os = "linux")]
mod linux {
    use std::env;
    use std::fs;
    use std::mem;
    use std::net::UdpSocket as StdSocket;
    use std::ptr;
    use std::sync::Arc;

    use wraith_transport::memory::{MemoryOptions, Owner};
    use wraith_transport::pool::PoolCore;
    use wraith_transport::udp::{Backend, Received, Receiver, ReceiverOptions, UdpOptions, UdpSocket};

    const SLOT: usize = 2048;
    /// No round sends more than this, however large the buffer is.
    const MOST_PACKETS: usize = 20_000;
    const BUFFER: usize = 4 << 20;

    struct Arguments {
        json: bool,
        sizes: Vec<usize>,
        rounds: usize,
        batch: usize,
        buffer: Option<usize>,
        read: usize,
        timestamps: bool,
        backend: Backend,
    }

    fn arguments() -> Result<Arguments, String> {
        let mut wanted = Arguments {
            json: false,
            sizes: vec![64, 1472],
            rounds: 21,
            batch: 64,
            buffer: None,
            read: SLOT,
            timestamps: false,
            backend: Backend::Recvmmsg,
        };
        let mut given = env::args().skip(1);
        while let Some(name) = given.next() {
            let mut number = |least: usize, most: usize| {
                let value = given.next().and_then(|text| text.parse().ok());
                value
                    .filter(|value| (least..=most).contains(value))
                    .ok_or(format!("{name} needs a number from {least} to {most}"))
            };
            match name.as_str() {
                "--json" => wanted.json = true,
                "--timestamps" => wanted.timestamps = true,
                "--recvfrom" => wanted.backend = Backend::Recvfrom,
                "--size" => wanted.sizes = vec![number(0, SLOT)?],
                "--rounds" => wanted.rounds = number(1, 1000)?,
                "--batch" => wanted.batch = number(1, 1024)?,
                "--read" => wanted.read = number(0, SLOT)?,
                "--buffer" => wanted.buffer = Some(number(1, 1 << 30)?),
                other => return Err(format!("{other} is unknown; see the head of this file")),
            }
        }
        Ok(wanted)
    }

    pub(super) fn main() {
        let arguments = match arguments() {
            Ok(arguments) => arguments,
            Err(message) => {
                eprintln!("udp_drain: {message}");
                std::process::exit(2);
            }
        };
        for &size in &arguments.sizes {
            measure(&arguments, size);
        }
    }

    /// The two loops on one socket, so that they drain the same buffer.
    struct Bench {
        socket: Arc<UdpSocket>,
        sender: StdSocket,
        bare: Bare,
        receiver: Receiver,
        payload: Vec<u8>,
        /// How many bytes of a packet are added up.
        read: usize,
    }

    fn measure(arguments: &Arguments, size: usize) {
        let mut udp = UdpOptions::at(([127, 0, 0, 1], 0).into());
        udp.timestamps = arguments.timestamps;
        udp.recv_buffer = arguments.buffer;
        let socket = UdpSocket::bind(&udp).expect("bind");
        let forced = arguments.buffer.is_none() && force_buffer(&socket);
        let pool = PoolCore::new(SLOT, 1024, &MemoryOptions::default()).expect("pool");
        let options = ReceiverOptions {
            batch_size: arguments.batch,
            backend: arguments.backend,
            ..ReceiverOptions::default()
        };
        let owner = Owner::new(1).expect("1 is an owner");
        let receiver = Receiver::new(Arc::clone(&socket), pool, owner, options).expect("receiver");
        let sender = StdSocket::bind("127.0.0.1:0").expect("sender");
        let mut bench = Bench {
            sender,
            bare: Bare::new(arguments.batch),
            receiver,
            payload: (0..size).map(|at| at as u8).collect(),
            read: arguments.read,
            socket,
        };
        // Warm: pages, caches, and the frequency of the CPU.
        bench.round(true);
        bench.round(false);
        let (mut bare, mut ours, mut packets) = (Vec::new(), Vec::new(), 0);
        for round in 0..arguments.rounds {
            for first in [round % 2 == 0, round % 2 == 1] {
                let (count, per_packet) = bench.round(first);
                packets += count;
                if first { bare.push(per_packet) } else { ours.push(per_packet) }
            }
        }
        let mut ratios: Vec<f64> = ours.iter().zip(&bare).map(|(ours, bare)| ours / bare).collect();
        let (bare, ours, ratio) = (quartiles(&mut bare), quartiles(&mut ours), quartiles(&mut ratios));
        let buffer = bench.socket.recv_buffer().expect("SO_RCVBUF").got;
        let cpu = cpu_name();
        if arguments.json {
            println!(
                "{{\"bench\":\"udp_drain\",\"size\":{size},\"batch\":{},\"rounds\":{},\"packets\":{packets},\
                 \"recvBuffer\":{buffer},\"forced\":{forced},\"timestamps\":{},\"bareNs\":{:.1},\
                 \"receiverNs\":{:.1},\"ratio\":{:.3},\"ratioLow\":{:.3},\"ratioHigh\":{:.3},\"cpu\":\"{cpu}\"}}",
                arguments.batch,
                arguments.rounds,
                arguments.timestamps,
                bare[1],
                ours[1],
                ratio[1],
                ratio[0],
                ratio[2]
            );
        } else {
            println!(
                "{size:5} bytes: recvmmsg loop {:6.1} ns/packet ({:.1} to {:.1}), Receiver {:6.1} ({:.1} to {:.1}), \
                 ratio {:.3} ({:.3} to {:.3}); {packets} packets, SO_RCVBUF {buffer}, {cpu}",
                bare[1], bare[0], bare[2], ours[1], ours[0], ours[2], ratio[1], ratio[0], ratio[2]
            );
        }
    }

    impl Bench {
        /// Fills the buffer and drains it: packets, and nanoseconds of CPU a packet.
        fn round(&mut self, bare: bool) -> (usize, f64) {
            let sent = self.fill();
            let start = thread_cpu_ns();
            let (packets, sum) = if bare {
                self.bare.drain(self.socket.fd(), self.read)
            } else {
                drain(&mut self.receiver, self.read)
            };
            let took = thread_cpu_ns() - start;
            let each: u64 = self.payload.iter().take(self.read).map(|&byte| u64::from(byte)).sum();
            assert_eq!(packets, sent, "packets were lost or invented");
            assert_eq!(sum, each * packets as u64, "the bytes are not those that were sent");
            (packets, took as f64 / packets as f64)
        }

        /// Sends until the buffer is full: how many packets are in it.
        fn fill(&self) -> usize {
            let before = self.socket.kernel_drops().expect("SO_MEMINFO");
            let to = self.socket.local_addr().expect("address");
            let mut sent = 0;
            while sent < MOST_PACKETS {
                self.sender.send_to(&self.payload, to).expect("send");
                sent += 1;
                let dropped = (self.socket.kernel_drops().expect("SO_MEMINFO") - before) as usize;
                if dropped > 0 {
                    return sent - dropped;
                }
            }
            sent
        }
    }

    fn drain(receiver: &mut Receiver, read: usize) -> (usize, u64) {
        let base = receiver.pool().slab().base();
        let (mut packets, mut sum) = (0, 0);
        loop {
            match receiver.receive() {
                Received::Rows { rows, .. } => packets += rows,
                Received::Empty => return (packets, sum),
                other => panic!("{other:?}"),
            }
            for row in receiver.rows() {
                // SAFETY: the row lies in the slab, in a slot that is lent to this loop until `finish`.
                sum += unsafe { add_up(base.add(row.offset as usize), read.min(row.length as usize)) };
            }
            receiver.finish();
        }
    }

    /// # Safety
    /// `bytes` must be readable for `len` bytes and written by nobody meanwhile.
    #[inline(never)]
    unsafe fn add_up(bytes: *const u8, len: usize) -> u64 {
        // SAFETY: by this function's contract.
        unsafe { std::slice::from_raw_parts(bytes, len) }.iter().map(|&byte| u64::from(byte)).sum()
    }

    /// The least that receives: headers set up once, one buffer a message.
    struct Bare {
        headers: Vec<libc::mmsghdr>,
        _names: Vec<libc::sockaddr_storage>,
        _vectors: Vec<libc::iovec>,
        buffers: Vec<u8>,
    }

    impl Bare {
        fn new(batch: usize) -> Bare {
            // SAFETY: zeros are valid for these plain structures.
            let (mut headers, mut names, mut vectors) = unsafe {
                (
                    vec![mem::zeroed::<libc::mmsghdr>(); batch],
                    vec![mem::zeroed::<libc::sockaddr_storage>(); batch],
                    vec![mem::zeroed::<libc::iovec>(); batch],
                )
            };
            let mut buffers = vec![0_u8; batch * SLOT];
            for index in 0..batch {
                vectors[index].iov_base = buffers[index * SLOT..].as_mut_ptr().cast();
                vectors[index].iov_len = SLOT;
                let header = &mut headers[index].msg_hdr;
                header.msg_name = (&raw mut names[index]).cast();
                header.msg_namelen = mem::size_of::<libc::sockaddr_storage>() as u32;
                header.msg_iov = &raw mut vectors[index];
                header.msg_iovlen = 1;
            }
            Bare { headers, _names: names, _vectors: vectors, buffers }
        }

        fn drain(&mut self, fd: i32, read: usize) -> (usize, u64) {
            let (mut packets, mut sum) = (0, 0);
            loop {
                let count = self.headers.len() as u32;
                // SAFETY: every pointer leads into vectors of this value, whose memory does not move.
                let got = unsafe {
                    libc::recvmmsg(fd, self.headers.as_mut_ptr(), count, libc::MSG_DONTWAIT, ptr::null_mut())
                };
                let Ok(got) = usize::try_from(got) else { return (packets, sum) };
                packets += got;
                for index in 0..got {
                    let len = read.min(self.headers[index].msg_len as usize);
                    // SAFETY: the kernel wrote at least `len` bytes at the start of this buffer.
                    sum += unsafe { add_up(self.buffers.as_ptr().add(index * SLOT), len) };
                }
            }
        }
    }

    fn force_buffer(socket: &UdpSocket) -> bool {
        let bytes = BUFFER as libc::c_int;
        // SAFETY: reads one int that lives through the call.
        unsafe {
            libc::setsockopt(
                socket.fd(),
                libc::SOL_SOCKET,
                libc::SO_RCVBUFFORCE,
                (&raw const bytes).cast(),
                mem::size_of_val(&bytes) as u32,
            ) == 0
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
