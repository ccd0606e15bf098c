//! The kernel's NAPI pattern on libuv's loop: readable → drain into slots until empty or the turn's budget is spent,
//! one call into JavaScript a batch, re-arm. No thread, no hop, no queue.
//!
//! epoll is level-triggered, so a source that nobody reads must not be watched: without a consumer, without slots, or
//! with a batch that the consumer still holds, the handle watches for nothing.
#![allow(unsafe_code, reason = "libuv and Node-API callbacks")]

mod dispatch;
mod turn;

use std::cell::{Cell, RefCell};
use std::ffi::{c_int, c_void};
use std::os::fd::RawFd;
use std::ptr;
use std::rc::Rc;

use napi::sys;
use wraith_transport::Error;
use wraith_transport::udp::Received;

use self::dispatch::Kind;
use self::turn::handle_ready;
use crate::raw::{self, Env, Value, check};
use crate::uv::{self, Poll, PollCallback};

/// Where a source is between its start and the end of its descriptor.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    Open,
    /// `close` was called; libuv has yet to let go of the descriptor.
    Closing,
    /// The isolate is ending: as `Closing`, but JavaScript is not called any more.
    Ending,
    Closed,
}

/// How a source ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// By `close()`.
    Explicit,
    /// With its isolate: a successor may go on with what is shared.
    Isolate,
}

/// What became of sends that had waited.
pub(crate) struct Flushed {
    /// How many still wait.
    pub(crate) left: usize,
    /// The first failure.
    pub(crate) error: Option<Error>,
}

/// What receives on an event loop: the part of a binding that differs.
pub(crate) trait Source: Sized + 'static {
    /// The type of its async resource.
    const RESOURCE: &'static str;

    fn on_loop(&self) -> &OnLoop;

    /// Takes the next batch. `None`: there is nothing to receive with any more.
    fn receive(&self) -> Option<Received>;

    /// Whether it has little or nothing to receive into, which its descriptor does not tell: it is called starved without being readable.
    /// Others are told by the next packet.
    fn is_short(&self) -> bool {
        false
    }

    /// The batch ends; after a close there is none.
    fn finish(&self);

    /// The batch ends with its isolate: its packets are counted as gone.
    fn abandon_batch(&self);

    /// Whether what an isolate that is ending receives is lost to a successor.
    fn has_successor(&self) -> bool;

    /// Sends what waited. `None`: nothing can be sent any more.
    fn flush(&self) -> Option<Flushed>;

    /// libuv stopped the handle for an error of the descriptor's: takes it off.
    fn take_error(&self);

    /// Gives back everything but the descriptor. The handle is closed already, and nobody reads.
    fn part(&self, end: End);

    /// libuv has let go of the descriptor: closes it.
    fn let_go(&self);
}

/// A source's place on its isolate's event loop.
pub(crate) struct OnLoop {
    env: Env,
    poll: RefCell<Option<Poll>>,
    /// Somebody consumes: watch for packets.
    reading: Cell<bool>,
    /// A send would have blocked: watch for room.
    writing: Cell<bool>,
    /// The events that the poll handle watches for.
    watched: Cell<c_int>,
    /// What libuv calls: [`handle_ready`] of the source's type.
    ready: Cell<PollCallback>,
    /// Batches so far.
    batches: Cell<u64>,
    life: Cell<Life>,
    dispatch: Cell<sys::napi_ref>,
    context: Cell<sys::napi_async_context>,
    cleanup: Cell<sys::napi_async_cleanup_hook_handle>,
}

impl OnLoop {
    /// The place of an `S`, which watches nothing before [`watch`].
    pub(crate) fn new<S: Source>(env: Env) -> OnLoop {
        OnLoop {
            env,
            poll: RefCell::new(None),
            reading: Cell::new(false),
            writing: Cell::new(false),
            watched: Cell::new(0),
            ready: Cell::new(handle_ready::<S>),
            batches: Cell::new(0),
            life: Cell::new(Life::Open),
            dispatch: Cell::new(ptr::null_mut()),
            context: Cell::new(ptr::null_mut()),
            cleanup: Cell::new(ptr::null_mut()),
        }
    }

    pub(crate) fn env(&self) -> Env {
        self.env
    }

    pub(crate) fn is_open(&self) -> bool {
        self.life.get() == Life::Open
    }

    /// Whether libuv has a handle on the descriptor.
    pub(crate) fn is_watched(&self) -> bool {
        self.poll.borrow().is_some()
    }

    pub(crate) fn is_reading(&self) -> bool {
        self.reading.get()
    }

    /// Inside a callback, which looks at this before it returns to the loop.
    pub(crate) fn hold(&self) {
        self.reading.set(false);
    }

    /// Reads from now on, or not any more.
    pub(crate) fn set_reading(&self, reading: bool) -> Result<(), Error> {
        self.reading.set(reading);
        self.update()
    }

    /// Tells the dispatcher when there is room to send.
    pub(crate) fn await_room(&self) -> Result<(), Error> {
        self.writing.set(true);
        self.update()
    }

    /// Whether a watching handle keeps the process alive.
    pub(crate) fn set_ref(&self, keep: bool) {
        if let Some(poll) = &*self.poll.borrow() {
            poll.set_ref(keep);
        }
    }

    pub(crate) fn has_ref(&self) -> bool {
        self.poll.borrow().as_ref().is_some_and(Poll::has_ref)
    }

    /// Numbers the batch that has just been received.
    pub(crate) fn batch_begins(&self) -> u64 {
        self.batches.set(self.batches.get() + 1);
        self.batches.get()
    }

    /// Watches for what is wanted now. Idempotent; cheap when nothing changed hands.
    fn update(&self) -> Result<(), Error> {
        let poll = self.poll.borrow();
        let Some(poll) = &*poll else { return Ok(()) };
        let readable = if self.reading.get() { uv::READABLE } else { 0 };
        let writable = if self.writing.get() { uv::WRITABLE } else { 0 };
        let events = readable | writable;
        if self.watched.replace(events) == events {
            return Ok(());
        }
        match events {
            0 => {
                poll.stop();
                Ok(())
            }
            events => poll.start(events, self.ready.get()),
        }
    }

    fn watch_or_report(&self) {
        if let Err(error) = self.update() {
            self.report(&error);
        }
    }

    /// The isolate is ending and its clean-up hook will close: until then, watch for nothing.
    fn halt(&self) {
        self.reading.set(false);
        self.writing.set(false);
        self.watched.set(0);
        if let Some(poll) = &*self.poll.borrow() {
            poll.stop();
        }
    }
}

/// Starts to watch over a source: the poll handle on `fd` (which watches for nothing yet), the callback, the clean-up.
pub(crate) fn watch<S: Source>(source: &Rc<S>, fd: RawFd, dispatch: Value) -> Result<(), Error> {
    let on_loop = source.on_loop();
    let env = on_loop.env;
    let mut uv_loop = ptr::null_mut();
    // SAFETY: the out-pointer lives through the call.
    check(unsafe { sys::napi_get_uv_event_loop(env, &mut uv_loop) }, "the event loop")?;
    let name = raw::string(env, S::RESOURCE)?;
    let (mut function, mut context, mut cleanup) = (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
    // SAFETY: `dispatch` and `name` are handles of the current call.
    unsafe {
        check(sys::napi_create_reference(env, dispatch, 1, &mut function), "a reference")?;
        on_loop.dispatch.set(function);
        check(sys::napi_async_init(env, ptr::null_mut(), name, &mut context), "an async context")?;
        on_loop.context.set(context);
    }
    let data = Rc::into_raw(Rc::clone(source)).cast_mut().cast::<c_void>();
    let poll = match Poll::new(uv_loop.cast(), fd, data) {
        Ok(poll) => poll,
        Err(error) => {
            // SAFETY: no handle was made, so the count that it would have held is given back here.
            drop(unsafe { Rc::from_raw(data.cast::<S>()) });
            return Err(error);
        }
    };
    on_loop.poll.replace(Some(poll));
    // SAFETY: the hook gets the count that the handle holds; it is removed when the handle is closed.
    let status =
        unsafe { sys::napi_add_async_cleanup_hook(env, Some(isolate_ends::<S>), data, &mut cleanup) };
    on_loop.cleanup.set(cleanup);
    check(status, "an asynchronous clean-up hook")
}

/// Gives slots, sends and the handle back; the descriptor follows when libuv has let go of it.
pub(crate) fn close<S: Source>(source: &S) {
    let life = &source.on_loop().life;
    if life.get() == Life::Open {
        life.set(Life::Closing);
        begin_close(source, End::Explicit);
    }
}

fn begin_close<S: Source>(source: &S, end: End) {
    let on_loop = source.on_loop();
    on_loop.reading.set(false);
    on_loop.writing.set(false);
    if let Some(poll) = on_loop.poll.take() {
        poll.close(handle_closed::<S>);
    }
    source.part(end);
}

/// # Safety
/// Called once by Node with the data of [`watch`], unless the hook was removed before.
unsafe extern "C" fn isolate_ends<S: Source>(_hook: sys::napi_async_cleanup_hook_handle, data: *mut c_void) {
    // SAFETY: the handle's count keeps the source alive until it is closed, which removes this hook.
    let source = unsafe { &*data.cast::<S>() };
    let was = source.on_loop().life.replace(Life::Ending);
    if was == Life::Open {
        source.abandon_batch();
        begin_close(source, End::Isolate);
    }
}

/// # Safety
/// Called once by libuv with a handle of ours.
unsafe extern "C" fn handle_closed<S: Source>(handle: *mut c_void) {
    // SAFETY: this is the close callback, and the data is what `watch` gave.
    let source = unsafe { Rc::from_raw(uv::closed_data(handle).cast_const().cast::<S>()) };
    // The descriptor is closed here and not before: libuv may look at it until now.
    source.let_go();
    let on_loop = source.on_loop();
    if on_loop.life.replace(Life::Closed) == Life::Closing {
        on_loop.call(Kind::Closed, None);
    }
    // SAFETY: each was made by `watch`, and the source is the only one that has them.
    unsafe {
        sys::napi_delete_reference(on_loop.env, on_loop.dispatch.get());
        sys::napi_async_destroy(on_loop.env, on_loop.context.get());
        sys::napi_remove_async_cleanup_hook(on_loop.cleanup.get());
    }
}
