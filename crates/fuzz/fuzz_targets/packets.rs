//! One packet among good ones, at any place and alignment and up to the slab's last byte: all backends and the naive parser agree, and what was
//! read lies where it is said to.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wraith_fuzz::{Laid, Program, check_packets};

/// More than the rows of two vectors, of the widest ones.
const ROWS: u8 = 40;

/// Addresses of Ethernet.
const LINK: [u8; 12] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];

/// One of the shapes that vectors are good at: IPv4 or IPv6, with or without a tag, UDP or TCP.
fn good(number: u8) -> Vec<u8> {
    let (tagged, six, tcp) = (number & 1 != 0, number & 2 != 0, number & 4 != 0);
    let mut packet = LINK.to_vec();
    if tagged {
        packet.extend([0x81, 0, 0, number]);
    }
    let mut carried = vec![number; if tcp { 20 } else { 8 }];
    if tcp {
        carried[12] = 0x50;
    } else {
        carried[4..6].copy_from_slice(&20_u16.to_be_bytes());
    }
    carried.extend([number; 12]);
    let protocol = if tcp { 6 } else { 17 };
    let length = carried.len() as u8;
    if six {
        packet.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, length, protocol, 64]);
        packet.extend([number; 32]);
    } else {
        packet.extend([8, 0, 0x45, 0, 0, 20 + length, 0, 0, 0x40, 0, 64, protocol, 0, 0]);
        packet.extend([number; 8]);
    }
    packet.extend(carried);
    packet
}

fuzz_target!(|bytes: &[u8]| {
    let mut program = Program(bytes);
    let (rows, place, gap) = (program.byte() % ROWS + 1, program.byte(), usize::from(program.byte()));
    let mut laid = Laid::default();
    for row in 0..rows {
        if row == place % rows { laid.push(program.0, gap) } else { laid.push(&good(row), gap & 7) }
    }
    check_packets(&laid.slab(), &laid.descriptors);
});
