//! The columns of a batch of frames, in memory that JavaScript reads.
#![allow(unsafe_code, reason = "exports the columns to JavaScript")]

use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};

use wraith_transport::Error;
use wraith_transport::xdp::Row;

use crate::exported::{Shown, export};
use crate::raw::{self, Env, Value};

/// Columns of each block.
const COLUMNS: usize = 3;

/// Two blocks of columns of 32-bit words, one column behind the other: offsets, lengths and queues for users; slots, offsets
/// and lengths for the facade. Native only ever writes them.
pub(super) struct Columns {
    rows: usize,
    public: Box<[AtomicU32]>,
    private: Box<[AtomicU32]>,
}

impl Columns {
    pub(super) fn new(rows: usize) -> Rc<Columns> {
        let block = || (0..rows * COLUMNS).map(|_| AtomicU32::new(0)).collect();
        Rc::new(Columns { rows, public: block(), private: block() })
    }

    pub(super) fn write(&self, batch: &[Row]) {
        let put = |block: &[AtomicU32], column: usize, row: usize, value: u32| {
            block[column * self.rows + row].store(value, Ordering::Relaxed);
        };
        for (at, row) in batch.iter().enumerate() {
            put(&self.public, 0, at, row.offset);
            put(&self.public, 1, at, row.length);
            put(&self.public, 2, at, row.queue);
            put(&self.private, 0, at, row.slot);
            put(&self.private, 1, at, row.offset);
            put(&self.private, 2, at, row.length);
        }
    }

    /// `rows`, `publicBlock` and `privateBlock`.
    pub(super) fn export(self: &Rc<Self>, env: Env, object: Value) -> Result<[Shown; 2], Error> {
        raw::set(env, object, c"rows", raw::number(env, self.rows as f64)?)?;
        let show = |name, block: &[AtomicU32]| {
            let data = block.as_ptr().cast_mut().cast::<u8>();
            // SAFETY: the words live as long as the Rc that is handed over, and are atomics.
            let (memory, shown) = unsafe { export(env, data, size_of_val(block), Rc::clone(self)) }?;
            raw::set(env, object, name, memory)?;
            Ok(shown)
        };
        Ok([show(c"publicBlock", &self.public)?, show(c"privateBlock", &self.private)?])
    }
}
