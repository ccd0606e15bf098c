//! Receiving batches of packets into slots.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::address::SockAddr;
use super::columns::Columns;
use super::messages::Extras;
use super::metrics::UdpMetrics;
use super::options::{Backend, ReceiverOptions};
use super::peers::PeerCache;
use super::posted::{BeforeLeave, Posted};
use super::row::{Received, Row, row_flags};
use super::send::is_icmp;
use super::socket::UdpSocket;
use crate::error::{Code, Error};
use crate::memory::{Owner, State};
use crate::pool::PoolCore;

/// Segments that one buffer can hold with GRO (UDP_MAX_SEGMENTS of linux/udp.h).
const GRO_SEGMENTS: usize = 128;
/// ICMP errors that one receive takes in before it leaves the rest to the next.
const ICMP_BOUND: u32 = 16;
/// Vectors of nothing but unwanted packets that one receive goes through.
const DROPPED_VECTORS: u32 = 16;

/// Receives from one socket into the slots of one pool, for one consumer. Moves between threads, but is used by
/// one at a time.
///
/// Slots go `Free` → `Posted` → (a packet comes) `Lent` → (batch ends) `Posted`, each step an exchange in the
/// pool's owner table. Never call [`PoolCore::reclaim`] for the owner of a receiver that lives: drop it, and all
/// its slots come home, cleared.
pub struct Receiver {
    socket: Arc<UdpSocket>,
    posted: Posted,
    peers: PeerCache,
    columns: Arc<Columns>,
    rows: Vec<Row>,
    options: ReceiverOptions,
    stamped: bool,
    stride: usize,
    not_sync: PhantomData<Cell<()>>,
}

impl Receiver {
    /// A receiver whose slots belong to `owner` in the pool's table. No slot is taken before the first receive.
    ///
    /// # Errors
    /// [`Code::OutOfRange`] (batch size; GRO with slots below 65535 bytes), [`Code::Unsupported`] (recvmmsg or
    /// GRO on a system without), [`Code::NoMemory`].
    pub fn new(
        socket: Arc<UdpSocket>,
        pool: Arc<PoolCore>,
        owner: Owner,
        options: ReceiverOptions,
    ) -> Result<Receiver, Error> {
        options.check(pool.buffer_size())?;
        // Also off: an earlier receiver of this socket may have switched it on.
        socket.set_gro(options.gro)?;
        let stamped = socket.has_timestamps();
        let rows = options.batch_size * if options.gro { GRO_SEGMENTS } else { 1 };
        let columns = Arc::new(Columns::new(rows)?);
        Ok(Receiver {
            socket,
            peers: PeerCache::new(Arc::clone(&columns)),
            columns,
            rows: Vec::with_capacity(rows),
            stamped,
            stride: pool.slab().stride(),
            posted: Posted::new(pool, owner, options.batch_size, stamped || options.gro),
            options,
            not_sync: PhantomData,
        })
    }

    /// Receives one batch with one system call that does not wait. ICMP errors are counted and passed over.
    ///
    /// [`Code::Internal`] when the last batch has not been finished.
    pub fn receive(&mut self) -> Received {
        if !self.rows.is_empty() {
            return Received::Failed(Error::new(Code::Internal, "the last batch is still out"));
        }
        if let Some(fault) = self.posted.fault.take() {
            return Received::Failed(fault);
        }
        for _ in 0..DROPPED_VECTORS {
            self.posted.refill();
            let vector = self.posted.len();
            if vector == 0 {
                UdpMetrics::add(&self.metrics().starved, 1);
                return Received::Starved;
            }
            let received = match self.receive_once() {
                Ok(0) => return Received::Empty,
                Ok(received) => received,
                Err(error) => return Received::Failed(error),
            };
            self.build(received, received == vector);
            if !self.rows.is_empty() {
                return Received::Rows { rows: self.rows.len(), more: received == vector };
            }
            self.posted.finish();
            if let Some(fault) = self.posted.fault.take() {
                return Received::Failed(fault);
            }
            if received < vector {
                break;
            }
        }
        Received::Empty
    }

    fn receive_once(&mut self) -> Result<usize, Error> {
        let mut refused = 0;
        let mut calls = 0;
        let outcome = loop {
            calls += 1;
            match self.posted.receive(self.socket.fd(), self.options.backend) {
                Ok(received) => break Ok(received),
                Err(libc::EAGAIN) => break Ok(0),
                Err(libc::EINTR) => {}
                Err(errno) if is_icmp(errno) => {
                    refused += 1;
                    if refused == ICMP_BOUND {
                        break Ok(0);
                    }
                }
                Err(errno) => break Err(errno),
            }
        };
        let metrics = self.metrics();
        UdpMetrics::add(&metrics.receive_calls, calls);
        if refused > 0 {
            UdpMetrics::add(&metrics.icmp_errors, u64::from(refused));
        }
        if outcome == Ok(0) {
            UdpMetrics::add(&metrics.empty_polls, 1);
        }
        let syscall = if self.options.backend == Backend::Recvmmsg { "recvmmsg" } else { "recvmsg" };
        outcome.map_err(|errno| match errno {
            libc::ENOSYS => Error::system(syscall, errno, "receiving").advise("Use the recvmsg backend."),
            _ => Error::system(syscall, errno, "receiving"),
        })
    }

    /// Makes rows of the first `received` messages.
    fn build(&mut self, received: usize, full: bool) {
        let slot_size = self.posted.core().buffer_size() as u32;
        let every = self.stamped || self.options.gro;
        let (mut bytes, mut truncated, mut dropped) = (0_u64, 0, 0);
        self.peers.begin_batch();
        for index in 0..received {
            let wire = self.posted.messages.wire_length(index);
            let wrote = wire.min(slot_size);
            let cut = self.posted.messages.truncated(index);
            let extras =
                if every || index == 0 { self.posted.messages.extras(index) } else { Extras::default() };
            if index == 0
                && let Some(drops) = extras.drops
            {
                self.note_drops(drops);
            }
            if cut {
                truncated += 1;
                if self.options.drop_truncated {
                    dropped += 1;
                    self.posted.discard(index, wrote);
                    continue;
                }
            }
            let Some(slot) = self.posted.lend(index, wrote) else { continue };
            bytes += u64::from(wrote);
            let row = Row {
                timestamp_ns: extras.timestamp_ns,
                slot,
                // A slab is at most u32::MAX bytes long.
                offset: (slot as usize * self.stride) as u32,
                length: wrote,
                wire_length: wire,
                peer: self.peers.find(self.posted.messages.raw_name(index)),
                message: index as u16,
                flags: if cut { row_flags::TRUNCATED } else { 0 },
            };
            match extras.segment {
                Some(segment) if segment < wrote as usize => self.add_segments(row, segment as u32),
                _ => self.add(row),
            }
        }
        self.count(received, full, bytes, truncated, dropped);
    }

    #[inline]
    fn add(&mut self, row: Row) {
        self.columns.write(self.rows.len(), &row, self.stamped);
        self.rows.push(row);
    }

    /// One slot with several packets of `segment` bytes each; the last one may be shorter.
    #[cold]
    fn add_segments(&mut self, whole: Row, segment: u32) {
        let mut start = 0;
        for _ in 0..GRO_SEGMENTS {
            let length = segment.min(whole.length - start);
            let flags = whole.flags | row_flags::SHARED;
            self.add(Row { offset: whole.offset + start, length, wire_length: length, flags, ..whole });
            start += length;
            if start == whole.length {
                break;
            }
        }
    }

    fn note_drops(&self, now: u32) {
        let counter = &self.metrics().drops_at_batch;
        let before = counter.load(Ordering::Relaxed);
        // Packets queued on two CPUs may carry counts that cross: never go back.
        let more = now.wrapping_sub(before as u32) as i32;
        if more > 0 {
            UdpMetrics::add(counter, more as u64);
        }
    }

    fn count(&mut self, received: usize, full: bool, bytes: u64, truncated: u64, dropped: u64) {
        let (misses, uncached) =
            (std::mem::take(&mut self.peers.misses), std::mem::take(&mut self.peers.uncached));
        let faults = std::mem::take(&mut self.posted.faults);
        let metrics = self.metrics();
        UdpMetrics::add(&metrics.batches, u64::from(!self.rows.is_empty()));
        UdpMetrics::add(&metrics.packets, self.rows.len() as u64);
        UdpMetrics::add(&metrics.bytes, bytes);
        for (counter, value) in [
            (&metrics.full_batches, u64::from(full && received > 0)),
            (&metrics.truncated, truncated),
            (&metrics.dropped_truncated, dropped),
            (&metrics.peer_misses, misses),
            (&metrics.peers_uncached, uncached),
            (&metrics.ownership_faults, faults),
        ] {
            if value > 0 {
                UdpMetrics::add(counter, value);
            }
        }
    }

    /// The rows of the batch that is out; none when there is no batch.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Whether a row's bytes are still the batch's: not when the row was taken, or when there is no such row.
    pub fn has(&self, row: usize) -> bool {
        self.rows.get(row).is_some_and(|row| self.posted.is_lent(usize::from(row.message)))
    }

    /// Where a row came from, exactly as the kernel said it.
    ///
    /// # Panics
    /// When there is no such row.
    pub fn source(&self, row: usize) -> SockAddr {
        self.posted.messages.name(usize::from(self.rows[row].message))
    }

    /// The address behind a peer number, and its version. `None`: never given out.
    pub fn peer(&self, id: u32) -> Option<(SockAddr, u32)> {
        self.peers.get(id)
    }

    /// Hands a row's slot on: `Lent` → `to`. It is then no part of the batch any more, and the vector is filled
    /// up from the pool at the next receive. The bytes beyond the packet are zeros. Returns the slot's
    /// generation.
    ///
    /// # Errors
    /// [`Code::OutOfRange`] (no such row), [`Code::StaleBuffer`] (taken already), [`Code::Unsupported`] (other
    /// rows lie in the same slot: copy it).
    pub fn take(&mut self, row: usize, to: (State, Owner)) -> Result<u32, Error> {
        let Some(entry) = self.rows.get(row) else {
            return Err(Error::new(Code::OutOfRange, format!("row {row} of a batch of {}", self.rows.len())));
        };
        if entry.flags & row_flags::SHARED != 0 {
            let what = format!("row {row} shares its slot with other rows");
            return Err(Error::with_remedy(Code::Unsupported, what, "Copy it."));
        }
        self.posted.take(usize::from(entry.message), to)
    }

    /// Ends the batch: slots that were not taken are cleared and posted again. Does nothing without a batch.
    ///
    /// Cleared is what was received. JavaScript sees a row through a view of exactly its bytes, so nothing
    /// outside of them can have been written but through the pool's own ArrayBuffer, which is the isolate's own.
    pub fn finish(&mut self) {
        self.rows.clear();
        self.posted.finish();
        let faults = std::mem::take(&mut self.posted.faults);
        if faults > 0 {
            UdpMetrics::add(&self.metrics().ownership_faults, faults);
        }
    }

    /// Gives posted slots back to the pool until at most `keep` are left, for a source that pauses or is idle; the
    /// next receive takes new ones. Ends a batch that is out. Returns how many went home.
    pub fn shed(&mut self, keep: usize) -> usize {
        self.finish();
        self.posted.shed(keep)
    }

    /// Has `hook` called before a slot goes back to the pool, by [`Receiver::shed`] or because the receiver is dropped: see
    /// [`BeforeLeave`]. A slot that is taken does not go back. `None`: no hook, as at first.
    pub fn set_before_leave(&mut self, hook: Option<BeforeLeave>) {
        self.posted.set_before_leave(hook);
    }

    /// Posts one slot more: one that was delivered to a starving receiver, held as `from` says and full of zeros. `false`:
    /// there is no room for it, or a batch is out, and it is still the caller's.
    ///
    /// # Errors
    /// [`Code::StaleBuffer`]: the slot is not `from`'s. [`Code::Internal`]: there is no such slot.
    pub fn feed(&mut self, slot: u32, from: (State, Owner)) -> Result<bool, Error> {
        self.posted.feed(slot, from)
    }

    /// Most slots that are posted at a time.
    pub fn batch_size(&self) -> usize {
        self.options.batch_size
    }

    /// Slots that are posted or lent to the consumer.
    pub fn held(&self) -> usize {
        self.posted.held()
    }

    /// The memory that a binding exports to JavaScript.
    pub fn columns(&self) -> &Arc<Columns> {
        &self.columns
    }

    /// The socket.
    pub fn socket(&self) -> &Arc<UdpSocket> {
        &self.socket
    }

    /// The pool.
    pub fn pool(&self) -> &Arc<PoolCore> {
        self.posted.core()
    }

    /// The socket's counters.
    pub fn metrics(&self) -> &UdpMetrics {
        self.socket.metrics()
    }

    /// Brings every slot home, cleared; so does dropping the receiver. The socket stays open while anybody else
    /// holds it.
    pub fn close(self) {}
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver")
            .field("socket", &self.socket)
            .field("rows", &self.rows.len())
            .field("held", &self.held())
            .finish_non_exhaustive()
    }
}
