//! Writes one frame into bytes of JavaScript's.
#![expect(unsafe_code, reason = "writes to bytes that JavaScript lends for the call")]

use std::ptr;

use wraith_core::frames::wraith::{Flags, FrameBuilder, FrameError, FrameType, HEADER_LENGTH};
use wraith_transport::{Code, Error};

use crate::raw::{Args, Bytes};

/// `(into, payload, nonce, type × 2^24 + flags × 2^16 + stream, sequence, offset)`: the frame's length. The facade has checked
/// every value for the message. The payload may lie in `into`.
pub(super) fn build(args: &Args) -> Result<u32, Error> {
    let (into, payload) = (args.bytes(0)?, args.bytes(1)?);
    let [number, flags, stream @ ..] = args.u32(3)?.to_be_bytes();
    let kind = FrameType::from_number(number)
        .ok_or_else(|| Error::new(Code::OutOfRange, format!("type is {number}; allowed are 1 to 15")))?;
    let builder = FrameBuilder::new(kind)
        .nonce(nonce(&args.bytes(2)?)?)
        .flags(Flags::from_bits(flags))
        .stream(u16::from_be_bytes(stream))
        .sequence(args.u32(4)?)
        .offset(args.u53(5)?);
    let header = builder.header(payload.len).map_err(|error| refused(&error))?;
    let length = HEADER_LENGTH + payload.len;
    if into.len < length {
        let what = format!("into must have at least {length} bytes, but it has {}", into.len);
        return Err(Error::new(Code::OutOfRange, what));
    }
    let to = into.data.cast_mut();
    // SAFETY: `to` has room for the header and, behind it, the payload, whose bytes are moved first: the two arrays may share
    // memory. JavaScript lends both for this call and cannot run before it returns; no reference to them is formed.
    unsafe {
        ptr::copy(payload.data, to.add(HEADER_LENGTH), payload.len);
        ptr::copy_nonoverlapping(header.as_ptr(), to, HEADER_LENGTH);
    }
    Ok(length as u32)
}

fn nonce(bytes: &Bytes) -> Result<[u8; 8], Error> {
    if bytes.len != 8 {
        return Err(Error::new(
            Code::OutOfRange,
            format!("nonce must have 8 bytes, but it has {}", bytes.len),
        ));
    }
    // SAFETY: it has 8 bytes, which are copied.
    Ok(unsafe { bytes.data.cast::<[u8; 8]>().read() })
}

fn refused(error: &FrameError) -> Error {
    Error::new(Code::OutOfRange, error.to_string())
}
