//! Parsing a batch of packets allocates nothing, whatever the packets are. Alone in its program: the allocator counts for all threads.
#![expect(unsafe_code, reason = "an allocator that counts is an unsafe trait's implementation")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use wraith_core::frames::packet::{PacketColumns, naive};
use wraith_core::frames::{Backend, Batch, Slab};

#[path = "packets/support.rs"]
mod support;

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: all calls go to the system's allocator as they come.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promises are those that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_batch_of_good_and_bad_packets_allocates_nothing() {
    let mut random = support::Random(1);
    let mut packets = support::mix(&mut random, 1000);
    for packet in packets.iter_mut().step_by(3) {
        let at = random.below(packet.len().min(80));
        packet[at] ^= random.next() as u8;
        packet.truncate(packet.len() - random.below(2));
    }
    let (slab, descriptors) = support::packed(&packets, 7);
    let batch = Batch::new(Slab::new(&slab), &descriptors).unwrap();
    let mut columns = PacketColumns::with_capacity(descriptors.len());
    let backends: Vec<_> = Backend::available().collect();
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    assert!(before > 0, "the allocator counts");
    let mut read = [0; 8];
    for (place, &backend) in backends.iter().enumerate() {
        read[place] = batch.packets(backend, &mut columns.as_mut()).unwrap();
    }
    let naive = naive::packets(&batch, &mut columns.as_mut()).unwrap();
    let errors = (0..batch.len()).filter(|&row| batch.explain_packet(row).is_some()).count();
    assert_eq!(ALLOCATIONS.load(Ordering::Relaxed), before);
    assert!(errors > 50 && naive == batch.len() - errors, "{errors} of {} are bad", batch.len());
    assert!(read[..backends.len()].iter().all(|&read| read == naive), "{read:?}");
}
