//! The table: what each kind of frame comes to, by the kernel's own word.

use std::process::Command;

use wraith_transport::Code;
use wraith_transport::xdp::{Addresses, Filter, FilterTest, Match, Ports, Verdict, test_filter};

use crate::frames::{TCP, UDP, V4, ethernet, ip, tagged, tcp, transport, udp, udp4, udp6, v6};
use crate::oracle;
use crate::support::privileged;

const SOCKET: Verdict = Verdict::Socket;
const KERNEL: Verdict = Verdict::Kernel;

fn addresses(src: &[&str], dst: &[&str]) -> Addresses {
    let list = |items: &[&str]| items.iter().map(|item| item.parse().unwrap()).collect();
    Addresses { src: list(src), dst: list(dst) }
}

/// Each frame's name, the frame and the verdict, which the oracle must share.
fn table(filter: &Filter, rows: &[(&str, Vec<u8>, Verdict)]) {
    let test = FilterTest::new(filter).unwrap();
    for (name, frame, wanted) in rows {
        assert_eq!(test.verdict(frame).unwrap(), *wanted, "{filter}: {name}");
        assert_eq!(oracle::verdict(filter, frame), *wanted, "the oracle on {filter}: {name}");
    }
}

fn odd_ones(port: u16) -> Vec<(&'static str, Vec<u8>)> {
    let payload = udp(40_000, port, b"data");
    let (a, b) = ("2001:db8::1".parse().unwrap(), "2001:db8::2".parse().unwrap());
    let with = |fragment| V4 { fragment, ..V4::default() }.frame(&payload);
    let mut hop = vec![17, 0, 5, 2, 0, 0, 1, 0];
    hop.extend(&payload);
    let mut fragment = vec![17, 0, 0, 1, 0, 0, 0, 9];
    fragment.extend(&payload);
    vec![
        ("first fragment", with(0x2000)),
        ("later fragment", with(0x00b9)),
        ("last fragment", with(0x0001)),
        ("options", V4 { options: vec![1, 1, 1, 0], ..V4::default() }.frame(&payload)),
        ("hop-by-hop header", v6(0, a, b, &hop)),
        ("IPv6 fragment", v6(44, a, b, &fragment)),
        ("cut in the UDP header", udp4(port)[..14 + 20 + 7].to_vec()),
        ("cut in the IPv6 UDP header", udp6(port)[..14 + 40 + 7].to_vec()),
        ("cut in the IP header", udp4(port)[..14 + 19].to_vec()),
        ("cut in the IPv6 header", udp6(port)[..14 + 39].to_vec()),
        ("nothing but a header", udp4(port)[..14].to_vec()),
    ]
}

fn management() -> Vec<(&'static str, Vec<u8>)> {
    let v4 = |protocol, payload: Vec<u8>| V4 { protocol, ..V4::default() }.frame(&payload);
    let six =
        |next, payload: Vec<u8>| v6(next, "fe80::1".parse().unwrap(), "fe80::2".parse().unwrap(), &payload);
    vec![
        ("ARP", ethernet(0x0806, &[0; 28])),
        ("LLDP", ethernet(0x88cc, &[0; 46])),
        ("LACP", ethernet(0x8809, &[0; 110])),
        ("DHCP to the server", v4(UDP, udp(68, 67, &[1; 300]))),
        ("DHCP to the client", v4(UDP, udp(67, 68, &[1; 300]))),
        ("DHCPv6 to the client", six(UDP, udp(547, 546, &[1; 60]))),
        ("DHCPv6 to the server", six(UDP, udp(546, 547, &[1; 60]))),
        ("DNS reply", v4(UDP, udp(53, 40_000, b"dns"))),
        ("DNS reply by TCP", v4(TCP, tcp(53, 40_000))),
        ("SSH to here", v4(TCP, tcp(40_000, 22))),
        ("SSH from there", six(TCP, tcp(22, 40_000))),
        ("UDP 22", v4(UDP, udp(40_000, 22, b"mosh"))),
        ("neighbour solicitation", six(58, vec![135; 24])),
    ]
}

#[test]
fn udp_ports_take_just_those_packets() {
    privileged("udp_ports_take_just_those_packets", || {
        let filter = Filter::udp_ports([6343, 2055]);
        let mut rows = vec![
            ("wanted", udp4(6343), SOCKET),
            ("also wanted", udp4(2055), SOCKET),
            ("wanted, IPv6", udp6(6343), SOCKET),
            ("another port", udp4(6344), KERNEL),
            ("its bytes swapped", udp4(6343_u16.swap_bytes()), KERNEL),
            ("from that port", V4::default().frame(&udp(6343, 40_000, b"x")), KERNEL),
            ("TCP", V4 { protocol: TCP, ..V4::default() }.frame(&tcp(40_000, 6343)), KERNEL),
            ("ICMP", V4 { protocol: 1, ..V4::default() }.frame(&[8, 0, 0, 0, 0, 0, 0, 0]), KERNEL),
            ("in a VLAN", tagged(0x8100, 5, &udp4(6343)), KERNEL),
            ("in two VLANs", tagged(0x88a8, 5, &tagged(0x8100, 5, &udp4(6343))), KERNEL),
            ("another EtherType", ethernet(0x88b5, &[0; 50]), KERNEL),
            ("empty datagram", V4::default().frame(&udp(40_000, 6343, b"")), SOCKET),
            ("longest", V4::default().frame(&udp(40_000, 6343, &[7; 9000])), SOCKET),
        ];
        rows.extend(
            odd_ones(6343).into_iter().chain(management()).map(|(name, frame)| (name, frame, KERNEL)),
        );
        table(&filter, &rows);
    });
}

#[test]
fn many_ports_are_looked_up_and_mean_the_same() {
    privileged("many_ports_are_looked_up_and_mean_the_same", || {
        let tcp_ports = Ports { dst: (3000..3020).collect(), src: (4000..4020).collect() };
        let udp_ports = Ports { dst: (3010..3030).collect(), src: vec![5000] };
        let filter = Filter::matching(Match { udp_ports, tcp_ports, ..Match::default() });
        let v4 = |protocol, src, dst| V4 { protocol, ..V4::default() }.frame(&transport(protocol, src, dst));
        let mut rows = vec![
            ("first TCP port", v4(TCP, 1, 3000), SOCKET),
            ("last TCP port", v4(TCP, 1, 3019), SOCKET),
            ("beyond", v4(TCP, 1, 3020), KERNEL),
            ("from a TCP port", v4(TCP, 4007, 1), SOCKET),
            ("to a source port", v4(TCP, 1, 4007), KERNEL),
            ("TCP port by UDP", v4(UDP, 1, 3005), KERNEL),
            ("common port by UDP", v4(UDP, 1, 3015), SOCKET),
            ("UDP port by TCP", v4(TCP, 1, 3025), KERNEL),
            ("from the UDP port", v4(UDP, 5000, 1), SOCKET),
            ("SSH wins over a wanted source", v4(TCP, 4007, 22), KERNEL),
        ];
        rows.extend(management().into_iter().map(|(name, frame)| (name, frame, KERNEL)));
        table(&filter, &rows);
    });
}

#[test]
fn all_takes_everything_but_management() {
    privileged("all_takes_everything_but_management", || {
        let others = vec![
            ("UDP", udp4(9)),
            ("IPv6 UDP", udp6(9)),
            ("TCP", V4 { protocol: TCP, ..V4::default() }.frame(&tcp(1, 80))),
            ("ping", V4 { protocol: 1, ..V4::default() }.frame(&[8; 8])),
            ("unknown EtherType", ethernet(0x88b5, &[1])),
            ("length instead of a type", ethernet(38, &[0x42; 38])),
        ];
        let takes = |(name, frame)| (name, frame, SOCKET);
        let keeps = |(name, frame)| (name, frame, KERNEL);
        let in_vlan = |(name, frame): (&'static str, Vec<u8>)| (name, tagged(0x8100, 9, &frame));
        let mut rows: Vec<_> = others.clone().into_iter().map(takes).collect();
        rows.extend(others.clone().into_iter().map(in_vlan).map(takes));
        rows.extend(management().into_iter().map(keeps));
        rows.extend(management().into_iter().map(in_vlan).map(keeps));
        rows.extend(odd_ones(9).into_iter().map(keeps));
        rows.push(("two tags", tagged(0x88a8, 3, &tagged(0x8100, 9, &udp4(9))), KERNEL));
        rows.push(("cut in the tag", tagged(0x8100, 9, &udp4(9))[..16].to_vec(), KERNEL));
        table(&Filter::all(), &rows);

        let everything = Filter { keep_management: false, ..Filter::all() };
        let mut rows: Vec<_> = others.clone().into_iter().map(takes).collect();
        rows.extend(management().into_iter().map(takes));
        rows.extend(management().into_iter().map(in_vlan).map(takes));
        rows.extend(odd_ones(9).into_iter().map(takes));
        rows.push(("two tags", tagged(0x88a8, 3, &tagged(0x8100, 9, &udp4(9))), SOCKET));
        table(&everything, &rows);
    });
}

#[test]
fn exceptions_stay_with_the_kernel() {
    privileged("exceptions_stay_with_the_kernel", || {
        let except = Match {
            udp_ports: Ports { dst: vec![500], src: vec![123] },
            addresses: addresses(&["10.0.0.0/8", "2001:db8:1::/48"], &[]),
            ether_types: vec![0x88b5],
            ..Match::default()
        };
        let filter = Filter { except, ..Filter::all() };
        let v4 = |src: &str, from, to| {
            V4 { src: src.parse().unwrap(), ..V4::default() }.frame(&udp(from, to, b"x"))
        };
        let v6 = |src: &str, to| v6(UDP, src.parse().unwrap(), "::2".parse().unwrap(), &udp(1, to, b"x"));
        table(
            &filter,
            &[
                ("port and address", v4("10.9.8.7", 1, 500), KERNEL),
                ("source port and address", v4("10.9.8.7", 123, 1), KERNEL),
                ("the port alone", v4("11.9.8.7", 1, 500), SOCKET),
                ("the address alone", v4("10.9.8.7", 1, 501), SOCKET),
                ("port and IPv6 address", v6("2001:db8:1::5", 500), KERNEL),
                ("the port with another", v6("2001:db8:2::5", 500), SOCKET),
                ("EtherType", ethernet(0x88b5, &[0; 4]), KERNEL),
                ("in a VLAN", tagged(0x8100, 4, &v4("10.9.8.7", 1, 500)), KERNEL),
            ],
        );
    });
}

#[test]
fn addresses_select_alone_and_narrow_ports() {
    privileged("addresses_select_alone_and_narrow_ports", || {
        let nets = addresses(&["192.0.2.128/25", "2001:db8::/33"], &["198.51.100.2", "2001:db8:ffff::2"]);
        let alone = Match { addresses: nets.clone(), ..Match::default() };
        let udp_ports = Ports { dst: vec![9000], src: vec![] };
        let narrowed = Match { udp_ports, addresses: nets, ..Match::default() };
        let frame = |protocol, src: &str, dst: &str, port| {
            ip(protocol, src.parse().unwrap(), dst.parse().unwrap(), &transport(protocol, 1, port))
        };
        let mut rows = Vec::new();
        for protocol in [UDP, TCP, 47] {
            for (src, dst, inside) in [
                ("192.0.2.128", "198.51.100.2", true),
                ("192.0.2.255", "198.51.100.2", true),
                ("192.0.2.127", "198.51.100.2", false),
                ("192.0.3.128", "198.51.100.2", false),
                ("192.0.2.129", "198.51.100.3", false),
                ("2001:db8:7fff::1", "2001:db8:ffff::2", true),
                ("2001:db8:8000::1", "2001:db8:ffff::2", false),
                ("2001:db8::1", "2001:db8:ffff::3", false),
                ("2001:db9::1", "2001:db8:ffff::2", false),
            ] {
                for port in [9000, 9001] {
                    rows.push((protocol, src, dst, port, inside));
                }
            }
        }
        let verdict = |yes: bool| if yes { SOCKET } else { KERNEL };
        let rows_of = |judge: &dyn Fn(u8, u16, bool) -> bool| -> Vec<(&str, Vec<u8>, Verdict)> {
            let row = |&(protocol, src, dst, port, inside): &(u8, &'static str, &str, u16, bool)| {
                (src, frame(protocol, src, dst, port), verdict(judge(protocol, port, inside)))
            };
            rows.iter().map(row).collect()
        };
        table(&Filter::matching(alone), &rows_of(&|_, _, inside| inside));
        table(
            &Filter::matching(narrowed),
            &rows_of(&|protocol, port, inside| inside && protocol == UDP && port == 9000),
        );
    });
}

#[test]
fn ether_types_select_whole_protocols() {
    privileged("ether_types_select_whole_protocols", || {
        let ether_types = vec![0x88b5, 0x86dd, 0x8100];
        let filter = Filter::matching(Match { ether_types, ..Match::default() });
        table(
            &filter,
            &[
                ("listed", ethernet(0x88b5, &[]), SOCKET),
                ("not listed", ethernet(0x88b6, &[]), KERNEL),
                ("IPv6", udp6(7), SOCKET),
                ("IPv4", udp4(7), KERNEL),
                ("any VLAN", tagged(0x8100, 1, &udp4(7)), SOCKET),
                ("a service VLAN", tagged(0x88a8, 1, &udp4(7)), KERNEL),
                ("ARP in a VLAN", tagged(0x8100, 1, &ethernet(0x0806, &[0; 28])), KERNEL),
            ],
        );
    });
}

#[test]
fn none_takes_nothing_and_bad_frames_are_refused() {
    privileged("none_takes_nothing_and_bad_frames_are_refused", || {
        assert_eq!(test_filter(&Filter::none(), &udp4(6343)).unwrap(), KERNEL);
        let error = test_filter(&Filter::all(), &[0; 13]).unwrap_err();
        assert_eq!(error.code(), Code::OutOfRange);
        assert!(error.message().contains("13 bytes"), "{error}");
        let error = test_filter(&Filter::matching(Match::default()), &[0; 60]).unwrap_err();
        assert_eq!(error.code(), Code::OutOfRange);
    });
}

#[test]
fn the_largest_filter_loads() {
    privileged("the_largest_filter_loads", || {
        let prefix = |seed: u128| format!("2001:db8::{seed:x}").parse().unwrap();
        let many = |from: u128| (from..from + 64).map(prefix).collect::<Vec<_>>();
        let all = || Ports { dst: (1000..=u16::MAX).collect(), src: (1000..=u16::MAX).collect() };
        let set = |from| Match {
            udp_ports: all(),
            tcp_ports: all(),
            addresses: Addresses { src: many(from), dst: many(from + 1000) },
            ether_types: (0x9000..0x9100).chain([0x8100, 0x88a8]).collect(),
        };
        let filter = Filter { except: set(5000), ..Filter::matching(set(1)) };
        let frame = |src: &str, dst: &str| {
            ip(UDP, src.parse().unwrap(), dst.parse().unwrap(), &udp(1000, 65_535, b"x"))
        };
        let inside = frame("2001:db8::40", "2001:db8::428");
        let outside = frame("2001:db8::41", "2001:db8::428");
        let test = FilterTest::new(&filter).unwrap();
        assert_eq!(test.verdict(&inside).unwrap(), SOCKET);
        assert_eq!(test.verdict(&outside).unwrap(), KERNEL);
        assert!(test.instructions() > 2000, "{test:?}");
        assert!(test.cost_ns(&inside, 1000).unwrap() > 0);
    });
}

#[test]
fn the_port_of_the_ssh_session_stays_with_the_kernel() {
    const CHILD: &str = "WRAITH_TEST_SSH";
    let session = V4 { protocol: TCP, ..V4::default() }.frame(&tcp(40_000, 2222));
    if std::env::var_os(CHILD).is_some() {
        // The child of this very test.
        assert_eq!(test_filter(&Filter::all(), &session).unwrap(), KERNEL);
        let error = test_filter(&Filter::udp_ports([2222]), &session).unwrap_err();
        assert_eq!(error.code(), Code::OutOfRange, "{error}");
        let off = Filter { keep_management: false, ..Filter::all() };
        assert_eq!(test_filter(&off, &session).unwrap(), SOCKET);
        return;
    }
    privileged("the_port_of_the_ssh_session_stays_with_the_kernel", move || {
        assert_eq!(test_filter(&Filter::all(), &session).unwrap(), SOCKET);
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "filter_frames::the_port_of_the_ssh_session_stays_with_the_kernel"])
            .env(CHILD, "1")
            .env("SSH_CONNECTION", "192.0.2.9 50000 192.0.2.1 2222")
            .output()
            .unwrap();
        assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
    });
}
