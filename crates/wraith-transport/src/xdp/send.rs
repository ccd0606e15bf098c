//! Sending frames: slots into the TX ring, kicks, and back.

use std::sync::Arc;

use super::abi::Descriptor;
use super::explain::refused;
use super::receive::Row;
use super::socket::{XdpSocket, closed};
use super::stats::XdpMetrics;
use crate::memory::{Owner, State};
use crate::{Code, Error};

/// A frame to be sent: the bytes of a slot from the Ethernet header on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendFrame {
    /// The slot.
    pub slot: u32,
    /// First byte, from the start of the slot.
    pub offset: u32,
    /// How many bytes: at least 14, and to the slot's end at most.
    pub length: u32,
    /// Who holds the slot now; it is the kernel's from then on and comes home by itself. Rows of another socket's batch go
    /// through [`XdpSocket::forward_rows`].
    pub from: (State, Owner),
}

/// An Ethernet header.
const SHORTEST: u32 = 14;
/// Kicks in a row at most; in copy mode each sends some 32 frames.
const KICKS: u32 = 1024;

impl XdpSocket {
    /// Puts frames into the TX ring and tells the kernel. Does not wait: returns how many were accepted, from the first one on; the
    /// rest is still the caller's, and worth another try when the socket is writable.
    ///
    /// The accepted slots are `Op` of the socket's owner until the kernel has given them back
    /// ([`XdpSocket::reap`], which every receive and send does as well).
    ///
    /// # Errors
    /// [`Code::OutOfRange`]: the first frame is too short or leaves its slot. [`Code::StaleBuffer`]: its slot is not held as
    /// `from` says. [`Code::Unsupported`]: the socket has no TX ring. [`Code::SocketClosed`]. [`Code::System`] with ENETDOWN:
    /// the interface is down, and frames accepted before are still in the ring. Nothing has been accepted then.
    pub fn send(&mut self, frames: &[SendFrame]) -> Result<usize, Error> {
        self.reap();
        let room = self.room()?;
        let longest = self.longest();
        let (mut queued, mut bytes) = (0, 0);
        for frame in frames.iter().take(room.min(self.descriptors.len())) {
            match self.hand_over(frame, self.umem.sending(), longest) {
                Ok(descriptor) => {
                    self.descriptors[queued] = descriptor;
                    queued += 1;
                    bytes += u64::from(frame.length);
                }
                Err(error) if queued == 0 => return Err(error),
                // The next call reports it.
                Err(_) => break,
            }
        }
        self.submit(frames.len(), queued, bytes);
        Ok(queued)
    }

    /// Sends rows of the batch that is out where they lie, with what was changed in them, back through the queue that they came
    /// from. They are then no part of the batch any more. Returns how many were accepted, from the first one on.
    ///
    /// # Errors
    /// As [`XdpSocket::send`], and [`Code::OutOfRange`] for a row that is not there, [`Code::StaleBuffer`] for one that was taken or
    /// sent.
    pub fn send_rows(&mut self, rows: &[usize]) -> Result<usize, Error> {
        self.reap();
        let room = self.room()?;
        let mut descriptors = std::mem::take(&mut self.descriptors);
        let taken = self.take_rows(rows, room, self.umem.sending(), self.longest(), &mut descriptors);
        self.descriptors = descriptors;
        let (queued, bytes) = taken?;
        self.submit(rows.len(), queued, bytes);
        Ok(queued)
    }

    /// As [`XdpSocket::send_rows`] through another socket of the same UMEM: another queue, or another interface. The accepted
    /// slots are `Op` of `out`'s owner, whose kicks, errors and counters these are; once they are sent, `out` gives them to
    /// its own kernel ring or brings them home.
    ///
    /// # Errors
    /// As [`XdpSocket::send_rows`], and [`Code::ForeignBuffer`]: the sockets have different UMEMs.
    pub fn forward_rows(&mut self, rows: &[usize], out: &mut XdpSocket) -> Result<usize, Error> {
        if !Arc::ptr_eq(&self.umem.core, &out.umem.core) {
            return Err(Error::with_remedy(
                Code::ForeignBuffer,
                format!("Queues {} and {} have different UMEMs", self.config.queue, out.config.queue),
                "Open the devices with one UMEM (UmemPlan), or copy the frames.",
            ));
        }
        out.reap();
        let room = out.room()?;
        let (to, longest) = (out.umem.sending(), out.longest());
        let (queued, bytes) = self.take_rows(rows, room, to, longest, &mut out.descriptors)?;
        out.submit(rows.len(), queued, bytes);
        Ok(queued)
    }

    /// Makes descriptors of rows of `longest` bytes at most, whose slots become `to`'s: how many, and their bytes. Fails if the
    /// first cannot be taken.
    fn take_rows(
        &mut self,
        rows: &[usize],
        room: usize,
        to: (State, Owner),
        longest: u32,
        out: &mut [Descriptor],
    ) -> Result<(usize, u64), Error> {
        let (mut queued, mut bytes) = (0, 0);
        for (&row, place) in rows.iter().zip(out).take(room) {
            match self.row_frame(row).and_then(|frame| self.hand_over(&frame, to, longest)) {
                Ok(descriptor) => {
                    self.lent[row] = false;
                    bytes += u64::from(descriptor.len);
                    *place = descriptor;
                    queued += 1;
                }
                Err(error) if queued == 0 => return Err(error),
                // The next call reports it.
                Err(_) => break,
            }
        }
        Ok((queued, bytes))
    }

    /// A row of the batch, as a frame to send.
    fn row_frame(&self, row: usize) -> Result<SendFrame, Error> {
        let slot = self.row_slot(row)?;
        let Row { offset, length, .. } = self.rows[row];
        let offset = offset - self.umem.address(slot) as u32;
        Ok(SendFrame { slot, offset, length, from: self.umem.lent() })
    }

    /// Bytes of the longest frame that the rings have a way to send.
    fn longest(&self) -> u32 {
        self.rings.as_ref().map_or(u32::MAX, |rings| rings.longest_frame())
    }

    fn room(&mut self) -> Result<usize, Error> {
        if self.config.rings.tx == 0 {
            let what = "This AF_XDP socket has no TX ring";
            return Err(Error::with_remedy(Code::Unsupported, what, "Open it with tx_ring above 0."));
        }
        // What an earlier kick left over goes first.
        self.kick()?;
        let Some(rings) = &mut self.rings else { return Err(closed()) };
        // Never more than the completion ring has room for.
        let completions = (self.config.rings.completion - self.sending) as usize;
        Ok(rings.send_room().min(completions))
    }

    /// The slot becomes the kernel's, under the owner that sends it, through rings that send `longest` bytes at most.
    fn hand_over(&self, frame: &SendFrame, to: (State, Owner), longest: u32) -> Result<Descriptor, Error> {
        let stride = self.umem.stride();
        if frame.length < SHORTEST || u64::from(frame.offset) + u64::from(frame.length) > u64::from(stride) {
            let what = format!(
                "A frame of {} bytes at {} of its slot cannot be sent; allowed are {SHORTEST} bytes or more within {stride}",
                frame.length, frame.offset
            );
            return Err(Error::new(Code::OutOfRange, what));
        }
        check_length(frame.length, longest)?;
        self.umem.core.exchange(frame.slot, frame.from, to)?;
        let addr = self.umem.address(frame.slot) + u64::from(frame.offset);
        Ok(Descriptor { addr, len: frame.length, options: 0 })
    }

    /// Submits what was queued of what was asked for.
    fn submit(&mut self, asked: usize, queued: usize, bytes: u64) {
        if queued < asked {
            XdpMetrics::add(&self.metrics.send_would_block, 1);
        }
        let Some(rings) = &mut self.rings else { return };
        if queued == 0 {
            return;
        }
        let accepted = rings.send(&self.descriptors[..queued]);
        debug_assert_eq!(accepted, queued, "room() has said that there is room");
        self.sending += queued as u32;
        XdpMetrics::add(&self.metrics.sent, queued as u64);
        XdpMetrics::add(&self.metrics.sent_bytes, bytes);
        // These frames are accepted, whatever the kick comes to: the next call tries again and reports it.
        let _ = self.kick();
    }

    /// Tells the kernel of frames that are still in the TX ring, and takes back what was sent. Returns how many are left in the
    /// ring: the device was busy, try again when the socket is writable.
    ///
    /// # Errors
    /// [`Code::SocketClosed`]; [`Code::System`] with ENETDOWN when the interface is down.
    pub fn flush(&mut self) -> Result<usize, Error> {
        self.kick()?;
        self.reap();
        let Some(rings) = &mut self.rings else { return Err(closed()) };
        Ok(rings.unsent())
    }

    fn kick(&mut self) -> Result<(), Error> {
        let Some(rings) = &mut self.rings else { return Err(closed()) };
        let mut left = rings.unsent();
        let mut kicks = 0;
        let mut outcome = Ok(());
        while left > 0 && kicks < KICKS && rings.send_needs_kick() {
            kicks += 1;
            let kicked = rings.kick_send();
            let now = rings.unsent();
            match kicked {
                Err(libc::EINTR) => {}
                // EAGAIN: the call's share is sent, there is more; or the completion ring or the socket's buffer is full.
                Ok(()) | Err(libc::EAGAIN | libc::EBUSY | libc::ENOBUFS) => {
                    if now == left {
                        XdpMetrics::add(&self.metrics.send_would_block, 1);
                        break;
                    }
                }
                Err(errno) => {
                    outcome = Err(refused("sendto", errno, "The kernel cannot be told of frames to send"));
                    break;
                }
            }
            left = now;
        }
        XdpMetrics::add(&self.metrics.send_kicks, kicks.into());
        outcome
    }
}

/// Whether rings that send `longest` bytes at most have a way to send so long a frame.
fn check_length(length: u32, longest: u32) -> Result<(), Error> {
    if length <= longest {
        return Ok(());
    }
    let what = format!("These rings send frames of {longest} bytes at most; this one has {length}");
    let remedy = "Use RingsKind::Kernel, or larger frames (frame_size).";
    Err(Error::with_remedy(Code::OutOfRange, what, remedy))
}
