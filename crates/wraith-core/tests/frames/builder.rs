//! What a builder writes is what a parser takes, and what a parser refuses no builder writes.

use proptest::collection::vec;
use proptest::prelude::*;
use wraith_core::frames::wraith::{
    Field, Flags, Frame, FrameBuilder, FrameStatus, FrameType, MAX_OFFSET, MAX_PAYLOAD,
};

proptest! {
    #[test]
    fn every_field_comes_back(
        nonce: [u8; 8],
        number in 1_u8..=15,
        bits: u8,
        stream in prop_oneof![Just(0), 16_u16..],
        sequence: u32,
        offset in 0..=MAX_OFFSET,
        payload in vec(any::<u8>(), 0..200),
    ) {
        let kind = FrameType::from_number(number).expect("a type");
        let builder = FrameBuilder::new(kind).nonce(nonce).flags(Flags::from_bits(bits)).stream(stream);
        let builder = builder.sequence(sequence).offset(offset);
        let mut memory = [0xdb; 300];
        let length = builder.build(&payload, &mut memory).expect("values within their limits");
        prop_assert!(memory[length..].iter().all(|&byte| byte == 0xdb));
        prop_assert_eq!(&memory[..28], builder.header(payload.len()).expect("the same values"));
        let frame = Frame::new(&memory[..length]).expect("a good frame");
        prop_assert_eq!((frame.nonce(), frame.kind(), frame.flags().bits()), (nonce, kind, bits));
        prop_assert_eq!((frame.stream(), frame.sequence(), frame.offset()), (stream, sequence, offset));
        prop_assert_eq!((frame.payload(), frame.trailer(), frame.reserved()), (&payload[..], &[][..], [0, 0]));
    }
}

#[test]
fn the_longest_payload_fits_and_one_byte_more_does_not() {
    let mut memory = vec![0; 9001];
    let builder = FrameBuilder::new(FrameType::Data);
    assert_eq!(builder.build(&vec![1; usize::from(MAX_PAYLOAD)], &mut memory), Ok(8972));
    let error = builder.build(&vec![1; usize::from(MAX_PAYLOAD) + 1], &mut memory).unwrap_err();
    assert_eq!((error.status, error.needed, error.present), (FrameStatus::PayloadTooLong, 8944, 8945));
    let error = builder.header(70_000).unwrap_err();
    assert_eq!((error.status, error.present), (FrameStatus::PayloadTooLong, 70_000));
}

#[test]
fn reserved_stream_ids_and_large_offsets_are_refused() {
    let builder = FrameBuilder::new(FrameType::Data);
    for stream in 1..16 {
        let error = builder.stream(stream).header(0).unwrap_err();
        assert_eq!((error.status, error.field), (FrameStatus::ReservedStream, Field::Stream));
    }
    let error = builder.offset(MAX_OFFSET + 1).header(0).unwrap_err();
    assert_eq!((error.status, error.present), (FrameStatus::OffsetTooLarge, MAX_OFFSET + 1));
}

#[test]
fn a_destination_that_is_too_short_is_left_alone() {
    let mut memory = [7; 31];
    let error = FrameBuilder::new(FrameType::Data).build(b"data", &mut memory).unwrap_err();
    assert_eq!((error.field, error.needed, error.present), (Field::Destination, 32, 31));
    assert_eq!(error.to_string(), "the destination has 31 bytes, 32 are needed; give all of it");
    assert_eq!(memory, [7; 31]);
}
