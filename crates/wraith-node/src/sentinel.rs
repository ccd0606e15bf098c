//! Node 20: looks at what user code has moved before the end of an environment hides it.
//!
//! An environment that ends first empties every ArrayBuffer that an addon made, the youngest first, each followed by its
//! finalizer, and only then runs clean-up hooks. So the youngest of all, made only for its finalizer, is told in time.
#![allow(unsafe_code, reason = "makes an ArrayBuffer for the sake of its finalizer")]

use std::cell::Cell;
use std::ffi::c_void;
use std::ptr;

use napi::sys;
use wraith_transport::Error;

use crate::attachment;
use crate::raw::{Env, check};

/// The youngest one: held, so that it ends with its environment and not before.
#[derive(Clone, Copy)]
struct Posted {
    env: Env,
    byte: *mut c_void,
    held: sys::napi_ref,
}

thread_local! {
    static POSTED: Cell<Option<Posted>> = const { Cell::new(None) };
}

/// Makes a younger one than all ArrayBuffers of now.
pub(crate) fn post(env: Env) -> Result<(), Error> {
    let byte = Box::into_raw(Box::new(0u8)).cast::<c_void>();
    let (mut made, mut held) = (ptr::null_mut(), ptr::null_mut());
    // SAFETY: `ends` frees the byte, once. A refusal leaks it.
    unsafe {
        let status =
            sys::napi_create_external_arraybuffer(env, byte, 1, Some(ends), ptr::null_mut(), &mut made);
        check(status, "an external ArrayBuffer")?;
        check(sys::napi_create_reference(env, made, 1, &mut held), "a reference")?;
    }
    if let Some(before) = POSTED.replace(Some(Posted { env, byte, held }))
        && before.env == env
    {
        // SAFETY: made by an earlier call for this environment, and replaced.
        unsafe { sys::napi_delete_reference(env, before.held) };
    }
    Ok(())
}

/// # Safety
/// Called once by Node, on the isolate's thread: at the end of the environment, or when an older one was collected.
unsafe extern "C" fn ends(env: Env, byte: *mut c_void, _hint: *mut c_void) {
    // SAFETY: the pointer came from `Box::into_raw` in `post`.
    drop(unsafe { Box::from_raw(byte.cast::<u8>()) });
    // Older ones come later at the end, when names that are younger than they are empty already.
    if POSTED.get().is_some_and(|posted| posted.byte == byte) {
        POSTED.set(None);
        attachment::environment_is_ending(env);
    }
}
