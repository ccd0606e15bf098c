//! Binding a socket to a queue, patiently.

use std::sync::Arc;

use super::abi;
use super::attachment::patiently;
use super::explain::{memory_refused, refused};
use super::rings::{KernelRings, Refused, RingSizes, Rings, RingsKind};
use super::sys::Errno;
use crate::memory::{MemoryOptions, Slab};
use crate::{Code, Error};

/// Makes the socket of a queue: registers the slab, makes the rings, binds. ENOBUFS of the first and EBUSY of the last are tried
/// again, because the kernel frees what was closed before late. Returns the rings and whether they are zero-copy.
pub(super) fn open(
    slab: &Arc<Slab>,
    headroom: u32,
    sizes: RingSizes,
    (interface, ifindex, queue): (&str, u32, u32),
    flags: u16,
    kind: RingsKind,
) -> Result<(Box<dyn Rings>, bool), Error> {
    let flags = flags | abi::XDP_USE_NEED_WAKEUP;
    let place = (interface, ifindex, queue);
    let rings: Box<dyn Rings> = match kind {
        RingsKind::Kernel => Box::new(kernel(slab, headroom, sizes, place, flags)?),
        RingsKind::XskRs => xsk_rs(slab, headroom, sizes, (interface, queue), flags)?,
    };
    let zero_copy = rings
        .is_zero_copy()
        .map_err(|errno| refused("getsockopt", errno, "The socket's mode cannot be read (XDP_OPTIONS)"))?;
    Ok((rings, zero_copy))
}

fn kernel(
    slab: &Arc<Slab>,
    headroom: u32,
    sizes: RingSizes,
    (interface, ifindex, queue): (&str, u32, u32),
    flags: u16,
) -> Result<KernelRings, Error> {
    let short = |refused: &Refused| refused.errno == libc::ENOBUFS;
    let rings = patiently(short, || KernelRings::new(Arc::clone(slab), headroom, sizes)).map_err(
        |error| match error.errno {
            libc::ENOBUFS => memory_refused(error.errno, slab.len() as u64),
            errno => {
                refused(error.step, errno, &format!("The AF_XDP socket of queue {queue} cannot be made"))
            }
        },
    )?;
    let busy = |&errno: &Errno| errno == libc::EBUSY;
    patiently(busy, || rings.bind(ifindex, queue, flags))
        .map_err(|errno| bind_refused(errno, interface, queue, flags))?;
    Ok(rings)
}

#[cfg(all(target_os = "linux", feature = "xsk-rs"))]
fn xsk_rs(
    slab: &Arc<Slab>,
    headroom: u32,
    sizes: RingSizes,
    place: (&str, u32),
    flags: u16,
) -> Result<Box<dyn Rings>, Error> {
    use super::rings::{NotOpened, XskRings};
    // It does everything in two steps that cannot be taken apart: all of it is tried again.
    let late = |refused: &NotOpened| [libc::ENOBUFS, libc::EBUSY].contains(&refused.errno());
    let rings = patiently(late, || XskRings::open(slab, headroom, sizes, place, flags));
    let rings = rings.map_err(|error| match error {
        NotOpened::Umem(Refused { errno: libc::ENOBUFS, .. }) => {
            memory_refused(libc::ENOBUFS, slab.len() as u64)
        }
        NotOpened::Umem(Refused { step, errno }) => {
            refused(step, errno, &format!("The AF_XDP socket of queue {} cannot be made", place.1))
        }
        NotOpened::Bind(errno) => bind_refused(errno, place.0, place.1, flags),
        NotOpened::Slab(error) => error,
    })?;
    Ok(Box::new(rings))
}

#[cfg(not(all(target_os = "linux", feature = "xsk-rs")))]
fn xsk_rs(_: &Arc<Slab>, _: u32, _: RingSizes, _: (&str, u32), _: u16) -> Result<Box<dyn Rings>, Error> {
    Err(RingsKind::missing())
}

fn bind_refused(errno: Errno, interface: &str, queue: u32, flags: u16) -> Error {
    let place = format!("queue {queue} of {interface}");
    match errno {
        libc::EBUSY => Error::with_remedy(
            Code::AddressInUse,
            format!("Another AF_XDP socket is bound to {place}"),
            "Close it, or leave that queue out of `queues`.",
        ),
        libc::EINVAL => Error::with_remedy(
            Code::OutOfRange,
            format!("An AF_XDP socket cannot be bound to {place}: bind: EINVAL"),
            "Check the number of queues with `ethtool -l`.",
        ),
        libc::EOPNOTSUPP if flags & abi::XDP_ZEROCOPY != 0 => Error::with_remedy(
            Code::Unsupported,
            format!("The driver has no zero-copy AF_XDP for {place}"),
            "Use mode auto or copy.",
        ),
        _ => refused("bind", errno, &format!("An AF_XDP socket cannot be bound to {place}")),
    }
}

/// Whether a queue that was closed can be bound again within about a second: then the driver has let go of the old UMEM. Binds
/// a socket for a moment.
pub(super) fn becomes_free(ifindex: u32, queue: u32) -> bool {
    let Ok(slab) = Slab::new(2048, 16, &MemoryOptions::default()) else { return false };
    let sizes = RingSizes { fill: 16, rx: 16, tx: 0, completion: 16 };
    open(&Arc::new(slab), 0, sizes, ("the interface", ifindex, queue), 0, RingsKind::Kernel).is_ok()
}
