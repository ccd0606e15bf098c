//! Packets of a real network stack, held against what tshark reads in them.
//!
//! `scripts/capture-packets.mjs` makes the two files: a pcap file, and a line of fields a packet. With `--check` it captures
//! afresh and sets `WRAITH_CAPTURE` to where that lies.

use std::collections::HashMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use wraith_core::frames::packet::{PacketColumns, PacketStatus, flags, ipv6_addresses};
use wraith_core::frames::{Backend, Batch, Descriptor, Slab};

/// The folder with both files, and whether it is the committed one.
fn folder() -> (PathBuf, bool) {
    let committed = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/packets/capture"));
    std::env::var_os("WRAITH_CAPTURE").map_or_else(|| (committed(), true), |folder| (folder.into(), false))
}

/// The packets of a pcap file (little-endian, Ethernet) where they lie in it.
fn descriptors(pcap: &[u8]) -> Vec<Descriptor> {
    let word = |at: usize| u32::from_le_bytes(pcap[at..at + 4].try_into().expect("four bytes"));
    assert_eq!((word(0), word(20)), (0xA1B2_C3D4, 1), "a little-endian pcap file of Ethernet");
    let mut descriptors = Vec::new();
    let mut at = 24;
    while at < pcap.len() {
        assert_eq!(word(at + 8), word(at + 12), "nothing was cut off");
        descriptors.push(Descriptor::new(at as u32 + 16, word(at + 8)));
        at += 16 + word(at + 8) as usize;
    }
    descriptors
}

/// What tshark reads in one packet.
struct Dissected<'a>(HashMap<&'a str, &'a str>);

impl Dissected<'_> {
    fn has(&self, field: &str) -> bool {
        !self.0[field].is_empty()
    }

    fn number(&self, field: &str) -> u32 {
        let text = self.0[field];
        let number = text.strip_prefix("0x").map_or_else(|| text.parse(), |hex| u32::from_str_radix(hex, 16));
        number.unwrap_or_else(|_| panic!("{field} is '{text}'"))
    }

    fn tag(&self, layer: &str) -> Option<u32> {
        let part = |name: &str| self.number(&format!("{layer}.{name}"));
        self.has(&format!("{layer}.id")).then(|| part("priority") << 13 | part("dei") << 12 | part("id"))
    }
}

/// A row as tshark's fields say that it must be: the numeric columns but the hash, and the addresses.
#[derive(Debug, PartialEq)]
struct Row {
    status: PacketStatus,
    flags: u32,
    protocol: u32,
    ethertype: u32,
    tags: [u32; 2],
    offsets: [u32; 2],
    ports: [u32; 2],
    payload: [u32; 2],
    addresses: Option<(IpAddr, IpAddr)>,
}

fn expected(packet: &Dissected<'_>) -> Row {
    let tags: Vec<u32> = ["ieee8021ad", "vlan"].iter().filter_map(|layer| packet.tag(layer)).collect();
    let l3 = 14 + 4 * tags.len() as u32;
    let tag_flags = [0, flags::VLAN, flags::VLAN | flags::VLAN_INNER][tags.len()];
    let ethertype = packet.number(if tags.is_empty() { "eth.type" } else { "vlan.etype" });
    let mut row = Row {
        status: PacketStatus::NotIp,
        flags: tag_flags.into(),
        protocol: 0,
        ethertype,
        tags: [tags.first().copied().unwrap_or(0), tags.get(1).copied().unwrap_or(0)],
        offsets: [l3, 0],
        ports: [0, 0],
        payload: [l3, packet.number("frame.len") - l3],
        addresses: None,
    };
    let (l4, carried, first, later);
    match ethertype {
        0x0800 => {
            let header = packet.number("ip.hdr_len");
            (l4, carried) = (l3 + header, packet.number("ip.len") - header);
            row.flags += u32::from(flags::IPV4) + if header > 20 { u32::from(flags::OPTIONS) } else { 0 };
            row.protocol = packet.number("ip.proto");
            later = packet.number("ip.frag_offset") > 0;
            first = !later && packet.number("ip.flags.mf") == 1;
            let [source, destination] = ["ip.src", "ip.dst"].map(|field| packet.0[field].parse::<Ipv4Addr>());
            row.addresses =
                Some((source.expect("an address").into(), destination.expect("an address").into()));
        }
        0x86DD => {
            // Each header of the chain that this stack sends is 8 bytes long.
            let chain = ["ipv6.hopopts.nxt", "ipv6.fraghdr.nxt"].map(|field| packet.has(field));
            let options = 8 * chain.iter().filter(|&&present| present).count() as u32;
            (l4, carried) = (l3 + 40 + options, packet.number("ipv6.plen") - options);
            row.flags += u32::from(flags::IPV6) + if options > 0 { u32::from(flags::OPTIONS) } else { 0 };
            let last = match chain {
                [_, true] => "ipv6.fraghdr.nxt",
                [true, false] => "ipv6.hopopts.nxt",
                [false, false] => "ipv6.nxt",
            };
            row.protocol = packet.number(last);
            later = chain[1] && packet.number("ipv6.fraghdr.offset") > 0;
            first = chain[1] && !later && ["1", "True"].contains(&packet.0["ipv6.fraghdr.more"]);
            let [source, destination] =
                ["ipv6.src", "ipv6.dst"].map(|field| packet.0[field].parse::<Ipv6Addr>());
            row.addresses =
                Some((source.expect("an address").into(), destination.expect("an address").into()));
        }
        _ => return row,
    }
    row.status = PacketStatus::Ok;
    row.offsets[1] = l4;
    if first || later {
        row.flags += u32::from(flags::FRAGMENT) + if later { u32::from(flags::LATER_FRAGMENT) } else { 0 };
    }
    let (header, length) = match row.protocol {
        _ if later => (0, carried),
        17 => {
            row.ports = [packet.number("udp.srcport"), packet.number("udp.dstport")];
            (8, if first { carried - 8 } else { packet.number("udp.length") - 8 })
        }
        6 => {
            row.ports = [packet.number("tcp.srcport"), packet.number("tcp.dstport")];
            (packet.number("tcp.hdr_len"), packet.number("tcp.len"))
        }
        1 | 58 => (8, carried - 8),
        _ => (0, carried),
    };
    row.payload = [l4 + header, length];
    row
}

fn found(columns: &PacketColumns, row: usize, slab: Slab<'_>, descriptor: Descriptor) -> Row {
    let bytes = slab.bytes(descriptor).expect("a packet of the file");
    let flagged = columns.flags()[row];
    let addresses = if flagged & flags::IPV4 != 0 {
        let address = |number: u32| IpAddr::V4(number.into());
        Some((address(columns.source()[row]), address(columns.destination()[row])))
    } else if flagged & flags::IPV6 != 0 {
        ipv6_addresses(bytes, columns.l3_offset()[row])
            .map(|(source, destination)| (source.into(), destination.into()))
    } else {
        None
    };
    Row {
        status: PacketStatus::from_u8(columns.status()[row]).expect("a status"),
        flags: flagged.into(),
        protocol: columns.protocol()[row].into(),
        ethertype: columns.ethertype()[row].into(),
        tags: [columns.vlan()[row].into(), columns.vlan_inner()[row].into()],
        offsets: [columns.l3_offset()[row].into(), columns.l4_offset()[row].into()],
        ports: [columns.source_port()[row].into(), columns.destination_port()[row].into()],
        payload: [columns.payload_offset()[row] - descriptor.offset, columns.payload_length()[row]],
        addresses,
    }
}

#[test]
fn every_backend_reads_in_a_capture_what_tshark_reads() {
    let (folder, is_committed) = folder();
    let pcap = fs::read(folder.join("packets.pcap")).expect("the capture");
    let fields = fs::read_to_string(folder.join("fields.tsv")).expect("tshark's fields");
    let mut lines = fields.lines().map(|line| line.split('\t'));
    let names: Vec<&str> = lines.next().expect("the fields' names").collect();
    let dissected: Vec<_> =
        lines.map(|values| Dissected(names.iter().copied().zip(values).collect())).collect();
    let descriptors = descriptors(&pcap);
    assert_eq!(dissected.len(), descriptors.len());
    assert!(descriptors.len() >= if is_committed { 124 } else { 80 }, "{} packets", descriptors.len());
    let slab = Slab::new(&pcap);
    let batch = Batch::new(slab, &descriptors).expect("a small file");
    let mut names = Vec::new();
    for backend in Backend::available() {
        let mut columns = PacketColumns::with_capacity(descriptors.len());
        assert_eq!(batch.packets(backend, &mut columns.as_mut()), Ok(descriptors.len()));
        for (row, packet) in dissected.iter().enumerate() {
            let found = found(&columns, row, slab, descriptors[row]);
            assert_eq!(found, expected(packet), "{}, packet {}", backend.backend(), row + 1);
        }
        names.push(backend.backend().as_str());
    }
    println!("{} packets as tshark reads them: {}", descriptors.len(), names.join(" "));
}

#[test]
fn both_directions_of_each_conversation_in_a_capture_have_one_hash() {
    let pcap = fs::read(folder().0.join("packets.pcap")).expect("the capture");
    let descriptors = descriptors(&pcap);
    let batch = Batch::new(Slab::new(&pcap), &descriptors).expect("a small file");
    let mut columns = PacketColumns::with_capacity(descriptors.len());
    batch.packets(Backend::best(), &mut columns.as_mut()).expect("columns of a batch's rows");
    let mut conversations: HashMap<_, u32> = HashMap::new();
    for row in 0..descriptors.len() {
        let ports = (columns.source_port()[row], columns.destination_port()[row]);
        if ports == (0, 0) || columns.flags()[row] & flags::FRAGMENT != 0 {
            continue;
        }
        let network = (columns.ethertype()[row], columns.vlan()[row]);
        let key = (network, ports.0.min(ports.1), ports.0.max(ports.1));
        let hash = *conversations.entry(key).or_insert(columns.hash()[row]);
        assert_eq!(hash, columns.hash()[row], "ports {ports:?}");
    }
    assert!(conversations.len() >= 7, "{conversations:?}");
}
