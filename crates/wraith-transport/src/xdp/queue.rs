//! Binding a socket to a queue, patiently.

use std::sync::Arc;

use super::abi;
use super::attachment::patiently;
use super::explain::{memory_refused, refused};
use super::rings::{KernelRings, Refused, RingSizes, Rings, RingsKind};
use super::shared::XdpUmem;
use super::sys::Errno;
use crate::memory::{MemoryOptions, Slab};
use crate::{Code, Error};

/// Where a socket's UMEM comes from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Registration<'a> {
    /// The socket registers the slab. `flags`: XDP_COPY and its like.
    Own { headroom: u32, flags: u16 },
    /// Another socket has.
    Of(&'a XdpUmem),
}

/// Makes the socket of a queue: registers the slab, makes the rings, binds. ENOBUFS of the first and EBUSY of the last are tried
/// again, because the kernel frees what was closed before late. Returns the rings and whether they are zero-copy.
pub(super) fn open(
    slab: &Arc<Slab>,
    registration: Registration<'_>,
    sizes: RingSizes,
    place: (&str, u32, u32),
    kind: RingsKind,
) -> Result<(Box<dyn Rings>, bool), Error> {
    let rings: Box<dyn Rings> = match kind {
        RingsKind::Kernel => Box::new(kernel(slab, registration, sizes, place)?),
        RingsKind::XskRs => xsk_rs(slab, registration, sizes, place)?,
    };
    let zero_copy = rings
        .is_zero_copy()
        .map_err(|errno| refused("getsockopt", errno, "The socket's mode cannot be read (XDP_OPTIONS)"))?;
    Ok((rings, zero_copy))
}

fn kernel(
    slab: &Arc<Slab>,
    registration: Registration<'_>,
    sizes: RingSizes,
    (interface, ifindex, queue): (&str, u32, u32),
) -> Result<KernelRings, Error> {
    let short = |refused: &Refused| refused.errno == libc::ENOBUFS;
    let headroom = match registration {
        Registration::Own { headroom, .. } => Some(headroom),
        Registration::Of(_) => None,
    };
    let rings = patiently(short, || KernelRings::new(Arc::clone(slab), headroom, sizes)).map_err(
        |error| match error.errno {
            libc::ENOBUFS => memory_refused(error.errno, slab.len() as u64),
            errno => {
                refused(error.step, errno, &format!("The AF_XDP socket of queue {queue} cannot be made"))
            }
        },
    )?;
    let bind = || match registration {
        Registration::Own { flags, .. } => rings.bind(ifindex, queue, flags | abi::XDP_USE_NEED_WAKEUP),
        Registration::Of(umem) => umem.bind_with(|other| rings.bind_to(ifindex, queue, other)),
    };
    let busy = |&errno: &Errno| errno == libc::EBUSY;
    patiently(busy, bind).map_err(|errno| bind_refused(errno, interface, queue, registration))?;
    Ok(rings)
}

#[cfg(all(target_os = "linux", feature = "xsk-rs"))]
fn xsk_rs(
    slab: &Arc<Slab>,
    registration: Registration<'_>,
    sizes: RingSizes,
    (interface, _, queue): (&str, u32, u32),
) -> Result<Box<dyn Rings>, Error> {
    use super::rings::{NotOpened, XskRings};
    let Registration::Own { headroom, flags } = registration else { return Err(RingsKind::not_shared()) };
    let flags = flags | abi::XDP_USE_NEED_WAKEUP;
    // It does everything in two steps that cannot be taken apart: all of it is tried again.
    let late = |refused: &NotOpened| [libc::ENOBUFS, libc::EBUSY].contains(&refused.errno());
    let rings = patiently(late, || XskRings::open(slab, headroom, sizes, (interface, queue), flags));
    let rings = rings.map_err(|error| match error {
        NotOpened::Umem(Refused { errno: libc::ENOBUFS, .. }) => {
            memory_refused(libc::ENOBUFS, slab.len() as u64)
        }
        NotOpened::Umem(Refused { step, errno }) => {
            refused(step, errno, &format!("The AF_XDP socket of queue {queue} cannot be made"))
        }
        NotOpened::Bind(errno) => bind_refused(errno, interface, queue, registration),
        NotOpened::Slab(error) => error,
    })?;
    Ok(Box::new(rings))
}

#[cfg(not(all(target_os = "linux", feature = "xsk-rs")))]
fn xsk_rs(
    _: &Arc<Slab>,
    _: Registration<'_>,
    _: RingSizes,
    _: (&str, u32, u32),
) -> Result<Box<dyn Rings>, Error> {
    Err(RingsKind::missing())
}

fn bind_refused(errno: Errno, interface: &str, queue: u32, registration: Registration<'_>) -> Error {
    let place = format!("queue {queue} of {interface}");
    let (shares, zero_copy) = match registration {
        Registration::Own { flags, .. } => (false, flags & abi::XDP_ZEROCOPY != 0),
        Registration::Of(umem) => (true, umem.is_zero_copy() == Some(true)),
    };
    match errno {
        libc::EBADF if shares => Error::with_remedy(
            Code::SocketClosed,
            format!("No socket of the UMEM is open any more, so none can be bound to {place} with it"),
            "Open a device with a new UMEM, and keep it open while others are opened with that.",
        ),
        libc::EBUSY => Error::with_remedy(
            Code::AddressInUse,
            format!("Another AF_XDP socket is bound to {place}"),
            "Close it, or leave that queue out of `queues`.",
        ),
        libc::EINVAL => Error::with_remedy(
            Code::OutOfRange,
            format!("An AF_XDP socket cannot be bound to {place}: bind: EINVAL"),
            if shares {
                "Check the number of queues with `ethtool -l`; sharing a UMEM between queues needs Linux 5.10."
            } else {
                "Check the number of queues with `ethtool -l`."
            },
        ),
        libc::EOPNOTSUPP if zero_copy => Error::with_remedy(
            Code::Unsupported,
            format!("The driver has no zero-copy AF_XDP for {place}"),
            if shares { "Open the device whose UMEM it is in mode copy." } else { "Use mode auto or copy." },
        ),
        _ => refused("bind", errno, &format!("An AF_XDP socket cannot be bound to {place}")),
    }
}

/// Whether a queue that was closed can be bound again within about a second: then the driver has let go of the old UMEM. Binds
/// a socket for a moment.
pub(super) fn becomes_free(ifindex: u32, queue: u32) -> bool {
    let Ok(slab) = Slab::new(2048, 16, &MemoryOptions::default()) else { return false };
    let sizes = RingSizes { fill: 16, rx: 16, tx: 0, completion: 16 };
    let registration = Registration::Own { headroom: 0, flags: 0 };
    open(&Arc::new(slab), registration, sizes, ("the interface", ifindex, queue), RingsKind::Kernel).is_ok()
}
