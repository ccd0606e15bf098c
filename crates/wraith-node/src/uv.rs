//! The door to libuv: a poll handle on the isolate's own loop.
//!
//! The symbols are looked up at run time, in the process that loaded us. Bun and Deno are refused before this is
//! reached: they offer some of these names and not the behaviour.
#![allow(unsafe_code, reason = "libuv is a C library that Node exports")]

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::NonNull;
use std::sync::OnceLock;

use wraith_transport::{Code, Error};

pub(crate) const READABLE: c_int = 1;
pub(crate) const WRITABLE: c_int = 2;
/// `UV_POLL` of `uv_handle_type`; checked against its name before use.
const UV_POLL: c_int = 8;

pub(crate) type Loop = *mut c_void;
pub(crate) type PollCallback = unsafe extern "C" fn(handle: *mut c_void, status: c_int, events: c_int);
pub(crate) type CloseCallback = unsafe extern "C" fn(handle: *mut c_void);

struct Symbols {
    poll_init: unsafe extern "C" fn(Loop, *mut c_void, c_int) -> c_int,
    poll_start: unsafe extern "C" fn(*mut c_void, c_int, PollCallback) -> c_int,
    poll_stop: unsafe extern "C" fn(*mut c_void) -> c_int,
    close: unsafe extern "C" fn(*mut c_void, CloseCallback),
    reference: unsafe extern "C" fn(*mut c_void),
    unreference: unsafe extern "C" fn(*mut c_void),
    has_ref: unsafe extern "C" fn(*const c_void) -> c_int,
    set_data: unsafe extern "C" fn(*mut c_void, *mut c_void),
    get_data: unsafe extern "C" fn(*const c_void) -> *mut c_void,
    handle_size: usize,
}

/// # Safety
/// `T` must be the type of the function of that name.
unsafe fn symbol<T: Copy>(name: &CStr) -> Option<T> {
    const { assert!(size_of::<T>() == size_of::<*mut c_void>()) };
    // SAFETY: RTLD_DEFAULT searches what is loaded; the name is NUL-terminated.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    // SAFETY: a function pointer of libuv, of the type that the caller promises, checked not to be null.
    (!found.is_null()).then(|| unsafe { std::mem::transmute_copy(&found) })
}

fn load() -> Option<Symbols> {
    // SAFETY: the types are those of libuv's <uv.h>, stable in all of libuv 1.x.
    unsafe {
        let type_name: unsafe extern "C" fn(c_int) -> *const c_char = symbol(c"uv_handle_type_name")?;
        let name = type_name(UV_POLL);
        if name.is_null() || CStr::from_ptr(name) != c"poll" {
            return None;
        }
        let handle_size: unsafe extern "C" fn(c_int) -> usize = symbol(c"uv_handle_size")?;
        Some(Symbols {
            poll_init: symbol(c"uv_poll_init")?,
            poll_start: symbol(c"uv_poll_start")?,
            poll_stop: symbol(c"uv_poll_stop")?,
            close: symbol(c"uv_close")?,
            reference: symbol(c"uv_ref")?,
            unreference: symbol(c"uv_unref")?,
            has_ref: symbol(c"uv_has_ref")?,
            set_data: symbol(c"uv_handle_set_data")?,
            get_data: symbol(c"uv_handle_get_data")?,
            handle_size: handle_size(UV_POLL),
        })
    }
}

fn symbols() -> Result<&'static Symbols, Error> {
    static SYMBOLS: OnceLock<Option<Symbols>> = OnceLock::new();
    SYMBOLS.get_or_init(load).as_ref().ok_or_else(|| {
        Error::new(Code::RuntimeUnsupported, "this process does not export libuv's poll functions")
    })
}

/// A `uv_poll_t` on one descriptor. It must be closed with [`Poll::close`]; its memory is freed after libuv let go of it.
pub(crate) struct Poll {
    handle: NonNull<c_void>,
    uv: &'static Symbols,
}

fn layout(uv: &Symbols) -> Layout {
    Layout::from_size_align(uv.handle_size.max(16), 16).unwrap_or(Layout::new::<[u128; 32]>())
}

impl Poll {
    /// A handle on `fd`, not started, whose callbacks get `data`.
    pub(crate) fn new(uv_loop: Loop, fd: c_int, data: *mut c_void) -> Result<Poll, Error> {
        let uv = symbols()?;
        // SAFETY: the layout has a size; the zeroed memory is libuv's to initialise.
        let handle = NonNull::new(unsafe { alloc_zeroed(layout(uv)) }.cast::<c_void>())
            .unwrap_or_else(|| handle_alloc_error(layout(uv)));
        // SAFETY: the loop is the running isolate's, the memory has the size that libuv asked for.
        let status = unsafe { (uv.poll_init)(uv_loop, handle.as_ptr(), fd) };
        if status != 0 {
            // SAFETY: libuv refused the handle, so nothing else refers to it.
            unsafe { dealloc(handle.as_ptr().cast(), layout(uv)) };
            if status == -libc::EEXIST {
                let what = format!(
                    "this thread already watches descriptor {fd}: another socket of it reads from there"
                );
                return Err(Error::with_remedy(
                    Code::Busy,
                    what,
                    "Close that socket first, or adopt a duplicate.",
                ));
            }
            return Err(Error::system("uv_poll_init", -status, "cannot watch the socket"));
        }
        // SAFETY: an initialised handle.
        unsafe { (uv.set_data)(handle.as_ptr(), data) };
        Ok(Poll { handle, uv })
    }

    /// Watches for `events`; started again, it replaces what was watched.
    pub(crate) fn start(&self, events: c_int, callback: PollCallback) -> Result<(), Error> {
        // SAFETY: an initialised handle of this thread's loop.
        match unsafe { (self.uv.poll_start)(self.handle.as_ptr(), events, callback) } {
            0 => Ok(()),
            status => Err(Error::system("uv_poll_start", -status, "cannot watch the socket")),
        }
    }

    /// Stops watching. Without this an unread socket makes the loop spin: epoll is level-triggered.
    pub(crate) fn stop(&self) {
        // SAFETY: an initialised handle; stopping a stopped one does nothing.
        unsafe { (self.uv.poll_stop)(self.handle.as_ptr()) };
    }

    /// Whether a watching handle keeps the process alive.
    pub(crate) fn set_ref(&self, keep_alive: bool) {
        let change = if keep_alive { self.uv.reference } else { self.uv.unreference };
        // SAFETY: an initialised handle.
        unsafe { change(self.handle.as_ptr()) }
    }

    pub(crate) fn has_ref(&self) -> bool {
        // SAFETY: an initialised handle.
        unsafe { (self.uv.has_ref)(self.handle.as_ptr()) != 0 }
    }

    /// Ends the handle. `closed` runs once, later, and must call [`closed_data`].
    pub(crate) fn close(self, closed: CloseCallback) {
        // SAFETY: consumed by value, so this runs once per handle.
        unsafe { (self.uv.close)(self.handle.as_ptr(), closed) }
    }
}

/// The data of a handle inside its poll callback.
///
/// # Safety
/// `handle` is one that libuv passed to a callback of ours.
pub(crate) unsafe fn data(handle: *mut c_void) -> *mut c_void {
    match symbols() {
        // SAFETY: by the caller's promise.
        Ok(uv) => unsafe { (uv.get_data)(handle) },
        Err(_) => std::ptr::null_mut(),
    }
}

/// Frees the handle inside its close callback and gives its data back.
///
/// # Safety
/// `handle` is the one that libuv passed to the close callback.
pub(crate) unsafe fn closed_data(handle: *mut c_void) -> *mut c_void {
    let Ok(uv) = symbols() else { return std::ptr::null_mut() };
    // SAFETY: libuv no longer uses the handle; it was allocated with this layout.
    unsafe {
        let data = (uv.get_data)(handle);
        dealloc(handle.cast(), layout(uv));
        data
    }
}
