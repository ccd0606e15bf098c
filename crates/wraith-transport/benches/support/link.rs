//! A network namespace of this benchmark's own, and veth pairs in it.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use super::generator::column;

/// Leaves the machine's network for an empty one; threads that are started from now on are in it as well.
pub(crate) fn own_namespace() -> Result<(), String> {
    // SAFETY: takes a number; the process has one thread.
    if unsafe { libc::unshare(libc::CLONE_NEWNET) } == 0 {
        return Ok(());
    }
    Err(format!(
        "this benchmark needs root, for a network namespace and AF_XDP (unshare: {}): run it with sudo -E",
        io::Error::last_os_error()
    ))
}

/// Two joined interfaces, one queue each. Everything here is copy mode: veth has no zero-copy AF_XDP.
pub(crate) struct Link {
    /// Where frames are received.
    pub(crate) near: String,
    /// Where they are sent.
    pub(crate) far: String,
}

impl Link {
    pub(crate) fn new(name: &str) -> Link {
        let (near, far) = (format!("{name}0"), format!("{name}1"));
        ip(&format!("link add {near} type veth peer name {far}"));
        for end in [&near, &far] {
            // Without IPv6 the kernel itself sends nothing.
            let setting = format!("/proc/sys/net/ipv6/conf/{end}/disable_ipv6");
            assert!(fs::write(&setting, "1").is_ok() || !Path::new(&setting).exists(), "{setting}");
            ip(&format!("link set {end} up"));
        }
        Link { near, far }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        ip(&format!("link del {}", self.near));
    }
}

/// How many frames have come to an interface and were given to its program, since it was made.
pub(crate) fn arrived(interface: &str) -> u64 {
    // The columns of what was received: bytes, packets.
    column(interface, 1)
}

fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status();
    let status = status.unwrap_or_else(|error| panic!("ip (Debian: apt-get install iproute2): {error}"));
    assert!(status.success(), "ip {arguments}");
}
