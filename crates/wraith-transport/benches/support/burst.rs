//! Bursts: 1.5 million frames at 1 Mpps, and as fast as the kernel makes them, into a socket with the defaults. Loss is reported;
//! that every frame is accounted for is asserted.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use wraith_transport::xdp::{Drops, Filter, Received, RingsKind, XdpDevice, XdpOptions, XdpSocket};

use super::contender::PORT;
use super::generator::{FRAME, Generator, MARK, lost_on_link};
use super::link::Link;

/// Frames of a burst.
const BURST: usize = 1_500_000;
/// Frames a second.
const RATE: u32 = 1_000_000;
/// How long frames may be under way when the generator has ended.
const LATE: Duration = Duration::from_secs(10);
/// Bursts at that rate.
const RUNS: usize = 10;

struct Outcome {
    took: Duration,
    sent: u64,
    received: u64,
    /// By the kernel, between the program's decision and the RX ring.
    drops: Vec<Drops>,
    /// Before the program ran: the veth pair's ring was full. No receiver could have had them.
    on_link: u64,
}

impl Outcome {
    fn lost(&self) -> u64 {
        self.drops.iter().map(|drops| drops.frames).sum()
    }

    fn mpps(&self) -> f64 {
        self.sent as f64 / self.took.as_secs_f64() / 1e6
    }
}

/// Waits for frames for a millisecond at most.
fn wait(socket: &XdpSocket) {
    let mut poll = libc::pollfd { fd: socket.fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one pollfd that lives through the call.
    unsafe { libc::poll(&raw mut poll, 1, 1) };
}

/// Receives until `ended` says that nothing more comes; it is asked with what was received when there is nothing there.
fn receive(socket: &mut XdpSocket, mut ended: impl FnMut(&XdpSocket, u64) -> bool) -> u64 {
    let base = socket.pool().slab().base();
    let mut received = 0;
    loop {
        match socket.receive() {
            Received::Rows { rows, .. } => {
                received += rows as u64;
                for row in socket.rows() {
                    // SAFETY: the row is lent to this loop until `finish`.
                    let mark = unsafe { base.add(row.offset as usize + FRAME - 1).read() };
                    assert_eq!((row.length as usize, mark), (FRAME, MARK));
                }
                socket.finish();
            }
            Received::Failed(error) => panic!("{error}"),
            _ if ended(socket, received) => return received,
            _ => wait(socket),
        }
    }
}

fn dropped(socket: &XdpSocket) -> u64 {
    socket.statistics().expect("statistics").dropped()
}

fn burst(link: &Link, rings: RingsKind, rate: Option<u32>) -> Outcome {
    let options = XdpOptions { rings, ..XdpOptions::new(&link.near, Filter::udp_ports([PORT])) };
    let mut device = XdpDevice::open(&options).expect("open");
    let mut socket = device.take_sockets().pop().expect("a queue");
    let generator = Generator::at_rate(&link.far, PORT, rate);
    let before = lost_on_link(&link.far);
    let done = AtomicBool::new(false);
    let (took, received) = thread::scope(|scope| {
        let receiver = scope.spawn(|| {
            // The kernel may still be delivering when the generator has ended.
            receive(&mut socket, |socket, received| {
                done.load(Ordering::Acquire)
                    && received + dropped(socket) + lost_on_link(&link.far) - before >= BURST as u64
            })
        });
        let took = generator.run(BURST);
        done.store(true, Ordering::Release);
        let start = Instant::now();
        while !receiver.is_finished() {
            assert!(start.elapsed() < LATE, "frames are not accounted for");
            thread::yield_now();
        }
        (took, receiver.join().expect("the receiver"))
    });
    let outcome = Outcome {
        took,
        sent: generator.sent(),
        received,
        drops: socket.statistics().expect("statistics").drops(),
        on_link: lost_on_link(&link.far) - before,
    };
    assert_eq!(outcome.sent, BURST as u64);
    assert_eq!(
        outcome.received + outcome.lost() + outcome.on_link,
        outcome.sent,
        "frames are not accounted for"
    );
    outcome
}

/// `aim`: in how many runs nothing should be lost.
fn print(case: &str, outcomes: &[Outcome], aim: Option<usize>) {
    let whole = outcomes.iter().filter(|outcome| outcome.lost() == 0).count();
    let sum = |of: fn(&Outcome) -> u64| outcomes.iter().map(of).sum::<u64>();
    let (sent, received, lost) = (sum(|one| one.sent), sum(|one| one.received), sum(Outcome::lost));
    let on_link = sum(|one| one.on_link);
    let rate = outcomes.iter().map(Outcome::mpps).sum::<f64>() / outcomes.len() as f64;
    let runs = outcomes.len();
    eprintln!(
        "\n{case}: {rate:.2} Mpps reached; none lost in {whole} of {runs} runs; sent {sent} = received {received} + dropped {lost} + lost on the link {on_link}"
    );
    for (run, outcome) in outcomes.iter().enumerate().filter(|(_, outcome)| outcome.received < outcome.sent) {
        let reasons: Vec<String> = outcome.drops.iter().map(|drops| format!("{drops}")).collect();
        let link = outcome.on_link;
        eprintln!("  run {}: {} {link} lost on the link", run + 1, reasons.join(" "));
    }
    let aim =
        aim.map_or(String::new(), |runs| format!(r#","aim":{{"atLeast":{runs},"of":"runsWithoutLoss"}}"#));
    println!(r#"{{"case":"{case}: rate that was reached","ours":{rate:.3},"unit":"Mpps","runs":{runs}}}"#);
    println!(
        r#"{{"case":"{case}: lost of a million","ours":{:.3},"unit":"frames","runs":{runs},"runsWithoutLoss":{whole},"sent":{sent},"received":{received},"dropped":{lost},"lostOnLink":{on_link},"mpps":{rate:.3}{aim}}}"#,
        lost as f64 * 1e6 / sent as f64
    );
}

/// Runs all bursts and prints what came of them. That the numbers do not add up is a panic.
pub(crate) fn run() {
    let link = Link::new("burst");
    let paced: Vec<_> = (0..RUNS).map(|_| burst(&link, RingsKind::Kernel, Some(RATE))).collect();
    print("1.5 million frames at 1 Mpps, defaults", &paced, Some(RUNS - 1));
    let full: Vec<_> = (0..3).map(|_| burst(&link, RingsKind::Kernel, None)).collect();
    print("1.5 million frames at full rate, defaults", &full, None);
}
