//! One socket on one queue.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::abi::Descriptor;
use super::attachment::Attachment;
use super::queue;
use super::receive::Row;
use super::rings::{RingSizes, Rings};
use super::shared::Seat;
use super::stats::{KernelStatistics, XdpMetrics};
use super::sys;
use super::umem::Umem;
use crate::memory::{Dirty, Owner};
use crate::pool::PoolCore;
use crate::{Code, Error};

/// Frames that are moved between ring and table at a time, outside of batches.
pub(super) const CHUNK: usize = 256;
/// How often closing looks for frames that are still being sent, a millisecond apart.
const REAPS: u32 = 20;

/// Receives from and sends to one queue of an interface, for one consumer, in the slots of a pool that is its UMEM. Moves
/// between threads, but is used by one at a time. Made by [`XdpDevice::open`](super::XdpDevice::open).
///
/// Slots go `Free` → `Posted` (the kernel may receive into them) → `Lent` (in a batch) → `Posted`, and those that are sent
/// → `Op` → `Posted` or home, each step an exchange in the pool's owner table under the socket's owner. Nobody else may
/// use that owner in `Posted` and `Op`, nor [reclaim](PoolCore::reclaim) it while the socket is open.
///
/// In a pool that is shared, slots come home to those who wait first: what was sent goes to them unless the kernel has nothing to
/// receive into. A socket does not wait by itself; one that is starved has its consumer wait for it, as
/// [`XdpSocket::feed`] says.
///
/// Dropping it is [`XdpSocket::close`].
pub struct XdpSocket {
    pub(super) umem: Umem,
    /// `None` once it is closed.
    pub(super) rings: Option<Box<dyn Rings>>,
    attachment: Option<Arc<Attachment>>,
    /// Among the sockets of a shared UMEM, until its slots are home.
    seat: Option<Seat>,
    pub(super) config: QueueConfig,
    zero_copy: bool,
    /// Slots that the kernel has to receive into.
    pub(super) posted: u32,
    /// Slots that the kernel has to send.
    pub(super) sending: u32,
    pub(super) rows: Vec<Row>,
    /// Whether the row's slot is still the batch's.
    pub(super) lent: Vec<bool>,
    pub(super) descriptors: Box<[Descriptor]>,
    pub(super) addresses: Vec<u64>,
    pub(super) fault: Option<Error>,
    pub(super) metrics: Arc<XdpMetrics>,
    not_sync: PhantomData<Cell<()>>,
}

/// What a socket is made of.
#[derive(Clone, Debug)]
pub(super) struct QueueConfig {
    pub(super) ifindex: u32,
    pub(super) queue: u32,
    pub(super) owner: Owner,
    pub(super) rings: RingSizes,
    /// Slots that the kernel gets to receive into.
    pub(super) fill: u32,
    pub(super) batch_size: usize,
    pub(super) busy_poll: bool,
}

impl XdpSocket {
    pub(super) fn new(
        core: Arc<PoolCore>,
        rings: Box<dyn Rings>,
        config: QueueConfig,
        zero_copy: bool,
        seat: Option<Seat>,
    ) -> Result<XdpSocket, Error> {
        let umem = Umem::new(core, config.owner)?;
        let batch = config.batch_size;
        let mut socket = XdpSocket {
            umem,
            rings: Some(rings),
            attachment: None,
            seat,
            zero_copy,
            posted: 0,
            sending: 0,
            rows: Vec::with_capacity(batch),
            lent: Vec::with_capacity(batch),
            descriptors: vec![Descriptor::default(); batch.max(CHUNK)].into(),
            addresses: Vec::with_capacity(batch.max(CHUNK)),
            fault: None,
            metrics: Arc::default(),
            config,
            not_sync: PhantomData,
        };
        if let Some(seat) = &socket.seat {
            seat.bound(socket.fd(), zero_copy);
        }
        socket.refill();
        Ok(socket)
    }

    /// Enters the socket for its queue: from now on it receives.
    pub(super) fn attach(&mut self, attachment: &Arc<Attachment>) -> Result<(), Error> {
        attachment.sockets().insert(self.config.queue, self.fd())?;
        self.attachment = Some(Arc::clone(attachment));
        Ok(())
    }

    /// The descriptor, for poll(2) and epoll(7): readable when there are frames, writable when there is room in the TX
    /// ring; an interface that has gone is not reported, see [`XdpSocket::take_error`]. -1 once the socket is closed.
    pub fn fd(&self) -> RawFd {
        self.rings.as_ref().map_or(-1, |rings| rings.fd())
    }

    /// The queue that it is bound to.
    pub fn queue(&self) -> u32 {
        self.config.queue
    }

    /// Most frames of a batch.
    pub fn batch_size(&self) -> usize {
        self.config.batch_size
    }

    /// Whether the driver uses the UMEM without copying.
    pub fn is_zero_copy(&self) -> bool {
        self.zero_copy
    }

    /// The UMEM, which other sockets may use as well. Slots for sending come from here: [`PoolCore::pop`].
    pub fn pool(&self) -> &Arc<PoolCore> {
        &self.umem.core
    }

    /// Who holds the slots that the socket uses.
    pub fn owner(&self) -> Owner {
        self.umem.owner
    }

    /// Bytes from one slot to the next: all of them may be sent from.
    pub fn frame_size(&self) -> u32 {
        self.umem.stride()
    }

    /// Sizes of the rings.
    pub fn ring_sizes(&self) -> RingSizes {
        self.config.rings
    }

    /// Our counters.
    pub fn metrics(&self) -> &Arc<XdpMetrics> {
        &self.metrics
    }

    /// The kernel's counters.
    ///
    /// # Errors
    /// [`Code::SocketClosed`]; [`Code::System`] when the kernel refuses.
    pub fn statistics(&self) -> Result<KernelStatistics, Error> {
        match &self.rings {
            Some(rings) => KernelStatistics::of(rings.fd()),
            None => Err(closed()),
        }
    }

    /// Takes the error that is pending on the socket. After the interface was removed: [`Code::System`] with ENETDOWN, once, and
    /// the socket has no more use than to be closed. To be asked now and then while nothing comes: poll(2) reports
    /// nothing at all for a socket whose interface has gone or is down (xsk_poll of Linux 6.18). Costs a system call.
    pub fn take_error(&self) -> Option<Error> {
        let fd = self.rings.as_ref()?.fd();
        match sys::take_error(fd) {
            Ok(0) | Err(_) => None,
            Ok(errno) => {
                let what = format!("The interface of queue {} has gone or cannot be used", self.config.queue);
                Some(
                    Error::system("getsockopt SO_ERROR", errno, what)
                        .advise("Close the socket, and open it again once the interface is there."),
                )
            }
        }
    }

    /// Slots that the kernel has to receive into, and those that it has to send.
    pub fn with_kernel(&self) -> (u32, u32) {
        (self.posted, self.sending)
    }

    /// Counts a hand-over that the table refused; the next receive reports it.
    #[cold]
    pub(super) fn note_fault(&mut self, error: Error) {
        XdpMetrics::add(&self.metrics.ownership_faults, 1);
        self.fault = Some(error);
    }

    /// Closes the socket: takes it out of the queue's place, waits briefly for frames that are being sent, closes the
    /// descriptor, and brings home, cleared, every slot that it or the kernel held; slots that were taken stay with their
    /// holders. In zero-copy mode the driver lets go late: this waits, for about a second at most, until the queue can
    /// be bound again, and leaves the slots in `Retiring` for good if it cannot. Idempotent; calls that need the socket
    /// give [`Code::SocketClosed`] from then on.
    pub fn close(&mut self) {
        self.finish();
        let Some(mut rings) = self.rings.take() else { return };
        if let Some(attachment) = self.attachment.take() {
            attachment.sockets().remove(self.config.queue);
        }
        for _ in 0..REAPS {
            self.reap_from(&mut *rings);
            if self.sending == 0 {
                break;
            }
            let _ = rings.kick_send();
            // There is no event for a completion, and what does not complete must not hold up closing.
            thread::sleep(Duration::from_millis(1));
        }
        // Who had found the socket in its place before it was taken out may still be writing a frame. Closing the descriptor
        // waits for them, unless a child that is being spawned has it as well until it becomes another program.
        sys::wait_for_readers();
        let seat = self.seat.take();
        if let Some(seat) = &seat {
            seat.unbound();
        }
        drop(rings);
        self.umem.retire();
        (self.posted, self.sending) = (0, 0);
        // In copy mode the kernel writes to a UMEM only while the socket is open: closing waits for that.
        if !self.zero_copy || queue::becomes_free(self.config.ifindex, self.config.queue) {
            self.umem.bring_home();
        } else {
            // Whatever the device still writes must not hit other memory.
            std::mem::forget(Arc::clone(self.umem.core.slab()));
            // Nobody else may have the owner of slots that stay as they are.
            std::mem::forget(seat);
        }
    }

    /// Takes back the slots that were sent: those that the kernel lacks for receiving go there unless somebody waits for slots,
    /// the others home. Returns how many.
    pub fn reap(&mut self) -> usize {
        let Some(mut rings) = self.rings.take() else { return 0 };
        let reaped = self.reap_from(&mut *rings);
        self.rings = Some(rings);
        reaped
    }

    fn reap_from(&mut self, rings: &mut dyn Rings) -> usize {
        let mut reaped = 0;
        let mut sent = [0_u64; CHUNK];
        while self.sending > 0 {
            let count = rings.complete(&mut sent);
            if count == 0 {
                break;
            }
            self.addresses.clear();
            for &address in &sent[..count] {
                let Some(slot) = self.umem.slot(address) else {
                    XdpMetrics::add(&self.metrics.bad_descriptors, 1);
                    self.fault = Some(Error::new(
                        Code::Internal,
                        format!("The kernel completed address {address}, which lies outside of the UMEM"),
                    ));
                    continue;
                };
                let posted = self.posted + self.addresses.len() as u32;
                let wanted = posted < self.config.fill && (posted == 0 || !self.umem.core.is_awaited());
                let moved = if wanted {
                    self.umem.core.exchange(slot, self.umem.sending(), self.umem.posted()).map(drop)
                } else {
                    self.umem.core.push(slot, self.umem.sending(), Dirty::All)
                };
                match moved {
                    Ok(()) => {
                        self.sending -= 1;
                        if wanted {
                            self.addresses.push(self.umem.address(slot));
                        }
                    }
                    Err(error) => self.note_fault(error),
                }
            }
            self.post_from(rings);
            reaped += count;
        }
        XdpMetrics::add(&self.metrics.completions, reaped as u64);
        reaped
    }

    /// Gives the slots in `addresses`, which are `Posted` already, to the kernel.
    pub(super) fn post_from(&mut self, rings: &mut dyn Rings) {
        let count = rings.fill(&self.addresses);
        self.posted += count as u32;
        // The ring has room for every slot there is, so this is for rings that are not what they should be.
        for index in count..self.addresses.len() {
            if let Some(slot) = self.umem.slot(self.addresses[index])
                && let Err(error) = self.umem.core.push(slot, self.umem.posted(), Dirty::All)
            {
                self.note_fault(error);
            }
        }
        self.addresses.clear();
        if count > 0 && rings.fill_needs_kick() {
            XdpMetrics::add(&self.metrics.receive_kicks, 1);
            // EAGAIN and ENETDOWN: there is nothing to do about it here; a later kick tells the kernel again.
            let _ = rings.kick_receive();
        }
    }
}

/// What a closed socket answers.
pub(super) fn closed() -> Error {
    Error::with_remedy(Code::SocketClosed, "The AF_XDP socket was closed", "Open the device again.")
}

impl Drop for XdpSocket {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for XdpSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("XdpSocket")
            .field("queue", &self.config.queue)
            .field("fd", &self.fd())
            .field("rows", &self.rows.len())
            .field("posted", &self.posted)
            .field("sending", &self.sending)
            .finish_non_exhaustive()
    }
}
