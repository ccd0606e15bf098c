//! A source's turn of the loop: what has come goes to JavaScript batch by batch, what waited is sent.
#![allow(unsafe_code, reason = "a libuv callback")]

use std::ffi::{c_int, c_void};
use std::rc::Rc;

use wraith_transport::udp::Received;

use super::Source;
use super::dispatch::{DONE, Kind, Outcome};
use crate::sys::now_ns;
use crate::{raw, uv};

/// One turn of the loop gives a source at most this many packets, or this much time with all that the handlers and
/// their microtasks take, before timers and other sources get theirs.
const TURN_ROWS: usize = 1024;
const TURN_NS: u64 = 4_000_000;

/// # Safety
/// Called by libuv with a handle of ours.
pub(super) unsafe extern "C" fn handle_ready<S: Source>(handle: *mut c_void, status: c_int, events: c_int) {
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
