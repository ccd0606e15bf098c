//! What opening an interface would come to, and the command for each thing that is in the way.

use std::fmt;
use std::fs;

use super::explain::{self, Capability, require_support};
use super::filter::Sockets;
use super::interface::{Interface, driver_features, offload};
use super::options::XdpOptions;
use super::sys;
use crate::Error;

// enum netdev_xdp_act of linux/netdev.h.
const ACT_REDIRECT: u64 = 1 << 1;
const ACT_XSK_ZEROCOPY: u64 = 1 << 3;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Good to know.
    Note,
    /// Opening works, but not as well as it could, or packets may be missed.
    Warning,
    /// Opening fails.
    Blocking,
}

/// What a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The process: its rights and limits, and what its kernel allows.
    Process,
    /// The interface.
    Interface,
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is about.
    pub about: Subject,
    /// How much it matters.
    pub severity: Severity,
    /// What it is.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
}

/// An interface, the kernel and this process's rights, as AF_XDP sees them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XdpProbe {
    /// The interface's name.
    pub interface: String,
    /// The kernel's release.
    pub kernel: String,
    /// Its driver.
    pub driver: Option<String>,
    /// Whether it is up.
    pub up: bool,
    /// Its MTU.
    pub mtu: u32,
    /// Queues that it has.
    pub queues: u32,
    /// Queues that it could have.
    pub most_queues: u32,
    /// Whether the driver redirects natively; `None`: the kernel (before 6.3) does not say.
    pub native: Option<bool>,
    /// Whether the driver has zero-copy; `None`: the kernel (before 6.3) does not say.
    pub zero_copy: Option<bool>,
    /// The number of the XDP program that is attached.
    pub program: Option<u32>,
    /// Capabilities that the calling thread lacks.
    pub missing: Vec<Capability>,
    /// RLIMIT_MEMLOCK in bytes; `None`: unlimited, or CAP_IPC_LOCK is there.
    pub locked_memory: Option<u64>,
    /// Everything that was found, the worst first.
    pub findings: Vec<Finding>,
}

impl XdpProbe {
    /// Looks at an interface in the calling thread's network namespace, without changing anything. Makes an AF_XDP socket and
    /// a map for a moment to see whether they can be had.
    ///
    /// # Errors
    /// [`Code::Unsupported`](crate::Code::Unsupported): not Linux. [`Code::AddressNotAvailable`](crate::Code::AddressNotAvailable): no
    /// such interface.
    pub fn look(interface: &str) -> Result<XdpProbe, Error> {
        require_support()?;
        let interface = Interface::find(interface)?;
        let features = driver_features(interface.index);
        let bit = |bit| features.map(|features| features & bit != 0);
        let may_lock = Capability::IpcLock.held() == Some(true);
        let mut probe = XdpProbe {
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
            driver: interface.driver.clone(),
            up: interface.up,
            mtu: interface.mtu,
            queues: interface.queues,
            most_queues: interface.most_queues,
            native: bit(ACT_REDIRECT),
            zero_copy: bit(ACT_XSK_ZEROCOPY),
            program: interface.program,
            missing: explain::missing(),
            locked_memory: if may_lock { None } else { sys::locked_memory_limit() },
            findings: Vec::new(),
            interface: interface.name,
        };
        probe.rights();
        probe.link();
        probe.offloads();
        probe.findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        Ok(probe)
    }

    /// Whether nothing is in the way of opening it with the defaults.
    pub fn is_ready(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity != Severity::Blocking)
    }

    fn find(&mut self, severity: Severity, what: impl Into<String>, remedy: impl Into<String>) {
        let about = Subject::Interface;
        self.findings.push(Finding { about, severity, what: what.into(), remedy: remedy.into() });
    }

    fn find_in_process(&mut self, severity: Severity, what: String, remedy: String) {
        self.findings.push(Finding { about: Subject::Process, severity, what, remedy });
    }

    fn rights(&mut self) {
        if !self.missing.is_empty() {
            let names: Vec<&str> = self.missing.iter().map(|capability| capability.name()).collect();
            self.find_in_process(
                Severity::Blocking,
                format!("This process lacks {}", names.join(", ")),
                explain::grant(&self.missing),
            );
        } else if let Err(error) = sockets_and_maps() {
            let (what, remedy) = error.message().split_once(". ").unwrap_or((error.message(), ""));
            self.find_in_process(Severity::Blocking, what.to_owned(), remedy.to_owned());
        }
        let (budget, queues) = (XdpOptions::DEFAULT_BUDGET as u64, u64::from(self.queues));
        let frames = u64::from(XdpOptions::DEFAULT_FRAMES).min(budget / queues / 2048);
        let wanted = frames * 2048 * queues;
        let whose = if queues == 1 { "the queue".to_owned() } else { format!("{queues} queues") };
        if let Some(limit) = self.locked_memory.filter(|&limit| limit < wanted) {
            self.find_in_process(
                Severity::Blocking,
                format!(
                    "{limit} bytes of memory may be locked (RLIMIT_MEMLOCK); the frames of {whose} take {wanted} by default"
                ),
                format!(
                    "`ulimit -l {}`, LimitMEMLOCK= of systemd, CAP_IPC_LOCK, or a memory_budget below the limit.",
                    wanted / 1024
                ),
            );
        }
    }

    fn link(&mut self) {
        let name = self.interface.clone();
        if !self.up {
            self.find(Severity::Warning, "The interface is down", format!("`ip link set dev {name} up`."));
        }
        let (small, large) = (XdpOptions::largest_mtu(2048, 0), XdpOptions::largest_mtu(4096, 0));
        let mtu = self.mtu;
        if mtu > large {
            self.find(
                Severity::Blocking,
                format!("The MTU is {mtu}; a frame of 4096 bytes holds packets up to {large}"),
                format!("`ip link set dev {name} mtu {large}`, or {small} for frames of 2048 bytes."),
            );
        } else if mtu > small {
            self.find(
                Severity::Blocking,
                format!("The MTU is {mtu}; a frame of 2048 bytes, the default, holds packets up to {small}"),
                format!("Use frame_size 4096, or `ip link set dev {name} mtu {small}`."),
            );
        }
        if let Some(id) = self.program {
            self.find(
                Severity::Blocking,
                format!("An XDP program is attached already, number {id}"),
                format!("`bpftool prog show id {id}` says whose; one without an owner goes with `ip link set dev {name} xdp off`."),
            );
        }
        if self.native == Some(false) {
            self.find(
                Severity::Warning,
                "The driver has no native XDP: mode auto will attach the program in the stack",
                "Expect several times the cost a packet; another driver or card helps.",
            );
        } else if self.driver.as_deref() != Some("veth") {
            self.find(
                Severity::Warning,
                "Many drivers reset the link when a program is attached natively: it may drop for seconds",
                "Open it when that does no harm, or use mode generic.",
            );
        }
        if self.zero_copy == Some(false) {
            self.find(
                Severity::Note,
                "The driver has no zero-copy: the kernel copies each frame once",
                "Nothing to do.",
            );
        }
        if self.queues > 1 {
            self.find(
                Severity::Note,
                format!("Packets spread over {} queues by flow: bind them all (the default)", self.queues),
                format!("`ethtool -L {name} combined N` changes their number."),
            );
        }
    }

    fn offloads(&mut self) {
        let name = self.interface.clone();
        for (feature, short, what) in [
            ("rx-lro", "lro", "Large receive offload merges packets into ones that no frame holds"),
            (
                "rx-gro-hw",
                "rx-gro-hw",
                "The card merges packets (hardware GRO) into ones that no frame holds",
            ),
            (
                "rx-vlan-hw-parse",
                "rxvlan",
                "The card takes VLAN tags out of frames: the filter sees them untagged",
            ),
        ] {
            if offload(&name, feature) == Some(true) {
                self.find(Severity::Warning, what, format!("`ethtool -K {name} {short} off`."));
            }
        }
    }
}

/// Whether the kernel and its policies let this process have both.
fn sockets_and_maps() -> Result<(), Error> {
    sys::xdp_socket()
        .map_err(|errno| explain::refused("socket", errno, "An AF_XDP socket cannot be made"))?;
    Sockets::new(1).map(drop)
}

impl fmt::Display for XdpProbe {
    /// A line on what will happen, and one for each finding.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |known: Option<bool>, yes, no| match known {
            Some(true) => yes,
            Some(false) => no,
            None => "unknown",
        };
        writeln!(
            f,
            "{}: {}; driver {}, {} of {} queues, MTU {}, {}, {}; Linux {}",
            self.interface,
            if self.is_ready() { "ready" } else { "not ready" },
            self.driver.as_deref().unwrap_or("unknown"),
            self.queues,
            self.most_queues,
            self.mtu,
            word(self.native, "native", "generic"),
            word(self.zero_copy, "zero-copy", "copy"),
            self.kernel
        )?;
        for finding in &self.findings {
            let mark = match finding.severity {
                Severity::Note => "note",
                Severity::Warning => "warning",
                Severity::Blocking => "blocking",
            };
            writeln!(f, "  {mark}: {}. {}", finding.what.trim_end_matches('.'), finding.remedy)?;
        }
        Ok(())
    }
}
