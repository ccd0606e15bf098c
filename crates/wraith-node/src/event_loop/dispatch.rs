//! Calls into JavaScript: the dispatcher that a source was started with.
#![allow(unsafe_code, reason = "Node-API calls")]

use std::ptr;

use napi::sys;
use wraith_transport::Error;

use super::OnLoop;
use crate::raw::{self, Value};

/// What the dispatcher is told; `ts/receive/reader.ts` has the same numbers.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Batch = 0,
    Writable = 1,
    Starved = 2,
    Closed = 3,
    Failed = 4,
}

/// What the dispatcher answers to a batch: it is over. Any other answer: the consumer ends it, or has ended it, and
/// `reading` says whether to go on. It has to be set inside the call and not by the answer, because microtasks run
/// between the two, and may have ended the batch and begun to read again.
pub(super) const DONE: i32 = 0;

/// What became of a call.
pub(super) enum Outcome {
    Returned(i32),
    Threw,
    /// The isolate is being terminated: leave the loop without another call.
    Gone,
}

impl OnLoop {
    /// Tells the facade of an error that nobody called for.
    pub(super) fn report(&self, error: &Error) {
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

    pub(super) fn call(&self, kind: Kind, rows: Option<usize>) -> Outcome {
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
