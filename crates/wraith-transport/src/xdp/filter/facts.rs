//! Which ports say what about a packet, one word of bits a port.

use std::collections::BTreeMap;

use super::management;
use super::rules::{Filter, Match, Ports, Select};

/// Its destination or source port is selected.
pub(super) const SELECTED: i32 = 1;
/// A port of it is excepted.
pub(super) const EXCEPTED: i32 = 2;
/// A port of it is management's.
pub(super) const KEPT: i32 = 4;
/// Its addresses are selected.
pub(super) const SELECTED_ADDRESS: i32 = 8;
/// Its addresses are excepted.
pub(super) const EXCEPTED_ADDRESS: i32 = 16;

/// A protocol with ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Udp,
    Tcp,
}

impl Protocol {
    pub(super) const BOTH: [Protocol; 2] = [Protocol::Udp, Protocol::Tcp];

    /// Its number in IP headers.
    pub(super) const fn number(self) -> i32 {
        match self {
            Protocol::Udp => 17,
            Protocol::Tcp => 6,
        }
    }

    /// Bytes of its header.
    pub(super) const fn header(self) -> i16 {
        match self {
            Protocol::Udp => 8,
            Protocol::Tcp => 20,
        }
    }

    fn of(self, set: &Match) -> &Ports {
        match self {
            Protocol::Udp => &set.udp_ports,
            Protocol::Tcp => &set.tcp_ports,
        }
    }
}

/// Which end of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Dst,
    Src,
}

impl End {
    pub(super) const BOTH: [End; 2] = [End::Dst, End::Src];

    /// Where its port is in the header.
    pub(super) const fn offset(self) -> i16 {
        match self {
            End::Src => 0,
            End::Dst => 2,
        }
    }

    fn of(self, ports: &Ports) -> &[u16] {
        match self {
            End::Dst => &ports.dst,
            End::Src => &ports.src,
        }
    }
}

/// The bits of each port at one end of one protocol.
pub(super) type PortFacts = BTreeMap<u16, i32>;

/// How far the bits of a protocol and an end are shifted in the table of all ports.
pub(super) const fn shift(protocol: Protocol, end: End) -> u32 {
    match (protocol, end) {
        (Protocol::Udp, End::Dst) => 0,
        (Protocol::Udp, End::Src) => 8,
        (Protocol::Tcp, End::Dst) => 16,
        (Protocol::Tcp, End::Src) => 24,
    }
}

/// What a filter says about each port.
pub(super) fn ports(filter: &Filter, protocol: Protocol, end: End) -> PortFacts {
    let mut facts = PortFacts::new();
    let mut add = |ports: &Ports, bit: i32| {
        for &port in end.of(ports) {
            *facts.entry(port).or_default() |= bit;
        }
    };
    if let Select::Matching(select) = &filter.select {
        add(protocol.of(select), SELECTED);
    }
    add(protocol.of(&filter.except), EXCEPTED);
    if filter.keep_management {
        let kept = if protocol == Protocol::Udp { management::udp() } else { management::tcp() };
        add(&kept, KEPT);
    }
    facts
}
