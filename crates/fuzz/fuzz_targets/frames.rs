//! One frame among good ones, at any place and alignment and up to the slab's last byte: all backends, the naive parser and the protocol's
//! table agree, and what `FrameBuilder` writes is what is read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wraith_core::frames::wraith::{Flags, Frame, FrameBuilder, FrameStatus, FrameType};
use wraith_fuzz::{Laid, Program, check_frames};

/// More than the rows of two vectors, of the widest ones.
const ROWS: u8 = 40;

fn good(number: u8) -> Vec<u8> {
    let mut bytes = vec![0; 28 + usize::from(number % 7)];
    let builder = FrameBuilder::new(FrameType::ALL[usize::from(number) % FrameType::ALL.len()]);
    let builder = builder.stream(u16::from(number) + 16).sequence(u32::from(number)).offset(1 << number);
    let payload = vec![number; usize::from(number % 7)];
    assert_eq!(builder.build(&payload, &mut bytes), Ok(bytes.len()));
    bytes
}

/// A frame from fields, written and read back, or refused for the first field that is wrong.
fn round_trip(program: &mut Program<'_>) {
    let nonce = program.array();
    let kind = FrameType::ALL[usize::from(program.byte()) % FrameType::ALL.len()];
    let (flags, stream) = (Flags::from_bits(program.byte()), u16::from_be_bytes(program.array()));
    let sequence = u32::from_be_bytes(program.array());
    let offset = u64::from_be_bytes(program.array()) >> (program.byte() & 31);
    let length = usize::from(u16::from_be_bytes(program.array())) % 9000;
    let room = usize::from(u16::from_be_bytes(program.array())) % 9100;
    let payload: Vec<u8> = (0..length).map(|at| (at as u8) ^ flags.bits()).collect();
    let builder = FrameBuilder::new(kind).nonce(nonce).flags(flags);
    let builder = builder.stream(stream).sequence(sequence).offset(offset);
    let mut memory = vec![0x5a; room].into_boxed_slice();
    let wrong = if (1..16).contains(&stream) {
        Some(FrameStatus::ReservedStream)
    } else if offset > 1 << 48 {
        Some(FrameStatus::OffsetTooLarge)
    } else if length > 8944 {
        Some(FrameStatus::PayloadTooLong)
    } else if room < 28 + length {
        Some(FrameStatus::Truncated)
    } else {
        None
    };
    match builder.build(&payload, &mut memory) {
        Err(error) => {
            assert_eq!(Some(error.status), wrong, "{error}");
            assert!(memory.iter().all(|&byte| byte == 0x5a), "a refusal has written");
        }
        Ok(written) => {
            assert_eq!((wrong, written), (None, 28 + length));
            assert!(memory[written..].iter().all(|&byte| byte == 0x5a), "bytes behind the frame");
            let frame = Frame::new(&memory[..written]).expect("what is built is a frame");
            assert_eq!((frame.nonce(), frame.kind(), frame.flags()), (nonce, kind, flags));
            assert_eq!((frame.stream(), frame.sequence(), frame.offset()), (stream, sequence, offset));
            assert_eq!(frame.payload(), payload);
            let mut laid = Laid::default();
            laid.push(&memory[..written], 3);
            check_frames(&laid.slab(), &laid.descriptors);
        }
    }
}

/// A frame that is read, written again: the same bytes, but for the reserved ones and what lies behind the payload.
fn write_again(bytes: &[u8]) {
    let Ok(frame) = Frame::new(bytes) else { return };
    let builder = FrameBuilder::new(frame.kind()).nonce(frame.nonce()).flags(frame.flags());
    let builder = builder.stream(frame.stream()).sequence(frame.sequence()).offset(frame.offset());
    let length = 28 + frame.payload().len();
    let mut again = vec![0; length];
    assert_eq!(builder.build(frame.payload(), &mut again), Ok(length));
    let mut wanted = bytes[..length].to_vec();
    wanted[26..28].fill(0);
    assert_eq!(again, wanted);
}

fuzz_target!(|bytes: &[u8]| {
    let mut program = Program(bytes);
    let (rows, place, gap) = (program.byte() % ROWS + 1, program.byte(), usize::from(program.byte()));
    if place == u8::MAX {
        return round_trip(&mut program);
    }
    // Some long ones, too.
    let more = usize::from(program.byte()).saturating_sub(200) * 180;
    let mut frame = program.0.to_vec();
    frame.resize(frame.len() + more, 0);
    write_again(&frame);
    let mut laid = Laid::default();
    for row in 0..rows {
        if row == place % rows { laid.push(&frame, gap) } else { laid.push(&good(row), gap & 7) }
    }
    check_frames(&laid.slab(), &laid.descriptors);
});
