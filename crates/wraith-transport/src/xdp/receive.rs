//! Receiving batches of frames.

use super::socket::{CHUNK, XdpSocket, closed};
use super::stats::XdpMetrics;
use crate::memory::{Dirty, Owner, State};
use crate::udp::Received;
use crate::{Code, Error};

/// A socket that has less than this part of its slots with the kernel, and less than a batch, is short.
const FEW: u32 = 8;

/// One frame of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The slot it lies in.
    pub slot: u32,
    /// Its first byte, from the start of the slab: the Ethernet header.
    pub offset: u32,
    /// Its bytes.
    pub length: u32,
    /// The queue that it came through.
    pub queue: u32,
}

impl XdpSocket {
    /// Takes one batch of frames from the RX ring; no system call unless the kernel has to be woken, or polls with busy
    /// polling. A batch of at least one row is out until [`XdpSocket::finish`]. `more`: the batch is as large as batches get.
    ///
    /// [`Received::Starved`]: the kernel has no frame to receive into and the pool has none either; see
    /// [`XdpSocket::feed`].
    /// [`Received::Failed`] with [`Code::Internal`]: the last batch has not been finished, a descriptor of the kernel's cannot
    /// be right (its slot is left alone until the socket is closed); with [`Code::StaleBuffer`]: somebody else has taken
    /// a slot; with [`Code::SocketClosed`].
    pub fn receive(&mut self) -> Received {
        if !self.rows.is_empty() {
            return Received::Failed(Error::new(Code::Internal, "the last batch is still out"));
        }
        if let Some(fault) = self.fault.take() {
            return Received::Failed(fault);
        }
        if self.sending > 0 {
            self.reap();
        }
        self.refill();
        let batch = self.config.batch_size;
        let Some(rings) = &mut self.rings else { return Received::Failed(closed()) };
        let received = rings.receive(&mut self.descriptors[..batch]);
        if received == 0 {
            return self.nothing();
        }
        self.build(received);
        if self.rows.is_empty() {
            return self.fault.take().map_or(Received::Empty, Received::Failed);
        }
        Received::Rows { rows: self.rows.len(), more: received == batch }
    }

    fn nothing(&mut self) -> Received {
        XdpMetrics::add(&self.metrics.empty_polls, 1);
        if self.config.busy_poll
            && let Some(rings) = &self.rings
        {
            XdpMetrics::add(&self.metrics.receive_kicks, 1);
            // EAGAIN: nothing has come. Anything else poll(2) and take_error() report.
            let _ = rings.kick_receive();
        }
        if self.posted == 0 && self.config.fill > 0 {
            XdpMetrics::add(&self.metrics.starved, 1);
            return Received::Starved;
        }
        Received::Empty
    }

    /// Makes rows of the first `received` descriptors.
    fn build(&mut self, received: usize) {
        let (posted, lent) = (self.umem.posted(), self.umem.lent());
        let mut bytes = 0;
        for index in 0..received {
            let frame = self.descriptors[index];
            let slot = match self.umem.check(&frame) {
                Ok(slot) => slot,
                Err(why) => {
                    XdpMetrics::add(&self.metrics.bad_descriptors, 1);
                    let what = format!("The kernel's descriptor {frame:?} {why}");
                    self.fault = Some(Error::new(Code::Internal, what));
                    continue;
                }
            };
            if let Err(error) = self.umem.core.exchange(slot, posted, lent) {
                self.note_fault(error);
                continue;
            }
            self.posted = self.posted.saturating_sub(1);
            bytes += u64::from(frame.len);
            // Below the slab's length, which is at most u32::MAX.
            let offset = frame.addr as u32;
            // Another CPU has written it, or the device. Its headers come while the rest of the batch is looked at.
            self.umem.core.slab().prefetch(offset as usize);
            self.rows.push(Row { slot, offset, length: frame.len, queue: self.config.queue });
            self.lent.push(true);
        }
        if !self.rows.is_empty() {
            XdpMetrics::add(&self.metrics.batches, 1);
            XdpMetrics::add(&self.metrics.packets, self.rows.len() as u64);
            XdpMetrics::add(&self.metrics.bytes, bytes);
        }
    }

    /// The rows of the batch that is out; none when there is no batch.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Whether a row of the batch that is out was neither taken nor sent.
    pub fn has(&self, row: usize) -> bool {
        self.lent.get(row) == Some(&true)
    }

    /// Hands a row's slot on: `Lent` → `to`. It is then no part of the batch any more, and the kernel gets another one from
    /// the pool. The rest of the slot holds bytes of earlier frames: push it home with
    /// [`Dirty::All`](crate::memory::Dirty::All). Returns the slot's generation.
    ///
    /// # Errors
    /// [`Code::OutOfRange`] (no such row), [`Code::StaleBuffer`] (taken or sent already).
    pub fn take(&mut self, row: usize, to: (State, Owner)) -> Result<u32, Error> {
        let slot = self.row_slot(row)?;
        let generation = self.umem.core.exchange(slot, self.umem.lent(), to)?;
        self.lent[row] = false;
        Ok(generation)
    }

    /// The slot of a row that is still the batch's.
    pub(super) fn row_slot(&self, row: usize) -> Result<u32, Error> {
        match (self.rows.get(row), self.lent.get(row)) {
            (Some(entry), Some(true)) => Ok(entry.slot),
            (Some(_), _) => Err(Error::new(
                Code::StaleBuffer,
                format!("row {row} of the batch was taken or sent already"),
            )),
            (None, _) => {
                Err(Error::new(Code::OutOfRange, format!("row {row} of a batch of {}", self.rows.len())))
            }
        }
    }

    /// Ends the batch: slots that were neither taken nor sent go back to the kernel, uncleared, and home if it has as many as it
    /// should already. Does nothing without a batch.
    pub fn finish(&mut self) {
        if self.rows.is_empty() {
            return;
        }
        let (posted, lent) = (self.umem.posted(), self.umem.lent());
        self.addresses.clear();
        for index in 0..self.rows.len() {
            if self.lent[index] {
                let slot = self.rows[index].slot;
                let wanted = self.wanted() > self.addresses.len() as u32;
                let moved = if wanted {
                    self.umem.core.exchange(slot, lent, posted).map(drop)
                } else {
                    self.umem.core.push(slot, lent, Dirty::All)
                };
                match moved {
                    Ok(()) if wanted => self.addresses.push(self.umem.address(slot)),
                    Ok(()) => {}
                    Err(error) => self.note_fault(error),
                }
            }
        }
        self.rows.clear();
        self.lent.clear();
        self.post();
    }

    fn post(&mut self) {
        if let Some(mut rings) = self.rings.take() {
            self.post_from(&mut *rings);
            self.rings = Some(rings);
        }
    }

    /// How many slots the kernel lacks for receiving; 0 once the socket is closed. Every receive fills that up from the pool
    /// as far as it can.
    pub fn wanted(&self) -> u32 {
        let wanted = self.config.fill.saturating_sub(self.posted);
        if self.rings.is_some() { wanted } else { 0 }
    }

    /// Whether the kernel is left with few slots to receive into, or none, and the pool has no more: to be asked when a batch has ended,
    /// before waiting for the next one. Gives the kernel what the pool has.
    ///
    /// With none, nothing will ever come, and poll(2) never says so. With few, the next burst is lost, though slots may have come home
    /// long before it: nothing looks for them until a frame comes. Who is short waits as [`XdpSocket::feed`] says.
    pub fn is_short(&mut self) -> bool {
        if self.rings.is_none() || self.config.fill == 0 || !self.rows.is_empty() {
            return false;
        }
        self.refill();
        if self.posted == 0 {
            XdpMetrics::add(&self.metrics.starved, 1);
        }
        self.posted < (self.config.fill / FEW).clamp(1, self.config.batch_size as u32)
    }

    /// Gives the kernel one slot more to receive into: one that the caller holds as `from` says. `false`: it has as many as it should,
    /// or the socket is closed, and the slot is still the caller's.
    ///
    /// For a socket that is starved in a shared pool, where those who wait get every slot that comes home: enter it among them
    /// ([`PoolCore::attach_source`](crate::pool::PoolCore::attach_source), [`Attachment::wait`](crate::pool::Attachment::wait), as
    /// often as [`XdpSocket::wanted`] says or less), and feed it what is delivered.
    ///
    /// # Errors
    /// [`Code::StaleBuffer`]: the slot is not `from`'s. [`Code::Internal`]: there is no such slot. It has not been given then.
    pub fn feed(&mut self, slot: u32, from: (State, Owner)) -> Result<bool, Error> {
        if self.wanted() == 0 {
            return Ok(false);
        }
        self.umem.core.exchange(slot, from, self.umem.posted())?;
        self.addresses.clear();
        self.addresses.push(self.umem.address(slot));
        self.post();
        Ok(true)
    }

    /// Gives the kernel slots of the pool until it has as many as it should, as far as the pool can.
    pub(super) fn refill(&mut self) {
        while self.posted < self.config.fill && self.umem.core.available() > 0 && self.rings.is_some() {
            let mut slots = [0_u32; CHUNK];
            let want = ((self.config.fill - self.posted) as usize).min(CHUNK);
            let got = self.umem.core.pop_into(self.umem.posted(), &mut slots[..want]);
            if got == 0 {
                break;
            }
            self.addresses.clear();
            self.addresses.extend(slots[..got].iter().map(|&slot| self.umem.address(slot)));
            self.post();
        }
    }
}
