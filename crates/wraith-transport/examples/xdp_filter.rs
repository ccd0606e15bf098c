//! What a filter's program costs a packet, as the kernel measures it (BPF_PROG_TEST_RUN with repetitions).
//!
//!     cargo run --release -p wraith-transport --example xdp_filter -- [--runs N] [--rounds N] [--json]
//!
//! Needs CAP_BPF, CAP_NET_ADMIN and CAP_NET_RAW; touches no interface. The aim is less than 60 ns for a packet. In the
//! row `nothing known` the program reads two bytes only: most of what that takes is the kernel's call of a program.

use wraith_transport::xdp::{Addresses, Filter, FilterTest, Match, Ports};

const AIM_NS: u32 = 60;

/// An Ethernet frame of 64 bytes with IPv4 and UDP from 192.0.2.2 to 192.0.2.1.
fn udp(port: u16) -> [u8; 64] {
    let mut frame = [0_u8; 64];
    frame[12..14].copy_from_slice(&[8, 0]);
    frame[14..24].copy_from_slice(&[0x45, 0, 0, 50, 0, 0, 0, 0, 64, 17]);
    frame[26..34].copy_from_slice(&[192, 0, 2, 2, 192, 0, 2, 1]);
    frame[34..36].copy_from_slice(&40_000_u16.to_be_bytes());
    frame[36..38].copy_from_slice(&port.to_be_bytes());
    frame[38..40].copy_from_slice(&30_u16.to_be_bytes());
    frame
}

/// An EtherType that no filter here names.
fn other() -> [u8; 64] {
    let mut frame = [0_u8; 64];
    frame[12..14].copy_from_slice(&[0x88, 0xb5]);
    frame
}

fn rows() -> Vec<(&'static str, Filter, [u8; 64])> {
    let one = || Filter::udp_ports([6343]);
    let many = || Filter::udp_ports((6000..6400).chain([6343]));
    let prefixes = |count: u8| {
        let net = |number: u8| format!("10.{number}.0.0/16").parse().expect("a prefix");
        let mut dst: Vec<_> = (1..count).map(net).collect();
        dst.push("192.0.2.0/24".parse().expect("a prefix"));
        let udp_ports = Ports { dst: vec![6343], src: vec![] };
        Filter::matching(Match { udp_ports, addresses: Addresses { src: vec![], dst }, ..Match::default() })
    };
    let except = Match { udp_ports: Ports { dst: vec![500, 4500], src: vec![123] }, ..Match::default() };
    vec![
        ("one port, wanted", one(), udp(6343)),
        ("one port, another", one(), udp(6344)),
        ("one port, nothing known", one(), other()),
        ("401 ports, wanted", many(), udp(6343)),
        ("401 ports, another", many(), udp(7000)),
        ("one port and one prefix", prefixes(1), udp(6343)),
        ("one port and 64 prefixes, the last", prefixes(64), udp(6343)),
        ("all", Filter::all(), udp(6343)),
        ("all except three ports", Filter { except, ..Filter::all() }, udp(6343)),
        ("all, management too", Filter { keep_management: false, ..Filter::all() }, udp(6343)),
    ]
}

fn main() {
    let number = |name: &str, default: u32| {
        let mut arguments = std::env::args().skip_while(|argument| argument != name);
        arguments.nth(1).map_or(default, |text| text.parse().expect("a number"))
    };
    let (runs, rounds) = (number("--runs", 1_000_000), number("--rounds", 7));
    let json = std::env::args().any(|argument| argument == "--json");
    for (name, filter, frame) in rows() {
        let test = FilterTest::new(&filter).unwrap_or_else(|error| panic!("{error}"));
        let verdict = test.verdict(&frame).expect("verdict");
        let mut costs: Vec<u32> =
            (0..rounds.max(1)).map(|_| test.cost_ns(&frame, runs).expect("cost")).collect();
        costs.sort_unstable();
        let (least, median, most) = (costs[0], costs[costs.len() / 2], costs[costs.len() - 1]);
        let instructions = test.instructions();
        if json {
            println!(
                "{{\"bench\":\"xdp_filter\",\"row\":\"{name}\",\"instructions\":{instructions},\"runs\":{runs},\
                 \"ns\":{median},\"least\":{least},\"most\":{most},\"aimNs\":{AIM_NS}}}"
            );
        } else {
            let missed = if median < AIM_NS { "" } else { "  ABOVE THE AIM" };
            println!(
                "{name:36} {median:4} ns ({least} to {most}), {instructions} instructions, to the {verdict:?}{missed}"
            );
        }
    }
}
