//! Descriptors that cannot be right: forged in the kernel's place, through a second mapping of the rings.

use std::sync::atomic::{AtomicU32, Ordering};

use wraith_transport::Code;
use wraith_transport::memory::{Owner, State};
use wraith_transport::xdp::{Filter, Received, SendFrame, XdpDevice, XdpSocket};

use crate::support::{
    FAR, also_over_xsk_rs, assert_all_home, collect, ip, linked, near, open, privileged, send_patterns,
};

const PORT: u16 = 6343;

// linux/if_xdp.h.
const SOL_XDP: i32 = 283;
const XDP_MMAP_OFFSETS: i32 = 1;
const RX: (usize, i64) = (0, 0);
const TX: (usize, i64) = (1, 0x8000_0000);
const COMPLETION: (usize, i64) = (3, 0x1_8000_0000);

/// A ring that the kernel produces into, as the kernel sees it; or one that we do, behind the socket's back.
struct Forger {
    base: *mut u8,
    producer: usize,
    entries: usize,
    words: usize,
    mask: u32,
}

impl Forger {
    /// `words`: of 8 bytes, an entry.
    fn new(socket: &XdpSocket, (ring, page): (usize, i64), size: u32, words: usize) -> Forger {
        let mut offsets = [0_u64; 16];
        let mut len = size_of_val(&offsets) as u32;
        // SAFETY: the kernel writes at most `len` bytes into the array, and the mapping is new.
        unsafe {
            let got = libc::getsockopt(
                socket.fd(),
                SOL_XDP,
                XDP_MMAP_OFFSETS,
                offsets.as_mut_ptr().cast(),
                &raw mut len,
            );
            assert_eq!(got, 0);
            let entries = offsets[ring * 4 + 2] as usize;
            let bytes = entries + size as usize * words * 8;
            let (access, shared) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
            let base = libc::mmap(std::ptr::null_mut(), bytes, access, shared, socket.fd(), page);
            assert_ne!(base, libc::MAP_FAILED);
            let producer = offsets[ring * 4] as usize;
            Forger { base: base.cast(), producer, entries, words, mask: size - 1 }
        }
    }

    fn forge(&self, entry: &[u64]) {
        assert_eq!(entry.len(), self.words);
        // SAFETY: the places are where the kernel said they are, inside the mapping; the kernel itself is idle.
        unsafe {
            let producer = &*self.base.add(self.producer).cast::<AtomicU32>();
            let index = producer.load(Ordering::Acquire);
            let place =
                self.base.add(self.entries).cast::<u64>().add((index & self.mask) as usize * self.words);
            place.copy_from_nonoverlapping(entry.as_ptr(), self.words);
            producer.store(index.wrapping_add(1), Ordering::Release);
        }
    }
}

fn descriptor(addr: u64, len: u32, options: u32) -> [u64; 2] {
    [addr, u64::from(len) | u64::from(options) << 32]
}

/// Closes what was lied to: nothing is lost.
fn close(mut device: XdpDevice) {
    for mut socket in device.take_sockets() {
        let pool = std::sync::Arc::clone(socket.pool());
        socket.close();
        assert_all_home(&pool);
    }
}

#[test]
fn forged_descriptors_are_rejected_and_counted() {
    privileged("forged_descriptors_are_rejected_and_counted", || {
        let far = linked(1);
        let sender = far.udp(&format!("{FAR}:0"));
        let mut device = open(Filter::udp_ports([PORT]));
        send_patterns(&sender, near(PORT), 0..10, 64);
        collect(device.sockets_mut(), 10);
        let socket = &mut device.sockets_mut()[0];
        let size = 512 * 2048_u64;
        let forger = Forger::new(socket, RX, 512, 2);
        for (index, (entry, word)) in [
            (descriptor(size, 64, 0), "outside"),
            (descriptor(size - 1, 1, 1), "options"),
            (descriptor(u64::MAX, 64, 0), "outside"),
            (descriptor(1 << 40, 64, 0), "outside"),
            (descriptor(2048, 2049, 0), "over the end"),
            (descriptor(2047, 2, 0), "over the end"),
            (descriptor(256, u32::MAX, 0), "over the end"),
            (descriptor(256, 64, 1), "options"),
            (descriptor(256, 0, 0), "no bytes"),
        ]
        .into_iter()
        .enumerate()
        {
            forger.forge(&entry);
            match socket.receive() {
                Received::Failed(error) => {
                    assert_eq!(error.code(), Code::Internal);
                    assert!(error.message().contains(word), "{error}");
                }
                other => panic!("{entry:x?}: {other:?}"),
            }
            assert!(socket.rows().is_empty());
            assert_eq!(socket.metrics().snapshot().bad_descriptors, index as u64 + 1);
            assert!(matches!(socket.receive(), Received::Empty));
        }
        close(device);
    });
}

#[test]
fn a_descriptor_of_a_slot_that_is_not_the_kernels_is_rejected() {
    privileged("a_descriptor_of_a_slot_that_is_not_the_kernels_is_rejected", || {
        let _far = linked(1);
        let mut device = open(Filter::udp_ports([PORT]));
        let socket = &mut device.sockets_mut()[0];
        let pool = std::sync::Arc::clone(socket.pool());
        let user = (State::Lent, Owner::new(5).unwrap());
        let slot = pool.pop(user).unwrap();
        let free = (0..512).find(|&slot| pool.holding(slot).unwrap().state == State::Free).unwrap();
        let forger = Forger::new(socket, RX, 512, 2);
        for slot in [slot, free] {
            let before = pool.holding(slot);
            forger.forge(&descriptor(u64::from(slot) * 2048 + 256, 64, 0));
            let received = socket.receive();
            assert!(matches!(received, Received::Failed(error) if error.code() == Code::StaleBuffer));
            assert_eq!(pool.holding(slot), before);
        }
        assert_eq!(socket.metrics().snapshot().ownership_faults, 2);
        // A good one beside a bad one is given; the bad one is reported afterwards.
        let posted = (0..512).find(|&slot| pool.holding(slot).unwrap().state == State::Posted).unwrap();
        forger.forge(&descriptor(u64::from(slot) * 2048 + 256, 64, 0));
        forger.forge(&descriptor(u64::from(posted) * 2048 + 256, 64, 0));
        assert!(matches!(socket.receive(), Received::Rows { rows: 1, .. }));
        assert_eq!(socket.rows()[0].slot, posted);
        socket.finish();
        assert!(matches!(socket.receive(), Received::Failed(error) if error.code() == Code::StaleBuffer));
        crate::support::give_back(&pool, slot, user);
        close(device);
    });
}

#[test]
fn forged_completions_free_nothing() {
    privileged("forged_completions_free_nothing", || {
        let _far = linked(1);
        let mut device = open(Filter::udp_ports([PORT]));
        let socket = &mut device.sockets_mut()[0];
        let pool = std::sync::Arc::clone(socket.pool());
        let user = (State::Lent, Owner::new(5).unwrap());
        // Nothing is sent while the link is down: the kernel itself completes nothing.
        ip("link set wraith0 down");
        let slot = pool.pop(user).unwrap();
        let frame = SendFrame { slot, offset: 0, length: 64, from: user };
        assert_eq!(socket.send(&[frame]).unwrap(), 1);
        let held = pool.pop(user).unwrap();
        let forger = Forger::new(socket, COMPLETION, 512, 1);
        forger.forge(&[512 * 2048]);
        assert_eq!(socket.reap(), 1);
        assert_eq!(socket.metrics().snapshot().bad_descriptors, 1);
        assert!(matches!(socket.receive(), Received::Failed(error) if error.code() == Code::Internal));
        let before = pool.holding(held);
        forger.forge(&[u64::from(held) * 2048]);
        assert_eq!(socket.reap(), 1);
        assert_eq!(pool.holding(held), before);
        assert_eq!(socket.metrics().snapshot().ownership_faults, 1);
        assert_eq!(socket.with_kernel().1, 1);
        crate::support::give_back(&pool, held, user);
        close(device);
    });
}

#[test]
fn descriptors_that_the_kernel_rejects_are_counted() {
    privileged("descriptors_that_the_kernel_rejects_are_counted", || {
        let _far = linked(1);
        let device = open(Filter::none());
        let socket = &device.sockets()[0];
        let forger = Forger::new(socket, TX, socket.ring_sizes().tx, 2);
        let size = 512 * 2048_u64;
        let bad = [
            descriptor(size, 64, 0),
            descriptor(u64::MAX, 64, 0),
            descriptor(2048, 2049, 0),
            descriptor(2040, 64, 0),
            descriptor(2048, 64, 1 << 31),
        ];
        for (index, entry) in bad.iter().enumerate() {
            forger.forge(entry);
            // SAFETY: no data and no address.
            unsafe {
                libc::sendto(socket.fd(), std::ptr::null(), 0, libc::MSG_DONTWAIT, std::ptr::null(), 0)
            };
            assert_eq!(socket.statistics().unwrap().tx_invalid_descs, index as u64 + 1, "{entry:x?}");
        }
        close(device);
    });
}

also_over_xsk_rs!(
    forged_descriptors_are_rejected_and_counted,
    a_descriptor_of_a_slot_that_is_not_the_kernels_is_rejected,
    forged_completions_free_nothing,
    descriptors_that_the_kernel_rejects_are_counted,
);
