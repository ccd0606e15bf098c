//! Addresses as users write them: accepted exactly when std's parser (and the zone's rule) accepts them, with the same
//! value, and unchanged by the way to the kernel's form and back.
#![no_main]

use std::net::{IpAddr, SocketAddr};

use libfuzzer_sys::fuzz_target;
use wraith_transport::Code;
use wraith_transport::udp::{Family, Interface, SockAddr, parse_address};

/// The address and its zone, if the text is one of the family by std's rules. Whether a zone's name is known, the system
/// decides.
fn expected(text: &str, family: Family) -> Option<(IpAddr, Option<&str>)> {
    let (ip, zone) = match text.find('%') {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    let ip: IpAddr = ip.parse().ok()?;
    let fits = if family == Family::V6 { ip.is_ipv6() } else { ip.is_ipv4() && zone.is_none() };
    fits.then_some((ip, zone))
}

fn check(text: &str, port: u16, family: Family) {
    let expected = expected(text, family);
    let parsed = parse_address(text, port, family);
    let address = match (&parsed, expected) {
        (Err(error), None) => return assert_eq!(error.code(), Code::InvalidAddress),
        (Err(error), Some((_, zone))) => {
            let zone = zone.expect("an address without a zone was refused");
            assert!(zone.parse::<u32>().is_err(), "an index was refused: {error}");
            assert_eq!(error.code(), Code::InvalidAddress);
            return;
        }
        (Ok(address), None) => panic!("{text:?} was accepted as {address}"),
        (Ok(address), Some((ip, zone))) => {
            assert_eq!((address.ip(), address.port()), (ip, port));
            if let (SocketAddr::V6(v6), Some(Ok(index))) = (address, zone.map(str::parse::<u32>)) {
                assert_eq!(v6.scope_id(), index);
            }
            *address
        }
    };
    let raw = SockAddr::from(address);
    assert_eq!(raw.to_socket_addr(), Some(address));
    assert_eq!((raw.family(), raw.port()), (Some(family), port));
    match address {
        SocketAddr::V4(v4) => {
            let mapped = SockAddr::for_family(address, Family::V6).and_then(|it| it.to_socket_addr());
            assert_eq!(mapped.map(|it| it.ip()), Some(v4.ip().to_ipv6_mapped().into()));
            assert_eq!(parse_address(&v4.ip().to_string(), port, family).ok(), Some(address));
        }
        SocketAddr::V6(v6) => {
            assert!(SockAddr::for_family(address, Family::V4).is_none());
            let again = format!("{}%{}", v6.ip(), v6.scope_id());
            assert_eq!(parse_address(&again, port, family).ok(), Some(address));
        }
    }
}

fn check_interface(text: &str, family: Family) {
    let address = parse_address(text, 0, family).ok();
    let wanted = match address {
        None => None,
        Some(SocketAddr::V4(v4)) if v4.ip().octets() == [0; 4] => Some(Interface::Default),
        Some(SocketAddr::V4(v4)) => Some(Interface::Address(*v4.ip())),
        Some(SocketAddr::V6(v6)) => match (v6.scope_id(), v6.ip().segments() == [0; 8]) {
            (0, true) => Some(Interface::Default),
            (0, false) => None,
            (index, _) => Some(Interface::Index(index)),
        },
    };
    assert_eq!(Interface::parse(text, family).ok(), wanted);
}

fuzz_target!(|bytes: &[u8]| {
    let (Some((&[high, low], rest)), true) = (bytes.split_first_chunk(), bytes.len() < 300) else { return };
    let text = String::from_utf8_lossy(rest);
    for family in [Family::V4, Family::V6] {
        check(&text, u16::from_be_bytes([high, low]), family);
        check_interface(&text, family);
    }
});
