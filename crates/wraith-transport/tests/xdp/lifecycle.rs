//! Opening, closing, and what happens when either side goes.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;

use wraith_transport::Code;
use wraith_transport::xdp::{Filter, Received, XdpDevice, XdpOptions};

use crate::support::{
    FAR, also_over_xsk_rs, assert_all_home, close, collect, drain, ip, ip_output, linked, near, open,
    options, privileged, send_patterns, until, wait,
};

const PORT: u16 = 6343;

/// Whether an XDP program is attached.
fn attached() -> bool {
    let text = String::from_utf8(ip_output("-d link show wraith0").stdout).unwrap();
    text.contains("prog/xdp")
}

#[test]
fn a_hundred_reopenings_all_work() {
    privileged("a_hundred_reopenings_all_work", || {
        let far = linked(1);
        let sender = far.udp(&format!("{FAR}:0"));
        for round in 0..100 {
            let mut device = open(Filter::udp_ports([PORT]));
            assert!(attached());
            send_patterns(&sender, near(PORT), round..round + 5, 64);
            collect(device.sockets_mut(), 5);
            close(device);
            assert!(!attached());
        }
    });
}

#[test]
fn kill_9_leaves_no_program_and_a_restart_works() {
    const HOLD: &str = "WRAITH_TEST_XDP_HOLD";
    if std::env::var_os(HOLD).is_some() {
        // The child of this very test, in its namespace.
        let device = open(Filter::udp_ports([PORT]));
        println!("\nopen");
        loop {
            std::thread::park();
            assert!(!device.sockets().is_empty());
        }
    }
    privileged("kill_9_leaves_no_program_and_a_restart_works", || {
        let far = linked(1);
        let sender = far.udp(&format!("{FAR}:0"));
        for round in 0..3 {
            let mut child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "lifecycle::kill_9_leaves_no_program_and_a_restart_works", "--nocapture"])
                .env(HOLD, "1")
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let lines = BufReader::new(child.stdout.take().unwrap()).lines();
            assert!(lines.map_while(Result::ok).any(|line| line == "open"), "the child could not open");
            assert!(attached());
            child.kill().unwrap();
            child.wait().unwrap();
            until("the program has gone", || !attached());
            let mut device = open(Filter::udp_ports([PORT]));
            send_patterns(&sender, near(PORT), round..round + 5, 64);
            collect(device.sockets_mut(), 5);
            close(device);
        }
    });
}

#[test]
fn a_child_process_does_not_hold_the_queue() {
    privileged("a_child_process_does_not_hold_the_queue", || {
        let far = linked(1);
        let sender = far.udp(&format!("{FAR}:0"));
        let device = open(Filter::udp_ports([PORT]));
        // Repeats its input, which ends when this test lets it.
        let mut cat = Command::new("cat");
        // Not this process's standard error, which may be a socket: Node.js makes such ones.
        cat.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = cat.spawn().unwrap();
        child.stdin.as_mut().unwrap().write_all(b"running\n").unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "running\n");
        for entry in fs::read_dir(format!("/proc/{}/fd", child.id())).unwrap() {
            let link = fs::read_link(entry.unwrap().path()).unwrap();
            let link = link.to_string_lossy();
            assert!(!link.contains("bpf") && !link.contains("socket"), "the child has {link}");
        }
        let maps = fs::read_to_string(format!("/proc/{}/maps", child.id())).unwrap();
        assert!(!maps.contains("socket:"), "{maps}");
        close(device);
        assert!(!attached());
        let mut device = open(Filter::udp_ports([PORT]));
        send_patterns(&sender, near(PORT), 0..5, 64);
        collect(device.sockets_mut(), 5);
        close(device);
        drop(child.stdin.take());
        child.wait().unwrap();
    });
}

#[test]
fn an_interface_that_goes_while_open_is_reported() {
    privileged("an_interface_that_goes_while_open_is_reported", || {
        let far = linked(1);
        let sender = far.udp(&format!("{FAR}:0"));
        let mut device = open(Filter::udp_ports([PORT]));
        send_patterns(&sender, near(PORT), 0..5, 64);
        let socket = &mut device.sockets_mut()[0];
        wait(socket.fd(), libc::POLLIN);
        assert!(socket.take_error().is_none());
        assert!(matches!(socket.receive(), Received::Rows { .. }));
        ip("link del wraith0");
        let error = socket.take_error().unwrap();
        assert_eq!((error.code(), error.errno()), (Code::System, Some(libc::ENETDOWN)));
        assert!(error.message().contains("open it again"), "{error}");
        socket.finish();
        // What lay in the ring is still good.
        drain(socket);
        assert!(matches!(socket.receive(), Received::Empty));
        close(device);
        let error = XdpDevice::open(&options(Filter::all())).unwrap_err();
        assert_eq!(error.code(), Code::AddressNotAvailable);
        assert!(error.message().contains("\"wraith0\""), "{error}");
    });
}

#[test]
fn an_interface_that_is_down_for_a_while_goes_on() {
    privileged("an_interface_that_is_down_for_a_while_goes_on", || {
        let far = linked(1);
        let sender = far.udp(&format!("{FAR}:0"));
        let mut device = open(Filter::udp_ports([PORT]));
        for round in 0..3 {
            ip("link set wraith0 down");
            // What the kernel had kept back until it knew the neighbour can have come since the last look.
            drain(&mut device.sockets_mut()[0]);
            assert!(matches!(device.sockets_mut()[0].receive(), Received::Empty));
            ip("link set wraith0 up");
            let mut got = Vec::new();
            until("frames come again", || {
                // The link takes a moment to come up, and until then the sender's packets go nowhere.
                let _ = sender.send_to(&[round; 64], near(PORT));
                got.extend(drain(&mut device.sockets_mut()[0]));
                !got.is_empty()
            });
        }
        close(device);
    });
}

#[test]
fn sockets_that_were_taken_keep_the_program_and_close_by_themselves() {
    privileged("sockets_that_were_taken_keep_the_program_and_close_by_themselves", || {
        let far = linked(2);
        let sender = far.udp(&format!("{FAR}:0"));
        let mut device = open(Filter::udp_ports([PORT]));
        let mut sockets = device.take_sockets();
        assert!(device.sockets().is_empty());
        device.close();
        assert!(attached());
        send_patterns(&sender, near(PORT), 0..50, 64);
        collect(&mut sockets, 50);
        let mut last = sockets.pop().unwrap();
        drop(sockets);
        assert!(attached());
        let pool = Arc::clone(last.pool());
        last.close();
        assert!(!attached());
        last.close();
        assert_eq!(last.fd(), -1);
        assert!(matches!(last.receive(), Received::Failed(error) if error.code() == Code::SocketClosed));
        assert_eq!(last.statistics().unwrap_err().code(), Code::SocketClosed);
        assert!(last.take_error().is_none());
        assert_all_home(&pool);
    });
}

#[test]
fn closing_in_the_middle_of_a_batch_brings_every_slot_home() {
    privileged("closing_in_the_middle_of_a_batch_brings_every_slot_home", || {
        let far = linked(1);
        let sender = far.udp(&format!("{FAR}:0"));
        let mut device = open(Filter::udp_ports([PORT]));
        send_patterns(&sender, near(PORT), 0..100, 1000);
        let socket = &mut device.sockets_mut()[0];
        wait(socket.fd(), libc::POLLIN);
        assert!(matches!(socket.receive(), Received::Rows { .. }));
        let audit = socket.pool().audit();
        assert_eq!(audit.lent as usize, socket.rows().len());
        assert_eq!(audit.posted, 512 - 64 - audit.lent);
        close(device);
    });
}

#[test]
fn the_filter_changes_while_packets_flow() {
    privileged("the_filter_changes_while_packets_flow", || {
        let far = linked(1);
        let sender = far.udp(&format!("{FAR}:0"));
        let mut device = open(Filter::udp_ports([PORT]));
        let program = device.info().program_id.unwrap();
        for round in 0..20 {
            let (wanted, other) = if round % 2 == 0 { (PORT, PORT + 1) } else { (PORT + 1, PORT) };
            // Compared one by one, and looked up.
            let more = if round % 4 < 2 { 0 } else { 40 };
            device.set_filter(&Filter::udp_ports((20_000..20_000 + more).chain([wanted]))).unwrap();
            send_patterns(&sender, near(other), 0..5, 64);
            send_patterns(&sender, near(wanted), 0..7, 64);
            for frame in collect(device.sockets_mut(), 7) {
                assert_eq!(frame[36..38], wanted.to_be_bytes());
            }
        }
        let info = device.info();
        assert_ne!(info.program_id, Some(program));
        assert!(info.filter.starts_with("udp/"), "{info}");
        for filter in [Filter::none(), Filter::udp_ports([]), Filter::udp_ports([22])] {
            assert!(device.set_filter(&filter).is_err(), "{filter}");
        }
        // A filter that was refused has changed nothing.
        send_patterns(&sender, near(PORT + 1), 0..7, 64);
        collect(device.sockets_mut(), 7);
        close(device);
        let nothing = open(Filter::none());
        assert_eq!(nothing.set_filter(&Filter::all()).unwrap_err().code(), Code::Unsupported);
        close(nothing);
    });
}

#[test]
fn a_promiscuous_interface_is_so_for_as_long_as_it_is_open() {
    privileged("a_promiscuous_interface_is_so_for_as_long_as_it_is_open", || {
        let _far = linked(1);
        let promiscuity = || {
            let text = String::from_utf8(ip_output("-d link show wraith0").stdout).unwrap();
            text.contains("promiscuity 1")
        };
        let options = XdpOptions { promiscuous: true, ..options(Filter::all()) };
        let device = XdpDevice::open(&options).unwrap();
        assert!(device.is_promiscuous() && promiscuity());
        close(device);
        assert!(!promiscuity());
    });
}

also_over_xsk_rs!(
    a_hundred_reopenings_all_work,
    a_child_process_does_not_hold_the_queue,
    an_interface_that_goes_while_open_is_reported,
    an_interface_that_is_down_for_a_while_goes_on,
    sockets_that_were_taken_keep_the_program_and_close_by_themselves,
    closing_in_the_middle_of_a_batch_brings_every_slot_home,
    the_filter_changes_while_packets_flow,
    a_promiscuous_interface_is_so_for_as_long_as_it_is_open,
);
