//! Those who receive: each on a link of its own, with the same rings and frames.

use wraith_transport::xdp::{Filter, Received, RingsKind, XdpDevice, XdpOptions};

use super::generator::{FRAME, MARK, frame};
use super::link::Link;

pub(crate) const PORT: u16 = 6343;

/// What is looked at of each frame.
#[derive(Clone, Copy)]
pub(crate) enum Look {
    /// Every byte; panics when one is wrong.
    Whole,
    /// The last one.
    Mark,
}

/// Looks at one frame of memory that the caller holds.
///
/// # Safety
/// [`FRAME`] readable bytes that nobody writes during the call.
pub(crate) unsafe fn whole(at: *const u8) -> u64 {
    let mut bytes = [0; FRAME];
    // SAFETY: the caller's promise.
    unsafe { at.copy_to_nonoverlapping(bytes.as_mut_ptr(), FRAME) };
    assert_eq!(bytes, frame(PORT), "a frame came with other bytes");
    u64::from(MARK)
}

/// As [`whole`], only the last byte.
///
/// # Safety
/// As [`whole`].
#[inline(always)]
pub(crate) unsafe fn mark(at: *const u8) -> u64 {
    // SAFETY: the caller's promise.
    u64::from(unsafe { at.add(FRAME - 1).read() })
}

pub(crate) trait Contender {
    /// Receives all that is there and gives the frames back; how many there were, and the sum of what was looked at.
    fn drain(&mut self, look: Look) -> (usize, u64);
}

pub(crate) fn options(link: &Link, batch: usize, rings: RingsKind) -> XdpOptions {
    XdpOptions { batch_size: Some(batch), rings, ..XdpOptions::new(&link.near, Filter::udp_ports([PORT])) }
}

/// [`XdpSocket`](wraith_transport::xdp::XdpSocket).
pub(crate) struct Ours {
    device: XdpDevice,
}

impl Ours {
    // What the defaults come to with one queue; the others get the same.
    pub(crate) const RX_RING: usize = 32_768;
    pub(crate) const TX_RING: usize = 2048;
    pub(crate) const FILL_FRAMES: usize = Ours::RX_RING - Ours::TX_RING;

    pub(crate) fn new(link: &Link, batch: usize, rings: RingsKind) -> Ours {
        let device = XdpDevice::open(&options(link, batch, rings)).expect("open");
        let info = device.info();
        assert_eq!((info.rings.rx, info.rings.tx), (Ours::RX_RING as u32, Ours::TX_RING as u32));
        assert_eq!((info.fill_frames, info.rings_kind), (Ours::FILL_FRAMES as u32, rings));
        Ours { device }
    }
}

impl Contender for Ours {
    fn drain(&mut self, look: Look) -> (usize, u64) {
        let socket = &mut self.device.sockets_mut()[0];
        let base = socket.pool().slab().base();
        let (mut count, mut sum) = (0, 0);
        while let Received::Rows { rows, .. } = socket.receive() {
            count += rows;
            for row in socket.rows() {
                // SAFETY: the row is lent to this loop until `finish`, and every frame has FRAME bytes.
                sum += unsafe {
                    let at = base.add(row.offset as usize);
                    match look {
                        Look::Mark => mark(at),
                        Look::Whole => whole(at),
                    }
                };
            }
            socket.finish();
        }
        (count, sum)
    }
}
