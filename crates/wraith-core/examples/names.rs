//! Prints the names and numbers of what the columns hold as JSON: `scripts/generate.mjs` makes the TypeScript constants of it.
//!
//! `{ "FrameType": [["Data", 1], …], … }`; a status has its name in messages as a third element.

use wraith_core::frames::Backend;
use wraith_core::frames::packet::layout::{ethernet, protocol, vlan};
use wraith_core::frames::packet::{PacketStatus, flags};
use wraith_core::frames::wraith::{Flags, FrameStatus, FrameType};

/// Members of a list under their names.
macro_rules! numbers {
    ($($name:literal = $number:expr),* $(,)?) => { vec![$(format!("[\"{}\", {}]", $name, $number)),*] };
}

fn main() {
    let backends: Vec<String> = Backend::ALL.iter().map(|backend| format!("\"{backend}\"")).collect();
    let types = FrameType::ALL.iter().map(|kind| format!("[\"{kind:?}\", {}]", kind.number())).collect();
    let frame_statuses = FrameStatus::ALL
        .iter()
        .map(|status| format!("[\"{status:?}\", {}, \"{}\"]", status.number(), status.as_str()))
        .collect();
    let packet_statuses = PacketStatus::ALL
        .iter()
        .map(|status| format!("[\"{status:?}\", {}, \"{}\"]", *status as u8, status.as_str()))
        .collect();
    let frame_flags = numbers! {
        "Syn" = Flags::SYN.bits(), "Fin" = Flags::FIN.bits(), "Ack" = Flags::ACK.bits(), "Pri" = Flags::PRI.bits(),
        "Cmp" = Flags::CMP.bits(),
    };
    let packet_flags = numbers! {
        "Ipv4" = flags::IPV4, "Ipv6" = flags::IPV6, "Vlan" = flags::VLAN, "VlanInner" = flags::VLAN_INNER,
        "Fragment" = flags::FRAGMENT, "LaterFragment" = flags::LATER_FRAGMENT, "Options" = flags::OPTIONS,
    };
    let ether_types = numbers! {
        "Ipv4" = ethernet::IPV4, "Arp" = ethernet::ARP, "Ipv6" = ethernet::IPV6, "Vlan" = vlan::CUSTOMER,
        "VlanService" = vlan::SERVICE,
    };
    let protocols = numbers! {
        "Icmp" = protocol::ICMP, "Tcp" = protocol::TCP, "Udp" = protocol::UDP, "Icmpv6" = protocol::ICMPV6,
    };
    let lists: [(&str, Vec<String>); 8] = [
        ("SimdBackendName", backends),
        ("FrameType", types),
        ("FrameFlag", frame_flags),
        ("FrameStatus", frame_statuses),
        ("PacketStatus", packet_statuses),
        ("PacketFlag", packet_flags),
        ("EtherType", ether_types),
        ("IpProtocol", protocols),
    ];
    let lists: Vec<String> =
        lists.iter().map(|(name, members)| format!("  \"{name}\": [{}]", members.join(", "))).collect();
    println!("{{\n{}\n}}", lists.join(",\n"));
}
