//! All queues of an interface.

use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::abi;
use super::attachment::{Attach, Attachment};
use super::explain::{refused, require_support};
use super::filter::Filter;
use super::info::XdpInfo;
use super::interface::Interface;
use super::layout::Layout;
use super::options::{BusyPoll, Mode, XdpOptions};
use super::queue::{self, Registration};
use super::shared::{Seat, UmemPlan, XdpUmem};
use super::socket::{QueueConfig, XdpSocket};
use super::sys;
use crate::memory::Owner;
use crate::pool::PoolCore;
use crate::{Code, Error};

/// An interface whose selected frames come to this process: the filter's program, and a socket on each queue.
///
/// Each queue has a socket, which can be given to a thread: [`XdpDevice::take_sockets`]. Its UMEM is a pool, of its own or of
/// several sockets: [`UmemPlan`]. The program stays attached until the device and all its sockets are gone, and goes with the process
/// however that ends.
pub struct XdpDevice {
    // Sockets first: they leave their queues before the program goes.
    sockets: Vec<XdpSocket>,
    attachment: Arc<Attachment>,
    promiscuous: Option<OwnedFd>,
    umem: Option<XdpUmem>,
    info: XdpInfo,
}

impl XdpDevice {
    /// Opens an interface in the calling thread's network namespace. Everything that was made is undone if a step fails.
    ///
    /// What the kernel has not yet freed of an earlier socket is waited for, for about a second for each step.
    ///
    /// # Errors
    /// [`Code::Unsupported`](crate::Code::Unsupported): not Linux, a kernel without AF_XDP, a driver without the mode that was asked
    /// for. [`Code::OutOfRange`](crate::Code::OutOfRange): an option, by name. [`Code::Permission`](crate::Code::Permission): the
    /// capability that is missing. [`Code::AddressNotAvailable`](crate::Code::AddressNotAvailable): no such interface.
    /// [`Code::AddressInUse`](crate::Code::AddressInUse): another program is attached, or another socket holds a queue.
    /// [`Code::MessageTooLarge`](crate::Code::MessageTooLarge): the MTU is larger than a frame.
    /// [`Code::NoMemory`](crate::Code::NoMemory): too little memory, or too little of it may be locked.
    /// [`Code::SocketClosed`](crate::Code::SocketClosed): the UMEM is another device's, and none of its sockets is open.
    pub fn open(options: &XdpOptions) -> Result<XdpDevice, Error> {
        require_support()?;
        options.filter.check()?;
        let interface = Interface::find(&options.interface)?;
        let layout = options.layout(&interface)?;
        let (attachment, why_generic) =
            Attachment::new(&interface, interface.queues, &options.filter, options.mode)?;
        let attachment = Arc::new(attachment);
        let promiscuous = options.promiscuous.then(|| sys::promiscuous_socket(interface.index)).transpose();
        let promiscuous = promiscuous.map_err(|errno| {
            refused(
                "setsockopt",
                errno,
                &format!("{} cannot be made promiscuous (PACKET_MR_PROMISC)", interface.name),
            )
        })?;
        let bind_flags = match (options.mode, attachment.attach()) {
            (Mode::ZeroCopy, _) => abi::XDP_ZEROCOPY,
            // A program in the stack never sees what a driver would write into a UMEM.
            (_, Attach::Generic) | (Mode::Copy | Mode::Generic, _) => abi::XDP_COPY,
            (Mode::Auto, _) => 0,
        };
        let umem = match &options.umem {
            UmemPlan::PerQueue => None,
            UmemPlan::PerDevice => Some(XdpUmem::new(make_core(options, &layout)?, layout.headroom)),
            UmemPlan::Of(umem) => Some(umem.clone()),
        };
        if let UmemPlan::Of(umem) = &options.umem {
            check_mode(umem, options.mode, attachment.attach())?;
        }
        let mut sockets = Vec::with_capacity(layout.queues.len());
        for index in 0..layout.queues.len() {
            sockets.push(open_queue(options, &interface, &layout, index, umem.as_ref(), bind_flags)?);
        }
        for socket in sockets.iter_mut().filter(|socket| socket.ring_sizes().rx > 0) {
            socket.attach(&attachment)?;
        }
        let info = XdpInfo {
            ifindex: interface.index,
            driver: interface.driver.clone(),
            mtu: interface.mtu,
            interface_queues: interface.queues,
            zero_copy: sockets.iter().all(XdpSocket::is_zero_copy),
            attach: attachment.attach(),
            why_generic,
            program_id: attachment.program_id(),
            frames: layout.frames,
            fill_frames: layout.fill,
            umem_frames: layout.umem_frames,
            frame_size: layout.frame_size,
            headroom: layout.headroom,
            rings: layout.rings,
            rings_kind: options.rings,
            // There is at least one queue.
            memory: sockets[0].pool().slab().info().clone(),
            filter: options.filter.to_string(),
            interface: interface.name,
            queues: layout.queues,
        };
        Ok(XdpDevice { sockets, attachment, promiscuous, umem, info })
    }

    /// What was got. The filter and the program's number are those of now.
    pub fn info(&self) -> XdpInfo {
        let filter =
            self.attachment.filter().map_or_else(|| self.info.filter.clone(), |filter| filter.to_string());
        XdpInfo { filter, program_id: self.attachment.program_id(), ..self.info.clone() }
    }

    /// The UMEM of all queues, with which other devices can be opened ([`UmemPlan::Of`]) as long as a socket of it is open. `None`:
    /// each queue has its own.
    pub fn umem(&self) -> Option<XdpUmem> {
        self.umem.clone()
    }

    /// The sockets that have not been taken, by queue.
    pub fn sockets(&self) -> &[XdpSocket] {
        &self.sockets
    }

    /// The sockets that have not been taken, to receive from and send to.
    pub fn sockets_mut(&mut self) -> &mut [XdpSocket] {
        &mut self.sockets
    }

    /// Gives the sockets away, to threads of their own; the device still changes the filter. They keep the program attached.
    pub fn take_sockets(&mut self) -> Vec<XdpSocket> {
        std::mem::take(&mut self.sockets)
    }

    /// Changes the filter while everything is open: the new program takes the old one's place between two packets, so that none
    /// sees half of each. Costs a few milliseconds; packets flow meanwhile.
    ///
    /// # Errors
    /// [`Code::OutOfRange`](crate::Code::OutOfRange): the filter cannot be. [`Code::Unsupported`](crate::Code::Unsupported): this
    /// filter or the one in use selects nothing. The old filter is in use then.
    pub fn set_filter(&self, filter: &Filter) -> Result<(), Error> {
        self.attachment.replace(filter)
    }

    /// Looks whether the interface is down, in the calling thread's network namespace, which nothing tells of: [`Code::System`](crate::Code::System) with ENETDOWN.
    /// Sockets go on when it is up again. Costs a few system calls.
    pub fn down(&self) -> Option<Error> {
        let name = &self.info.interface;
        Interface::is_down(self.info.ifindex).then(|| {
            Error::system("recv", libc::ENETDOWN, format!("{name} is down, so that nothing comes"))
                .advise(&format!("Bring it up: `ip link set dev {name} up`. The socket goes on then."))
        })
    }

    /// Whether the interface is kept promiscuous.
    pub fn is_promiscuous(&self) -> bool {
        self.promiscuous.is_some()
    }

    /// Closes the sockets that have not been taken, then takes the program off unless taken ones are still open; so does
    /// dropping it. See [`XdpSocket::close`].
    pub fn close(self) {}
}

/// The pool of one UMEM.
fn make_core(options: &XdpOptions, layout: &Layout) -> Result<Arc<PoolCore>, Error> {
    let (size, count) = (layout.frame_size as usize, layout.umem_frames);
    match options.sharing {
        None => PoolCore::new(size, count, &options.memory),
        Some(sharing) => PoolCore::shared(size, count, &options.memory, sharing),
    }
}

/// Sockets that share a UMEM are all zero-copy or all not; the first of them decided.
fn check_mode(umem: &XdpUmem, mode: Mode, attach: Attach) -> Result<(), Error> {
    let (is, other) = match umem.is_zero_copy() {
        Some(true) if matches!(mode, Mode::Copy | Mode::Generic) || attach == Attach::Generic => {
            ("zero-copy", "copy")
        }
        Some(false) if mode == Mode::ZeroCopy => ("copy", "zero-copy"),
        _ => return Ok(()),
    };
    Err(Error::with_remedy(
        Code::Unsupported,
        format!("The UMEM is used in {is} mode, and {other} was asked for or is all that the driver can"),
        "Open both devices in the same mode.",
    ))
}

/// `index`: which of the queues that are bound.
fn open_queue(
    options: &XdpOptions,
    interface: &Interface,
    layout: &Layout,
    index: usize,
    umem: Option<&XdpUmem>,
    bind_flags: u16,
) -> Result<XdpSocket, Error> {
    let queue = layout.queues[index];
    let asked = options.owners.get(index).copied();
    let seat = umem.map(|umem| umem.enter(asked)).transpose()?;
    let core = match umem {
        Some(umem) => Arc::clone(umem.pool()),
        None => make_core(options, layout)?,
    };
    let registration = match umem {
        Some(umem) if index > 0 || options.umem != UmemPlan::PerDevice => Registration::Of(umem),
        _ => Registration::Own { headroom: layout.headroom, flags: bind_flags },
    };
    let place = (interface.name.as_str(), interface.index, queue);
    let (rings, zero_copy) = queue::open(core.slab(), registration, layout.rings, place, options.rings)?;
    let config = QueueConfig {
        ifindex: interface.index,
        queue,
        owner: seat.as_ref().map_or(asked.unwrap_or(Owner::RUST), Seat::owner),
        rings: layout.rings,
        fill: layout.fill,
        batch_size: layout.batch_size,
        busy_poll: options.busy_poll.is_some(),
    };
    let socket = XdpSocket::new(core, rings, config, zero_copy, seat)?;
    if let Some(busy) = options.busy_poll {
        set_busy_poll(socket.fd(), busy)?;
    }
    Ok(socket)
}

fn set_busy_poll(fd: i32, busy: BusyPoll) -> Result<(), Error> {
    for (option, value) in [
        (abi::SO_PREFER_BUSY_POLL, 1),
        (abi::SO_BUSY_POLL, busy.usecs),
        (abi::SO_BUSY_POLL_BUDGET, u32::from(busy.budget)),
    ] {
        sys::set(fd, abi::SOL_SOCKET, option, &value).map_err(|errno| {
            refused("setsockopt", errno, "Busy polling cannot be set (SO_BUSY_POLL, Linux 5.11)")
        })?;
    }
    Ok(())
}

impl fmt::Debug for XdpDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("XdpDevice")
            .field("info", &self.info)
            .field("sockets", &self.sockets)
            .finish_non_exhaustive()
    }
}
