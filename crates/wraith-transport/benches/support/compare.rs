//! What a received frame costs, in turns.
//!
//! The kernel fills the RX ring of one contender, nothing else happens, and then it drains it: the CPU time of the thread is
//! taken. So the numbers are of user space alone: not of interrupts, the driver and the program, which are the same for all.

use std::time::{Duration, Instant};

use wraith_transport::xdp::{Filter, FilterTest, RingsKind};

use super::bare::Bare;
use super::contender::{Contender, Look, Ours, PORT};
use super::generator::{FRAME, Generator, MARK, frame, lost_on_link};
use super::link::{Link, arrived};
use super::machine::thread_cpu_ns;
use super::peer::Peer;
use super::report::Pair;

/// Whose versions the names say.
const KERNEL: &str = "XdpSocket over kernel rings";
const XSK_RS: &str = "XdpSocket over xsk-rs 0.11";
const BARE: &str = "a bare loop over the rings";
const PEER: &str = "crate xdp 0.8";

/// How long frames may be under way when the generator has ended.
const LATE: Duration = Duration::from_secs(10);

struct Entry {
    name: &'static str,
    link: Link,
    contender: Box<dyn Contender>,
    generator: Generator,
    ns: Vec<f64>,
}

impl Entry {
    fn new(name: &'static str, link: Link, contender: impl Contender + 'static) -> Entry {
        let generator = Generator::new(&link.far, PORT);
        Entry { name, link, contender: Box::new(contender), generator, ns: Vec::new() }
    }

    /// One turn: frames are made, and when all have come or were lost on the link, they are received.
    fn turn(&mut self, frames: usize, look: Look) -> f64 {
        let before = (arrived(&self.link.near), lost_on_link(&self.link.far));
        self.generator.run(frames);
        // On a busy machine the kernel delivers later, and meanwhile the link's ring may overflow.
        let (start, mut come) = (Instant::now(), 0);
        while come + (lost_on_link(&self.link.far) - before.1) < frames as u64 {
            assert!(start.elapsed() < LATE, "{}: frames do not come", self.name);
            come = arrived(&self.link.near) - before.0;
        }
        let start = thread_cpu_ns();
        let (count, sum) = self.contender.drain(look);
        let each = (thread_cpu_ns() - start) as f64 / count as f64;
        assert_eq!(
            (count, sum),
            (come as usize, come * u64::from(MARK)),
            "{}: frames were lost or are wrong",
            self.name
        );
        each
    }
}

/// Measures and prints; whether no gate is missed.
pub(crate) fn run(rounds: usize, frames: usize, batch: usize) -> bool {
    let [first, second, third, fourth] = ["kernel", "bare", "peer", "xsk"].map(Link::new);
    let ours = Ours::new(&first, batch, RingsKind::Kernel);
    let (sizes, fill) = (ours.rings(), ours.fill_frames());
    assert!(frames <= fill as usize, "--frames is {frames}; the kernel has {fill} to receive into");
    let (bare, peer) = (Bare::new(&second, batch), Peer::new(&third, batch, sizes, fill));
    let mut entries =
        vec![Entry::new(KERNEL, first, ours), Entry::new(BARE, second, bare), Entry::new(PEER, third, peer)];
    if RingsKind::XskRs.is_available() {
        let ours = Ours::new(&fourth, batch, RingsKind::XskRs);
        entries.push(Entry::new(XSK_RS, fourth, ours));
    } else {
        eprintln!("{XSK_RS} is not in this build: add --features xsk-rs (docs/rust.md)");
    }
    // Every byte of every frame is checked, twice round all rings; that warms caches and pages, too.
    for _ in 0..2 * sizes.rx as usize / frames + 1 {
        for entry in &mut entries {
            entry.turn(frames, Look::Whole);
        }
    }
    for entry in &mut entries {
        entry.turn(frames, Look::Mark);
    }
    for round in 0..rounds {
        // Each round begins with another one: none is always the one behind the same.
        for step in 0..entries.len() {
            let at = (round + step) % entries.len();
            let entry = &mut entries[at];
            let ns = entry.turn(frames, Look::Mark);
            entry.ns.push(ns);
        }
    }
    let program = FilterTest::new(&Filter::udp_ports([PORT])).expect("test").cost_ns(&frame(PORT), 1_000_000);
    eprintln!(
        "\nReceiving {FRAME} bytes, veth in copy mode (nothing here is zero-copy), {rounds} rounds of {frames} frames in batches of {batch}; \
         medians with their 95 % intervals; the filter's program takes {} ns a frame",
        program.expect("cost")
    );
    let kernel = &entries[0];
    let print = |entry: &Entry| {
        let gate = (entry.name == XSK_RS).then_some(1.0);
        Pair { case: KERNEL, ours: &kernel.ns, baseline: entry.name, theirs: &entry.ns, gate }.print()
    };
    let kept: Vec<bool> = entries[1..].iter().map(print).collect();
    !kept.contains(&false)
}
