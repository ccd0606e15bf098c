//! Opening an interface, which waits for the kernel: on a thread of libuv's pool.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use napi::bindgen_prelude::{Env, Task};
use napi_derive::napi;
use wraith_transport::memory::MemoryOptions;
use wraith_transport::pool::SharingOptions;
use wraith_transport::xdp::{BusyPoll, Mode, UmemPlan, XdpDevice, XdpOptions, XdpProbe, XdpUmem};
use wraith_transport::{Code, Error};

use super::filter::{XdpFilterOptions, filter_of};
use super::queues::{Around, QUEUES, Queues, SharedHandle, UmemPool};
use super::{binding, queues};
use crate::Made;
use crate::isolate::OwnerNumber;
use crate::raw::{self, Args, Reply, Value, raise};
use crate::registry::Id;

/// What `openXdp` is asked for. The facade has checked it for the message; it is checked here for safety.
#[napi(object)]
pub struct XdpOpenOptions {
    /// The interface's name.
    pub interface: String,
    /// Which frames go to the sockets.
    pub filter: XdpFilterOptions,
    /// The queues to bind; none: all.
    pub queues: Option<Vec<u32>>,
    /// `auto`, `zerocopy`, `copy` or `generic`.
    pub mode: String,
    /// Bytes of frames over all queues.
    pub memory_budget: f64,
    /// Frames of each queue.
    pub frames: Option<u32>,
    /// 2048 or 4096.
    pub frame_size: u32,
    /// Bytes free before each received frame.
    pub headroom: u32,
    /// Frames that are kept for sending.
    pub tx_frames: Option<u32>,
    /// Entries of the RX ring.
    pub rx_ring: Option<u32>,
    /// Entries of the TX ring.
    pub tx_ring: Option<u32>,
    /// Rows of a batch.
    pub batch_size: Option<u32>,
    /// Microseconds of SO_BUSY_POLL; none: no busy polling.
    pub busy_poll_usecs: Option<u32>,
    /// Packets a poll takes.
    pub busy_poll_budget: Option<u32>,
    /// Receive what is addressed to others as well.
    pub promiscuous: bool,
    /// Huge pages.
    pub huge_pages: bool,
    /// A UMEM and a reader for each queue.
    pub split: bool,
    /// The binding of this thread whose UMEM is used.
    pub umem_of: Option<u32>,
    /// Milliseconds after which a ticket that nobody adopted is taken back; 0: never.
    pub ticket_timeout: u32,
}

/// Opens an interface.
pub struct OpenXdp {
    options: Result<XdpOptions, Option<Error>>,
    split: bool,
    /// The UMEM's pool, when it is another interface's.
    umem: Option<Arc<UmemPool>>,
}

impl OpenXdp {
    /// On the isolate's thread: errors are the promise's.
    pub(crate) fn new(options: &XdpOpenOptions) -> OpenXdp {
        let mut umem = None;
        let converted = convert(options).and_then(|mut converted| {
            if let Some(number) = options.umem_of {
                let other = binding::find(number).ok_or_else(binding::closed)?.queues()?;
                let xdp_umem = other.xdp_umem.clone().ok_or_else(not_shared)?;
                converted.umem = UmemPlan::Of(xdp_umem);
                umem = Some(Arc::clone(&other.umem));
            }
            Ok(converted)
        });
        OpenXdp { options: converted.map_err(Some), split: options.split, umem }
    }

    fn open(&mut self) -> Result<Vec<Arc<Queues>>, Error> {
        let options = match &mut self.options {
            Ok(options) => options,
            Err(error) => return Err(error.take().unwrap_or_else(binding::closed)),
        };
        let count = match &options.queues {
            Some(queues) => queues.len(),
            None => XdpProbe::look(&options.interface)?.queues as usize,
        };
        let numbers = (0..count).map(|_| OwnerNumber::take()).collect::<Result<Vec<_>, _>>()?;
        options.owners = numbers.iter().map(OwnerNumber::get).collect();
        let numbers = Arc::new(numbers);
        let mut device = XdpDevice::open(options)?;
        let (sockets, xdp_umem) = (device.take_sockets(), device.umem());
        let device = Arc::new(Mutex::new(device));
        let around = |umem: Arc<UmemPool>, xdp_umem: Option<XdpUmem>| Around {
            umem,
            xdp_umem,
            device: Arc::clone(&device),
            numbers: Arc::clone(&numbers),
        };
        if !self.split {
            let umem = match &self.umem {
                Some(umem) => Arc::clone(umem),
                None => UmemPool::enter(&sockets[0])?,
            };
            return Ok(vec![Queues::new(sockets, around(umem, xdp_umem))]);
        }
        let apart = |socket| {
            let umem = UmemPool::enter(&socket)?;
            Ok(Queues::new(vec![socket], around(umem, None)))
        };
        sockets.into_iter().map(apart).collect()
    }
}

fn not_shared() -> Error {
    let what = "The queues of the other socket have a UMEM each";
    Error::with_remedy(Code::Unsupported, what, "Open that one with XdpSocket.open().")
}

fn convert(given: &XdpOpenOptions) -> Result<XdpOptions, Error> {
    let mode = match given.mode.as_str() {
        "auto" => Mode::Auto,
        "zerocopy" => Mode::ZeroCopy,
        "copy" => Mode::Copy,
        "generic" => Mode::Generic,
        other => {
            let what = format!("mode is \"{other}\"; allowed are auto, zerocopy, copy and generic");
            return Err(Error::new(Code::OutOfRange, what));
        }
    };
    let budget = given.busy_poll_budget.unwrap_or(64);
    let budget = u16::try_from(budget)
        .map_err(|_| Error::new(Code::OutOfRange, format!("busyPoll.budget is {budget}; at most 65535")))?;
    let ticket_timeout =
        (given.ticket_timeout > 0).then(|| Duration::from_millis(given.ticket_timeout.into()));
    Ok(XdpOptions {
        queues: given.queues.clone(),
        mode,
        umem: if given.split { UmemPlan::PerQueue } else { UmemPlan::PerDevice },
        // What is no number of bytes is 0, and refused as too little.
        memory_budget: given.memory_budget as usize,
        frames: given.frames,
        frame_size: given.frame_size,
        headroom: given.headroom,
        tx_frames: given.tx_frames,
        rx_ring: given.rx_ring,
        tx_ring: given.tx_ring,
        batch_size: given.batch_size.map(|rows| rows as usize),
        busy_poll: given.busy_poll_usecs.map(|usecs| BusyPoll { usecs, budget }),
        promiscuous: given.promiscuous,
        memory: MemoryOptions { mlock: false, huge_pages: given.huge_pages },
        sharing: Some(SharingOptions { ticket_timeout }),
        ..XdpOptions::new(given.interface.clone(), filter_of(&given.filter)?)
    })
}

impl Task for OpenXdp {
    type Output = Result<Vec<Arc<Queues>>, Error>;
    type JsValue = Made;

    fn compute(&mut self) -> napi::Result<Self::Output> {
        Ok(self.open())
    }

    /// `{ error }`, or an array of what [`ready`] makes.
    fn resolve(&mut self, env: Env, opened: Self::Output) -> napi::Result<Made> {
        let env = env.raw();
        let made = match opened {
            Ok(all) => raw::array(env, all.into_iter().map(|queues| ready(env, queues, None))),
            Err(error) => raw::error_value(env, &error).and_then(|value| {
                let object = raw::object(env)?;
                raw::set(env, object, c"error", value)?;
                Ok(object)
            }),
        };
        made.map(Made).map_err(|error| raise(env, &error))
    }
}

/// Queues that are open and not yet used: closed when they are forgotten.
struct Ready(RefCell<Option<(Arc<Queues>, Option<SharedHandle>)>>);

impl Ready {
    fn take(&self) -> Result<(Arc<Queues>, Option<SharedHandle>), Error> {
        self.0.take().ok_or_else(binding::closed)
    }
}

/// `{ pool, start, share, discard }`.
fn ready(env: raw::Env, queues: Arc<Queues>, handle: Option<SharedHandle>) -> Result<Value, Error> {
    let object = raw::object(env)?;
    raw::set(env, object, c"pool", raw::string(env, &queues.umem.id.to_string())?)?;
    let this = Rc::new(Ready(RefCell::new(Some((queues, handle)))));
    let add = |name, run| raw::method(env, object, name, &this, run);
    add(c"start", |env, this: &Rc<Ready>, args: &Args| {
        binding::start(env, this.take()?, args.u32(0)?, args.value(1), args.value(2)).map(Reply::Value)
    })?;
    add(c"share", |env, this, _| {
        let id = QUEUES.enter(this.take()?.0)?;
        raw::string(env, &id.to_string()).map(Reply::Value)
    })?;
    add(c"discard", |_, this, _| {
        drop(this.0.take());
        Ok(Reply::Undefined)
    })?;
    Ok(object)
}

/// One more handle of shared queues, with the lease, which is ready to be used.
pub(crate) fn attach(env: raw::Env, id: &str) -> Result<Value, Error> {
    let id = Id::parse(id).ok_or_else(|| Error::new(Code::StaleToken, "no token has this id"))?;
    let (handle, queues) = queues::QUEUES.attach(id)?;
    ready(env, queues, Some(handle))
}
