//! Where a batch of frames is parsed into: one array a field.

use std::fmt;

/// Defines a pair of structures from one list of columns: one that owns them, one that borrows them.
macro_rules! columns {
    ($owned:ident, $borrowed:ident, first $first:ident, { $($(#[$what:meta])* $name:ident: $type:ty,)* }) => {
        /// Columns in memory of their own: made once for a capacity, used for any number of batches.
        ///
        /// Each column has `capacity` values, of which a parse writes the first [`Batch::len`](crate::frames::Batch::len); the
        /// others keep what they hold.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct $owned { $($(#[$what])* $name: Box<[$type]>,)* }

        impl $owned {
            /// Columns of `capacity` rows, all 0. The only place where anything is allocated.
            #[must_use]
            pub fn with_capacity(capacity: usize) -> Self {
                Self { $($name: vec![0; capacity].into_boxed_slice(),)* }
            }

            /// How many rows they take.
            #[must_use]
            pub fn capacity(&self) -> usize {
                self.$first.len()
            }

            /// The same columns, to be written. Free.
            #[must_use]
            pub fn as_mut(&mut self) -> $borrowed<'_> {
                $borrowed { $($name: &mut self.$name,)* }
            }

            $($(#[$what])* #[must_use] pub fn $name(&self) -> &[$type] {
                &self.$name
            })*
        }

        /// Columns in memory of the caller's: what a parse writes. All have the same length.
        #[derive(Debug)]
        pub struct $borrowed<'a> { $($(#[$what])* pub(crate) $name: &'a mut [$type],)* }

        impl<'a> $borrowed<'a> {
            /// Columns in these slices, which must have the same length: the rows they take.
            ///
            /// # Errors
            ///
            /// [`ColumnsError`] names the first whose length differs from that of the first.
            #[expect(clippy::too_many_arguments, reason = "one argument a column, in the order of the fields")]
            pub fn new($($name: &'a mut [$type],)*) -> Result<Self, ColumnsError> {
                let needed = $first.len();
                $(if $name.len() != needed {
                    return Err(ColumnsError { column: stringify!($name), needed, present: $name.len() });
                })*
                Ok(Self { $($name,)* })
            }

            /// How many rows they take.
            #[must_use]
            pub fn len(&self) -> usize {
                self.$first.len()
            }

            /// Whether they take no row.
            #[must_use]
            pub fn is_empty(&self) -> bool {
                self.$first.is_empty()
            }
        }
    };
}

columns!(FrameColumns, FrameColumnsMut, first kind, {
    /// The frame's type, 1 to 15: a [`FrameType`](super::wraith::FrameType).
    kind: u8,
    /// Its [`Flags`](super::wraith::Flags).
    flags: u8,
    /// Its stream id; 0 is the connection.
    stream: u16,
    /// Its sequence number.
    sequence: u32,
    /// Its offset within the stream, in bytes.
    offset: u64,
    /// Where its payload begins, in bytes from the start of the slab.
    payload_offset: u32,
    /// Its payload's length in bytes.
    payload_length: u16,
    /// A [`FrameStatus`](super::wraith::FrameStatus): 0 when the row is good. Every other column is 0 when it is not.
    status: u8,
});

/// A column whose length is not that of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ColumnsError {
    /// Which one.
    pub column: &'static str,
    /// How many values the others have.
    pub needed: usize,
    /// How many it has.
    pub present: usize,
}

impl fmt::Display for ColumnsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { column, needed, present } = self;
        write!(f, "column '{column}' has {present} values, the others {needed}; give all the same length")
    }
}

impl std::error::Error for ColumnsError {}
