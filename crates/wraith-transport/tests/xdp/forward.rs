//! Frames that come through one interface leave through another where they lie: two devices, one UMEM.

use std::net::UdpSocket;
use std::sync::Arc;

use wraith_transport::Code;
use wraith_transport::memory::{Owner, State};
use wraith_transport::xdp::{Filter, Received, UmemPlan, XdpDevice, XdpOptions, XdpSocket};

use crate::frames::{MAC_A, MAC_B};
use crate::support::{
    FAR, Far, NEAR, close_all, collect, drain, expect, far as far_address, give_back, ip, ip_output, linked,
    linked_again, near, options, privileged, row_bytes, send_patterns, until, wait,
};

pub(crate) const PORT: u16 = 6343;
pub(crate) const MAC_C: [u8; 6] = [0x02, 0, 0, 0, 0, 0x0c];
pub(crate) const MAC_D: [u8; 6] = [0x02, 0, 0, 0, 0, 0x0d];

/// A bridge whose middle is this namespace: the second far side has the near side's address, so that what the first one sends
/// can be forwarded to it as it is, but for the MAC addresses.
pub(crate) fn bridged(queues: u32) -> [Far; 2] {
    let (one, two) = (linked(queues), linked_again(queues));
    two.run(|| {
        ip(&format!("addr add {NEAR}/24 dev wraith3"));
        ip(&format!("neigh replace {FAR} lladdr 02:00:00:00:00:0c dev wraith3 nud permanent"));
    });
    [one, two]
}

/// The device of wraith0 with frames for both, and that of wraith2 in the same UMEM.
fn pair() -> [XdpDevice; 2] {
    let first = first();
    let second = second(&first);
    [first, second]
}

fn first() -> XdpDevice {
    let filter = Filter::udp_ports([PORT]);
    let options = XdpOptions { umem: UmemPlan::PerDevice, tx_frames: Some(320), ..options(filter) };
    XdpDevice::open(&options).unwrap()
}

pub(crate) fn second(first: &XdpDevice) -> XdpDevice {
    let umem = UmemPlan::Of(first.umem().unwrap());
    XdpDevice::open(&XdpOptions { umem, ..XdpOptions::new("wraith2", Filter::udp_ports([PORT])) }).unwrap()
}

/// Changes the MAC addresses of what has come and sends it on; returns how many there were.
fn forward(from: &mut XdpSocket, to: &mut XdpSocket, macs: ([u8; 6], [u8; 6])) -> usize {
    let rows = match from.receive() {
        Received::Rows { rows, .. } => rows,
        Received::Empty => return 0,
        other => panic!("{other:?}"),
    };
    for row in 0..rows {
        let frame = row_bytes(from, row);
        frame[..6].copy_from_slice(&macs.0);
        frame[6..12].copy_from_slice(&macs.1);
        // A veth peer does not finish its checksum.
        frame[40..42].fill(0);
    }
    let slots: Vec<_> = from.rows().iter().map(|row| row.slot).collect();
    let all: Vec<_> = (0..rows).collect();
    let mut sent = 0;
    until("all are accepted", || {
        let accepted = from.forward_rows(&all[sent..], to).unwrap();
        for &slot in &slots[sent..sent + accepted] {
            let word = to.pool().holding(slot).unwrap();
            assert_eq!((word.state, word.owner), (State::Op, to.owner()), "the very slot is sent");
        }
        sent += accepted;
        sent == rows
    });
    from.finish();
    until("all are sent", || to.flush().unwrap() == 0);
    rows
}

/// Forwards until so many have come from each side.
fn shuttle(devices: &mut [XdpDevice; 2], each: [usize; 2]) {
    let [one, two] = devices;
    let (one, two) = (&mut one.sockets_mut()[0], &mut two.sockets_mut()[0]);
    let mut done = [0, 0];
    until("everything is forwarded", || {
        done[0] += forward(one, two, (MAC_D, MAC_C));
        done[1] += forward(two, one, (MAC_B, MAC_A));
        done == each
    });
}

pub(crate) fn ends(far: &[Far; 2]) -> [UdpSocket; 2] {
    [far[0].udp(&format!("{FAR}:{PORT}")), far[1].udp(&format!("{NEAR}:{PORT}"))]
}

#[test]
fn frames_are_forwarded_both_ways_where_they_lie() {
    privileged("frames_are_forwarded_both_ways_where_they_lie", || {
        let far = bridged(1);
        let [left, right] = ends(&far);
        let mut devices = pair();
        let core = Arc::clone(devices[0].sockets()[0].pool());
        assert!(Arc::ptr_eq(&core, devices[1].sockets()[0].pool()));
        assert_ne!(devices[0].sockets()[0].owner(), devices[1].sockets()[0].owner());
        let info = devices[1].info();
        // Half of the 320 that were free, an eighth of which are for sending.
        assert_eq!((info.frames, info.fill_frames, info.umem_frames), (160, 140, 512));
        for round in 0..60 {
            let numbers = round * 50..round * 50 + 50;
            send_patterns(&left, near(PORT), numbers.clone(), 300);
            send_patterns(&right, far_address(PORT), numbers.clone(), 1000);
            shuttle(&mut devices, [50, 50]);
            expect(&right, numbers.clone(), 300);
            expect(&left, numbers, 1000);
            let audit = core.audit();
            assert!(audit.is_ok(), "{audit:?}");
        }
        for device in &devices {
            let socket = &device.sockets()[0];
            let (counters, kernel) = (socket.metrics().snapshot(), socket.statistics().unwrap());
            assert_eq!((counters.packets, counters.sent, kernel.dropped()), (3000, 3000, 0));
            assert_eq!(kernel.tx_invalid_descs, 0);
        }
        // Nothing is out but what the kernel has.
        until("all that was sent is back", || {
            devices.iter_mut().all(|device| {
                let socket = &mut device.sockets_mut()[0];
                socket.reap();
                socket.with_kernel().1 == 0
            })
        });
        let audit = core.audit();
        assert_eq!((audit.lent, audit.op, audit.free + audit.posted), (0, 0, 512), "{audit:?}");
        close_all(devices);
    });
}

#[test]
fn either_device_goes_on_when_the_other_is_closed() {
    privileged("either_device_goes_on_when_the_other_is_closed", || {
        let far = bridged(1);
        let [left, right] = ends(&far);
        for keep in [0, 1] {
            let devices = pair();
            let umem = devices[0].umem().unwrap();
            assert_eq!((umem.sockets(), umem.is_zero_copy()), (2, Some(false)));
            let [one, two] = devices;
            let (mut kept, closed) = if keep == 0 { (one, two) } else { (two, one) };
            let owner = closed.sockets()[0].owner();
            drop(closed);
            let holdings = umem.pool().holdings();
            assert!(holdings.iter().all(|holdings| holdings.owner != owner), "{holdings:?}");
            assert_eq!(umem.sockets(), 1);
            let (sender, to) = if keep == 0 { (&left, near(PORT)) } else { (&right, far_address(PORT)) };
            for round in 0..5 {
                send_patterns(sender, to, round * 100..round * 100 + 100, 64);
                collect(kept.sockets_mut(), 100);
            }
            // The one that is left is enough to share its UMEM with.
            let name = if keep == 0 { "wraith2" } else { "wraith0" };
            let again = XdpOptions {
                umem: UmemPlan::Of(umem.clone()),
                ..XdpOptions::new(name, Filter::udp_ports([PORT]))
            };
            let again = XdpDevice::open(&again).unwrap();
            assert_eq!(again.umem().as_ref(), Some(&umem));
            let mut both = if keep == 0 { [kept, again] } else { [again, kept] };
            send_patterns(&left, near(PORT), 0..50, 64);
            shuttle(&mut both, [50, 0]);
            expect(&right, 0..50, 64);
            close_all(both);
            let late =
                XdpOptions { umem: UmemPlan::Of(umem.clone()), ..XdpOptions::new("wraith2", Filter::all()) };
            let error = XdpDevice::open(&late).unwrap_err();
            assert_eq!(error.code(), Code::SocketClosed, "{error}");
            assert!(error.message().contains("No socket of the UMEM is open"), "{error}");
            assert!(umem.pool().audit().is_ok());
        }
    });
}

#[test]
fn an_interface_that_has_gone_is_no_reason_not_to_share() {
    privileged("an_interface_that_has_gone_is_no_reason_not_to_share", || {
        let far = bridged(1);
        let [left, right] = ends(&far);
        let [first, mut other] = pair();
        let umem = first.umem().unwrap();
        ip("link del wraith0");
        // Still open, but bound to nothing; the other one is asked then.
        assert_eq!(umem.sockets(), 2);
        drop(left);
        far[0].run(|| assert!(ip_output("link show wraith1").status.code() != Some(0)));
        send_patterns(&right, far_address(PORT), 0..50, 64);
        collect(other.sockets_mut(), 50);
        let _third = linked(1);
        let third = XdpOptions {
            umem: UmemPlan::Of(umem),
            frames: Some(64),
            ..XdpOptions::new("wraith0", Filter::udp_ports([PORT]))
        };
        let third = XdpDevice::open(&third).unwrap();
        close_all([first, other, third]);
    });
}

#[test]
fn sharing_and_closing_twenty_times() {
    privileged("sharing_and_closing_twenty_times", || {
        let far = bridged(1);
        let [left, right] = ends(&far);
        let mut first = first();
        for round in 0..20 {
            let other = second(&first);
            let mut both = [first, other];
            send_patterns(&left, near(PORT), round..round + 5, 64);
            shuttle(&mut both, [5, 0]);
            expect(&right, round..round + 5, 64);
            let [kept, gone] = both;
            drop(gone);
            first = kept;
            assert!(first.umem().unwrap().pool().audit().is_ok());
        }
        close_all([first]);
    });
}

#[test]
fn sockets_of_different_umems_do_not_forward() {
    privileged("sockets_of_different_umems_do_not_forward", || {
        let far = bridged(1);
        let [left, _right] = ends(&far);
        let open = |name: &str| {
            XdpDevice::open(&XdpOptions {
                frames: Some(512),
                ..XdpOptions::new(name, Filter::udp_ports([PORT]))
            })
            .unwrap()
        };
        let (mut one, mut two) = (open("wraith0"), open("wraith2"));
        assert_eq!(one.umem(), None);
        send_patterns(&left, near(PORT), 0..1, 64);
        let (from, to) = (&mut one.sockets_mut()[0], &mut two.sockets_mut()[0]);
        wait(from.fd(), libc::POLLIN);
        assert!(matches!(from.receive(), Received::Rows { rows: 1, .. }));
        let error = from.forward_rows(&[0], to).unwrap_err();
        assert_eq!(error.code(), Code::ForeignBuffer);
        assert!(error.message().contains("different UMEMs"), "{error}");
        // The row is still the batch's.
        from.take(0, (State::Lent, Owner::new(9).unwrap())).unwrap();
        let slot = from.rows()[0].slot;
        from.finish();
        give_back(from.pool(), slot, (State::Lent, Owner::new(9).unwrap()));
        close_all([one, two]);
    });
}

#[test]
fn rows_that_cannot_be_forwarded_stay_in_the_batch() {
    privileged("rows_that_cannot_be_forwarded_stay_in_the_batch", || {
        let far = bridged(1);
        let [left, _right] = ends(&far);
        let [mut one, mut two] = pair();
        let (from, to) = (&mut one.sockets_mut()[0], &mut two.sockets_mut()[0]);
        send_patterns(&left, near(PORT), 0..3, 64);
        until("three have come", || match from.receive() {
            Received::Rows { rows, .. } => {
                assert!(rows <= 3);
                if rows < 3 {
                    from.finish();
                    send_patterns(&left, near(PORT), 0..3, 64);
                }
                rows == 3
            }
            _ => false,
        });
        assert_eq!(from.forward_rows(&[3], to).unwrap_err().code(), Code::OutOfRange);
        // Those before the one that cannot be are accepted.
        assert_eq!(from.forward_rows(&[0, 0, 1], to).unwrap(), 1);
        assert_eq!(from.forward_rows(&[0], to).unwrap_err().code(), Code::StaleBuffer);
        assert_eq!(from.take(0, (State::Lent, Owner::RUST)).unwrap_err().code(), Code::StaleBuffer);
        assert_eq!(from.forward_rows(&[], to).unwrap(), 0);
        to.close();
        assert_eq!(from.forward_rows(&[1], to).unwrap_err().code(), Code::SocketClosed);
        from.finish();
        drain(from);
        assert_eq!(from.metrics().snapshot().ownership_faults, 0);
        close_all([one, two]);
    });
}
