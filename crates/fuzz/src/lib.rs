//! What the fuzz targets share: reading a program from bytes, looking into slots, and what must hold of parsed batches.

mod columns;
mod frames;
mod packets;

pub use frames::check_frames;
pub use packets::check_packets;
use wraith_core::frames::Descriptor;
use wraith_transport::memory::{Dirty, Owner, State};
use wraith_transport::pool::PoolCore;

/// A holder of a slot, as the pool's public methods name it.
pub type Word = (State, Owner);

/// Reads a program from the fuzzer's bytes.
pub struct Program<'a>(pub &'a [u8]);

impl Program<'_> {
    /// The next byte; `None` ends the program.
    pub fn next(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    /// The next byte, 0 behind the end.
    pub fn byte(&mut self) -> u8 {
        self.next().unwrap_or(0)
    }

    /// The next bytes, 0 behind the end.
    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.byte())
    }

    /// State in the low bits, owner in the high ones.
    pub fn word(&mut self) -> Word {
        let byte = self.byte();
        let owner = match byte >> 3 & 3 {
            0 => Owner::NONE,
            1 => Owner::RUST,
            number => Owner::new(number.into()).expect("a small number is an owner"),
        };
        (State::ALL[usize::from(byte & 7)], owner)
    }

    /// Nothing, everything, or a range that may reach beyond any slot.
    pub fn dirty(&mut self) -> Dirty {
        match self.byte() {
            0..=63 => Dirty::Nothing,
            64..=127 => Dirty::All,
            wide @ 128..=159 => {
                Dirty::Range { start: u32::MAX >> (wide & 31), len: u32::MAX - u32::from(wide) }
            }
            _ => Dirty::Range { start: self.byte().into(), len: self.byte().into() },
        }
    }
}

/// The bytes of a slot that nobody writes to at the moment.
pub fn slot_bytes(core: &PoolCore, slot: u32) -> Vec<u8> {
    let mut bytes = vec![0; core.buffer_size()];
    // SAFETY: a whole slot of a live slab; the targets have one thread, and no system call is running.
    unsafe { core.slab().slot(slot).copy_to_nonoverlapping(bytes.as_mut_ptr(), bytes.len()) };
    bytes
}

/// Writes `value` over a slot that the caller holds.
pub fn fill(core: &PoolCore, slot: u32, value: u8) {
    // SAFETY: as above.
    unsafe { core.slab().slot(slot).write_bytes(value, core.buffer_size()) };
}

/// Every slot is home and full of zeros.
pub fn assert_all_home(core: &PoolCore) {
    let audit = core.audit();
    assert!(audit.is_ok(), "{audit:?}");
    assert_eq!(core.available(), core.capacity(), "{audit:?}");
    for slot in 0..core.capacity() {
        assert!(slot_bytes(core, slot).iter().all(|&byte| byte == 0), "slot {slot} came home dirty");
    }
}

/// Rows one behind the other in a slab whose last byte is the last row's.
#[derive(Default)]
pub struct Laid {
    bytes: Vec<u8>,
    /// Where each row lies.
    pub descriptors: Vec<Descriptor>,
}

impl Laid {
    /// Lays a row `gap` bytes behind the one before.
    pub fn push(&mut self, row: &[u8], gap: usize) {
        self.bytes.resize(self.bytes.len() + gap, 0xee);
        self.descriptors.push(Descriptor { offset: self.bytes.len() as u32, length: row.len() as u32 });
        self.bytes.extend(row);
    }

    /// The slab: an allocation of exactly its size, so that AddressSanitizer sees the first byte too many.
    pub fn slab(&self) -> Box<[u8]> {
        self.bytes.as_slice().into()
    }
}
