//! The rings over crate xsk-rs, and so over libxdp: another implementation, to test and measure ours against.
//!
//! xsk-rs is used through its public interface alone. What that does not offer is made up for here:
//! - It maps the memory of a UMEM itself, and a UMEM that is kept keeps its queue bound. The slab is laid over the same pages
//!   ([`Slab::adopt`]): whoever still has a slot when the socket is closed goes on having it.
//! - It hands out a descriptor for each frame and lets nobody make others: this table has them by slot. A frame to be sent that
//!   begins elsewhere in its slot than where frames are received to is moved there first, and must fit there
//!   ([`Rings::longest_frame`]).
//! - A producer takes all that it is given or nothing: it is asked first how much there is room for.
//! - libxdp reads the flags of a ring without the fence that [`KernelRings`](super::KernelRings) explains: it is here.
//! - Its wake-ups hide why the kernel refused: the system calls are ours.
//! - Neither its descriptor is closed on exec nor its memory kept from children: both are set right after they were made. Of the
//!   rings that cannot be done; they go when a child becomes another program.
//! - It makes both an RX and a TX ring: one that was not asked for has one entry, and is not used.
#![expect(unsafe_code, reason = "calls into xsk-rs, whose contract is about who uses which frame")]

use std::io;
use std::num::NonZeroU32;
use std::os::fd::{AsRawFd, RawFd};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use xsk_rs::config::{
    BindFlags, FrameSize, Interface, LibxdpFlags, QueueSize, SocketConfig, UmemConfig,
    XDP_UMEM_MIN_CHUNK_SIZE,
};
use xsk_rs::{CompQueue, FillQueue, FrameDesc, RxQueue, Socket, TxQueue, Umem};

use super::{Refused, RingSizes, Rings};
use crate::Error;
use crate::memory::Slab;
use crate::xdp::abi::Descriptor;
use crate::xdp::sys::{self, Errno};

/// Frames that are moved between ring and caller at a time; as many as a batch has at most.
const CHUNK: usize = 1024;

/// The rings of a bound socket that xsk-rs has made.
pub(crate) struct XskRings {
    // The queues first: each holds the socket. The UMEM holds its descriptor, and its memory.
    fill: FillQueue,
    completion: CompQueue,
    rx: RxQueue,
    tx: TxQueue,
    umem: Umem,
    /// The descriptor of each slot.
    frames: Vec<FrameDesc>,
    /// For the calls into xsk-rs.
    chunk: Box<[FrameDesc]>,
    sizes: RingSizes,
    slab: Arc<Slab>,
    /// The stride is 2 to this power.
    shift: u32,
}

/// What was refused: by the kernel, in one of two steps, or by us.
pub(crate) enum NotOpened {
    /// Registering memory.
    Umem(Refused),
    /// Making the rings and binding.
    Bind(Errno),
    /// Laying the slab over it.
    Slab(Error),
}

impl NotOpened {
    /// The kernel's number for it.
    pub(crate) fn errno(&self) -> Errno {
        match self {
            NotOpened::Umem(refused) => refused.errno,
            NotOpened::Bind(errno) => *errno,
            NotOpened::Slab(_) => 0,
        }
    }
}

/// What xsk-rs's errors have behind them; EPROTO: libxdp has done something else than it says.
fn errno_of(error: &dyn std::error::Error) -> Errno {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
    cause.and_then(io::Error::raw_os_error).unwrap_or(libc::EPROTO)
}

impl XskRings {
    /// Makes a socket with a UMEM of its own and binds it to a queue; then the slab, of which nobody has used a slot yet, is laid
    /// over that memory. `flags`: XDP_COPY and its like.
    pub(crate) fn open(
        slab: &Arc<Slab>,
        headroom: u32,
        sizes: RingSizes,
        (interface, queue): (&str, u32),
        flags: u16,
    ) -> Result<XskRings, NotOpened> {
        let invalid = |_| NotOpened::Umem(Refused { step: "xsk-rs", errno: libc::EINVAL });
        let size = |entries: u32| QueueSize::new(entries.max(1)).map_err(|_| NotOpened::Bind(libc::EINVAL));
        let stride = slab.stride() as u32;
        let config = UmemConfig::builder()
            .frame_size(
                FrameSize::new(stride.max(XDP_UMEM_MIN_CHUNK_SIZE))
                    .map_err(|_| NotOpened::Bind(libc::EINVAL))?,
            )
            .frame_headroom(headroom)
            .fill_queue_size(size(sizes.fill)?)
            .comp_queue_size(size(sizes.completion)?)
            .build()
            .map_err(invalid)?;
        let count = NonZeroU32::new(slab.count()).ok_or(NotOpened::Bind(libc::EINVAL))?;
        let (umem, frames) = Umem::new(config, count, false).map_err(|error| {
            NotOpened::Umem(Refused { step: "setsockopt XDP_UMEM_REG (xsk-rs)", errno: errno_of(&error) })
        })?;
        let config = SocketConfig::builder()
            .rx_queue_size(size(sizes.rx)?)
            .tx_queue_size(size(sizes.tx)?)
            // The program is ours.
            .libxdp_flags(LibxdpFlags::XSK_LIBXDP_FLAGS_INHIBIT_PROG_LOAD)
            .bind_flags(BindFlags::from_bits_retain(flags))
            .build();
        let place: Interface = interface.parse().map_err(|_| NotOpened::Bind(libc::ENODEV))?;
        // SAFETY: the UMEM is this socket's alone.
        let (tx, rx, own) = unsafe { Socket::new(config, &umem, &place, queue) }
            .map_err(|error| NotOpened::Bind(errno_of(&error)))?;
        let (fill, completion) = own.ok_or(NotOpened::Bind(libc::EPROTO))?;
        sys::close_on_exec(rx.fd().as_raw_fd()).map_err(NotOpened::Bind)?;
        let rings = XskRings {
            fill,
            completion,
            rx,
            tx,
            umem,
            frames,
            chunk: vec![FrameDesc::default(); CHUNK].into(),
            sizes,
            slab: Arc::clone(slab),
            shift: stride.trailing_zeros(),
        };
        rings.share_memory().map_err(NotOpened::Slab)?;
        Ok(rings)
    }

    /// Lays the slab over the UMEM.
    fn share_memory(&self) -> Result<(), Error> {
        let first = &self.frames[0];
        // SAFETY: a frame of this UMEM. The slice is empty: no byte of the memory is referred to.
        let data = unsafe { self.umem.data(first) }.contents().as_ptr();
        let base = NonNull::new(data.wrapping_sub(first.addr()).cast_mut());
        let base =
            base.ok_or_else(|| Error::new(crate::Code::Internal, "xsk-rs's memory is at address 0"))?;
        // SAFETY: xsk-rs has mapped slab.count() frames of slab.stride() bytes there, shared, and does not unmap them while
        // `self.umem` lives. Nobody has had a slot yet: the socket that they are for is only being made.
        let shared = unsafe { self.slab.adopt(base) };
        if shared.is_err() {
            // What is at the slab's place now is not known: it must not be unmapped.
            std::mem::forget(Arc::clone(&self.slab));
        }
        shared
    }

    fn frame(&self, address: u64) -> FrameDesc {
        self.frames[(address >> self.shift) as usize]
    }

    /// The descriptor of a frame that is to be sent, whose bytes are moved to where it says.
    fn outgoing(&self, frame: &Descriptor) -> FrameDesc {
        let mut desc = self.frame(frame.addr);
        let (from, to, length) = (frame.addr as usize, desc.addr(), frame.len as usize);
        if from != to {
            let base = self.slab.base();
            // SAFETY: both ranges lie in one slot, which the socket holds to send it: `XdpSocket` has checked the first one
            // against the slot's end, and the length against `longest_frame`.
            unsafe { base.add(to).copy_from(base.add(from), length) };
        }
        // SAFETY: a frame of this UMEM, which the socket holds: neither the kernel nor anybody else uses it now.
        unsafe { self.umem.data_mut(&mut desc) }.cursor().set_pos(length);
        desc.set_options(frame.options);
        desc
    }
}

impl Rings for XskRings {
    fn fd(&self) -> RawFd {
        self.rx.fd().as_raw_fd()
    }

    fn longest_frame(&self) -> u32 {
        (1 << self.shift) - self.frames[0].addr() as u32
    }

    fn fill(&mut self, addresses: &[u64]) -> usize {
        let mut filled = 0;
        for part in addresses.chunks(CHUNK) {
            let count = part.len().min(self.fill.nb_free(part.len() as u32) as usize);
            for (index, &address) in part[..count].iter().enumerate() {
                self.chunk[index] = self.frame(address);
            }
            // SAFETY: frames of this UMEM that the socket has entered as the kernel's.
            filled += unsafe { self.fill.produce(&self.chunk[..count]) };
            if count < part.len() {
                break;
            }
        }
        filled
    }

    fn receive(&mut self, out: &mut [Descriptor]) -> usize {
        if self.sizes.rx == 0 {
            return 0;
        }
        let most = out.len().min(CHUNK);
        // SAFETY: descriptors of this UMEM's, to be overwritten.
        let count = unsafe { self.rx.consume(&mut self.chunk[..most]) };
        for (place, desc) in out.iter_mut().zip(&self.chunk[..count]) {
            let (addr, len) = (desc.addr() as u64, desc.lengths().data() as u32);
            *place = Descriptor { addr, len, options: desc.options() };
        }
        count
    }

    fn send_room(&mut self) -> usize {
        if self.sizes.tx == 0 { 0 } else { self.tx.nb_free_exact() as usize }
    }

    fn send(&mut self, frames: &[Descriptor]) -> usize {
        let count = frames.len().min(CHUNK).min(self.send_room());
        for (index, frame) in frames[..count].iter().enumerate() {
            self.chunk[index] = self.outgoing(frame);
        }
        // SAFETY: frames of this UMEM that the socket has entered as being sent.
        unsafe { self.tx.produce(&self.chunk[..count]) }
    }

    fn unsent(&mut self) -> usize {
        if self.sizes.tx == 0 { 0 } else { (self.sizes.tx - self.tx.nb_free_exact()) as usize }
    }

    fn complete(&mut self, out: &mut [u64]) -> usize {
        let most = out.len().min(CHUNK);
        // SAFETY: descriptors of this UMEM's, to be overwritten.
        let count = unsafe { self.completion.consume(&mut self.chunk[..most]) };
        for (place, desc) in out.iter_mut().zip(&self.chunk[..count]) {
            *place = desc.addr() as u64;
        }
        count
    }

    fn fill_needs_kick(&self) -> bool {
        fence(Ordering::SeqCst);
        self.fill.needs_wakeup()
    }

    fn send_needs_kick(&self) -> bool {
        fence(Ordering::SeqCst);
        self.sizes.tx > 0 && self.tx.needs_wakeup()
    }

    fn kick_receive(&self) -> Result<(), Errno> {
        sys::kick_receive(self.fd())
    }

    fn kick_send(&self) -> Result<(), Errno> {
        sys::kick_send(self.fd())
    }
}
