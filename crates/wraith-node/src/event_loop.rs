//! The kernel's NAPI pattern on libuv's loop: readable → drain into slots until empty or the turn's budget is spent,
//! one call into JavaScript a batch, re-arm. No thread, no hop, no queue.
//!
//! epoll is level-triggered, so a source that nobody reads must not be watched: without a consumer, without slots, or
//! with a batch that the consumer still holds, the handle watches for nothing.
#![allow(unsafe_code, reason = "libuv and Node-API callbacks")]

use std::cell::{Cell, RefCell};
use std::ffi::{c_int, c_void};
use std::os::fd::RawFd;
use std::ptr;
use std::rc::Rc;

use napi::sys;
use wraith_transport::Error;
use wraith_transport::udp::Received;

use crate::raw::{self, Env, Value, check};
use crate::sys::now_ns;
use crate::uv::{self, Poll, PollCallback};

/// What the dispatcher is told; `ts/udp/reader.ts` has the same numbers.
#[derive(Clone, Copy)]
enum Kind {
    Batch = 0,
    Writable = 1,
    Starved = 2,
    Closed = 3,
    Failed = 4,
}

/// What the dispatcher answers to a batch: it is over. Any other answer: the consumer ends it, or has ended it, and
/// `reading` says whether to go on. It has to be set inside the call and not by the answer, because microtasks run
/// between the two, and may have ended the batch and begun to read again.
const DONE: i32 = 0;

/// One turn of the loop gives a source at most this many packets, or this much time with all that the handlers and
/// their microtasks take, before timers and other sources get theirs.
const TURN_ROWS: usize = 1024;
const TURN_NS: u64 = 4_000_000;

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

enum Outcome {
    Returned(i32),
    Threw,
    /// The isolate is being terminated: leave the loop without another call.
    Gone,
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

    /// Tells the facade of an error that nobody called for.
    fn report(&self, error: &Error) {
        let mut scope = ptr::null_mut();
        // SAFETY: the scope is closed below, on every way.
        unsafe {
            sys::napi_open_handle_scope(self.env, &mut scope);
            if let Ok(value) = raw::error_value(self.env, error) {
                self.call_with(Kind::Failed, value);
            }
            sys::napi_close_handle_scope(self.env, scope);
        }
    }

    fn call(&self, kind: Kind, rows: Option<usize>) -> Outcome {
        let mut scope = ptr::null_mut();
        // SAFETY: the scope is closed below, on every way.
        unsafe { sys::napi_open_handle_scope(self.env, &mut scope) };
        let outcome = match raw::number(self.env, rows.unwrap_or(0) as f64) {
            Ok(value) => self.call_with(kind, value),
            Err(_) => Outcome::Gone,
        };
        // SAFETY: opened above.
        unsafe { sys::napi_close_handle_scope(self.env, scope) };
        outcome
    }

    /// Calls the dispatcher as Node calls a listener: next ticks and promises run before this returns.
    fn call_with(&self, kind: Kind, value: Value) -> Outcome {
        let env = self.env;
        let (mut receiver, mut function, mut kind_value, mut result) =
            (ptr::null_mut(), ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
        // SAFETY: a handle scope is open; the reference and the context live until the handle is closed.
        let status = unsafe {
            sys::napi_get_global(env, &mut receiver);
            sys::napi_get_reference_value(env, self.dispatch.get(), &mut function);
            sys::napi_create_int32(env, kind as i32, &mut kind_value);
            let arguments = [kind_value, value];
            sys::napi_make_callback(
                env,
                self.context.get(),
                receiver,
                function,
                arguments.len(),
                arguments.as_ptr(),
                &mut result,
            )
        };
        if status == sys::Status::napi_ok {
            let mut answer = DONE;
            // SAFETY: `result` is a handle of the open scope; anything but a number leaves DONE.
            unsafe { sys::napi_get_value_int32(env, result, &mut answer) };
            return Outcome::Returned(answer);
        }
        if status == sys::Status::napi_pending_exception && self.throw_uncaught() {
            Outcome::Threw
        } else {
            Outcome::Gone
        }
    }

    /// What a handler threw becomes an uncaught exception, as with any event. `false`: nothing was thrown, or nobody
    /// caught it: the isolate is being terminated. The exception must be cleared all the same, or the clean-up aborts the
    /// process.
    fn throw_uncaught(&self) -> bool {
        let mut thrown = ptr::null_mut();
        // SAFETY: a handle scope is open.
        unsafe { sys::napi_get_and_clear_last_exception(self.env, &mut thrown) };
        // SAFETY: as above, and `thrown` is a handle of it.
        raw::runs_javascript(self.env)
            && unsafe { sys::napi_fatal_exception(self.env, thrown) } == sys::Status::napi_ok
            && raw::runs_javascript(self.env)
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

/// # Safety
/// Called by libuv with a handle of ours.
unsafe extern "C" fn handle_ready<S: Source>(handle: *mut c_void, status: c_int, events: c_int) {
    // SAFETY: a handle of ours, by this function's contract.
    let data = unsafe { uv::data(handle) }.cast_const().cast::<S>();
    // SAFETY: the handle holds a count until its close callback. This one is for the time of the call: a handler that
    // runs the loop itself, as some addons can, may get there before it returns.
    let source = unsafe {
        Rc::increment_strong_count(data);
        Rc::from_raw(data)
    };
    let source = &*source;
    if status < 0 {
        // libuv stops a handle on EPOLLERR (a refused datagram, an interface that went down): watch again.
        source.take_error();
        source.on_loop().watched.set(0);
        source.on_loop().watch_or_report();
        return;
    }
    if events & uv::WRITABLE != 0 {
        flush(source);
    }
    if events & uv::READABLE != 0 {
        drain(source);
    }
}

/// Sends what waited, and tells when the source takes more again.
fn flush<S: Source>(source: &S) {
    let Some(flushed) = source.flush() else { return };
    let on_loop = source.on_loop();
    if let Some(error) = &flushed.error {
        on_loop.report(error);
    }
    if flushed.left == 0 && on_loop.is_open() {
        on_loop.writing.set(false);
        on_loop.watch_or_report();
        on_loop.call(Kind::Writable, None);
    }
}

fn drain<S: Source>(source: &S) {
    let on_loop = source.on_loop();
    let end = now_ns() + TURN_NS;
    let mut left = TURN_ROWS;
    // What a successor could get must not be taken out of the kernel for an isolate that is ending.
    let shared = source.has_successor();
    while on_loop.reading.get() {
        if shared && !raw::runs_javascript(on_loop.env) {
            return on_loop.halt();
        }
        let Some(received) = source.receive() else { return };
        match received {
            Received::Empty => break,
            Received::Failed(error) => {
                // What fails now will fail again at once: the user decides whether to resume.
                on_loop.reading.set(false);
                on_loop.watch_or_report();
                return on_loop.report(&error);
            }
            // Without slots the dispatcher stops reading; whoever brings one home resumes.
            Received::Starved => match on_loop.call(Kind::Starved, None) {
                Outcome::Returned(supplied) if supplied > 0 => {}
                Outcome::Gone => return on_loop.halt(),
                _ => return on_loop.watch_or_report(),
            },
            Received::Rows { rows, more } => {
                let batch = on_loop.batch_begins();
                match on_loop.call(Kind::Batch, Some(rows)) {
                    // Unless it was ended inside of the call and another one was begun since.
                    Outcome::Returned(DONE) | Outcome::Threw => {
                        if on_loop.batches.get() == batch {
                            source.finish();
                        }
                    }
                    Outcome::Returned(_) => {}
                    Outcome::Gone => {
                        source.abandon_batch();
                        return on_loop.halt();
                    }
                }
                left = left.saturating_sub(rows);
                if !more || left == 0 || now_ns() >= end {
                    break;
                }
            }
        }
    }
    if on_loop.reading.get()
        && source.is_short()
        && matches!(on_loop.call(Kind::Starved, None), Outcome::Gone)
    {
        return on_loop.halt();
    }
    on_loop.watch_or_report();
}
