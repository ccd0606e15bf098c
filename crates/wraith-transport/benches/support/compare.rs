//! What a received frame costs, in turns.
//!
//! The kernel fills the RX ring of one contender, nothing else happens, and then it drains it: the CPU time of the thread is
//! taken. So the numbers are of user space alone: not of interrupts, the driver and the program, which are the same for all.
//!
//! Where memory happens to lie makes a difference of up to a tenth that stays for as long as a socket does. So each round makes everything
//! anew, and its medians are one value: the intervals have that in them.

use std::time::{Duration, Instant};

use wraith_transport::xdp::{Filter, FilterTest, RingsKind};

use super::bare::Bare;
use super::contender::{Contender, Look, Ours, PORT};
use super::generator::{FRAME, Generator, MARK, frame, lost_on_link};
use super::link::{Link, arrived};
use super::machine::thread_cpu_ns;
use super::peer::Peer;
use super::report::{Estimate, Pair};

/// Whose versions the names say.
const KERNEL: &str = "XdpSocket over kernel rings";
const XSK_RS: &str = "XdpSocket over xsk-rs 0.11";
const BARE: &str = "a bare loop over the rings";
const PEER: &str = "crate xdp 0.8";

/// Turns of each contender in a round.
const TURNS: usize = 9;
/// How long frames may be under way when the generator has ended.
const LATE: Duration = Duration::from_secs(10);

/// One contender in one round.
struct Entry {
    name: &'static str,
    // Closed before its link goes.
    contender: Box<dyn Contender>,
    generator: Generator,
    link: Link,
}

impl Entry {
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

/// All contenders anew, each on a link of its own, opened in an order that begins with another one each time.
fn open(round: usize, frames: usize, batch: usize) -> Vec<Entry> {
    let mut names = vec![KERNEL, BARE, PEER];
    if RingsKind::XskRs.is_available() {
        names.push(XSK_RS);
    }
    let count = names.len();
    names.rotate_left(round % count);
    let mut entries: Vec<Entry> = Vec::new();
    for (at, &name) in names.iter().enumerate() {
        let link = Link::new(&format!("r{round}e{at}x"));
        let contender: Box<dyn Contender> = match name {
            KERNEL => Box::new(Ours::new(&link, batch, RingsKind::Kernel)),
            XSK_RS => Box::new(Ours::new(&link, batch, RingsKind::XskRs)),
            BARE => Box::new(Bare::new(&link, batch)),
            _ => Box::new(Peer::new(&link, batch)),
        };
        let generator = Generator::new(&link.far, PORT);
        entries.push(Entry { name, contender, generator, link });
    }
    // Every byte of every frame is checked, more than once round all rings; that warms caches and pages, too.
    for _ in 0..Ours::RX_RING / frames + 1 {
        for entry in &mut entries {
            entry.turn(frames, Look::Whole);
        }
    }
    for entry in &mut entries {
        entry.turn(frames, Look::Mark);
    }
    entries
}

/// The median of each contender's turns in one round.
fn measure(entries: &mut [Entry], frames: usize) -> Vec<(&'static str, f64)> {
    let count = entries.len();
    let mut ns = vec![Vec::new(); count];
    for turn in 0..TURNS {
        // None is always the one behind the same.
        for step in 0..count {
            let at = (turn + step) % count;
            ns[at].push(entries[at].turn(frames, Look::Mark));
        }
    }
    let medians = ns.into_iter().map(|values| Estimate::of(values).median);
    entries.iter().map(|entry| entry.name).zip(medians).collect()
}

/// Measures and prints; whether no gate is missed.
pub(crate) fn run(rounds: usize, frames: usize, batch: usize) -> bool {
    assert!(
        frames <= Ours::FILL_FRAMES,
        "--frames is {frames}; the kernel has {} to receive into",
        Ours::FILL_FRAMES
    );
    if !RingsKind::XskRs.is_available() {
        eprintln!("{XSK_RS} is not in this build: add --features xsk-rs (docs/rust.md)");
    }
    let mut values: Vec<(&str, f64)> = Vec::new();
    for round in 0..rounds {
        values.extend(measure(&mut open(round, frames, batch), frames));
    }
    let of =
        |name: &str| -> Vec<f64> { values.iter().filter(|(of, _)| *of == name).map(|&(_, ns)| ns).collect() };
    let program = FilterTest::new(&Filter::udp_ports([PORT])).expect("test").cost_ns(&frame(PORT), 1_000_000);
    eprintln!(
        "\nReceiving {FRAME} bytes, veth in copy mode (nothing here is zero-copy): {rounds} rounds, each with sockets and memory made anew, of \
         {TURNS} turns of {frames} frames in batches of {batch}; medians of rounds with their 95 % intervals; the filter's program takes {} ns a frame",
        program.expect("cost")
    );
    let mut kept = true;
    for baseline in [BARE, PEER, XSK_RS] {
        let (ours, theirs) = (of(KERNEL), of(baseline));
        if !theirs.is_empty() {
            let gate = (baseline == XSK_RS).then_some(1.0);
            kept &= Pair { case: KERNEL, ours: &ours, baseline, theirs: &theirs, gate }.print();
        }
    }
    kept
}
