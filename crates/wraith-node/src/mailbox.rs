//! The words through which slot numbers cross: 32 at a time, written by one side, read by the other.
#![allow(unsafe_code, reason = "memory that JavaScript can write is only touched through raw pointers")]

use std::cell::UnsafeCell;
use std::rc::Rc;

use wraith_transport::Error;

use crate::exported::{Shown, export};
use crate::raw::{Env, Value};

/// How many slot numbers cross at once.
pub(crate) const MAILBOX_SLOTS: usize = 32;

/// Rust-owned memory that this isolate's JavaScript sees as an ArrayBuffer. What is read from it is a claim; the
/// owner table decides.
pub(crate) struct Mailbox(Box<[UnsafeCell<u32>; MAILBOX_SLOTS]>);

impl Mailbox {
    pub(crate) fn new() -> Rc<Mailbox> {
        Rc::new(Mailbox(Box::new(std::array::from_fn(|_| UnsafeCell::new(0)))))
    }

    /// The memory as JavaScript gets it.
    pub(crate) fn export(self: &Rc<Self>, env: Env) -> Result<(Value, Shown), Error> {
        let data = self.0.as_ptr().cast_mut().cast::<u8>();
        // SAFETY: the boxed words live as long as the Rc that is handed over, and are only used through cells.
        unsafe { export(env, data, MAILBOX_SLOTS * 4, Rc::clone(self)) }
    }

    /// Copies the first `count` words out (at most [`MAILBOX_SLOTS`]).
    pub(crate) fn read(&self, count: usize) -> ([u32; MAILBOX_SLOTS], usize) {
        let mut copy = [0; MAILBOX_SLOTS];
        let count = count.min(MAILBOX_SLOTS);
        for (to, from) in copy.iter_mut().zip(self.0.iter()).take(count) {
            // SAFETY: only this thread reads or writes the words; no reference to them exists.
            *to = unsafe { from.get().read() };
        }
        (copy, count)
    }

    /// Writes slot numbers for JavaScript to read.
    pub(crate) fn write(&self, slots: &[u32]) {
        for (&from, to) in slots.iter().zip(self.0.iter()) {
            // SAFETY: as in `read`.
            unsafe { to.get().write(from) };
        }
    }
}
