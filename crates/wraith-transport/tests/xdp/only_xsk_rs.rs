//! What the rings of xsk-rs cannot do is refused by name.

use std::sync::Arc;

use wraith_transport::Code;
use wraith_transport::memory::{MemoryOptions, Owner, State};
use wraith_transport::xdp::{Filter, RingsKind, SendFrame, UmemPlan, XdpDevice, XdpOptions};

use crate::support::{close, ip, linked, options, over_xsk_rs, privileged};

#[test]
fn frames_that_leave_no_headroom_are_refused_and_still_the_callers() {
    over_xsk_rs(|| {
        privileged("frames_that_leave_no_headroom_are_refused_and_still_the_callers", || {
            let _far = linked(1);
            ip("link set wraith0 mtu 1900");
            let mut device =
                XdpDevice::open(&XdpOptions { headroom: 64, ..options(Filter::none()) }).unwrap();
            let socket = &mut device.sockets_mut()[0];
            let pool = Arc::clone(socket.pool());
            let holder = (State::Lent, Owner::RUST);
            let slot = pool.pop(holder).unwrap();
            let frame = SendFrame { slot, offset: 0, length: 2048 - 256 - 64 + 1, from: holder };
            let error = socket.send(&[frame]).unwrap_err();
            assert_eq!(error.code(), Code::OutOfRange);
            assert!(error.message().contains("1728 bytes at most; this one has 1729"), "{error}");
            assert_eq!(socket.send(&[SendFrame { length: 1728, ..frame }]).unwrap(), 1);
            close(device);
        });
    });
}

#[test]
fn huge_pages_are_refused_and_locked_memory_is_got() {
    over_xsk_rs(|| {
        privileged("huge_pages_are_refused_and_locked_memory_is_got", || {
            let _far = linked(1);
            let with = |memory| XdpDevice::open(&XdpOptions { memory, ..options(Filter::all()) });
            let error = with(MemoryOptions { huge_pages: true, mlock: false }).unwrap_err();
            assert_eq!(error.code(), Code::Unsupported);
            assert!(error.message().contains("RingsKind::Kernel"), "{error}");
            let device = with(MemoryOptions { huge_pages: false, mlock: true }).unwrap();
            assert!(device.info().memory.mlock.got);
            assert_eq!(device.info().rings_kind, RingsKind::XskRs);
            let flags = memory_flags(device.sockets()[0].pool().slab().base() as usize);
            // Locked, not inherited by children, not in core dumps.
            for flag in ["lo", "dc", "dd"] {
                assert!(flags.split(' ').any(|one| one == flag), "{flag}: {flags}");
            }
            close(device);
        });
    });
}

#[test]
fn a_umem_that_sockets_share_is_refused_and_kernel_rings_have_it() {
    over_xsk_rs(|| {
        privileged("a_umem_that_sockets_share_is_refused_and_kernel_rings_have_it", || {
            let _far = linked(2);
            let shared = XdpOptions { umem: UmemPlan::PerDevice, ..options(Filter::all()) };
            let refused = |options: &XdpOptions| {
                let error = XdpDevice::open(options).unwrap_err();
                assert_eq!(error.code(), Code::Unsupported);
                assert!(error.message().contains("Use RingsKind::Kernel"), "{error}");
            };
            refused(&shared);
            let device = XdpDevice::open(&XdpOptions { rings: RingsKind::Kernel, ..shared.clone() }).unwrap();
            assert_eq!(device.info().rings_kind, RingsKind::Kernel);
            refused(&XdpOptions { umem: UmemPlan::Of(device.umem().unwrap()), ..shared });
            assert_eq!(device.umem().unwrap().sockets(), 2);
            drop(device);
            close(XdpDevice::open(&options(Filter::all())).unwrap());
        });
    });
}

/// The flags of the mapping that begins there: proc(5), smaps.
fn memory_flags(base: usize) -> String {
    let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
    let head = format!("{base:x}-");
    let mut lines = smaps.lines().skip_while(|line| !line.starts_with(&head));
    lines.find(|line| line.starts_with("VmFlags:")).unwrap().to_owned()
}
