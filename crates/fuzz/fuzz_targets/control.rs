//! Control data of a received message: whatever the bytes are, reading them stays inside of them and panics nowhere; and
//! what is well-formed is read as it was written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wraith_fuzz::Program;
use wraith_transport::udp::fuzzing::parse_control;

// asm-generic/socket.h, linux/udp.h.
const SOL_SOCKET: i32 = 1;
const SOL_UDP: i32 = 17;
const SO_TIMESTAMPNS: i32 = 35;
const SO_RXQ_OVFL: i32 = 40;
const UDP_GRO: i32 = 104;

fn append(control: &mut Vec<u8>, level: i32, kind: i32, payload: &[u8]) {
    control.extend((16 + payload.len()).to_ne_bytes());
    control.extend(level.to_ne_bytes());
    control.extend(kind.to_ne_bytes());
    control.extend(payload);
    control.resize(control.len().next_multiple_of(8), 0xee);
}

fn number(program: &mut Program<'_>) -> u64 {
    u64::from_ne_bytes(std::array::from_fn(|_| program.byte()))
}

fuzz_target!(|bytes: &[u8]| {
    // An allocation of its own, of exactly this size: AddressSanitizer sees the first byte too many.
    parse_control(&Box::<[u8]>::from(bytes));

    let mut program = Program(bytes);
    let mut control = Vec::new();
    let (mut time, mut drops, mut segment) = (0, None, None);
    while let Some(kind) = program.next() {
        let value = number(&mut program);
        match kind % 4 {
            0 => {
                let rest = number(&mut program);
                append(
                    &mut control,
                    SOL_SOCKET,
                    SO_TIMESTAMPNS,
                    &[value.to_ne_bytes(), rest.to_ne_bytes()].concat(),
                );
                time = value.wrapping_mul(1_000_000_000).wrapping_add(rest);
            }
            1 => {
                append(&mut control, SOL_SOCKET, SO_RXQ_OVFL, &(value as u32).to_ne_bytes());
                drops = Some(value as u32);
            }
            2 => {
                append(&mut control, SOL_UDP, UDP_GRO, &(value as i32).to_ne_bytes());
                segment = usize::try_from(value as i32).ok().filter(|&size| size > 0);
            }
            // Unknown, of any length.
            _ => append(&mut control, SOL_SOCKET, 77, &value.to_ne_bytes()[..usize::from(kind >> 2) % 9]),
        }
    }
    assert_eq!(parse_control(&control), (time, drops, segment));
    // A known kind at the end whose payload is too short for it says nothing.
    let kinds = [(SOL_SOCKET, SO_TIMESTAMPNS, 16), (SOL_SOCKET, SO_RXQ_OVFL, 4), (SOL_UDP, UDP_GRO, 4)];
    for (level, kind, whole) in kinds {
        let before = control.len();
        for short in 0..whole {
            append(&mut control, level, kind, &[0xff; 16][..short]);
            control.truncate(before + 16 + short);
            assert_eq!(parse_control(&Box::<[u8]>::from(&control[..])), (time, drops, segment));
            control.truncate(before);
        }
    }
    // Cut anywhere, it is read as far as it goes.
    for cut in (0..control.len()).rev().take(64) {
        parse_control(&control[..cut].to_vec().into_boxed_slice());
    }
});
