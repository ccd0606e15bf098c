//! Bursts: 1.5 million frames at 1 Mpps, and as fast as the kernel makes them, into a socket with the defaults. Loss is reported;
//! that every frame is accounted for is asserted.

use std::fs;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use wraith_transport::xdp::{Drops, Filter, Received, XdpDevice, XdpOptions, XdpSocket};

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
    /// By the kernel, between the program's decision and the RX ring.
    drops: Vec<Drops>,
    /// Before the program ran: the veth pair's ring was full. No receiver could have had them.
    on_link: u64,
    /// How the receiver fared.
    receiver: Receiver,
}

/// What a receiver got, and what it was kept from.
#[derive(Clone, Copy)]
struct Receiver {
    received: u64,
    /// The longest time between two looks at the ring: it waits for a millisecond at most by itself.
    longest: Duration,
    /// For how long it could have run, and others had its CPU.
    kept: Duration,
}

impl Outcome {
    fn lost(&self) -> u64 {
        self.drops.iter().map(|drops| drops.frames).sum()
    }

    fn mpps(&self) -> f64 {
        self.sent as f64 / self.took.as_secs_f64() / 1e6
    }
}

/// For how long the calling thread was ready to run and did not: proc(5), schedstat, where the kernel keeps it.
fn kept_from_cpu() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(text.split(' ').nth(1).and_then(|ns| ns.parse().ok()).unwrap_or(0))
}

/// Waits for frames for a millisecond at most.
fn wait(socket: &XdpSocket) {
    let mut poll = libc::pollfd { fd: socket.fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one pollfd that lives through the call.
    unsafe { libc::poll(&raw mut poll, 1, 1) };
}

/// Receives until `ended` says that nothing more comes; it is asked with what was received when there is nothing there.
fn receive(socket: &mut XdpSocket, mut ended: impl FnMut(&XdpSocket, u64) -> bool) -> Receiver {
    let base = socket.pool().slab().base();
    let mut received = 0;
    let (mut last, mut longest) = (Instant::now(), Duration::ZERO);
    loop {
        let now = Instant::now();
        if received > 0 {
            longest = longest.max(now - last);
        }
        last = now;
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
            _ if ended(socket, received) => return Receiver { received, longest, kept: kept_from_cpu() },
            _ => wait(socket),
        }
    }
}

/// Lets the calling thread run on the first CPU that it may use alone (the generator), or on all others. The kernel wakes a receiver
/// where its frames are delivered, which here is the generator's CPU; a sender would be another machine.
fn pin(generator: bool) {
    let bytes = size_of::<libc::cpu_set_t>();
    // SAFETY: all zeros are a set; the calls read and write one that lives through them, for the calling thread.
    unsafe {
        let mut allowed: libc::cpu_set_t = std::mem::zeroed();
        assert_eq!(libc::sched_getaffinity(0, bytes, &raw mut allowed), 0);
        let cpus = (0..libc::CPU_SETSIZE as usize).filter(|&cpu| libc::CPU_ISSET(cpu, &allowed));
        let mut chosen: libc::cpu_set_t = std::mem::zeroed();
        for (_, cpu) in cpus.enumerate().filter(|(index, _)| (*index == 0) == generator) {
            libc::CPU_SET(cpu, &mut chosen);
        }
        // A machine with one CPU has no others: the set is empty then, and refused.
        let _ = libc::sched_setaffinity(0, bytes, &raw const chosen);
    }
}

fn dropped(socket: &XdpSocket) -> u64 {
    socket.statistics().expect("statistics").dropped()
}

/// Puts the calling thread before all that have no such wish: SCHED_FIFO.
fn go_first() {
    let priority = libc::sched_param { sched_priority: 1 };
    // SAFETY: reads one structure that lives through the call; changes this thread, which ends with its burst.
    let set = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const priority) };
    assert_eq!(set, 0, "SCHED_FIFO: {}", io::Error::last_os_error());
}

/// One burst into a new socket, at a rate or as fast as can be; `first`: the receiver never waits for other programs.
fn burst(link: &Link, rate: Option<u32>, first: bool) -> Outcome {
    let options = XdpOptions::new(&link.near, Filter::udp_ports([PORT]));
    let mut device = XdpDevice::open(&options).expect("open");
    let mut socket = device.take_sockets().pop().expect("a queue");
    let generator = Generator::at_rate(&link.far, PORT, rate);
    let before = lost_on_link(&link.far);
    let done = AtomicBool::new(false);
    let (took, receiver) = thread::scope(|scope| {
        let receiver = scope.spawn(|| {
            pin(false);
            if first {
                go_first();
            }
            // The kernel may still be delivering when the generator has ended.
            receive(&mut socket, |socket, received| {
                done.load(Ordering::Acquire)
                    && received + dropped(socket) + lost_on_link(&link.far) - before >= BURST as u64
            })
        });
        let sender = scope.spawn(|| {
            pin(true);
            generator.run(BURST)
        });
        let took = sender.join().expect("the generator");
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
        receiver,
        drops: socket.statistics().expect("statistics").drops(),
        on_link: lost_on_link(&link.far) - before,
    };
    assert_eq!(outcome.sent, BURST as u64);
    assert_eq!(
        outcome.receiver.received + outcome.lost() + outcome.on_link,
        outcome.sent,
        "frames are not accounted for"
    );
    outcome
}

/// `aim`: in how many runs nothing should be lost.
fn print(case: &str, outcomes: &[Outcome], aim: Option<usize>) {
    let whole = outcomes.iter().filter(|outcome| outcome.lost() == 0).count();
    let sum = |of: fn(&Outcome) -> u64| outcomes.iter().map(of).sum::<u64>();
    let (sent, received, lost) = (sum(|one| one.sent), sum(|one| one.receiver.received), sum(Outcome::lost));
    let on_link = sum(|one| one.on_link);
    let rate = outcomes.iter().map(Outcome::mpps).sum::<f64>() / outcomes.len() as f64;
    let runs = outcomes.len();
    eprintln!(
        "\n{case}: {rate:.2} Mpps reached; none lost in {whole} of {runs} runs; sent {sent} = received {received} + dropped {lost} + lost on the link {on_link}"
    );
    for (run, outcome) in outcomes.iter().enumerate() {
        let reasons: Vec<String> =
            outcome.drops.iter().map(|drops| format!("{} {:?}", drops.frames, drops.reason)).collect();
        let Receiver { longest, kept, .. } = outcome.receiver;
        eprintln!(
            "  run {}: {:.2} Mpps, dropped: [{}], lost on the link: {}; others had the receiver's CPU for {} ms; {} ms between two looks at most",
            run + 1,
            outcome.mpps(),
            reasons.join(", "),
            outcome.on_link,
            kept.as_millis(),
            longest.as_millis()
        );
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
    let runs = |count, rate, first| (0..count).map(|_| burst(&link, rate, first)).collect::<Vec<_>>();
    let paced = "1.5 million frames at 1 Mpps, defaults";
    print(paced, &runs(RUNS, Some(RATE), false), Some(RUNS - 1));
    // Who loses only in the row above loses for want of a CPU.
    print(
        &format!("{paced}, receiver before all other programs"),
        &runs(RUNS, Some(RATE), true),
        Some(RUNS - 1),
    );
    print("1.5 million frames at full rate, defaults", &runs(3, None, false), None);
}
