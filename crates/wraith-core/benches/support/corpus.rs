//! Frames in the slots of a slab, as a receiver leaves them: one a slot, the headroom staggered by 64 bytes, so that headers do
//! not all fall into the same sets of the cache.

use wraith_core::frames::wraith::{Flags, FrameBuilder, FrameType, HEADER_LENGTH};
use wraith_core::frames::{Batch, Descriptor, Slab};

use super::machine::last_level_cache;
use super::random::Random;

/// Bytes of a slot.
const SLOT: usize = 2048;

/// Rows of one batch.
pub(crate) const ROWS: usize = 256;

/// Orders that a benchmark goes through in turn: a repeated one would train the branch predictor.
const HOT_ORDERS: usize = 8;

pub(crate) struct Corpus {
    memory: Vec<u8>,
    batches: Vec<Vec<Descriptor>>,
}

impl Corpus {
    /// Each slot's bytes from `write`, which says how many there are; batches as `order` makes them of the descriptors.
    fn new(
        slots: usize,
        mut write: impl FnMut(usize, &mut [u8]) -> usize,
        order: impl FnOnce(Vec<Descriptor>) -> Vec<Vec<Descriptor>>,
    ) -> Self {
        let mut memory = vec![0; (slots + 1) * SLOT];
        let start = memory.as_ptr().align_offset(SLOT);
        let descriptors = (0..slots).map(|slot| {
            let at = start + slot * SLOT + (slot % 16) * 64;
            let length = write(slot, &mut memory[at..at + SLOT - 15 * 64]);
            Descriptor::new(at as u32, length as u32)
        });
        let descriptors = descriptors.collect();
        Self { memory, batches: order(descriptors) }
    }

    /// A batch's worth of slots, in several orders: everything stays in the first caches.
    pub(crate) fn hot(write: impl FnMut(usize, &mut [u8]) -> usize) -> Self {
        Self::hot_rows(ROWS, write)
    }

    /// The same with batches of another length.
    pub(crate) fn hot_rows(rows: usize, write: impl FnMut(usize, &mut [u8]) -> usize) -> Self {
        Self::new(rows, write, |descriptors| {
            let mut random = Random::new(1);
            let shuffled = |_| {
                let mut order = descriptors.clone();
                random.shuffle(&mut order);
                order
            };
            (0..HOT_ORDERS).map(shuffled).collect()
        })
    }

    /// Twice the last-level cache, each slot once in a random order: the next header is never in a cache.
    pub(crate) fn cold(write: impl FnMut(usize, &mut [u8]) -> usize) -> Self {
        let slots = (2 * last_level_cache() / SLOT).next_multiple_of(ROWS);
        Self::new(slots, write, |mut descriptors| {
            Random::new(2).shuffle(&mut descriptors);
            descriptors.chunks(ROWS).map(<[_]>::to_vec).collect()
        })
    }

    pub(crate) fn batches(&self) -> Vec<Batch<'_>> {
        let slab = Slab::new(&self.memory);
        self.batches.iter().map(|order| Batch::new(slab, order).expect("a slab below 4 GiB")).collect()
    }
}

/// Good frames of every type, of random fields, with payloads of 0 to 1000 bytes.
pub(crate) fn good_frames() -> impl FnMut(usize, &mut [u8]) -> usize {
    let mut random = Random::new(3);
    let payload = [0x5a; 1000];
    move |_, memory| {
        let kind = FrameType::ALL[random.below(15) as usize];
        let stream = if random.below(8) == 0 { 0 } else { 16 + random.below(65520) as u16 };
        let length = random.below(payload.len() as u64) as usize;
        FrameBuilder::new(kind)
            .nonce(random.next().to_ne_bytes())
            .flags(Flags::from_bits(random.below(32) as u8))
            .stream(stream)
            .sequence(random.next() as u32)
            .offset(random.below(1 << 48))
            .build(&payload[..length], memory)
            .expect("a frame that fits")
    }
}

/// The same, and in one of a hundred the type is wrong.
pub(crate) fn mostly_good_frames() -> impl FnMut(usize, &mut [u8]) -> usize {
    let mut good = good_frames();
    let mut random = Random::new(4);
    move |slot, memory| {
        let length = good(slot, memory);
        if random.below(100) == 0 {
            memory[8] = 0x80;
        }
        length.max(HEADER_LENGTH)
    }
}
