//! Namespaces, links and sockets for the tests.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::io::{self, Write};
use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use wraith_transport::memory::Dirty;
use wraith_transport::pool::PoolCore;
use wraith_transport::xdp::{Filter, Received, RingsKind, XdpDevice, XdpOptions, XdpSocket};

/// A hang is a failure: no wait of these tests takes anywhere near this long.
const HANG: Duration = Duration::from_secs(20);

pub(crate) const NEAR: &str = "192.0.2.1";
pub(crate) const FAR: &str = "192.0.2.2";
pub(crate) const NEAR6: &str = "2001:db8::1";
pub(crate) const FAR6: &str = "2001:db8::2";

thread_local! {
    /// The rings that [`options`] ask for in this thread, and in those that its test starts by [`privileged`] and [`linked`].
    static RINGS: Cell<RingsKind> = const { Cell::new(RingsKind::Kernel) };
}

/// Runs a test again, over xsk-rs.
#[cfg(feature = "xsk-rs")]
pub(crate) fn over_xsk_rs(test: fn()) {
    RINGS.set(RingsKind::XskRs);
    test();
    RINGS.set(RingsKind::Kernel);
}

/// The named tests of this file once more in a module `xsk_rs`, over the rings of xsk-rs.
macro_rules! also_over_xsk_rs {
    ($($test:ident),+ $(,)?) => {
        #[cfg(feature = "xsk-rs")]
        mod xsk_rs {
            $(
                #[test]
                fn $test() {
                    crate::support::over_xsk_rs(super::$test);
                }
            )+
        }
    };
}
pub(crate) use also_over_xsk_rs;

/// Runs a test on a thread with a network namespace of its own, loopback up. Without root it says so on the real
/// stderr, where no harness hides it, and fails when WRAITH_REQUIRE_PRIVILEGED is set.
pub(crate) fn privileged(test: &str, body: impl FnOnce() + Send + 'static) {
    let rings = RINGS.get();
    let outcome = thread::spawn(move || {
        RINGS.set(rings);
        // SAFETY: takes a number; changes this thread only, which ends with the test.
        if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
            return Err(io::Error::last_os_error());
        }
        body();
        Ok(())
    })
    .join();
    match outcome {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            let _ = writeln!(
                io::stderr(),
                "\nSKIPPED {test}: needs root, for a network namespace and AF_XDP (unshare: {error}): \
                 run it with `sudo -E cargo test -p wraith-transport --test xdp`"
            );
            assert!(std::env::var_os("WRAITH_REQUIRE_PRIVILEGED").is_none(), "{test} could not run");
        }
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// `ip …` in the namespace of this thread.
pub(crate) fn ip(arguments: &str) {
    let output = ip_output(arguments);
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

pub(crate) fn ip_output(arguments: &str) -> std::process::Output {
    Command::new("ip")
        .args(arguments.split_whitespace())
        .output()
        .unwrap_or_else(|error| panic!("ip (Debian: apt-get install iproute2): {error}"))
}

/// The far end of a link, in a namespace of its own: a thread that runs what it is given there.
pub(crate) struct Far {
    jobs: mpsc::Sender<Box<dyn FnOnce() + Send>>,
}

impl Far {
    /// Runs `job` in the far namespace and returns what it returns.
    pub(crate) fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (done, outcome) = mpsc::channel();
        let job = move || drop(done.send(std::panic::catch_unwind(std::panic::AssertUnwindSafe(job))));
        self.jobs.send(Box::new(job)).unwrap();
        outcome.recv_timeout(HANG).expect("the far side hangs").unwrap_or_else(|panic| {
            std::panic::resume_unwind(panic);
        })
    }

    /// A UDP socket in the far namespace.
    pub(crate) fn udp(&self, address: &str) -> UdpSocket {
        let address = address.to_owned();
        self.run(move || UdpSocket::bind(address).unwrap())
    }
}

/// The ends of a link: names, addresses, and the last bytes of the MAC addresses.
struct Ends {
    near: &'static str,
    far: &'static str,
    near4: &'static str,
    far4: &'static str,
    near6: &'static str,
    far6: &'static str,
    macs: [&'static str; 2],
}

/// Joins this thread's namespace (wraith0) to a new one (wraith1) by a veth pair of `queues` queues at both ends, and waits
/// until packets go through.
pub(crate) fn linked(queues: u32) -> Far {
    let ends = Ends {
        near: "wraith0",
        far: "wraith1",
        near4: NEAR,
        far4: FAR,
        near6: NEAR6,
        far6: FAR6,
        macs: ["0a", "0b"],
    };
    link(queues, &ends)
}

/// A second link, from wraith2 to wraith3 in another new namespace.
pub(crate) fn linked_again(queues: u32) -> Far {
    let ends = Ends {
        near: "wraith2",
        far: "wraith3",
        near4: "198.51.100.1",
        far4: "198.51.100.2",
        near6: "2001:db8:1::1",
        far6: "2001:db8:1::2",
        macs: ["0c", "0d"],
    };
    link(queues, &ends)
}

fn link(queues: u32, ends: &Ends) -> Far {
    let &Ends { near, far, near4, far4, near6, far6, macs: [near_mac, far_mac] } = ends;
    // SAFETY: takes and returns numbers only.
    let thread = unsafe { libc::gettid() };
    let (jobs, work) = mpsc::channel::<Box<dyn FnOnce() + Send>>();
    let rings = RINGS.get();
    thread::spawn(move || {
        RINGS.set(rings);
        // SAFETY: takes a number; changes this thread only.
        assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNET) }, 0);
        while let Ok(job) = work.recv() {
            job();
        }
    });
    let remote = Far { jobs };
    remote.run(move || {
        ip("link set lo up");
        ip(&format!(
            "link add {far} numrxqueues {queues} numtxqueues {queues} address 02:00:00:00:00:{far_mac} type veth \
             peer name {near} numrxqueues {queues} numtxqueues {queues} address 02:00:00:00:00:{near_mac}"
        ));
        ip(&format!("link set {near} netns {thread}"));
        ip(&format!("addr add {far4}/24 dev {far}"));
        ip(&format!("addr add {far6}/64 dev {far} nodad"));
        ip(&format!("link set {far} up"));
    });
    ip("link set lo up");
    ip(&format!("addr add {near4}/24 dev {near}"));
    ip(&format!("addr add {near6}/64 dev {near} nodad"));
    ip(&format!("link set {near} up"));
    let echo = remote.udp(&format!("{far4}:7"));
    let probe = UdpSocket::bind((near4, 0)).unwrap();
    probe.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    echo.set_nonblocking(true).unwrap();
    until("packets go through the new link", || {
        let mut bytes = [0; 8];
        let _ = probe.send_to(b"up?", (far4, 7));
        while let Ok((got, from)) = echo.recv_from(&mut bytes) {
            let _ = echo.send_to(&bytes[..got], from);
        }
        probe.recv(&mut bytes).is_ok()
    });
    remote
}

/// Asks until the answer is yes.
pub(crate) fn until(what: &str, mut question: impl FnMut() -> bool) {
    let start = Instant::now();
    while !question() {
        assert!(start.elapsed() < HANG, "waiting in vain: {what}");
    }
}

/// Few frames, so that tests are quick: 512 of 2048 bytes on each queue.
pub(crate) fn options(filter: Filter) -> XdpOptions {
    XdpOptions { frames: Some(512), rings: RINGS.get(), ..XdpOptions::new("wraith0", filter) }
}

pub(crate) fn open(filter: Filter) -> XdpDevice {
    XdpDevice::open(&options(filter)).unwrap()
}

pub(crate) fn wait(fd: i32, events: i16) -> i16 {
    let mut poll = libc::pollfd { fd, events, revents: 0 };
    // SAFETY: one pollfd that lives through the call.
    let ready = unsafe { libc::poll(&raw mut poll, 1, HANG.as_millis() as i32) };
    assert_eq!(ready, 1, "nothing happened on the socket for {HANG:?}");
    poll.revents
}

/// A row's bytes.
pub(crate) fn bytes(socket: &XdpSocket, row: usize) -> Vec<u8> {
    let row = socket.rows()[row];
    let mut bytes = vec![0; row.length as usize];
    let base = socket.pool().slab().base();
    // SAFETY: the row lies in a slot that is lent to this test.
    unsafe { base.add(row.offset as usize).copy_to_nonoverlapping(bytes.as_mut_ptr(), bytes.len()) };
    bytes
}

/// Takes what is there.
pub(crate) fn drain(socket: &mut XdpSocket) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    loop {
        match socket.receive() {
            Received::Rows { rows, .. } => frames.extend((0..rows).map(|row| bytes(socket, row))),
            Received::Empty => return frames,
            other => panic!("{other:?}"),
        }
        socket.finish();
    }
}

/// Waits until `count` frames have come through any of the sockets.
pub(crate) fn collect(sockets: &mut [XdpSocket], count: usize) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    until(&format!("{count} frames"), || {
        frames.extend(sockets.iter_mut().flat_map(drain));
        frames.len() >= count
    });
    assert_eq!(frames.len(), count);
    frames
}

/// The data of a UDP packet over IPv4 without options, once its checksums are found right.
pub(crate) fn payload(frame: &[u8]) -> &[u8] {
    use crate::frames::checksum;
    assert_eq!(frame[12..14], [8, 0]);
    let header = &frame[14..34];
    assert_eq!(checksum(&[header]), 0, "IP header");
    let length = usize::from(u16::from_be_bytes([frame[38], frame[39]]));
    assert_eq!(frame.len(), 34 + length);
    &frame[42..]
}

/// Bytes that tell packets apart: which one, and where in it.
pub(crate) fn pattern(seed: usize, len: usize) -> Vec<u8> {
    let number = (seed as u32).to_be_bytes();
    (0..len).map(|at| if at < 4 { number[at] } else { (seed * 31 + at * 7) as u8 }).collect()
}

/// Sends numbered patterns from a normal socket.
pub(crate) fn send_patterns(from: &UdpSocket, to: SocketAddr, numbers: std::ops::Range<usize>, len: usize) {
    for number in numbers {
        from.send_to(&pattern(number, len), to).unwrap();
    }
}

pub(crate) fn near(port: u16) -> SocketAddr {
    format!("{NEAR}:{port}").parse().unwrap()
}

pub(crate) fn far(port: u16) -> SocketAddr {
    format!("{FAR}:{port}").parse().unwrap()
}

/// Closes a device and checks that every slot of every queue came home, cleared.
pub(crate) fn close(device: XdpDevice) {
    close_all([device]);
}

/// Closes devices, which may share a UMEM, and then checks as [`close`] does.
pub(crate) fn close_all(devices: impl IntoIterator<Item = XdpDevice>) {
    let mut pools = Vec::new();
    for mut device in devices {
        assert_eq!(device.info().rings_kind, RINGS.get());
        for mut socket in device.take_sockets() {
            let counters = socket.metrics().snapshot();
            assert_eq!((counters.ownership_faults, counters.bad_descriptors), (0, 0));
            pools.push(Arc::clone(socket.pool()));
            socket.close();
        }
        device.close();
    }
    pools.iter().for_each(|pool| assert_all_home(pool));
}

pub(crate) fn assert_all_home(pool: &PoolCore) {
    let audit = pool.audit();
    assert!(audit.problems.is_empty(), "{:?}", audit.problems);
    assert_eq!((audit.free, audit.queued), (pool.capacity(), pool.capacity()), "{audit:?}");
    let mut slot_bytes = vec![0; pool.buffer_size()];
    for slot in 0..pool.capacity() {
        // SAFETY: a whole slot of a live slab that nobody holds.
        unsafe { pool.slab().slot(slot).copy_to_nonoverlapping(slot_bytes.as_mut_ptr(), slot_bytes.len()) };
        assert!(slot_bytes.iter().all(|&byte| byte == 0), "slot {slot} came home with old bytes in it");
    }
}

/// Pushes a slot home that a test held.
pub(crate) fn give_back(
    pool: &PoolCore,
    slot: u32,
    held: (wraith_transport::memory::State, wraith_transport::memory::Owner),
) {
    pool.push(slot, held, Dirty::All).unwrap();
}

/// Reads numbered patterns from a normal socket, in their order.
pub(crate) fn expect(server: &UdpSocket, numbers: std::ops::Range<usize>, len: usize) {
    server.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    for number in numbers {
        let mut data = vec![0; len + 1];
        let got = server.recv(&mut data).unwrap();
        assert_eq!(data[..got], pattern(number, len));
    }
}

/// The bytes of a row of the batch that is out, to be changed.
pub(crate) fn row_bytes(socket: &mut XdpSocket, row: usize) -> &mut [u8] {
    let row = socket.rows()[row];
    let base = socket.pool().slab().base();
    // SAFETY: the row is lent to this test until the batch ends or it is sent, for both of which the socket is needed.
    unsafe { std::slice::from_raw_parts_mut(base.add(row.offset as usize), row.length as usize) }
}

/// The numbers of the packets, each with the bytes that belong to it, all different.
pub(crate) fn numbers(frames: &[Vec<u8>], len: usize) -> BTreeSet<usize> {
    let number = |frame: &Vec<u8>| {
        let data = payload(frame);
        let number = u32::from_be_bytes(data[..4].try_into().unwrap()) as usize;
        assert_eq!(data, pattern(number, len));
        number
    };
    let numbers: BTreeSet<usize> = frames.iter().map(number).collect();
    assert_eq!(numbers.len(), frames.len(), "a packet came twice");
    numbers
}
