//! Sockets, pools and namespaces for the tests.

use std::collections::HashSet;
use std::io::{self, Write};
use std::net::{SocketAddr, UdpSocket as StdSocket};
use std::os::fd::RawFd;
use std::process::Command;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use wraith_transport::memory::{MemoryOptions, Owner, State};
use wraith_transport::pool::PoolCore;
use wraith_transport::udp::{
    Backend, Family, Received, Receiver, ReceiverOptions, UdpOptions, UdpSnapshot, UdpSocket,
};

pub(crate) const BACKENDS: [Backend; 2] = [Backend::Recvmmsg, Backend::Recvfrom];

/// A hang is a failure: no wait of these tests takes anywhere near this long.
const HANG_MS: i32 = 20_000;

pub(crate) fn owner() -> Owner {
    Owner::new(7).unwrap()
}

pub(crate) fn pool(size: usize, capacity: u32) -> Arc<PoolCore> {
    PoolCore::new(size, capacity, &MemoryOptions::default()).unwrap()
}

/// Every slot is home, in the table and in the queue.
pub(crate) fn assert_all_home(pool: &PoolCore) {
    let audit = pool.audit();
    assert!(audit.problems.is_empty(), "{:?}", audit.problems);
    assert_eq!((audit.free, audit.queued), (pool.capacity(), pool.capacity()), "{audit:?}");
    for slot in 0..pool.capacity() {
        let bytes = slot_bytes(pool, slot);
        assert!(bytes.iter().all(|&byte| byte == 0), "slot {slot} came home with old bytes in it");
    }
}

pub(crate) fn slot_bytes(pool: &PoolCore, slot: u32) -> Vec<u8> {
    let mut bytes = vec![0; pool.buffer_size()];
    // SAFETY: a whole slot of a live slab; nothing writes to it while a test reads it.
    unsafe { pool.slab().slot(slot).copy_to_nonoverlapping(bytes.as_mut_ptr(), bytes.len()) };
    bytes
}

pub(crate) fn wait(fd: RawFd, events: i16) {
    let mut poll = libc::pollfd { fd, events, revents: 0 };
    // SAFETY: one pollfd that lives through the call.
    let ready = unsafe { libc::poll(&raw mut poll, 1, HANG_MS) };
    assert_eq!(ready, 1, "nothing happened on the socket for {HANG_MS} ms");
}

/// One packet, copied out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) bytes: Vec<u8>,
    pub(crate) wire_length: u32,
    pub(crate) flags: u8,
    pub(crate) from: SocketAddr,
    pub(crate) timestamp_ns: u64,
}

/// A socket with a pool and a receiver of its own. Dropping it checks that every slot came home.
pub(crate) struct Rig {
    pub(crate) pool: Arc<PoolCore>,
    pub(crate) socket: Arc<UdpSocket>,
    receiver: Option<Receiver>,
}

impl Rig {
    pub(crate) fn new(udp: &UdpOptions, size: usize, capacity: u32, options: &ReceiverOptions) -> Rig {
        let pool = pool(size, capacity);
        let socket = UdpSocket::bind(udp).unwrap();
        let receiver =
            Receiver::new(Arc::clone(&socket), Arc::clone(&pool), owner(), options.clone()).unwrap();
        Rig { pool, socket, receiver: Some(receiver) }
    }

    /// On 127.0.0.1, 64 slots a batch, 256 slots of 2048.
    pub(crate) fn on_loopback(backend: Backend) -> Rig {
        Rig::new(&loopback(), 2048, 256, &with(backend))
    }

    pub(crate) fn receiver(&mut self) -> &mut Receiver {
        self.receiver.as_mut().unwrap()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    pub(crate) fn counters(&self) -> UdpSnapshot {
        self.socket.metrics().snapshot()
    }

    pub(crate) fn wait(&self) {
        wait(self.socket.fd(), libc::POLLIN);
    }

    /// The batch that is out, copied.
    pub(crate) fn packets(&mut self) -> Vec<Packet> {
        let base = self.pool.slab().base();
        let receiver = self.receiver();
        let copy = |(index, row): (usize, &wraith_transport::udp::Row)| {
            let mut bytes = vec![0; row.length as usize];
            // SAFETY: the row lies in a slot that this test's receiver lends to it.
            unsafe { base.add(row.offset as usize).copy_to_nonoverlapping(bytes.as_mut_ptr(), bytes.len()) };
            Packet {
                bytes,
                wire_length: row.wire_length,
                flags: row.flags,
                from: receiver.source(index).to_socket_addr().unwrap(),
                timestamp_ns: row.timestamp_ns,
            }
        };
        receiver.rows().iter().enumerate().map(copy).collect()
    }

    /// Waits for a batch and leaves it out.
    pub(crate) fn next_batch(&mut self) -> usize {
        loop {
            match self.receiver().receive() {
                Received::Rows { rows, .. } => return rows,
                Received::Empty => self.wait(),
                other => panic!("{other:?}"),
            }
        }
    }

    /// Waits until `count` packets have come.
    pub(crate) fn collect(&mut self, count: usize) -> Vec<Packet> {
        let mut packets = Vec::new();
        while packets.len() < count {
            self.next_batch();
            packets.extend(self.packets());
            self.receiver().finish();
        }
        assert_eq!(packets.len(), count);
        packets
    }

    /// Takes what is there.
    pub(crate) fn drain(&mut self) -> Vec<Packet> {
        let mut packets = Vec::new();
        loop {
            match self.receiver().receive() {
                Received::Rows { .. } => packets.extend(self.packets()),
                Received::Empty => return packets,
                other => panic!("{other:?}"),
            }
            self.receiver().finish();
        }
    }

    /// Closes the receiver and checks the pool.
    pub(crate) fn close(mut self) {
        self.check();
    }

    /// Ends the receiver of a pool whose slots do not all come home.
    pub(crate) fn drop_receiver(&mut self) {
        self.receiver = None;
    }

    fn check(&mut self) {
        if let Some(receiver) = self.receiver.take() {
            receiver.close();
            assert_all_home(&self.pool);
            assert_eq!(self.counters().ownership_faults, 0);
        }
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if !thread::panicking() {
            self.check();
        }
    }
}

pub(crate) fn with(backend: Backend) -> ReceiverOptions {
    ReceiverOptions { backend, ..ReceiverOptions::default() }
}

pub(crate) fn loopback() -> UdpOptions {
    UdpOptions::at("127.0.0.1:0".parse().unwrap())
}

pub(crate) fn loopback6() -> UdpOptions {
    UdpOptions::at("[::1]:0".parse().unwrap())
}

pub(crate) fn bind(address: &str) -> Arc<UdpSocket> {
    UdpSocket::bind(&UdpOptions::at(address.parse().unwrap())).unwrap()
}

pub(crate) fn any(family: Family) -> UdpOptions {
    UdpOptions::new(family)
}

/// A sender that has nothing to do with this crate.
pub(crate) fn sender(address: &str) -> StdSocket {
    StdSocket::bind(address).unwrap()
}

/// Bytes that tell packets apart: which one, and where in it.
pub(crate) fn pattern(seed: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| (seed.wrapping_mul(31).wrapping_add(at * 7) % 251) as u8 + 1).collect()
}

/// Holds a slot that was taken from a batch.
pub(crate) const TAKEN: State = State::Lent;

/// Runs a test on a thread with a network namespace of its own, loopback up. Without the right to make one it
/// says so on the real stderr, where no harness hides it, and fails when WRAITH_REQUIRE_PRIVILEGED is set.
pub(crate) fn in_namespace(test: &str, body: impl FnOnce() + Send + 'static) {
    let outcome = thread::spawn(|| {
        // SAFETY: takes a number; changes this thread only, which ends with the test.
        if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
            return Err(io::Error::last_os_error());
        }
        ip("link set lo up");
        body();
        Ok(())
    })
    .join();
    match outcome {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            let _ = writeln!(
                io::stderr(),
                "\nSKIPPED {test}: needs the right to make a network namespace (root or CAP_SYS_ADMIN): {error}"
            );
            assert!(std::env::var_os("WRAITH_REQUIRE_PRIVILEGED").is_none(), "{test} could not run");
        }
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// `ip …` in the namespace of this thread.
pub(crate) fn ip(arguments: &str) {
    run("ip", arguments);
}

pub(crate) fn run(program: &str, arguments: &str) {
    let output = Command::new(program)
        .args(arguments.split_whitespace())
        .output()
        .unwrap_or_else(|error| panic!("{program} (Debian: apt-get install iproute2): {error}"));
    assert!(output.status.success(), "{program} {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A new link drops packets until the kernel has noticed that it is up: sends from `from` to `to` (or to itself)
/// until something comes back.
pub(crate) fn wait_for_path(from: &str, to: Option<SocketAddr>) {
    let probe = sender(from);
    let to = to.unwrap_or(probe.local_addr().unwrap());
    probe.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let answered = (0..HANG_MS / 20).any(|_| {
        // A refusal is as good a reason to try again as silence.
        probe.send_to(b"up?", to).is_ok() && probe.recv(&mut [0; 8]).is_ok()
    });
    assert!(answered, "no path from {from} to {to} in {HANG_MS} ms");
}

/// Keeps the far end of a link; its namespace goes with it.
pub(crate) struct Far {
    _alive: mpsc::Sender<()>,
}

/// Joins this thread's namespace (198.51.100.1, interface wraith0) to a new one (198.51.100.2, wraith1) on a
/// thread of its own, where `set_up` runs first. What it returns is returned; the far thread then lives for as
/// long as the [`Far`].
pub(crate) fn linked<T: Send + 'static>(set_up: impl FnOnce() -> T + Send + 'static) -> (T, Far) {
    // SAFETY: takes and returns numbers only.
    let near = unsafe { libc::gettid() };
    let (done, wait_done) = mpsc::channel();
    let (alive, wait_alive) = mpsc::channel::<()>();
    thread::spawn(move || {
        // SAFETY: takes a number; changes this thread only.
        assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNET) }, 0);
        ip("link set lo up");
        ip("link add wraith1 type veth peer name wraith0");
        ip(&format!("link set wraith0 netns {near}"));
        ip("addr add 198.51.100.2/24 dev wraith1");
        ip("link set wraith1 up");
        let value = set_up();
        let echo = StdSocket::bind("198.51.100.2:7").unwrap();
        done.send(value).unwrap();
        let mut bytes = [0; 8];
        let (got, from) = echo.recv_from(&mut bytes).unwrap();
        echo.send_to(&bytes[..got], from).unwrap();
        // Ends when the near side drops its end.
        let _ = wait_alive.recv();
    });
    let value = wait_done.recv().unwrap();
    ip("addr add 198.51.100.1/24 dev wraith0");
    ip("link set wraith0 up");
    wait_for_path("198.51.100.1:0", "198.51.100.2:7".parse().ok());
    (value, Far { _alive: alive })
}

pub(crate) fn distinct<T: std::hash::Hash + Eq>(items: impl IntoIterator<Item = T>) -> usize {
    items.into_iter().collect::<HashSet<_>>().len()
}
