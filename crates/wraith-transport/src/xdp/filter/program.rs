//! The XDP program of a filter: straight-line instructions for exactly these rules.
//!
//! Header lengths are fixed (IP options and extension headers go to the kernel), so every load is at a constant offset
//! and the verifier needs no CAP_PERFMON. Ports are compared one by one while they are few; many are looked up in an
//! array of all 65536, whose lookup the kernel inlines.

use std::net::IpAddr;
use std::os::fd::RawFd;

use super::assembler::{Assembler, CONTEXT, DATA, DATA_END, FACTS, Label, R0, R1, R2, R3, STACK, Size, Test};
use super::facts::{self, End, PortFacts, Protocol};
use super::management;
use super::rules::{Addresses, Filter, Prefix, Select};
use crate::xdp::abi::{Instruction, XDP_PASS};
use crate::{Code, Error};

/// As many ports are compared one by one; more are looked up.
pub(super) const COMPARED_PORTS: usize = 8;

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
/// IEEE 802.1Q, 802.1ad.
const VLANS: [u16; 2] = [0x8100, 0x88a8];
const ETHERNET: i16 = 14;
const TAG: i16 = 4;
const ICMPV6: i32 = 58;
/// Headers behind which the next one is at no fixed place: hop-by-hop, routing, fragment, authentication, destination
/// options, mobility, HIP, shim6 (IANA, "IPv6 Extension Header Types"; ESP hides what follows and is a protocol of its own).
const EXTENSION_HEADERS: [i32; 8] = [0, 43, 44, 51, 60, 135, 139, 140];

/// linux/bpf.h: helpers.
const MAP_LOOKUP_ELEM: i32 = 1;
const REDIRECT_MAP: i32 = 51;

/// Offsets in `struct xdp_md`.
const MD_DATA: i16 = 0;
const MD_DATA_END: i16 = 4;
const MD_QUEUE: i16 = 16;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    V4,
    V6,
}

impl Family {
    const fn ether_type(self) -> u16 {
        match self {
            Family::V4 => IPV4,
            Family::V6 => IPV6,
        }
    }

    const fn header(self) -> i16 {
        match self {
            Family::V4 => 20,
            Family::V6 => 40,
        }
    }

    const fn protocol(self) -> i16 {
        match self {
            Family::V4 => 9,
            Family::V6 => 6,
        }
    }

    const fn address(self, end: End) -> i16 {
        match (self, end) {
            (Family::V4, End::Src) => 12,
            (Family::V4, End::Dst) => 16,
            (Family::V6, End::Src) => 8,
            (Family::V6, End::Dst) => 24,
        }
    }
}

/// The maps that the program refers to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Maps {
    pub(super) sockets: RawFd,
    /// Needed when [`needs_table`] says so.
    pub(super) ports: Option<RawFd>,
}

/// Whether the ports are too many to be compared one by one.
pub(super) fn needs_table(filter: &Filter) -> bool {
    let many = |protocol, end| facts::ports(filter, protocol, end).len() > COMPARED_PORTS;
    Protocol::BOTH.into_iter().any(|protocol| End::BOTH.into_iter().any(|end| many(protocol, end)))
}

/// The value that a load of 16 bits gives for a number in the network's order.
fn as_loaded(number: u16) -> i32 {
    u16::from_ne_bytes(number.to_be_bytes()).into()
}

/// Assembles the program of a filter that has been checked and selects something.
pub(super) fn assemble(filter: &Filter, maps: Maps) -> Result<Vec<Instruction>, Error> {
    let mut assembler = Assembler::default();
    let (pass, redirect) = (assembler.label(), assembler.label());
    let mut builder = Builder { filter, maps, assembler, pass, redirect };
    builder.frame();
    builder.endings();
    builder
        .assembler
        .finish()
        .ok_or_else(|| Error::new(Code::Internal, "A jump of the XDP program is too long"))
}

struct Builder<'a> {
    filter: &'a Filter,
    maps: Maps,
    assembler: Assembler,
    pass: Label,
    redirect: Label,
}

impl Builder<'_> {
    fn frame(&mut self) {
        let asm = &mut self.assembler;
        asm.copy(CONTEXT, R1);
        asm.load(Size::Word, DATA, CONTEXT, MD_DATA);
        asm.load(Size::Word, DATA_END, CONTEXT, MD_DATA_END);
        asm.need(ETHERNET, self.pass);
        asm.load(Size::Half, R1, DATA, 12);
        self.kept_ether_types();
        for kind in VLANS {
            if self.selects_whole(kind) {
                let not = self.assembler.label();
                self.assembler.jump_if(Test::Ne, R1, as_loaded(kind), not);
                self.tagged();
                self.assembler.place(not);
            }
        }
        for family in [Family::V4, Family::V6] {
            let not = self.assembler.label();
            self.assembler.jump_if(Test::Ne, R1, as_loaded(family.ether_type()), not);
            self.packet(family, ETHERNET, self.selects_whole(family.ether_type()));
            self.assembler.place(not);
        }
        match &self.filter.select {
            Select::All => self.assembler.jump(self.redirect),
            Select::None => {}
            Select::Matching(select) => {
                for &kind in select.ether_types.iter().filter(|&&kind| !VLANS.contains(&kind)) {
                    self.assembler.jump_if(Test::Eq, R1, as_loaded(kind), self.redirect);
                }
            }
        }
    }

    /// The EtherType in R1: those that stay with the kernel.
    fn kept_ether_types(&mut self) {
        let management = management::ETHER_TYPES.iter().filter(|_| self.filter.keep_management);
        for &kind in management.chain(&self.filter.except.ether_types) {
            self.assembler.jump_if(Test::Eq, R1, as_loaded(kind), self.pass);
        }
    }

    /// A frame with a tag that is selected as a whole: what lies behind one tag is looked at, so that management and
    /// exceptions stay with the kernel in VLANs too; what lies behind two cannot be.
    fn tagged(&mut self) {
        let filter = self.filter;
        if !filter.keep_management && !filter.except.has_ip() && filter.except.ether_types.is_empty() {
            return self.assembler.jump(self.redirect);
        }
        self.assembler.need(ETHERNET + TAG, self.pass);
        self.assembler.load(Size::Half, R1, DATA, 12 + TAG);
        self.kept_ether_types();
        for kind in VLANS {
            self.assembler.jump_if(Test::Eq, R1, as_loaded(kind), self.pass);
        }
        for family in [Family::V4, Family::V6] {
            let not = self.assembler.label();
            self.assembler.jump_if(Test::Ne, R1, as_loaded(family.ether_type()), not);
            self.packet(family, ETHERNET + TAG, true);
            self.assembler.place(not);
        }
        self.assembler.jump(self.redirect);
    }

    fn selects_whole(&self, kind: u16) -> bool {
        match &self.filter.select {
            Select::All => true,
            Select::None => false,
            Select::Matching(select) => select.ether_types.contains(&kind),
        }
    }

    /// An IP packet at `start`; ends in a verdict. `whole`: it is selected unless something keeps it.
    fn packet(&mut self, family: Family, start: i16, whole: bool) {
        let filter = self.filter;
        let select = match &filter.select {
            Select::Matching(select) if !whole && select.has_ip() => Some(select),
            _ if whole => None,
            _ => return self.assembler.jump(self.pass),
        };
        let except = &filter.except;
        let ports =
            filter.keep_management || except.has_ports() || select.is_some_and(|select| select.has_ports());
        if !ports && select.is_none() && !except.has_ip() {
            return self.assembler.jump(self.redirect);
        }
        self.assembler.need(start + family.header(), self.pass);
        if ports {
            self.plain_header(family, start);
        }
        self.assembler.set(FACTS, 0);
        if let Some(select) = select {
            self.addresses(&select.addresses, family, start, facts::SELECTED_ADDRESS);
        }
        self.addresses(&except.addresses, family, start, facts::EXCEPTED_ADDRESS);
        let decide = self.assembler.label();
        if ports {
            self.ports(family, start, decide);
        }
        self.assembler.place(decide);
        if filter.keep_management {
            self.assembler.jump_if(Test::Any, FACTS, facts::KEPT, self.pass);
        }
        if except.has_ip() {
            let not = self.assembler.label();
            self.require(except.has_ports(), facts::EXCEPTED, not);
            self.require(!except.addresses.is_empty(), facts::EXCEPTED_ADDRESS, not);
            self.assembler.jump(self.pass);
            self.assembler.place(not);
        }
        if let Some(select) = select {
            self.require(select.has_ports(), facts::SELECTED, self.pass);
            self.require(!select.addresses.is_empty(), facts::SELECTED_ADDRESS, self.pass);
        }
        self.assembler.jump(self.redirect);
    }

    /// Jumps unless the fact is known.
    fn require(&mut self, asked: bool, fact: i32, or: Label) {
        if asked {
            let known = self.assembler.label();
            self.assembler.jump_if(Test::Any, FACTS, fact, known);
            self.assembler.jump(or);
            self.assembler.place(known);
        }
    }

    /// Passes packets whose ports are not at their usual place.
    fn plain_header(&mut self, family: Family, start: i16) {
        let asm = &mut self.assembler;
        match family {
            Family::V4 => {
                asm.load(Size::Byte, R1, DATA, start);
                asm.jump_if(Test::Ne, R1, 0x45, self.pass);
                asm.load(Size::Half, R1, DATA, start + 6);
                // More fragments, or not the first one: RFC 791, 3.1.
                asm.jump_if(Test::Any, R1, as_loaded(0x3fff), self.pass);
            }
            Family::V6 => {
                asm.load(Size::Byte, R1, DATA, start + family.protocol());
                for header in EXTENSION_HEADERS {
                    asm.jump_if(Test::Eq, R1, header, self.pass);
                }
                if self.filter.keep_management {
                    asm.jump_if(Test::Eq, R1, ICMPV6, self.pass);
                }
            }
        }
    }

    /// Notes `fact` when the addresses match.
    fn addresses(&mut self, addresses: &Addresses, family: Family, start: i16, fact: i32) {
        if addresses.src.is_empty() && addresses.dst.is_empty() {
            return;
        }
        let no = self.assembler.label();
        for (end, prefixes) in [(End::Src, &addresses.src), (End::Dst, &addresses.dst)] {
            if prefixes.is_empty() {
                continue;
            }
            let yes = self.assembler.label();
            for prefix in prefixes {
                match (family, prefix.address()) {
                    (Family::V4, IpAddr::V4(address)) => {
                        self.prefix(&address.octets(), *prefix, start + family.address(end), yes);
                    }
                    (Family::V6, IpAddr::V6(address)) => {
                        self.prefix(&address.octets(), *prefix, start + family.address(end), yes);
                    }
                    _ => {}
                }
            }
            self.assembler.jump(no);
            self.assembler.place(yes);
        }
        self.assembler.or(FACTS, fact);
        self.assembler.place(no);
    }

    /// Jumps to `yes` when the address at `offset` lies in the prefix.
    fn prefix(&mut self, octets: &[u8], prefix: Prefix, offset: i16, yes: Label) {
        let next = self.assembler.label();
        let mut left = u32::from(prefix.length());
        for (index, word) in octets.chunks_exact(4).enumerate() {
            if left == 0 {
                break;
            }
            let bits = left.min(32);
            left -= bits;
            self.assembler.load(Size::Word, R1, DATA, offset + 4 * index as i16);
            if bits < 32 {
                let mask = u32::MAX << (32 - bits);
                self.assembler.and(R1, i32::from_ne_bytes(mask.to_be_bytes()));
            }
            let value = i32::from_ne_bytes([word[0], word[1], word[2], word[3]]);
            self.assembler.jump_if(Test::Ne, R1, value, next);
        }
        self.assembler.jump(yes);
        self.assembler.place(next);
    }

    /// Notes what the ports of UDP and TCP say. A packet that is too short for its header passes.
    fn ports(&mut self, family: Family, start: i16, decide: Label) {
        for protocol in Protocol::BOTH {
            let not = self.assembler.label();
            self.assembler.load(Size::Byte, R1, DATA, start + family.protocol());
            self.assembler.jump_if(Test::Ne, R1, protocol.number(), not);
            let header = start + family.header();
            self.assembler.need(header + protocol.header(), self.pass);
            for end in End::BOTH {
                let facts = facts::ports(self.filter, protocol, end);
                if !facts.is_empty() {
                    self.assembler.load(Size::Half, R1, DATA, header + end.offset());
                    self.port(&facts, protocol, end);
                }
            }
            self.assembler.jump(decide);
            self.assembler.place(not);
        }
    }

    /// Notes what is known about the port in R1, which is in the network's order.
    fn port(&mut self, facts: &PortFacts, protocol: Protocol, end: End) {
        let asm = &mut self.assembler;
        match self.maps.ports {
            Some(table) if facts.len() > COMPARED_PORTS => {
                let missing = asm.label();
                asm.swap_to_host(R1);
                asm.store(STACK, -4, R1);
                asm.load_map(R1, table);
                asm.copy(R2, STACK);
                asm.add(R2, -4);
                asm.call(MAP_LOOKUP_ELEM);
                asm.jump_if_null(R0, missing);
                // Each protocol and end has its own byte of the word.
                let byte = (facts::shift(protocol, end) / 8) as i16;
                let byte = if cfg!(target_endian = "little") { byte } else { 3 - byte };
                asm.load(Size::Byte, R1, R0, byte);
                asm.or_register(FACTS, R1);
                asm.place(missing);
            }
            _ => {
                for (&port, &fact) in facts {
                    let not = asm.label();
                    asm.jump_if(Test::Ne, R1, as_loaded(port), not);
                    asm.or(FACTS, fact);
                    asm.place(not);
                }
            }
        }
    }

    fn endings(&mut self) {
        let asm = &mut self.assembler;
        asm.place(self.pass);
        asm.set(R0, XDP_PASS as i32);
        asm.exit();
        asm.place(self.redirect);
        asm.load(Size::Word, R2, CONTEXT, MD_QUEUE);
        asm.load_map(R1, self.maps.sockets);
        // What to return when no socket is bound to the queue.
        asm.set(R3, XDP_PASS as i32);
        asm.call(REDIRECT_MAP);
        asm.exit();
    }
}
