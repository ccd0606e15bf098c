//! A filter's program on an interface, and the sockets that it hands frames to.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{io, thread};

use super::abi;
use super::bpf::{Link, Program};
use super::explain::refused;
use super::filter::{Filter, Loaded, Select, Sockets};
use super::interface::Interface;
use super::options::Mode;
use super::sys::Errno;
use crate::{Code, Error};

/// How long the kernel may take to let go of what was closed before: measured at up to 130 ms.
const PATIENCE: Duration = Duration::from_secs(1);
/// First pause between two tries; each is twice as long as the last, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(64);

/// Tries again while `attempt` fails with one of `transient`, for about a second. The kernel frees links, queues and locked
/// memory some time after their descriptor was closed and offers nothing to wait for.
pub(super) fn patiently<T, E>(
    transient: impl Fn(&E) -> bool,
    mut attempt: impl FnMut() -> Result<T, E>,
) -> Result<T, E> {
    let start = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        match attempt() {
            Err(error) if transient(&error) && start.elapsed() < PATIENCE => thread::sleep(pause),
            outcome => return outcome,
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// How a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attach {
    /// By the driver.
    Native,
    /// By the stack, after the driver has made its own buffer: slower, works everywhere (XDP_FLAGS_SKB_MODE).
    Generic,
    /// Not at all: the filter selects nothing.
    None,
}

impl Attach {
    /// The word in the lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Attach::Native => "native",
            Attach::Generic => "generic",
            Attach::None => "no program",
        }
    }
}

/// Shared by the device and its sockets; the program is detached when the last of them goes.
#[derive(Debug)]
pub(super) struct Attachment {
    // The link is closed first: from then on nothing is redirected.
    link: Option<Link>,
    loaded: Mutex<Option<(Filter, Loaded)>>,
    sockets: Sockets,
    attach: Attach,
}

impl Attachment {
    /// Loads the filter's program and attaches it.
    ///
    /// # Errors
    /// Those of the filter; [`Code::AddressInUse`]: another program is attached, with its number; [`Code::Unsupported`]: the driver
    /// has no native XDP and the mode demands it; [`Code::Permission`].
    pub(super) fn new(
        interface: &Interface,
        queues: u32,
        filter: &Filter,
        mode: Mode,
    ) -> Result<(Attachment, Option<String>), Error> {
        let sockets = Sockets::new(queues)?;
        let Some(loaded) = Loaded::new(filter, &sockets)? else {
            let attachment =
                Attachment { link: None, loaded: Mutex::new(None), sockets, attach: Attach::None };
            return Ok((attachment, None));
        };
        let (link, attach, why) = link(interface, &loaded.program, mode)?;
        let loaded = Mutex::new(Some((filter.clone(), loaded)));
        Ok((Attachment { link: Some(link), loaded, sockets, attach }, why))
    }

    pub(super) fn sockets(&self) -> &Sockets {
        &self.sockets
    }

    pub(super) fn attach(&self) -> Attach {
        self.attach
    }

    /// The filter in use; `None` without a program.
    pub(super) fn filter(&self) -> Option<Filter> {
        let loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.as_ref().map(|(filter, _)| filter.clone())
    }

    /// The program's number; `None` without a program.
    pub(super) fn program_id(&self) -> Option<u32> {
        let loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.as_ref().and_then(|(_, loaded)| loaded.program.id().ok())
    }

    /// Puts another filter's program in place of the one that is attached, between two packets.
    pub(super) fn replace(&self, filter: &Filter) -> Result<(), Error> {
        let mut current = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let (Some(link), true) = (&self.link, filter.select != Select::None) else {
            return Err(Error::with_remedy(
                Code::Unsupported,
                "A filter that selects nothing has no program and cannot be changed from or to",
                "Open the device again with the other filter.",
            ));
        };
        let Some(loaded) = Loaded::new(filter, &self.sockets)? else { return Ok(()) };
        link.replace(&loaded.program).map_err(|errno| {
            refused(
                "bpf",
                errno,
                "The filter's program cannot be put in place of the other (BPF_LINK_UPDATE)",
            )
        })?;
        *current = Some((filter.clone(), loaded));
        Ok(())
    }
}

/// Attaches: natively if that can be, generically if the mode allows it, with the reason.
fn link(
    interface: &Interface,
    program: &Program,
    mode: Mode,
) -> Result<(Link, Attach, Option<String>), Error> {
    let create = |flags| {
        patiently(|&errno: &Errno| errno == libc::EBUSY, || Link::create(program, interface.index, flags))
    };
    if mode != Mode::Generic {
        match create(abi::XDP_FLAGS_DRV_MODE) {
            Ok(link) => return Ok((link, Attach::Native, None)),
            Err(libc::EOPNOTSUPP) if mode != Mode::ZeroCopy => {}
            Err(errno) => return Err(link_refused(interface, errno)),
        }
    }
    let why = (mode != Mode::Generic)
        .then(|| format!("the driver of {} ({}) has no native XDP", interface.name, interface.driver_name()));
    let link = create(abi::XDP_FLAGS_SKB_MODE).map_err(|errno| link_refused(interface, errno))?;
    Ok((link, Attach::Generic, why))
}

fn link_refused(interface: &Interface, errno: Errno) -> Error {
    let name = &interface.name;
    match errno {
        libc::EBUSY | libc::EEXIST => {
            let id = Interface::find(name).ok().and_then(|now| now.program);
            let id = id.map_or(String::new(), |id| format!(" (number {id}; `bpftool prog show id {id}` says whose)"));
            Error::with_remedy(
                Code::AddressInUse,
                format!("Another XDP program is attached to {name}{id}"),
                &format!("Stop the program that attached it; one without an owner goes with `ip link set dev {name} xdp off`."),
            )
        }
        // What drivers say when their limits for XDP are not met.
        libc::EINVAL | libc::ENOSPC | libc::E2BIG | libc::ERANGE => Error::system(
            "bpf",
            errno,
            format!("The driver of {name} ({}) refuses the XDP program (BPF_LINK_CREATE)", interface.driver_name()),
        )
        .advise(&format!(
            "See `dmesg`: often the MTU ({}) or the number of queues is too large for XDP, or LRO is on. Or use mode generic.",
            interface.mtu
        )),
        libc::EOPNOTSUPP => Error::with_remedy(
            Code::Unsupported,
            format!(
                "The driver of {name} ({}) has no native XDP: {}",
                interface.driver_name(),
                io::Error::from_raw_os_error(errno)
            ),
            "Use mode auto or generic.",
        ),
        _ => refused("bpf", errno, &format!("The XDP program cannot be attached to {name} (BPF_LINK_CREATE)")),
    }
}
