//! Messages and attributes of netlink(7).

use std::os::fd::AsRawFd;

use super::sys::{self, Errno};

/// NETLINK_ROUTE and NETLINK_GENERIC of linux/netlink.h.
pub(super) const ROUTE: i32 = 0;
pub(super) const GENERIC: i32 = 16;
/// `struct nlmsghdr`.
pub(super) const HEADER: usize = 16;
const NLM_F_REQUEST: u16 = 1;
const NLA_TYPE_MASK: u16 = 0x3fff;

/// A request of this type.
pub(super) fn message(kind: u16, body: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(HEADER + body.len());
    message.extend(((HEADER + body.len()) as u32).to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(NLM_F_REQUEST.to_ne_bytes());
    // Sequence and port: one question, one answer.
    message.extend([0; 8]);
    message.extend(body);
    message
}

/// An attribute, padded.
pub(super) fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut attribute = Vec::with_capacity(4 + value.len().next_multiple_of(4));
    attribute.extend((4 + value.len() as u16).to_ne_bytes());
    attribute.extend(kind.to_ne_bytes());
    attribute.extend(value);
    attribute.resize(attribute.len().next_multiple_of(4), 0);
    attribute
}

/// Asks, in the calling thread's network namespace; the answer's first message, header included.
pub(super) fn ask(protocol: i32, request: &[u8]) -> Result<Vec<u8>, Errno> {
    let socket = sys::netlink_socket(protocol)?;
    let mut answer = sys::ask(socket.as_raw_fd(), request)?;
    let length = word(&answer, 0).map_or(0, |length| length as usize);
    answer.truncate(length);
    Ok(answer)
}

pub(super) fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

pub(super) fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

/// Attributes of a message: type and value.
pub(super) struct Attributes<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let length = usize::from(half(self.0, 0)?);
        let kind = half(self.0, 2)? & NLA_TYPE_MASK;
        let value = self.0.get(4..length)?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_that_are_cut_off_end_the_list() {
        let all = [(4_u16, vec![1_u8, 2, 3]), (0x8000 | 43, vec![]), (7, vec![9; 8])];
        let bytes = all.map(|(kind, value)| attribute(kind, &value)).concat();
        let read: Vec<_> = Attributes(&bytes).collect();
        assert_eq!(read, [(4, &[1_u8, 2, 3][..]), (43, &[][..]), (7, &[9; 8][..])]);
        for cut in 0..bytes.len() {
            assert!(Attributes(&bytes[..cut]).count() < 3, "{cut}");
        }
        assert_eq!(Attributes(&[0; 8]).count(), 0);
        assert_eq!(Attributes(&attribute(1, &[])[..3]).count(), 0);
        let mut short = attribute(1, &[]);
        short[..2].copy_from_slice(&3_u16.to_ne_bytes());
        assert_eq!(Attributes(&short).count(), 0);
    }
}
