//! Memory that Rust owns, shown to JavaScript as an ArrayBuffer.
//!
//! Node calls the finalizer of an external ArrayBuffer when the last one over its memory is collected, or when the
//! environment ends, whichever comes first. At the end of an environment that is too early for memory that user code
//! has moved on, which Node 20 and 22 let it: `ArrayBuffer#transfer()` and a byte stream's reader make a new
//! ArrayBuffer of it, which can be posted to another thread and outlive us there. Such memory is never given back.
//!
//! Whether it was moved can be told from the ArrayBuffer that was handed out: it is detached then. So there a younger
//! *sentinel* looks at it when the environment ends, which detaches all that addons made, the youngest first, and calls each
//! one's finalizer. To be there then the ArrayBuffer must not have been collected: it is held until the collector
//! has taken the object that it was made for ([`Shown`]), one collection earlier.
#![allow(
    unsafe_code,
    reason = "shows memory to JavaScript, and frees it when JavaScript cannot see it any more"
)]

use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::ffi::c_void;
use std::ptr;
use std::rc::Rc;

use napi::sys;
use wraith_transport::{Code, Error};

use crate::raw::{Env, Value, check, internal};

/// Shared by the finalizers of the memory and of its sentinel. The references are null where memory cannot be moved.
struct Export {
    env: Env,
    /// What holds the memory.
    keeper: Cell<Option<Box<dyn Any>>>,
    /// The ArrayBuffer that was handed out.
    memory: Cell<sys::napi_ref>,
    /// An ArrayBuffer over `byte` that lives as long as the memory.
    sentinel: Cell<sys::napi_ref>,
    byte: UnsafeCell<u8>,
    /// The environment ended, and another one may see the memory.
    elsewhere: Cell<bool>,
}

/// Holds the ArrayBuffer of an [`export`] for the object that it was made for, and is dropped by that one's finalizer.
#[must_use]
pub(crate) struct Shown(Rc<Export>);

impl Drop for Shown {
    fn drop(&mut self) {
        let memory = self.0.memory.get();
        if !memory.is_null() {
            // SAFETY: it was made with a count of 1, and is null once it was deleted.
            unsafe { sys::napi_reference_unref(self.0.env, memory, ptr::null_mut()) };
        }
    }
}

/// An ArrayBuffer over memory that Rust owns. `keeper` holds that memory and is dropped when no ArrayBuffer over it is
/// left; or never, when user code had moved the memory and the environment ended before that.
///
/// # Safety
/// `data..data + len` must stay readable and writable as long as `keeper` lives, and nothing may form a Rust
/// reference over it. `len` is not 0.
pub(crate) unsafe fn export<K: 'static>(
    env: Env,
    data: *mut u8,
    len: usize,
    keeper: K,
) -> Result<(Value, Shown), Error> {
    let export = Rc::new(Export {
        env,
        keeper: Cell::new(Some(Box::new(keeper))),
        memory: Cell::new(ptr::null_mut()),
        sentinel: Cell::new(ptr::null_mut()),
        byte: UnsafeCell::new(0),
        elsewhere: Cell::new(false),
    });
    let made = array_buffer(&export, data, len, memory_ends)?;
    let memory = rename(env, made, data, len)?.unwrap_or(made);
    if can_be_moved(env)? {
        let sentinel = array_buffer(&export, export.byte.get(), 1, sentinel_ends)?;
        export.sentinel.set(reference(env, sentinel)?);
        export.memory.set(reference(env, memory)?);
    }
    Ok((memory, Shown(export)))
}

/// Whether user code can move memory that the facade has marked as untransferable: Node 24 refuses everywhere.
fn can_be_moved(env: Env) -> Result<bool, Error> {
    let mut version = ptr::null();
    // SAFETY: Node writes a pointer to a static structure.
    let major = unsafe {
        check(sys::napi_get_node_version(env, &mut version), "its version")?;
        (*version).major
    };
    Ok(major < 24)
}

type Finalizer = unsafe extern "C" fn(Env, *mut c_void, *mut c_void);

/// An external ArrayBuffer whose finalizer gets a share of the export.
fn array_buffer(export: &Rc<Export>, data: *mut u8, len: usize, ends: Finalizer) -> Result<Value, Error> {
    let hint = Rc::into_raw(Rc::clone(export)).cast_mut().cast();
    let mut made = ptr::null_mut();
    // SAFETY: the export holds the memory, and the finalizer is called once with its share of the export.
    let status = unsafe {
        sys::napi_create_external_arraybuffer(export.env, data.cast(), len, Some(ends), hint, &mut made)
    };
    if status == sys::Status::napi_no_external_buffers_allowed {
        // SAFETY: Node refused, so nothing else will free the share.
        drop(unsafe { Rc::from_raw(hint.cast_const().cast::<Export>()) });
        return Err(Error::new(Code::RuntimeUnsupported, "this runtime allows no external ArrayBuffers"));
    }
    check(status, "an external ArrayBuffer")?;
    Ok(made)
}

/// A reference that keeps the value alive.
fn reference(env: Env, value: Value) -> Result<sys::napi_ref, Error> {
    let mut reference = ptr::null_mut();
    // SAFETY: the value is a handle of the current scope.
    check(unsafe { sys::napi_create_reference(env, value, 1, &mut reference) }, "a reference")?;
    Ok(reference)
}

/// Moves the memory to an ArrayBuffer that the engine made, where it has `transfer()`: Node 24 aborts at exit when one
/// that an addon made is marked as untransferable, which the facade does. Node 20 has neither.
fn rename(env: Env, made: Value, data: *mut u8, len: usize) -> Result<Option<Value>, Error> {
    let (mut transfer, mut kind, mut renamed) = (ptr::null_mut(), 0, ptr::null_mut());
    let (mut renamed_data, mut renamed_len) = (ptr::null_mut(), 0);
    // SAFETY: all handles are of the current scope. Whatever user code made of `transfer`, the result is used only if it is
    // an ArrayBuffer over exactly this memory.
    unsafe {
        check(sys::napi_get_named_property(env, made, c"transfer".as_ptr(), &mut transfer), "a property")?;
        check(sys::napi_typeof(env, transfer, &mut kind), "a type")?;
        if kind != sys::ValueType::napi_function {
            return Ok(None);
        }
        check(
            sys::napi_call_function(env, made, transfer, 0, ptr::null(), &mut renamed),
            "ArrayBuffer#transfer",
        )?;
        check(
            sys::napi_get_arraybuffer_info(env, renamed, &mut renamed_data, &mut renamed_len),
            "the result of ArrayBuffer#transfer",
        )?;
    }
    if renamed_data == data.cast() && renamed_len == len {
        Ok(Some(renamed))
    } else {
        Err(internal("the result of ArrayBuffer#transfer"))
    }
}

impl Export {
    /// Whether the ArrayBuffer that was handed out is gone, or its memory was moved to another one.
    fn is_lost(&self) -> bool {
        let (mut scope, mut memory) = (ptr::null_mut(), ptr::null_mut());
        let (mut data, mut len) = (ptr::null_mut(), 0);
        // SAFETY: finalizers run while the environment is there. Detached memory has no bytes. Nothing here runs JavaScript.
        unsafe {
            sys::napi_open_handle_scope(self.env, &mut scope);
            sys::napi_get_reference_value(self.env, self.memory.get(), &mut memory);
            if !memory.is_null() {
                sys::napi_get_arraybuffer_info(self.env, memory, &mut data, &mut len);
            }
            sys::napi_close_handle_scope(self.env, scope);
        }
        len == 0
    }
}

/// # Safety
/// Called once by Node, on the isolate's thread, with its share of the export.
unsafe extern "C" fn sentinel_ends(_env: Env, _data: *mut c_void, export: *mut c_void) {
    // SAFETY: the pointer came from `Rc::into_raw` in `array_buffer`.
    let export = unsafe { Rc::from_raw(export.cast_const().cast::<Export>()) };
    if !export.memory.get().is_null() {
        export.elsewhere.set(export.is_lost());
    }
}

/// # Safety
/// Called once by Node, on the isolate's thread, with its share of the export.
unsafe extern "C" fn memory_ends(env: Env, _data: *mut c_void, export: *mut c_void) {
    // SAFETY: the pointer came from `Rc::into_raw` in `array_buffer`.
    let export = unsafe { Rc::from_raw(export.cast_const().cast::<Export>()) };
    for reference in [&export.memory, &export.sentinel] {
        let reference = reference.replace(ptr::null_mut());
        if !reference.is_null() {
            // SAFETY: made by `export`, and replaced by null, so that it is deleted once.
            unsafe { sys::napi_delete_reference(env, reference) };
        }
    }
    let keeper = export.keeper.take();
    if export.elsewhere.get() {
        std::mem::forget(keeper);
    }
}
