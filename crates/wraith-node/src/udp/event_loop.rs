//! The kernel's NAPI pattern on libuv's loop: readable → drain into slots until empty or the turn's budget is spent,
//! one call into JavaScript a batch, re-arm. No thread, no hop, no queue.
//!
//! epoll is level-triggered, so a socket that nobody reads must not be watched: without a consumer, without slots, or
//! with a batch that the consumer still holds, the handle watches for nothing.
#![allow(unsafe_code, reason = "libuv and Node-API callbacks")]

use std::ffi::{c_int, c_void};
use std::os::fd::AsRawFd;
use std::ptr;
use std::rc::Rc;

use napi::sys;
use wraith_transport::Error;
use wraith_transport::udp::Received;

use super::{Life, SharedHandle, UdpBinding};
use crate::raw::{self, Value, check};
use crate::sys::now_ns;
use crate::uv::{self, Poll};

/// What the dispatcher is told; `ts/udp/socket.ts` has the same numbers.
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

/// One turn of the loop gives a socket at most this many packets, or this much time with all that the handlers and
/// their microtasks take, before timers and other sockets get theirs.
const TURN_ROWS: usize = 1024;
const TURN_NS: u64 = 4_000_000;

enum Outcome {
    Returned(i32),
    Threw,
    /// The isolate is being terminated: leave the loop without another call.
    Gone,
}

/// Starts to watch over a socket: the poll handle (which watches for nothing yet), the callback, the clean-up.
pub(super) fn watch(binding: &Rc<UdpBinding>, dispatch: Value) -> Result<(), Error> {
    let env = binding.env;
    let mut uv_loop = ptr::null_mut();
    // SAFETY: the out-pointer lives through the call.
    check(unsafe { sys::napi_get_uv_event_loop(env, &mut uv_loop) }, "the event loop")?;
    let fd = match &*binding.watch_fd.borrow() {
        Some(own) => own.as_raw_fd(),
        None => binding.socket()?.fd(),
    };
    let name = raw::string(env, "WRAITH_UDP")?;
    let (mut function, mut context, mut cleanup) = (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
    // SAFETY: `dispatch` and `name` are handles of the current call.
    unsafe {
        check(sys::napi_create_reference(env, dispatch, 1, &mut function), "a reference")?;
        binding.dispatch.set(function);
        check(sys::napi_async_init(env, ptr::null_mut(), name, &mut context), "an async context")?;
        binding.context.set(context);
    }
    let data = Rc::into_raw(Rc::clone(binding)).cast_mut().cast::<c_void>();
    let poll = match Poll::new(uv_loop.cast(), fd, data) {
        Ok(poll) => poll,
        Err(error) => {
            // SAFETY: no handle was made, so the count that it would have held is given back here.
            drop(unsafe { Rc::from_raw(data.cast::<UdpBinding>()) });
            return Err(error);
        }
    };
    binding.poll.replace(Some(poll));
    // SAFETY: the hook gets the count that the handle holds; it is removed when the handle is closed.
    let status = unsafe { sys::napi_add_async_cleanup_hook(env, Some(isolate_ends), data, &mut cleanup) };
    binding.cleanup.set(cleanup);
    check(status, "an asynchronous clean-up hook")
}

/// # Safety
/// Called once by Node with the data of [`watch`], unless the hook was removed before.
unsafe extern "C" fn isolate_ends(_hook: sys::napi_async_cleanup_hook_handle, data: *mut c_void) {
    // SAFETY: the handle's count keeps the binding alive until it is closed, which removes this hook.
    let binding = unsafe { &*data.cast::<UdpBinding>() };
    let was = binding.life.replace(Life::Ending);
    if was == Life::Open {
        binding.abandon_batch();
        // Dropped and not closed: a successor may attach, and goes on with what the kernel has queued.
        binding.begin_close(drop);
    }
}

/// # Safety
/// Called once by libuv with a handle of ours.
unsafe extern "C" fn handle_closed(handle: *mut c_void) {
    // SAFETY: this is the close callback, and the data is what `watch` gave.
    let binding = unsafe { Rc::from_raw(uv::closed_data(handle).cast_const().cast::<UdpBinding>()) };
    // The descriptor is closed here and not before: libuv may look at it until now.
    binding.let_go();
    if binding.life.replace(Life::Closed) == Life::Closing {
        binding.call(Kind::Closed, None);
    }
    // SAFETY: each was made by `watch`, and the binding is the only one that has them.
    unsafe {
        sys::napi_delete_reference(binding.env, binding.dispatch.get());
        sys::napi_async_destroy(binding.env, binding.context.get());
        sys::napi_remove_async_cleanup_hook(binding.cleanup.get());
    }
}

/// # Safety
/// Called by libuv with a handle of ours.
unsafe extern "C" fn handle_ready(handle: *mut c_void, status: c_int, events: c_int) {
    // SAFETY: a handle of ours, by this function's contract.
    let data = unsafe { uv::data(handle) }.cast_const().cast::<UdpBinding>();
    // SAFETY: the handle holds a count until its close callback. This one is for the time of the call: a handler that
    // runs the loop itself, as some addons can, may get there before it returns.
    let binding = unsafe {
        Rc::increment_strong_count(data);
        Rc::from_raw(data)
    };
    if status < 0 {
        binding.recover();
        return;
    }
    if events & uv::WRITABLE != 0 {
        binding.flush();
    }
    if events & uv::READABLE != 0 {
        binding.drain();
    }
}

impl UdpBinding {
    /// Watches for what is wanted now. Idempotent; cheap when nothing changed hands.
    pub(super) fn update(&self) -> Result<(), Error> {
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
            events => poll.start(events, handle_ready),
        }
    }

    /// Gives slots, sends and the handle back; the descriptor follows when libuv has let go of it.
    pub(super) fn close(&self) {
        if self.life.get() == Life::Open {
            self.life.set(Life::Closing);
            self.begin_close(SharedHandle::close);
        }
    }

    /// `part` is how a shared socket is left.
    fn begin_close(&self, part: impl FnOnce(SharedHandle)) {
        self.reading.set(false);
        self.writing.set(false);
        drop(self.receiver.take());
        drop(self.sends.take());
        drop(self.waiting.take());
        if let Some(poll) = self.poll.take() {
            poll.close(handle_closed);
        }
        // Last: whoever takes the lease next must find nobody reading.
        if let Some(shared) = self.shared.take() {
            part(shared);
        }
    }

    /// libuv stops a handle on EPOLLERR (a refused datagram, an interface that went down): take the error off the
    /// socket, which counts it, and watch again.
    fn recover(&self) {
        if let Ok(socket) = self.socket() {
            socket.take_error();
            socket.drain_error_queue();
        }
        self.watched.set(0);
        self.watch_or_report();
    }

    fn watch_or_report(&self) {
        if let Err(error) = self.update() {
            self.report(&error);
        }
    }

    /// Sends what waited, and tells when the socket takes more again.
    fn flush(&self) {
        let flushed = match &mut *self.sends.borrow_mut() {
            Some(sends) => sends.flush(),
            None => return,
        };
        if let Some(error) = &flushed.error {
            self.report(error);
        }
        if flushed.left == 0 && self.life.get() == Life::Open {
            self.writing.set(false);
            self.watch_or_report();
            self.call(Kind::Writable, None);
        }
    }

    fn drain(&self) {
        let end = now_ns() + TURN_NS;
        let mut left = TURN_ROWS;
        // What a successor could get must not be taken out of the kernel for an isolate that is ending.
        let shared = self.shared.borrow().is_some();
        while self.reading.get() {
            if shared && !raw::runs_javascript(self.env) {
                return self.halt();
            }
            let received = match &mut *self.receiver.borrow_mut() {
                Some(receiver) => receiver.receive(),
                None => return,
            };
            match received {
                Received::Empty => return,
                Received::Failed(error) => {
                    // What fails now will fail again at once: the user decides whether to resume.
                    self.reading.set(false);
                    self.watch_or_report();
                    return self.report(&error);
                }
                // Without slots the dispatcher stops reading; whoever brings one home resumes.
                Received::Starved => match self.call(Kind::Starved, None) {
                    Outcome::Returned(supplied) if supplied > 0 => {}
                    Outcome::Gone => return self.halt(),
                    _ => return self.watch_or_report(),
                },
                Received::Rows { rows, more } => {
                    let batch = self.batch_begins();
                    match self.call(Kind::Batch, Some(rows)) {
                        Outcome::Returned(DONE) | Outcome::Threw => self.finish_batch(batch),
                        Outcome::Returned(_) => {}
                        Outcome::Gone => {
                            self.abandon_batch();
                            return self.halt();
                        }
                    }
                    left = left.saturating_sub(rows);
                    if !more || left == 0 || now_ns() >= end {
                        break;
                    }
                }
            }
        }
        self.watch_or_report();
    }

    /// Numbers the batch that has just been received.
    pub(super) fn batch_begins(&self) -> u64 {
        self.batches.set(self.batches.get() + 1);
        self.batches.get()
    }

    /// Ends this batch, unless it was ended inside of the call and another one was begun since.
    fn finish_batch(&self, batch: u64) {
        if self.batches.get() == batch {
            self.finish();
        }
    }

    /// The batch ends; after a close there is none.
    pub(super) fn finish(&self) {
        if let Some(receiver) = &mut *self.receiver.borrow_mut() {
            receiver.finish();
        }
    }

    /// The batch ends with its isolate: its packets are counted as gone.
    fn abandon_batch(&self) {
        if let Some(receiver) = &mut *self.receiver.borrow_mut() {
            receiver.metrics().count_abandoned(receiver.rows().len());
            receiver.finish();
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
