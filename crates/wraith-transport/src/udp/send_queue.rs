//! Sending slots, and keeping in order those that would block.
#![expect(unsafe_code, reason = "sends from slots, of which no reference may be formed")]

use std::collections::VecDeque;
use std::sync::Arc;

use super::address::SockAddr;
use super::metrics::UdpMetrics;
use super::send::Sent;
use super::socket::UdpSocket;
use crate::error::{Code, Error};
use crate::memory::{Dirty, Owner, State};
use crate::pool::PoolCore;

/// A slot to be sent.
#[derive(Clone, Copy, Debug)]
pub struct SlotSend {
    /// Which slot of the pool.
    pub slot: u32,
    /// How it is held now.
    pub from: (State, Owner),
    /// Bytes to send, from the slot's start.
    pub len: u32,
    /// What to clear before it goes home: everything that its holder may have written.
    pub dirty: Dirty,
    /// Where to, or `None` on a connected socket.
    pub to: Option<SockAddr>,
}

/// What became of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotSent {
    /// Sent; the slot is home, cleared.
    Done,
    /// It would have blocked: the queue owns the slot and sends it when [`SendQueue::flush`] is called.
    Queued,
    /// It would have blocked and the queue is full: the slot is still the caller's.
    Full,
}

/// What a flush came to.
#[derive(Debug, Default)]
pub struct Flushed {
    /// Slots sent.
    pub sent: usize,
    /// Slots whose send failed; they are home too.
    pub failed: usize,
    /// Slots still waiting.
    pub left: usize,
    /// The first of the failures.
    pub error: Option<Error>,
}

struct Entry {
    pool: Arc<PoolCore>,
    send: SlotSend,
}

/// Slots on their way out of one socket, in order, at most a fixed number. Slots wait in state `Op`, so they
/// survive the end of their isolate until the queue is flushed or closed. Dropping it brings all of them home,
/// unsent.
pub struct SendQueue {
    socket: Arc<UdpSocket>,
    waiting: VecDeque<Entry>,
    most: usize,
}

impl SendQueue {
    /// A queue of at most `most` slots.
    pub fn new(socket: Arc<UdpSocket>, most: usize) -> SendQueue {
        SendQueue { socket, waiting: VecDeque::new(), most }
    }

    /// Slots that wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Sends a slot, behind those that wait already. On `Done` and `Queued` the slot is the caller's no more; on
    /// `Full` and on an error it is held as before.
    ///
    /// # Errors
    /// [`Code::StaleBuffer`] (not held as `from` says), [`Code::OutOfRange`] (longer than a slot), and those of
    /// [`UdpSocket::send`].
    pub fn send(&mut self, pool: &Arc<PoolCore>, send: SlotSend) -> Result<SlotSent, Error> {
        if send.len as usize > pool.buffer_size() {
            let what = format!("{} bytes of a slot of {} were to be sent", send.len, pool.buffer_size());
            return Err(Error::new(Code::OutOfRange, what));
        }
        let op = (State::Op, send.from.1);
        pool.exchange(send.slot, send.from, op)?;
        let sent =
            if self.waiting.is_empty() { attempt(&self.socket, pool, &send) } else { Ok(Sent::WouldBlock) };
        match sent {
            Ok(Sent::Done) => {
                pool.push(send.slot, op, send.dirty)?;
                Ok(SlotSent::Done)
            }
            Ok(Sent::WouldBlock) if self.waiting.len() < self.most => {
                self.waiting.push_back(Entry { pool: Arc::clone(pool), send });
                Ok(SlotSent::Queued)
            }
            Ok(Sent::WouldBlock) => {
                pool.exchange(send.slot, op, send.from)?;
                Ok(SlotSent::Full)
            }
            Err(error) => {
                pool.exchange(send.slot, op, send.from)?;
                Err(error)
            }
        }
    }

    /// Sends what waits until the socket would block again. Slots that are sent, and those whose send fails, go
    /// home.
    pub fn flush(&mut self) -> Flushed {
        let mut flushed = Flushed::default();
        while let Some(entry) = self.waiting.front() {
            match attempt(&self.socket, &entry.pool, &entry.send) {
                Ok(Sent::WouldBlock) => break,
                Ok(Sent::Done) => flushed.sent += 1,
                Err(error) => {
                    flushed.failed += 1;
                    flushed.error.get_or_insert(error);
                }
            }
            if let Some(entry) = self.waiting.pop_front()
                && let Err(error) = home(&entry)
            {
                flushed.error.get_or_insert(error);
            }
        }
        flushed.left = self.waiting.len();
        flushed
    }

    /// Brings every waiting slot home, unsent, and returns how many there were.
    pub fn close(&mut self) -> usize {
        let mut unsent = 0;
        while let Some(entry) = self.waiting.pop_front() {
            // Only a slot that somebody took against the rules cannot come home: the pool's audit shows it.
            unsent += usize::from(home(&entry).is_ok());
        }
        UdpMetrics::add(&self.socket.metrics().unsent, unsent as u64);
        unsent
    }
}

fn attempt(socket: &UdpSocket, pool: &PoolCore, send: &SlotSend) -> Result<Sent, Error> {
    // SAFETY: the slot is in state Op, put there by `SendQueue::send`, so nobody else may touch it, and `len` was
    // checked there against the slot's size; the pool keeps the slab alive.
    unsafe { socket.send_raw(pool.slab().slot(send.slot), send.len as usize, send.to.as_ref()) }
}

fn home(entry: &Entry) -> Result<(), Error> {
    entry.pool.push(entry.send.slot, (State::Op, entry.send.from.1), entry.send.dirty)
}

impl Drop for SendQueue {
    fn drop(&mut self) {
        self.close();
    }
}

impl std::fmt::Debug for SendQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SendQueue")
            .field("waiting", &self.len())
            .field("most", &self.most)
            .finish_non_exhaustive()
    }
}
