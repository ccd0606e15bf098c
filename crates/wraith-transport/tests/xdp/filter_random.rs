//! Random filters on random frames, against the oracle.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use wraith_transport::xdp::{Addresses, Filter, FilterTest, Match, Ports, Prefix, Select};

use crate::frames::{TCP, UDP, V4, ethernet, tagged, transport, v6};
use crate::oracle;
use crate::support::privileged;

/// Few enough that rules and packets meet.
fn port() -> impl Strategy<Value = u16> {
    prop_oneof![8 => 1000_u16..1016, 1 => Just(22), 1 => Just(53), 1 => Just(68), 1 => any::<u16>()]
}

/// Ports that no management has.
fn wanted() -> impl Strategy<Value = Vec<u16>> {
    vec(1000_u16..1016, 0..14)
}

fn both() -> impl Strategy<Value = Ports> {
    (wanted(), wanted()).prop_map(|(dst, src)| Ports { dst, src })
}

fn four() -> impl Strategy<Value = Ipv4Addr> {
    (0_u8..4, 0_u8..4).prop_map(|(net, host)| Ipv4Addr::new(10, net << 6, 0, host))
}

fn six() -> impl Strategy<Value = Ipv6Addr> {
    (0_u16..4, 0_u16..4).prop_map(|(net, host)| Ipv6Addr::new(0x2001, 0xdb8, net << 14, 0, 0, 0, 0, host))
}

fn prefix() -> impl Strategy<Value = Prefix> {
    let mask4 = |(address, length): (Ipv4Addr, u8)| {
        let kept = address.to_bits() & u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
        Prefix::new(IpAddr::V4(Ipv4Addr::from_bits(kept)), length).unwrap()
    };
    let mask6 = |(address, length): (Ipv6Addr, u8)| {
        let kept = address.to_bits() & u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
        Prefix::new(IpAddr::V6(Ipv6Addr::from_bits(kept)), length).unwrap()
    };
    prop_oneof![(four(), 0_u8..=32).prop_map(mask4), (six(), 0_u8..=128).prop_map(mask6)]
}

fn addresses() -> impl Strategy<Value = Addresses> {
    let list = || prop_oneof![2 => Just(vec![]), 1 => vec(prefix(), 1..4)];
    (list(), list()).prop_map(|(src, dst)| Addresses { src, dst })
}

fn ether_types() -> impl Strategy<Value = Vec<u16>> {
    let kind = prop::sample::select(vec![0x0800, 0x86dd, 0x8100, 0x88a8, 0x88b5]);
    prop_oneof![3 => Just(vec![]), 1 => vec(kind, 1..3)]
}

fn set() -> impl Strategy<Value = Match> {
    let ports = || prop_oneof![1 => Just(Ports::default()), 2 => both()];
    (ports(), ports(), addresses(), ether_types()).prop_map(
        |(udp_ports, tcp_ports, addresses, ether_types)| Match {
            udp_ports,
            tcp_ports,
            addresses,
            ether_types,
        },
    )
}

fn filter() -> impl Strategy<Value = Filter> {
    let select = prop_oneof![1 => Just(Select::All), 4 => set().prop_map(Select::Matching)];
    let except = prop_oneof![2 => Just(Match::default()), 1 => set()];
    (select, except, any::<bool>())
        .prop_map(|(select, except, keep_management)| Filter { select, except, keep_management })
        .prop_filter("selects something", |filter| filter.select != Select::Matching(Match::default()))
}

fn packet() -> impl Strategy<Value = Vec<u8>> {
    let protocol = prop::sample::select(vec![UDP, UDP, TCP, TCP, 1, 58, 47, 44, 0]);
    let fragment = prop_oneof![6 => Just(0_u16), 1 => Just(0x2000), 1 => Just(0x4000), 1 => any::<u16>()];
    let options = prop_oneof![6 => Just(0_usize), 1 => 1_usize..4];
    let four = (protocol.clone(), four(), four(), fragment, options, port(), port()).prop_map(
        |(protocol, src, dst, fragment, options, from, to)| {
            V4 { protocol, src, dst, fragment, options: vec![1; options * 4] }
                .frame(&transport(protocol, from, to))
        },
    );
    let six = (protocol, six(), six(), port(), port())
        .prop_map(|(next, src, dst, from, to)| v6(next, src, dst, &transport(next, from, to)));
    let other = prop::sample::select(vec![0x0806_u16, 0x88cc, 0x8809, 0x88b5, 0x8100, 0x05dc])
        .prop_map(|kind| ethernet(kind, &[0; 30]));
    prop_oneof![4 => four, 3 => six, 1 => other]
}

fn frame() -> impl Strategy<Value = Vec<u8>> {
    let tag = prop_oneof![Just(0x8100_u16), Just(0x88a8)];
    let tags = prop_oneof![5 => Just(vec![]), 2 => vec(tag, 1..3)];
    (packet(), tags, prop_oneof![4 => Just(usize::MAX), 1 => 14_usize..80]).prop_map(
        |(mut frame, tags, cut)| {
            for kind in tags {
                frame = tagged(kind, 7, &frame);
            }
            frame.truncate(cut);
            frame
        },
    )
}

#[test]
fn programs_do_what_their_filters_say() {
    privileged("programs_do_what_their_filters_say", || {
        let config = Config {
            cases: 250,
            failure_persistence: None,
            rng_seed: RngSeed::Fixed(6),
            ..Config::default()
        };
        let mut sockets = 0;
        TestRunner::new(config)
            .run(&(filter(), vec(frame(), 1..16)), |(filter, frames)| {
                let test = FilterTest::new(&filter).unwrap();
                for frame in frames {
                    let wanted = oracle::verdict(&filter, &frame);
                    prop_assert_eq!(test.verdict(&frame).unwrap(), wanted, "{}: {:02x?}", filter, frame);
                }
                Ok(())
            })
            .unwrap();
        // The strategy must not degenerate into frames that nothing selects.
        let mut runner = TestRunner::new(Config { rng_seed: RngSeed::Fixed(7), ..Config::default() });
        for _ in 0..400 {
            let (filter, frame) = (filter(), frame()).new_tree(&mut runner).unwrap().current();
            sockets += u32::from(oracle::verdict(&filter, &frame) == wraith_transport::xdp::Verdict::Socket);
        }
        assert!((50..350).contains(&sockets), "{sockets} of 400 go to the socket");
    });
}
