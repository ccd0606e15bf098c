//! The types of frames, and their flags.

use std::fmt;
use std::ops::{BitOr, BitOrAssign};

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FrameType {
    /// Bytes of a stream.
    Data = 1,
    /// What has arrived.
    Ack,
    /// Control of the connection.
    Control,
    /// New keys.
    Rekey,
    /// Asks for a [`FrameType::Pong`].
    Ping,
    /// Answers a [`FrameType::Ping`].
    Pong,
    /// The connection ends.
    Close,
    /// Padding.
    Pad,
    /// A stream begins.
    StreamOpen,
    /// A stream ends.
    StreamClose,
    /// A stream is given up.
    StreamReset,
    /// More may be sent.
    WindowUpdate,
    /// No new streams.
    GoAway,
    /// Asks over a new path.
    PathChallenge,
    /// Answers over a new path.
    PathResponse,
}

impl FrameType {
    /// Every type, in the order of their numbers: `ALL[i]` has the number `i + 1`.
    pub const ALL: [Self; 15] = [
        Self::Data,
        Self::Ack,
        Self::Control,
        Self::Rekey,
        Self::Ping,
        Self::Pong,
        Self::Close,
        Self::Pad,
        Self::StreamOpen,
        Self::StreamClose,
        Self::StreamReset,
        Self::WindowUpdate,
        Self::GoAway,
        Self::PathChallenge,
        Self::PathResponse,
    ];

    /// The type with this number, if there is one.
    #[inline]
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        let at = number.wrapping_sub(1) as usize;
        if at < Self::ALL.len() { Some(Self::ALL[at]) } else { None }
    }

    /// Its number on the wire.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }
}

/// The flags of a frame. Bits without a name are kept as they are.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Flags(u8);

impl Flags {
    /// None.
    pub const NONE: Self = Self(0);
    /// Something begins.
    pub const SYN: Self = Self(1);
    /// Something ends.
    pub const FIN: Self = Self(2);
    /// Carries an acknowledgement.
    pub const ACK: Self = Self(4);
    /// Before others.
    pub const PRI: Self = Self(8);
    /// The payload is compressed.
    pub const CMP: Self = Self(16);

    const NAMES: [(Self, &'static str); 5] =
        [(Self::SYN, "SYN"), (Self::FIN, "FIN"), (Self::ACK, "ACK"), (Self::PRI, "PRI"), (Self::CMP, "CMP")];

    /// The flags in this byte, as it is on the wire.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    /// The byte, as it is on the wire.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether all of these are set.
    #[must_use]
    pub const fn contains(self, all: Self) -> bool {
        self.0 & all.0 == all.0
    }
}

impl BitOr for Flags {
    type Output = Self;

    fn bitor(self, more: Self) -> Self {
        Self(self.0 | more.0)
    }
}

impl BitOrAssign for Flags {
    fn bitor_assign(&mut self, more: Self) {
        self.0 |= more.0;
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut unnamed = self.0;
        let mut set = f.debug_set();
        for (flag, name) in Self::NAMES {
            if self.contains(flag) {
                set.entry(&format_args!("{name}"));
                unnamed &= !flag.0;
            }
        }
        if unnamed != 0 {
            set.entry(&format_args!("{unnamed:#04x}"));
        }
        set.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_names_its_type_and_no_other_number_names_one() {
        for number in 0..=u8::MAX {
            let found = FrameType::from_number(number);
            assert_eq!(found.map(FrameType::number), (1..=15).contains(&number).then_some(number));
        }
        assert_eq!(FrameType::from_number(4), Some(FrameType::Rekey));
        assert_eq!(FrameType::PathResponse.number(), 15);
    }

    #[test]
    fn flags_are_printed_by_name_and_unnamed_bits_by_number() {
        assert_eq!(format!("{:?}", Flags::SYN | Flags::CMP), "{SYN, CMP}");
        assert_eq!(format!("{:?}", Flags::from_bits(0xa2)), "{FIN, 0xa0}");
        assert!(Flags::from_bits(7).contains(Flags::SYN | Flags::ACK));
        assert!(!Flags::from_bits(6).contains(Flags::SYN | Flags::ACK));
    }
}
