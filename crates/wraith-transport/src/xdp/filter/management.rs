//! What a machine needs to stay reachable, and is kept for the kernel.

use super::rules::{Match, Ports};

/// EtherTypes: ARP (RFC 826), LLDP (IEEE 802.1AB), slow protocols, which include LACP (IEEE 802.3, Annex 57A).
pub(super) const ETHER_TYPES: [u16; 3] = [0x0806, 0x88cc, 0x8809];

const SSH: u16 = 22;
const DNS: u16 = 53;
/// DHCP server and client (RFC 2131), DHCPv6 client and server (RFC 8415).
const DHCP: [u16; 4] = [67, 68, 546, 547];

/// The server's port of the SSH session in which this process runs.
fn ssh_session() -> Option<u16> {
    // "client-address client-port server-address server-port": ssh(1), ENVIRONMENT.
    std::env::var("SSH_CONNECTION").ok()?.split_ascii_whitespace().nth(3)?.parse().ok()
}

fn with_session(mut ports: Vec<u16>) -> Vec<u16> {
    ports.extend(ssh_session().filter(|port| !ports.contains(port)));
    ports
}

/// UDP ports that are kept.
pub(super) fn udp() -> Ports {
    let dst = with_session(DHCP.into_iter().chain([SSH]).collect());
    Ports { dst, src: vec![DNS, SSH] }
}

/// TCP ports that are kept.
pub(super) fn tcp() -> Ports {
    Ports { dst: with_session(vec![SSH]), src: vec![DNS, SSH] }
}

/// What of a selection is kept all the same.
pub(super) fn conflict(select: &Match) -> Option<String> {
    let common = |name: &str, wanted: &Ports, kept: Ports| {
        let dst =
            wanted.dst.iter().find(|port| kept.dst.contains(port)).map(|port| format!("{name} to {port}"));
        dst.or_else(|| {
            wanted.src.iter().find(|port| kept.src.contains(port)).map(|port| format!("{name} from {port}"))
        })
    };
    common("UDP", &select.udp_ports, udp()).or_else(|| common("TCP", &select.tcp_ports, tcp())).or_else(
        || {
            select
                .ether_types
                .iter()
                .find(|kind| ETHER_TYPES.contains(kind))
                .map(|kind| format!("EtherType {kind:#06x}"))
        },
    )
}
