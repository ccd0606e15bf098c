//! Why the kernel refused: which capability, limit or policy is in the way, and what to do.

use std::fs;

use super::sys::{self, Errno};
use crate::{Code, Error};

/// Capabilities that AF_XDP asks for: capabilities(7), linux/capability.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// Attaching programs and binding sockets to queues.
    NetAdmin = 12,
    /// Making AF_XDP sockets.
    NetRaw = 13,
    /// Memory beyond RLIMIT_MEMLOCK.
    IpcLock = 14,
    /// What CAP_BPF allows, before Linux 5.8.
    SysAdmin = 21,
    /// Loading programs and making maps.
    Bpf = 39,
}

impl Capability {
    /// Those without which nothing can be opened. [`Capability::IpcLock`] is needed only beyond RLIMIT_MEMLOCK, and
    /// [`Capability::SysAdmin`] stands in for [`Capability::Bpf`].
    pub const NEEDED: [Capability; 3] = [Capability::NetAdmin, Capability::NetRaw, Capability::Bpf];

    /// The name that setcap(8) and systemd use.
    pub const fn name(self) -> &'static str {
        match self {
            Capability::NetAdmin => "CAP_NET_ADMIN",
            Capability::NetRaw => "CAP_NET_RAW",
            Capability::IpcLock => "CAP_IPC_LOCK",
            Capability::SysAdmin => "CAP_SYS_ADMIN",
            Capability::Bpf => "CAP_BPF",
        }
    }

    /// Whether the calling thread has it now; `None` where that cannot be read.
    pub fn held(self) -> Option<bool> {
        effective().map(|mask| mask & 1 << self as u32 != 0)
    }
}

/// The calling thread's effective capabilities.
fn effective() -> Option<u64> {
    let status = fs::read_to_string("/proc/thread-self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

/// Those of [`Capability::NEEDED`] that the calling thread has not.
pub(super) fn missing() -> Vec<Capability> {
    let lacks = |capability: &Capability| match capability {
        Capability::Bpf => {
            Capability::Bpf.held() == Some(false) && Capability::SysAdmin.held() == Some(false)
        }
        other => other.held() == Some(false),
    };
    Capability::NEEDED.into_iter().filter(lacks).collect()
}

/// The advice that goes with missing capabilities.
pub(super) fn grant(missing: &[Capability]) -> String {
    let names: Vec<String> = missing.iter().map(|capability| capability.name().to_lowercase()).collect();
    let upper: Vec<&str> = missing.iter().map(|capability| capability.name()).collect();
    format!(
        "Run as root, or grant {}: `setcap {}=ep <the program>`, AmbientCapabilities= of systemd, or --cap-add of the container.",
        upper.join(", "),
        names.join(",")
    )
}

/// This system has no AF_XDP.
pub(super) fn unsupported() -> Error {
    Error::with_remedy(
        Code::Unsupported,
        "AF_XDP exists on Linux only",
        "Use UdpSocket here, or run on Linux 5.9 or newer.",
    )
}

/// # Errors
/// [`Code::Unsupported`] where there is no AF_XDP.
pub(super) fn require_support() -> Result<(), Error> {
    if sys::SUPPORTED { Ok(()) } else { Err(unsupported()) }
}

/// The error for a refused call, with what stands in the way.
pub(super) fn refused(syscall: &'static str, errno: Errno, what: &str) -> Error {
    if !sys::SUPPORTED {
        return unsupported();
    }
    let error = Error::system(syscall, errno, what);
    match errno {
        libc::EPERM | libc::EACCES => {
            let missing = missing();
            if missing.is_empty() {
                error.advise(
                    "The capabilities are there, so a seccomp filter, a security module or a user namespace refuses it: \
                     allow bpf(2) and AF_XDP for this process (containers: a seccomp profile that does).",
                )
            } else {
                error.advise(&grant(&missing))
            }
        }
        libc::ENODEV => error.advise("Check the name with `ip link`; the interface may have been removed."),
        libc::ENETDOWN => error.advise("Bring the interface up: `ip link set dev <name> up`."),
        libc::EAFNOSUPPORT | libc::ENOSYS => Error::with_remedy(
            Code::Unsupported,
            format!("{what}: {syscall}: the kernel was built without it"),
            "Run on a kernel with CONFIG_XDP_SOCKETS and CONFIG_BPF_SYSCALL (uname -r, /boot/config-*).",
        ),
        _ => error,
    }
}

/// XDP_UMEM_REG was refused for want of memory that may be locked.
pub(super) fn memory_refused(errno: Errno, bytes: u64) -> Error {
    let limit = sys::locked_memory_limit().map_or("unlimited".into(), |bytes| format!("{bytes} bytes"));
    let what = format!(
        "A UMEM of {bytes} bytes cannot be locked (RLIMIT_MEMLOCK is {limit}, for all sockets of this user)"
    );
    let remedy = format!(
        "Raise it with `ulimit -l {}` or LimitMEMLOCK= of systemd, grant CAP_IPC_LOCK, or lower memory_budget.",
        bytes.div_ceil(1024)
    );
    let reason = std::io::Error::from_raw_os_error(errno);
    Error::with_remedy(Code::NoMemory, format!("{what}: setsockopt XDP_UMEM_REG: {reason}"), &remedy)
}
