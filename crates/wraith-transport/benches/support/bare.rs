//! The least that receives: the RX ring and the fill ring of a socket that exists, and nothing else.

use std::mem::size_of_val;
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

use wraith_transport::xdp::{RingsKind, XdpDevice};

use super::contender::{Contender, Look, mark, options, whole};
use super::link::Link;

/// A ring as the kernel maps it.
struct Ring {
    base: *mut u8,
    bytes: usize,
    producer: usize,
    consumer: usize,
    entries: usize,
    mask: u32,
}

impl Ring {
    fn word(&self, at: usize) -> &AtomicU32 {
        // SAFETY: the kernel has said that an index lies there.
        unsafe { &*self.base.add(at).cast() }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: exactly the mapping that was made.
        unsafe { libc::munmap(self.base.cast(), self.bytes) };
    }
}

/// Whose socket it is is never asked for anything.
pub(crate) struct Bare {
    rx: Ring,
    fill: Ring,
    batch: u32,
    device: XdpDevice,
}

impl Bare {
    pub(crate) fn new(link: &Link, batch: usize) -> Bare {
        let device = XdpDevice::open(&options(link, batch, RingsKind::Kernel)).expect("open");
        let (fd, rings) = (device.sockets()[0].fd(), device.info().rings);
        let mut offsets = [0_u64; 16];
        let mut len = size_of_val(&offsets) as u32;
        // SAFETY: the kernel writes at most `len` bytes into the array.
        let got = unsafe { libc::getsockopt(fd, 283, 1, offsets.as_mut_ptr().cast(), &raw mut len) };
        assert_eq!(got, 0);
        let map = |ring: usize, page: i64, size: u32, entry: usize| {
            let [producer, consumer, entries] = [0, 1, 2].map(|at| offsets[ring * 4 + at] as usize);
            let bytes = entries + size as usize * entry;
            let (access, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_POPULATE);
            // SAFETY: a new mapping.
            let base = unsafe { libc::mmap(ptr::null_mut(), bytes, access, flags, fd, page) };
            assert_ne!(base, libc::MAP_FAILED);
            Ring { base: base.cast(), bytes, producer, consumer, entries, mask: size - 1 }
        };
        let (rx, fill) = (map(0, 0, rings.rx, 16), map(2, 0x1_0000_0000, rings.fill, 8));
        Bare { rx, fill, batch: batch as u32, device }
    }
}

impl Contender for Bare {
    fn drain(&mut self, look: Look) -> (usize, u64) {
        let slab = self.device.sockets()[0].pool().slab().base();
        let (mut count, mut sum) = (0, 0);
        let mut consumer = self.rx.word(self.rx.consumer).load(Ordering::Relaxed);
        let mut producer = self.fill.word(self.fill.producer).load(Ordering::Relaxed);
        loop {
            let there = self.rx.word(self.rx.producer).load(Ordering::Acquire).wrapping_sub(consumer);
            if there == 0 {
                return (count, sum);
            }
            for _ in 0..there.min(self.batch) {
                // SAFETY: masked indices lie in the rings, and the descriptor's frame in the slab.
                unsafe {
                    let entry = self.rx.base.add(self.rx.entries).cast::<[u64; 2]>();
                    let [address, _] = entry.add((consumer & self.rx.mask) as usize).read();
                    let at = slab.add(address as usize);
                    sum += match look {
                        Look::Mark => mark(at),
                        Look::Whole => whole(at),
                    };
                    let place = self.fill.base.add(self.fill.entries).cast::<u64>();
                    place.add((producer & self.fill.mask) as usize).write(address & !2047);
                }
                consumer = consumer.wrapping_add(1);
                producer = producer.wrapping_add(1);
                count += 1;
            }
            self.rx.word(self.rx.consumer).store(consumer, Ordering::Release);
            self.fill.word(self.fill.producer).store(producer, Ordering::Release);
        }
    }
}
