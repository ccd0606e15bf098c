//! Wakes an isolate's event loop from any thread.
#![allow(unsafe_code, reason = "Node-API's thread-safe functions are a C interface")]

use std::ffi::c_void;
use std::ptr;
use std::sync::{Arc, Mutex, PoisonError};

use napi::sys;
use wraith_transport::Error;
use wraith_transport::pool::Notify;

use crate::raw::{self, Env, Value, check};

/// A thread-safe function of Node-API: one call of it, with no arguments, for each time it is notified while it was not
/// called. It does not keep the event loop alive unless asked to.
pub(crate) struct Notifier {
    /// `None` once it was closed or its environment has ended. Calls are made under the lock, so that none is
    /// made of a function that was freed.
    function: Mutex<Option<Function>>,
}

struct Function(sys::napi_threadsafe_function);

// SAFETY: Node-API allows these functions to be called from any thread until they are released.
unsafe impl Send for Function {}

impl Notifier {
    /// `callback` is held until the notifier is closed: it must hold weakly what holds the notifier.
    pub(crate) fn new(env: Env, callback: Value) -> Result<Arc<Notifier>, Error> {
        let notifier = Arc::new(Notifier { function: Mutex::new(None) });
        let name = raw::string(env, "WRAITH_POOL")?;
        let held = Arc::into_raw(Arc::clone(&notifier)).cast_mut().cast::<c_void>();
        let mut function = ptr::null_mut();
        // SAFETY: `ended` takes back the share that it is handed, once. A refusal leaks the share.
        unsafe {
            let status = sys::napi_create_threadsafe_function(
                env,
                callback,
                ptr::null_mut(),
                name,
                0,
                1,
                held,
                Some(ended),
                ptr::null_mut(),
                Some(call),
                &mut function,
            );
            check(status, "a thread-safe function")?;
            check(sys::napi_unref_threadsafe_function(env, function), "to unref it")?;
        }
        *notifier.lock() = Some(Function(function));
        Ok(notifier)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Function>> {
        self.function.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the event loop is kept alive by it. On the isolate's thread.
    pub(crate) fn set_ref(&self, env: Env, keep: bool) {
        if let Some(Function(function)) = &*self.lock() {
            // SAFETY: the function was not released, and this is its environment's thread.
            unsafe {
                match keep {
                    true => sys::napi_ref_threadsafe_function(env, *function),
                    false => sys::napi_unref_threadsafe_function(env, *function),
                }
            };
        }
    }

    /// Nobody is called any more.
    pub(crate) fn close(&self) {
        if let Some(Function(function)) = self.lock().take() {
            // SAFETY: not released before: the place is empty now.
            unsafe {
                sys::napi_release_threadsafe_function(function, sys::ThreadsafeFunctionReleaseMode::abort)
            };
        }
    }

    /// Calls it a last time.
    pub(crate) fn notify_once(&self) {
        self.notify();
        self.release();
    }

    /// As [`Notifier::close`], but calls that are under way arrive.
    pub(crate) fn release(&self) {
        if let Some(Function(function)) = self.lock().take() {
            // SAFETY: as in `close`.
            unsafe {
                sys::napi_release_threadsafe_function(function, sys::ThreadsafeFunctionReleaseMode::release)
            };
        }
    }
}

impl Notify for Notifier {
    fn notify(&self) {
        let mut place = self.lock();
        if let Some(Function(function)) = &*place {
            // SAFETY: the function was not released, and cannot be while the lock is held.
            let status = unsafe {
                sys::napi_call_threadsafe_function(
                    *function,
                    ptr::null_mut(),
                    sys::ThreadsafeFunctionCallMode::nonblocking,
                )
            };
            if status == sys::Status::napi_closing {
                // Node has taken our share of the function with this answer.
                *place = None;
            }
        }
    }
}

/// # Safety
/// Called by Node on the environment's thread; both handles are null when the environment is ending.
unsafe extern "C" fn call(env: Env, callback: Value, _context: *mut c_void, _data: *mut c_void) {
    if env.is_null() || callback.is_null() {
        return;
    }
    let mut undefined = ptr::null_mut();
    // SAFETY: the handles are of Node's own scope. What the callback throws is Node's to report.
    unsafe {
        sys::napi_get_undefined(env, &mut undefined);
        sys::napi_call_function(env, undefined, callback, 0, ptr::null(), ptr::null_mut());
    }
}

/// # Safety
/// Called once by Node, with the share of `Notifier::new`.
unsafe extern "C" fn ended(_env: Env, held: *mut c_void, _hint: *mut c_void) {
    // SAFETY: the pointer came from `Arc::into_raw`.
    let notifier = unsafe { Arc::from_raw(held.cast_const().cast::<Notifier>()) };
    *notifier.lock() = None;
}
