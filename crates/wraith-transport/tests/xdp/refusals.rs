//! What cannot be opened, and what the message says to do.

use wraith_transport::Code;
use wraith_transport::xdp::{Capability, Filter, Mode, XdpDevice, XdpOptions, test_filter};

use crate::frames::udp4;
use crate::support::{
    FAR, also_over_xsk_rs, close, collect, ip, linked, near, open, options, privileged, send_patterns,
};

const PORT: u16 = 6343;

#[test]
fn a_second_device_is_refused_until_the_first_is_closed() {
    privileged("a_second_device_is_refused_until_the_first_is_closed", || {
        let _far = linked(2);
        let first = open(Filter::udp_ports([PORT]));
        let error = XdpDevice::open(&options(Filter::udp_ports([PORT + 1]))).unwrap_err();
        assert_eq!(error.code(), Code::AddressInUse);
        let number = first.info().program_id.unwrap();
        assert!(error.message().contains(&format!("number {number};")), "{error}");
        // Without a program only the queue is in the way.
        let sends = XdpOptions { queues: Some(vec![1]), ..options(Filter::none()) };
        let error = XdpDevice::open(&sends).unwrap_err();
        assert_eq!(error.code(), Code::AddressInUse);
        assert!(error.message().contains("queue 1 of wraith0"), "{error}");
        close(first);
        close(open(Filter::udp_ports([PORT + 1])));
    });
}

#[test]
fn what_the_interface_cannot_is_refused_with_what_to_do() {
    privileged("what_the_interface_cannot_is_refused_with_what_to_do", || {
        let _far = linked(1);
        let refuse = |options: XdpOptions, code: Code, word: &str| {
            let error = XdpDevice::open(&options).unwrap_err();
            assert_eq!(error.code(), code, "{error}");
            assert!(error.message().contains(word), "{error}");
        };
        let all = || options(Filter::all());
        let zero_copy = XdpOptions { mode: Mode::ZeroCopy, ..all() };
        refuse(
            zero_copy,
            Code::Unsupported,
            "no zero-copy AF_XDP for queue 0 of wraith0. Use mode auto or copy.",
        );
        refuse(XdpOptions { queues: Some(vec![1]), ..all() }, Code::OutOfRange, "has queues 0 to 0");
        refuse(XdpOptions { interface: "nothing".into(), ..all() }, Code::AddressNotAvailable, "`ip link`");
        refuse(
            XdpOptions { interface: "lo".into(), ..all() },
            Code::MessageTooLarge,
            "The MTU of lo is 65536",
        );
        refuse(options(Filter::udp_ports([])), Code::OutOfRange, "selects nothing");
        refuse(XdpOptions { frames: Some(1), ..all() }, Code::OutOfRange, "frames is 1");
        ip("link set wraith0 mtu 3000");
        refuse(
            all(),
            Code::MessageTooLarge,
            "is 3000; frames of 2048 bytes with 0 bytes of headroom hold packets up to an MTU of 1774. Use frame_size 4096.",
        );
        close(XdpDevice::open(&XdpOptions { frame_size: 4096, ..all() }).unwrap());
        // What fits into a frame may still be too much for the driver, which has to find room for its own things.
        ip("link set wraith0 mtu 3800");
        match XdpDevice::open(&XdpOptions { frame_size: 4096, ..all() }) {
            Ok(device) => close(device),
            Err(error) => assert!(error.message().contains("MTU (3800)"), "{error}"),
        }
        // Whatever was refused has left nothing behind.
        ip("link set wraith0 mtu 1500");
        close(XdpDevice::open(&all()).unwrap());
    });
}

/// linux/capability.h.
#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

/// Leaves this thread with these capabilities alone.
pub(crate) fn keep_only(capabilities: &[Capability]) {
    let mask = capabilities.iter().fold(0_u64, |mask, &capability| mask | 1 << capability as u32);
    let (low, high) = (mask as u32, (mask >> 32) as u32);
    let header = Header { version: 0x2008_0522, pid: 0 };
    // Effective, permitted, inheritable: the lower words, then the upper ones.
    let data = [low, low, 0, high, high, 0];
    // SAFETY: header and data as capset(2) version 3 wants them; changes this thread only, which ends with the test.
    let set = unsafe { libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr()) };
    assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
}

#[test]
fn the_documented_capabilities_are_enough() {
    privileged("the_documented_capabilities_are_enough", || {
        let far = linked(1);
        let sender = far.udp(&format!("{FAR}:0"));
        keep_only(&Capability::NEEDED);
        let many = Filter::udp_ports((PORT..PORT + 30).chain([9]));
        let mut device = open(many);
        send_patterns(&sender, near(PORT), 0..20, 64);
        collect(device.sockets_mut(), 20);
        device.set_filter(&Filter::all()).unwrap();
        close(device);
    });
}

#[test]
fn each_missing_capability_is_named() {
    for missing in Capability::NEEDED {
        privileged("each_missing_capability_is_named", move || {
            let _far = linked(1);
            let rest: Vec<_> = Capability::NEEDED.into_iter().filter(|&one| one != missing).collect();
            keep_only(&rest);
            assert_eq!(missing.held(), Some(false));
            let error = XdpDevice::open(&options(Filter::udp_ports([PORT]))).unwrap_err();
            assert_eq!(error.code(), Code::Permission, "{error}");
            let setcap = format!("`setcap {}=ep", missing.name().to_lowercase());
            assert!(error.message().contains(&setcap), "{error}");
            let error = test_filter(&Filter::udp_ports([PORT]), &udp4(PORT)).unwrap_err();
            assert_eq!(error.code(), Code::Permission, "{error}");
        });
    }
}

#[test]
fn memory_beyond_the_limit_is_refused_with_the_limit() {
    privileged("memory_beyond_the_limit_is_refused_with_the_limit", || {
        let _far = linked(1);
        keep_only(&Capability::NEEDED);
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: the structure is ours.
        assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) }, 0);
        if limit.rlim_cur == libc::RLIM_INFINITY || limit.rlim_cur >= 64 << 20 {
            // Nothing to run into: the limit is the machine's, and a process-wide one.
            close(open(Filter::udp_ports([PORT])));
            return;
        }
        let large = XdpOptions { frames: Some(32_768), ..options(Filter::udp_ports([PORT])) };
        let error = XdpDevice::open(&large).unwrap_err();
        assert_eq!(error.code(), Code::NoMemory, "{error}");
        assert!(error.message().contains("`ulimit -l 65536`"), "{error}");
        assert!(error.message().contains(&format!("RLIMIT_MEMLOCK is {} bytes", limit.rlim_cur)), "{error}");
    });
}

also_over_xsk_rs!(
    a_second_device_is_refused_until_the_first_is_closed,
    what_the_interface_cannot_is_refused_with_what_to_do,
    memory_beyond_the_limit_is_refused_with_the_limit,
    the_documented_capabilities_are_enough,
    each_missing_capability_is_named,
);
