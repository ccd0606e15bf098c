//! Nothing outside the slab is read, and columns that are too short are refused.
#![expect(unsafe_code, reason = "pages are mapped and protected by the operating system")]

use std::ptr;

use wraith_core::frames::packet::{PacketColumns, PacketColumnsMut, naive};
use wraith_core::frames::{Backend, Batch, BatchError, Descriptor, Slab};

use crate::support::{MIX, Random, packed, shaped};

/// Pages whose last is not accessible: what reads past the slab ends the process.
struct Guarded {
    base: *mut u8,
    page: usize,
}

impl Guarded {
    fn new() -> Self {
        // SAFETY: asks for a number.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new anonymous mapping; nothing else lies there.
        let base = unsafe {
            libc::mmap(ptr::null_mut(), page * 3, protection, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0)
        };
        assert_ne!(base, libc::MAP_FAILED);
        let base = base.cast::<u8>();
        for guard in [0, 2] {
            // SAFETY: the page is inside the mapping, and nobody refers to it.
            assert_eq!(unsafe { libc::mprotect(base.add(page * guard).cast(), page, libc::PROT_NONE) }, 0);
        }
        Self { base, page }
    }

    /// The accessible page.
    fn page(&mut self) -> &mut [u8] {
        // SAFETY: it is inside the mapping, readable and writable, and borrowed with `self`.
        unsafe { std::slice::from_raw_parts_mut(self.base.add(self.page), self.page) }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: the mapping is this one's alone.
        unsafe { libc::munmap(self.base.cast(), self.page * 3) };
    }
}

#[test]
fn nothing_before_or_behind_a_slab_between_guard_pages_is_read() {
    let mut memory = Guarded::new();
    let page = memory.page();
    let mut random = Random(1);
    for shape in MIX.iter().map(|&(shape, _)| shape) {
        let mut packet = shaped(&mut random, shape);
        packet.truncate(packet.len().min(160));
        for missing in 0..packet.len().min(120) {
            let kept = packet.len() - missing;
            let end = page.len();
            page[..kept].copy_from_slice(&packet[..kept]);
            page[end - kept..].copy_from_slice(&packet[..kept]);
            let mut descriptors = vec![Descriptor::new(0, kept as u32); 20];
            descriptors.extend([Descriptor::new((end - kept) as u32, kept as u32); 20]);
            descriptors.extend((0..24).map(|back| Descriptor::new((end - back) as u32, back as u32)));
            for slab in [&page[..], &page[end - kept..]] {
                let batch = Batch::new(Slab::new(slab), &descriptors).unwrap();
                let mut expected = PacketColumns::with_capacity(descriptors.len());
                let read = naive::packets(&batch, &mut expected.as_mut());
                for backend in Backend::available() {
                    let mut columns = PacketColumns::with_capacity(descriptors.len());
                    assert_eq!(batch.packets(backend, &mut columns.as_mut()), read);
                    assert!(columns == expected, "{}", backend.backend());
                }
            }
        }
    }
}

#[test]
fn columns_that_are_too_short_are_refused_and_not_touched() {
    let (slab, descriptors) = packed(&vec![shaped(&mut Random(2), "ipv4-udp"); 9], 0);
    let batch = Batch::new(Slab::new(&slab), &descriptors).unwrap();
    let refused = Err(BatchError::ColumnsTooShort { rows: 9, capacity: 8 });
    let mut columns = PacketColumns::with_capacity(8);
    for backend in Backend::available() {
        assert_eq!(batch.packets(backend, &mut columns.as_mut()), refused);
    }
    assert_eq!(naive::packets(&batch, &mut columns.as_mut()), refused);
    assert_eq!(columns, PacketColumns::with_capacity(8));
}

#[test]
fn columns_of_different_lengths_are_refused_by_name() {
    let (mut a, mut b, mut c) = ([0; 2], [0; 2], [0; 2]);
    let mut halves = [[0_u16; 2]; 7];
    let mut words = [[0_u32; 2]; 5];
    let [ethertype, vlan, inner, l3, l4, from, to] = &mut halves;
    let [source, destination, offset, length, hash] = &mut words;
    let columns = PacketColumnsMut::new(
        &mut a,
        &mut b,
        &mut c,
        ethertype,
        vlan,
        inner,
        l3,
        l4,
        from,
        to,
        source,
        destination,
        &mut offset[..1],
        length,
        hash,
    );
    let error = columns.unwrap_err();
    assert_eq!((error.column, error.needed, error.present), ("payload_offset", 2, 1));
}
