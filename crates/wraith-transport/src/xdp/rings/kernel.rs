//! The rings over mmap(2): what the package ships.
//!
//! Each ring has one producer and one consumer, each of which writes its own index and reads the other's. The indices count
//! up through 2^32 and are masked to find an entry.
//!
//! Memory ordering, as in net/xdp/xsk_queue.h, whose other half the kernel runs:
//! - Who produces writes entries, then its index with *release*; who consumes reads that index with *acquire*, then the
//!   entries. So no entry is read before it was written.
//! - Who consumes reads entries, then writes its index with *release*; who produces reads that with *acquire* before it
//!   writes entries again. So no entry is overwritten while it is read. The same two edges order the frames' bytes, which
//!   are read and written between the two.
//! - An own index is kept in a plain variable: nobody else writes it.
//! - The kernel sets the flags word (`need wakeup`) and then looks at the ring once more; we publish our index and then
//!   read the flags. Each side must see the other's first write if the other did not see its own (Dekker's pattern), which
//!   release and acquire do not give: a sequentially consistent fence stands between our two steps. It costs some ten
//!   nanoseconds a batch.
#![expect(unsafe_code, reason = "reads and writes memory that is shared with the kernel")]

use std::marker::PhantomData;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering, fence};

use super::{RingSizes, Rings};
use crate::memory::Slab;
use crate::xdp::abi::{self, Descriptor};
use crate::xdp::sys::{self, Errno, Mapping};

/// What a ring's entries are: integers or structures of integers, of which any bits are a value.
trait Entry: Copy {}
impl Entry for u64 {}
impl Entry for Descriptor {}

/// One ring. Produced into or consumed from, never both.
struct Ring<T> {
    map: Mapping,
    /// Bytes from the start of the mapping.
    ours: usize,
    theirs: usize,
    flags: usize,
    entries: usize,
    size: u32,
    /// Our index.
    own: u32,
    /// The other's index when it was last read.
    seen: u32,
    entry: PhantomData<T>,
}

impl<T: Entry> Ring<T> {
    /// Maps a ring whose parts are where `offsets` (producer, consumer, entries, flags) says.
    fn map(fd: RawFd, page: u64, offsets: &[u64], size: u32, produces: bool) -> Result<Ring<T>, Errno> {
        let &[producer, consumer, entries, flags] = offsets else { return Err(libc::EPROTO) };
        let bytes = entries as usize + size as usize * size_of::<T>();
        let map = Mapping::of_ring(fd, page, bytes)?;
        let fits = |offset: u64| offset as usize + 4 <= map.bytes() && offset.is_multiple_of(4);
        if !size.is_power_of_two() || entries % 8 != 0 || ![producer, consumer, flags].into_iter().all(fits) {
            return Err(libc::EPROTO);
        }
        let (ours, theirs) = if produces { (producer, consumer) } else { (consumer, producer) };
        let mut ring = Ring {
            map,
            ours: ours as usize,
            theirs: theirs as usize,
            flags: flags as usize,
            entries: entries as usize,
            size,
            own: 0,
            seen: 0,
            entry: PhantomData,
        };
        ring.own = ring.word(ring.ours).load(Ordering::Relaxed);
        ring.seen = ring.word(ring.theirs).load(Ordering::Acquire);
        Ok(ring)
    }

    fn word(&self, offset: usize) -> &AtomicU32 {
        // SAFETY: `map` has checked that 4 aligned bytes lie there; they are only ever used atomically, on both sides, and
        // the mapping lives as long as self.
        unsafe { &*self.map.base().add(offset).as_ptr().cast::<AtomicU32>() }
    }

    /// Where our next `count` entries lie, which are `size` at most: how many there are from the first place on to the ring's end at
    /// most, and the others from the ring's beginning on. Copying them so, and not one by one, is worth some nanoseconds a frame.
    fn parts(&self, count: usize) -> [(NonNull<T>, usize); 2] {
        let start = (self.own & (self.size - 1)) as usize;
        let first = count.min(self.size as usize - start);
        // SAFETY: `start` is below `size`, and `map` has mapped that many entries from `entries` on, 8-aligned.
        let (begin, place) = unsafe {
            let begin = self.map.base().add(self.entries).cast::<T>();
            (begin, begin.add(start))
        };
        [(place, first), (begin, count - first)]
    }

    /// For a producer: how many entries are free, at least `want` if there are so many.
    fn room(&mut self, want: usize) -> usize {
        let mut room = self.size.wrapping_sub(self.own.wrapping_sub(self.seen));
        if (room as usize) < want {
            self.seen = self.word(self.theirs).load(Ordering::Acquire);
            room = self.size.wrapping_sub(self.own.wrapping_sub(self.seen));
        }
        // More than there are cannot be, whatever the other index says.
        room.min(self.size) as usize
    }

    /// For a producer: entries that the other side has not taken.
    fn waiting(&mut self) -> usize {
        self.size as usize - self.room(self.size as usize)
    }

    fn produce(&mut self, items: &[T]) -> usize {
        let count = self.room(items.len()).min(items.len());
        let mut from = 0;
        for (place, entries) in self.parts(count) {
            let items = &items[from..from + entries];
            // SAFETY: free entries, which are ours until the index is published; the slice lies elsewhere.
            unsafe { place.as_ptr().copy_from_nonoverlapping(items.as_ptr(), entries) };
            from += entries;
        }
        self.own = self.own.wrapping_add(count as u32);
        if count > 0 {
            self.word(self.ours).store(self.own, Ordering::Release);
        }
        count
    }

    fn consume(&mut self, out: &mut [T]) -> usize {
        let mut filled = self.seen.wrapping_sub(self.own);
        if filled == 0 {
            self.seen = self.word(self.theirs).load(Ordering::Acquire);
            filled = self.seen.wrapping_sub(self.own);
        }
        let count = (filled.min(self.size) as usize).min(out.len());
        let mut to = 0;
        for (place, entries) in self.parts(count) {
            let out = &mut out[to..to + entries];
            // SAFETY: entries that the kernel has published; it does not write them again before our index says so. Any bits
            // are a value of T, and the slice lies elsewhere.
            unsafe { place.as_ptr().copy_to_nonoverlapping(out.as_mut_ptr(), entries) };
            to += entries;
        }
        self.own = self.own.wrapping_add(count as u32);
        if count > 0 {
            self.word(self.ours).store(self.own, Ordering::Release);
        }
        count
    }

    /// For a producer, after it has published: see the module's documentation.
    fn needs_kick(&self) -> bool {
        fence(Ordering::SeqCst);
        self.word(self.flags).load(Ordering::Relaxed) & abi::XDP_RING_NEED_WAKEUP != 0
    }
}

/// The rings of a socket whose UMEM is a slab.
pub(crate) struct KernelRings {
    // Unmapped before the socket is closed and the slab is let go.
    fill: Ring<u64>,
    completion: Ring<u64>,
    rx: Option<Ring<Descriptor>>,
    tx: Option<Ring<Descriptor>>,
    fd: OwnedFd,
    slab: Arc<Slab>,
}

/// A step of making a socket that was refused.
pub(crate) struct Refused {
    pub(crate) step: &'static str,
    pub(crate) errno: Errno,
}

impl KernelRings {
    /// Makes a socket over a slab with rings of these sizes. It is not bound yet. The slab's stride is 2048 or 4096.
    /// `headroom`: `None` when it will be bound to a socket that has registered the slab.
    pub(crate) fn new(
        slab: Arc<Slab>,
        headroom: Option<u32>,
        sizes: RingSizes,
    ) -> Result<KernelRings, Refused> {
        let step = |step| move |errno| Refused { step, errno };
        let socket = sys::xdp_socket().map_err(step("socket"))?;
        let fd = socket.as_raw_fd();
        if let Some(headroom) = headroom {
            let umem = abi::UmemReg {
                addr: slab.base() as u64,
                len: slab.len() as u64,
                chunk_size: slab.stride() as u32,
                headroom,
                ..abi::UmemReg::default()
            };
            // SAFETY: the slab stays mapped while this value holds it, which is longer than the socket is open (the fields
            // are dropped in their order), and so does each socket that shares it; a slab hands out raw pointers only.
            unsafe { sys::register_umem(fd, &umem) }.map_err(step("setsockopt XDP_UMEM_REG"))?;
        }
        for (name, option, size) in [
            ("setsockopt XDP_UMEM_FILL_RING", abi::XDP_UMEM_FILL_RING, sizes.fill),
            ("setsockopt XDP_UMEM_COMPLETION_RING", abi::XDP_UMEM_COMPLETION_RING, sizes.completion),
            ("setsockopt XDP_RX_RING", abi::XDP_RX_RING, sizes.rx),
            ("setsockopt XDP_TX_RING", abi::XDP_TX_RING, sizes.tx),
        ] {
            if size > 0 {
                sys::set(fd, abi::SOL_XDP, option, &size).map_err(step(name))?;
            }
        }
        let offsets: [u64; abi::MMAP_OFFSETS_WORDS] =
            sys::get(fd, abi::SOL_XDP, abi::XDP_MMAP_OFFSETS).map_err(step("getsockopt XDP_MMAP_OFFSETS"))?;
        let of = |ring: usize| &offsets[ring * abi::RING_OFFSET_WORDS..][..abi::RING_OFFSET_WORDS];
        let map = step("mmap");
        let rx = (sizes.rx > 0).then(|| Ring::map(fd, abi::XDP_PGOFF_RX_RING, of(0), sizes.rx, false));
        let tx = (sizes.tx > 0).then(|| Ring::map(fd, abi::XDP_PGOFF_TX_RING, of(1), sizes.tx, true));
        let fill = Ring::map(fd, abi::XDP_UMEM_PGOFF_FILL_RING, of(2), sizes.fill, true);
        let completion = Ring::map(fd, abi::XDP_UMEM_PGOFF_COMPLETION_RING, of(3), sizes.completion, false);
        Ok(KernelRings {
            fill: fill.map_err(map)?,
            completion: completion.map_err(map)?,
            rx: rx.transpose().map_err(map)?,
            tx: tx.transpose().map_err(map)?,
            fd: socket,
            slab,
        })
    }

    /// Binds the socket to a queue, with its own UMEM. `flags`: XDP_COPY and its like.
    pub(crate) fn bind(&self, ifindex: u32, queue: u32, flags: u16) -> Result<(), Errno> {
        self.bind_as(ifindex, queue, flags, 0)
    }

    /// Binds the socket to a queue, with the UMEM of a bound one and in the same mode.
    pub(crate) fn bind_to(&self, ifindex: u32, queue: u32, other: RawFd) -> Result<(), Errno> {
        self.bind_as(ifindex, queue, abi::XDP_SHARED_UMEM, other as u32)
    }

    fn bind_as(&self, ifindex: u32, queue: u32, flags: u16, shared_umem_fd: u32) -> Result<(), Errno> {
        let address =
            abi::SockaddrXdp { family: abi::AF_XDP as u16, flags, ifindex, queue_id: queue, shared_umem_fd };
        sys::bind(self.fd.as_raw_fd(), &address)
    }
}

impl Rings for KernelRings {
    fn fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    fn longest_frame(&self) -> u32 {
        self.slab.stride() as u32
    }

    fn fill(&mut self, addresses: &[u64]) -> usize {
        self.fill.produce(addresses)
    }

    fn receive(&mut self, out: &mut [Descriptor]) -> usize {
        self.rx.as_mut().map_or(0, |ring| ring.consume(out))
    }

    fn send_room(&mut self) -> usize {
        self.tx.as_mut().map_or(0, |ring| ring.room(ring.size as usize))
    }

    fn send(&mut self, frames: &[Descriptor]) -> usize {
        self.tx.as_mut().map_or(0, |ring| ring.produce(frames))
    }

    fn unsent(&mut self) -> usize {
        self.tx.as_mut().map_or(0, Ring::waiting)
    }

    fn complete(&mut self, out: &mut [u64]) -> usize {
        self.completion.consume(out)
    }

    fn fill_needs_kick(&self) -> bool {
        self.fill.needs_kick()
    }

    fn send_needs_kick(&self) -> bool {
        self.tx.as_ref().is_some_and(Ring::needs_kick)
    }

    fn kick_receive(&self) -> Result<(), Errno> {
        sys::kick_receive(self.fd.as_raw_fd())
    }

    fn kick_send(&self) -> Result<(), Errno> {
        sys::kick_send(self.fd.as_raw_fd())
    }
}
