//! Columns that hold something from before, so that a value that a parser forgets to write shows.

/// Owned columns of one type, made from the list of their names in the order in which the borrowed ones take them.
macro_rules! columns {
    ($(#[$what:meta])* $owned:ident, $borrowed:ident, $($name:ident: $type:ty),*) => {
        $(#[$what])*
        #[derive(Debug, PartialEq, Eq)]
        pub struct $owned { $(pub $name: Vec<$type>,)* }

        impl $owned {
            /// Columns of `rows` rows; every byte is 0xa5.
            pub fn used(rows: usize) -> Self {
                Self { $($name: vec![<$type>::from_ne_bytes([0xa5; size_of::<$type>()]); rows],)* }
            }

            /// What a parse writes.
            pub fn as_mut(&mut self) -> $borrowed<'_> {
                $borrowed::new($(&mut self.$name,)*).expect("all have the same length")
            }

            /// The row of this number.
            pub fn row(&self, row: usize) -> Self {
                Self { $($name: vec![self.$name[row]],)* }
            }
        }
    };
}

use wraith_core::frames::FrameColumnsMut;
use wraith_core::frames::packet::PacketColumnsMut;

columns!(
    /// Columns of frames.
    Frames, FrameColumnsMut,
    kind: u8, flags: u8, stream: u16, sequence: u32, offset: u64, payload_offset: u32, payload_length: u16, status: u8
);

columns!(
    /// Columns of packets.
    Packets, PacketColumnsMut,
    status: u8, flags: u8, protocol: u8, ethertype: u16, vlan: u16, vlan_inner: u16, l3_offset: u16, l4_offset: u16,
    source_port: u16, destination_port: u16, source: u32, destination: u32, payload_offset: u32, payload_length: u32,
    hash: u32
);
