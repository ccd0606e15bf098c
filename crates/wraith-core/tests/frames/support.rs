//! Frames laid into a slab, and what every parser must make of them.

use wraith_core::frames::wraith::{Flags, FrameBuilder, FrameType, HEADER_LENGTH};
use wraith_core::frames::{Backend, Batch, Descriptor, FrameColumns, Slab, Supported, naive};

/// A good frame whose fields all differ, with `payload` bytes of payload.
pub(crate) fn good_frame(payload: usize) -> Vec<u8> {
    let mut bytes = vec![0; HEADER_LENGTH + payload];
    let builder = FrameBuilder::new(FrameType::Ping)
        .flags(Flags::from_bits(0xa5))
        .nonce(*b"\xf0\xf1\xf2\xf3\xf4\xf5\xf6\xf7");
    let builder = builder.stream(0xc3d4).sequence(0x8182_8384).offset(0xfedc_ba98_7654);
    let length = builder.build(&vec![0xee; payload], &mut bytes).expect("a good frame");
    assert_eq!(length, bytes.len());
    bytes
}

/// A slab that frames are laid into, one after the other.
#[derive(Default)]
pub(crate) struct Laid {
    pub(crate) memory: Vec<u8>,
    pub(crate) descriptors: Vec<Descriptor>,
}

impl Laid {
    /// Lays a frame at the next place whose remainder by 64 is `alignment`.
    pub(crate) fn push(&mut self, bytes: &[u8], alignment: usize) {
        while self.memory.len() % 64 != alignment % 64 {
            self.memory.push(0xdb);
        }
        self.descriptors.push(Descriptor::new(self.memory.len() as u32, bytes.len() as u32));
        self.memory.extend_from_slice(bytes);
    }

    /// As if there were more behind the last frame: then no vector goes without for want of bytes to read.
    pub(crate) fn padded(mut self) -> Self {
        self.memory.extend([0xdb; 128]);
        self
    }

    pub(crate) fn agrees(&self, backend: Supported) -> FrameColumns {
        agrees(backend, &self.memory, &self.descriptors)
    }
}

/// Parses by `backend`, by the oracle and by the naive parser into columns that are longer than the batch and not empty; all must say
/// the same of each row, explain it alike, and leave the other rows alone. Gives the columns.
pub(crate) fn agrees(backend: Supported, memory: &[u8], descriptors: &[Descriptor]) -> FrameColumns {
    let batch = Batch::new(Slab::new(memory), descriptors).expect("a slab below 4 GiB");
    let capacity = descriptors.len() + 3;
    let (mut columns, mut oracle, mut naive) = (used(capacity), used(capacity), used(capacity));
    let good = batch.frames(backend, &mut columns.as_mut()).expect("enough rows");
    assert_eq!(batch.frames(Supported::SCALAR, &mut oracle.as_mut()), Ok(good), "good rows");
    assert_eq!(naive::frames(&batch, &mut naive.as_mut()), Ok(good), "good rows of the naive parser");
    for (row, descriptor) in descriptors.iter().enumerate() {
        let (own, oracles, naives) = (values(&columns, row), values(&oracle, row), values(&naive, row));
        assert_eq!(own, oracles, "row {row} by {}: {descriptor:?}", backend.backend());
        assert_eq!(naives, oracles, "row {row} by the naive parser: {descriptor:?}");
        let explained = batch.explain_frame(row).map_or(0, |error| error.status.number());
        assert_eq!(explained, oracles.7, "row {row} explained: {descriptor:?}");
    }
    assert_eq!(columns, oracle, "the rows behind the batch");
    assert_eq!(columns.status()[..descriptors.len()].iter().filter(|&&status| status == 0).count(), good);
    for row in descriptors.len()..capacity {
        assert_eq!(values(&columns, row), values(&used(capacity), row), "row {row} is none of the batch");
    }
    columns
}

type Values = (u8, u8, u16, u32, u64, u32, u16, u8);

pub(crate) fn values(columns: &FrameColumns, row: usize) -> Values {
    (
        columns.kind()[row],
        columns.flags()[row],
        columns.stream()[row],
        columns.sequence()[row],
        columns.offset()[row],
        columns.payload_offset()[row],
        columns.payload_length()[row],
        columns.status()[row],
    )
}

/// Columns that hold something: what is not written shows.
fn used(capacity: usize) -> FrameColumns {
    let memory = good_frame(7);
    let descriptors = vec![Descriptor::new(0, memory.len() as u32); capacity];
    let batch = Batch::new(Slab::new(&memory), &descriptors).expect("a small slab");
    let mut columns = FrameColumns::with_capacity(capacity);
    assert_eq!(batch.frames(Supported::SCALAR, &mut columns.as_mut()), Ok(capacity));
    columns
}

/// The backend, or nothing when this CPU does not have it: [`crate::backends`] fails when it should.
pub(crate) fn proof(backend: Backend) -> Option<Supported> {
    backend.supported().ok()
}
