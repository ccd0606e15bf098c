//! The door to raw Node-API: functions with a data pointer, values, thrown errors.
//!
//! A raw function costs 11 ns a call where a method of a napi class costs 280, and it cannot be called with a
//! wrong `this`: its data belongs to the function object, not to anything that JavaScript can swap.
#![allow(unsafe_code, reason = "Node-API is a C interface")]

use std::ffi::{CStr, c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::rc::Rc;

use napi::sys;
use wraith_transport::{Code, Error};

/// The environment of the isolate whose thread we are on.
pub(crate) type Env = sys::napi_env;
/// A JavaScript value, valid until the current handle scope closes.
pub(crate) type Value = sys::napi_value;

/// The most arguments that a raw function takes.
const MAX_ARGS: usize = 6;

/// What a raw function gives back.
pub(crate) enum Reply {
    Undefined,
    Bool(bool),
    Number(f64),
    Index(u32),
    Value(Value),
}

/// The arguments of one call; missing ones are `undefined`.
pub(crate) struct Args {
    env: Env,
    values: [Value; MAX_ARGS],
}

fn wrong(index: usize, wanted: &str) -> Error {
    Error::new(Code::InvalidArgType, format!("argument {index} must be {wanted}"))
}

/// Bytes that JavaScript lent for one call. The pointer is good until JavaScript runs again.
pub(crate) struct Bytes {
    pub(crate) data: *const u8,
    pub(crate) len: usize,
}

/// Words that JavaScript lent for one call, as [`Bytes`].
pub(crate) struct Words {
    pub(crate) data: *const u32,
    pub(crate) len: usize,
}

impl Args {
    pub(crate) fn u32(&self, index: usize) -> Result<u32, Error> {
        let number = self.whole(index, f64::from(u32::MAX));
        number.map(|number| number as u32).ok_or_else(|| wrong(index, "a whole number from 0 to 4294967295"))
    }

    /// A whole number up to 2^53, above which JavaScript's have gaps.
    pub(crate) fn u53(&self, index: usize) -> Result<u64, Error> {
        let number = self.whole(index, 9_007_199_254_740_992.0);
        number.map(|number| number as u64).ok_or_else(|| wrong(index, "a whole number from 0 to 2^53"))
    }

    fn whole(&self, index: usize, max: f64) -> Option<f64> {
        let mut number = 0.0;
        // SAFETY: `values[index]` is a handle of the current call.
        let status = unsafe { sys::napi_get_value_double(self.env, self.values[index], &mut number) };
        let right = status == sys::Status::napi_ok && (0.0..=max).contains(&number) && number.fract() == 0.0;
        right.then_some(number)
    }

    /// A whole number, or `None` for anything negative (the facade passes -1 for "none").
    pub(crate) fn index(&self, index: usize) -> Option<u32> {
        let mut number = -1;
        // SAFETY: as above.
        let status = unsafe { sys::napi_get_value_int32(self.env, self.values[index], &mut number) };
        if status == sys::Status::napi_ok { u32::try_from(number).ok() } else { None }
    }

    /// The argument as it is.
    pub(crate) fn value(&self, index: usize) -> Value {
        self.values[index]
    }

    pub(crate) fn bool(&self, index: usize) -> Result<bool, Error> {
        let mut value = false;
        // SAFETY: as above.
        match unsafe { sys::napi_get_value_bool(self.env, self.values[index], &mut value) } {
            sys::Status::napi_ok => Ok(value),
            _ => Err(wrong(index, "a boolean")),
        }
    }

    /// The UTF-8 of a string of at most 255 bytes; `None` when the argument is not a string.
    pub(crate) fn text(&self, index: usize) -> Option<String> {
        let mut buffer = [0u8; 256];
        let mut len = 0;
        // SAFETY: Node writes at most the 256 bytes that it is told of, the last one a NUL.
        let status = unsafe {
            sys::napi_get_value_string_utf8(
                self.env,
                self.values[index],
                buffer.as_mut_ptr().cast::<c_char>(),
                buffer.len(),
                &mut len,
            )
        };
        (status == sys::Status::napi_ok).then(|| String::from_utf8_lossy(&buffer[..len]).into_owned())
    }

    /// The bytes of a `Uint8Array` (a `Buffer` is one) over an ordinary ArrayBuffer.
    pub(crate) fn bytes(&self, index: usize) -> Result<Bytes, Error> {
        let (data, len) = self.typed_array(index, sys::TypedarrayType::uint8_array, "a Uint8Array")?;
        Ok(Bytes { data: data.cast_const().cast(), len })
    }

    /// The numbers of a `Uint32Array` over an ordinary ArrayBuffer.
    pub(crate) fn words(&self, index: usize) -> Result<Words, Error> {
        let (data, len) = self.typed_array(index, sys::TypedarrayType::uint32_array, "a Uint32Array")?;
        Ok(Words { data: data.cast_const().cast(), len })
    }

    /// The first byte and the number of elements.
    fn typed_array(
        &self,
        index: usize,
        wanted: sys::napi_typedarray_type,
        name: &str,
    ) -> Result<(*mut c_void, usize), Error> {
        let mut kind = 0;
        let mut len = 0;
        let mut data = ptr::null_mut();
        let mut buffer = ptr::null_mut();
        // SAFETY: the out-pointers live through the call; a value of another type is refused by status.
        let status = unsafe {
            sys::napi_get_typedarray_info(
                self.env,
                self.values[index],
                &mut kind,
                &mut len,
                &mut data,
                &mut buffer,
                ptr::null_mut(),
            )
        };
        if status != sys::Status::napi_ok || kind != wanted {
            return Err(wrong(index, name));
        }
        let mut ordinary = false;
        // SAFETY: `buffer` was just given by Node.
        unsafe { sys::napi_is_arraybuffer(self.env, buffer, &mut ordinary) };
        if !ordinary {
            return Err(Error::new(Code::SharedMemory, "the bytes lie in a SharedArrayBuffer"));
        }
        Ok((data, len))
    }

    /// All bytes of an ordinary ArrayBuffer; none when it is detached. The pointer is good until JavaScript runs again.
    pub(crate) fn array_buffer(&self, index: usize) -> Result<(*mut u8, usize), Error> {
        let (mut data, mut len) = (ptr::null_mut(), 0);
        // SAFETY: the out-pointers live through the call; anything but an ArrayBuffer is refused by status.
        let status =
            unsafe { sys::napi_get_arraybuffer_info(self.env, self.values[index], &mut data, &mut len) };
        if status == sys::Status::napi_ok {
            Ok((data.cast(), len))
        } else {
            Err(wrong(index, "an ArrayBuffer"))
        }
    }
}

type Run<T> = fn(Env, &Rc<T>, &Args) -> Result<Reply, Error>;

struct Method<T> {
    this: Rc<T>,
    run: Run<T>,
}

/// Runs `body`, turning an error or a panic into a thrown JavaScript error.
pub(crate) fn guarded(env: Env, body: impl FnOnce() -> Result<Reply, Error>) -> Value {
    let outcome = catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| {
        let what = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("panic");
        Err(Error::new(Code::Internal, format!("a panic was caught at the border: {what}")))
    });
    let mut value = ptr::null_mut();
    // SAFETY: `env` is the environment of the running call; each status but ok leaves `value` null, which
    // Node takes for undefined.
    unsafe {
        match outcome {
            Ok(Reply::Undefined) => {}
            Ok(Reply::Bool(it)) => drop(sys::napi_get_boolean(env, it, &mut value)),
            Ok(Reply::Number(it)) => drop(sys::napi_create_double(env, it, &mut value)),
            Ok(Reply::Index(it)) => drop(sys::napi_create_uint32(env, it, &mut value)),
            Ok(Reply::Value(it)) => value = it,
            Err(error) => throw(env, &error),
        }
    }
    value
}

/// # Safety
/// Called by Node with the data pointer that [`method`] gave it.
unsafe extern "C" fn entry<T>(env: Env, info: sys::napi_callback_info) -> Value {
    let mut args = Args { env, values: [ptr::null_mut(); MAX_ARGS] };
    let mut count = MAX_ARGS;
    let mut data = ptr::null_mut();
    // SAFETY: `values` has room for `count` handles; Node fills the missing ones with undefined.
    unsafe {
        sys::napi_get_cb_info(env, info, &mut count, args.values.as_mut_ptr(), ptr::null_mut(), &mut data);
    }
    // SAFETY: `data` is the Box of `method`, freed by the function's finalizer, which cannot run while the
    // function is being called.
    let method = unsafe { &*data.cast::<Method<T>>() };
    guarded(env, || (method.run)(env, &method.this, &args))
}

/// # Safety
/// Called once by Node, on the isolate's thread, with the pointer that [`method`] gave it.
unsafe extern "C" fn free_method<T>(_env: Env, data: *mut c_void, _hint: *mut c_void) {
    // SAFETY: the pointer came from `Box::into_raw` and nothing uses it after the finalizer.
    drop(unsafe { Box::from_raw(data.cast::<Method<T>>()) });
}

pub(crate) fn internal(what: &'static str) -> Error {
    Error::new(Code::Internal, format!("Node-API refused {what}"))
}

pub(crate) fn check(status: sys::napi_status, what: &'static str) -> Result<(), Error> {
    if status == sys::Status::napi_ok { Ok(()) } else { Err(internal(what)) }
}

/// Puts the function `name` on `object`. It keeps `this` alive as long as JavaScript can call it.
pub(crate) fn method<T: 'static>(
    env: Env,
    object: Value,
    name: &'static CStr,
    this: &Rc<T>,
    run: Run<T>,
) -> Result<(), Error> {
    let data = Box::into_raw(Box::new(Method { this: Rc::clone(this), run })).cast::<c_void>();
    let mut function = ptr::null_mut();
    // SAFETY: `entry::<T>` expects exactly this data; the finalizer frees it once. A failure before the
    // finalizer is attached leaks the Box, which is memory, not safety.
    unsafe {
        check(
            sys::napi_create_function(env, name.as_ptr(), -1, Some(entry::<T>), data, &mut function),
            "a function",
        )?;
        check(
            sys::napi_add_finalizer(
                env,
                function,
                data,
                Some(free_method::<T>),
                ptr::null_mut(),
                ptr::null_mut(),
            ),
            "a finalizer",
        )?;
        check(sys::napi_set_named_property(env, object, name.as_ptr(), function), "a property")
    }
}

/// A new plain object.
pub(crate) fn object(env: Env) -> Result<Value, Error> {
    let mut value = ptr::null_mut();
    // SAFETY: the out-pointer lives through the call.
    check(unsafe { sys::napi_create_object(env, &mut value) }, "an object")?;
    Ok(value)
}

/// A new JavaScript string.
pub(crate) fn string(env: Env, text: &str) -> Result<Value, Error> {
    let mut value = ptr::null_mut();
    // SAFETY: pointer and length are those of `text`, which Node copies.
    let status = unsafe {
        sys::napi_create_string_utf8(env, text.as_ptr().cast(), text.len().cast_signed(), &mut value)
    };
    check(status, "a string")?;
    Ok(value)
}

/// A new JavaScript number.
pub(crate) fn number(env: Env, number: f64) -> Result<Value, Error> {
    let mut value = ptr::null_mut();
    // SAFETY: the out-pointer lives through the call.
    check(unsafe { sys::napi_create_double(env, number, &mut value) }, "a number")?;
    Ok(value)
}

/// A JavaScript boolean.
pub(crate) fn boolean(env: Env, it: bool) -> Result<Value, Error> {
    let mut value = ptr::null_mut();
    // SAFETY: the out-pointer lives through the call.
    check(unsafe { sys::napi_get_boolean(env, it, &mut value) }, "a boolean")?;
    Ok(value)
}

/// A new array of strings.
pub(crate) fn strings(env: Env, texts: &[String]) -> Result<Value, Error> {
    array(env, texts.iter().map(|text| string(env, text)))
}

/// A new array of numbers.
pub(crate) fn numbers(env: Env, all: &[f64]) -> Result<Value, Error> {
    array(env, all.iter().map(|&it| number(env, it)))
}

/// A new array of values.
pub(crate) fn array(
    env: Env,
    values: impl ExactSizeIterator<Item = Result<Value, Error>>,
) -> Result<Value, Error> {
    let mut array = ptr::null_mut();
    // SAFETY: the out-pointer lives through the call.
    check(unsafe { sys::napi_create_array_with_length(env, values.len(), &mut array) }, "an array")?;
    for (index, value) in (0..).zip(values) {
        let value = value?;
        // SAFETY: `array` and `value` are handles of the current scope.
        check(unsafe { sys::napi_set_element(env, array, index, value) }, "an element")?;
    }
    Ok(array)
}

/// Sets a property of an object that we made.
pub(crate) fn set(env: Env, object: Value, name: &'static CStr, value: Value) -> Result<(), Error> {
    let attributes = sys::PropertyAttributes::writable
        | sys::PropertyAttributes::enumerable
        | sys::PropertyAttributes::configurable;
    let property = sys::napi_property_descriptor {
        utf8name: name.as_ptr(),
        name: ptr::null_mut(),
        method: None,
        getter: None,
        setter: None,
        value,
        attributes,
        data: ptr::null_mut(),
    };
    // Defined and not assigned: assigning calls a setter that user code has put on Object.prototype.
    // SAFETY: both handles are of the current scope; the name is NUL-terminated.
    check(unsafe { sys::napi_define_properties(env, object, 1, &property) }, "a property")
}

/// Sets many numeric properties at once.
pub(crate) fn set_numbers(env: Env, object: Value, pairs: &[(&'static CStr, f64)]) -> Result<(), Error> {
    pairs.iter().try_for_each(|&(name, it)| set(env, object, name, number(env, it)?))
}

/// The JavaScript error of `error`: `code`, and `errno` and `syscall` when there was a system call.
pub(crate) fn error_value(env: Env, error: &Error) -> Result<Value, Error> {
    let message = string(env, error.message())?;
    let code = string(env, error.code().as_str())?;
    let mut value = ptr::null_mut();
    // SAFETY: the handles are of the current scope.
    check(unsafe { sys::napi_create_error(env, code, message, &mut value) }, "an error")?;
    if let (Some(errno), Some(syscall)) = (error.errno(), error.syscall()) {
        set(env, value, c"errno", number(env, f64::from(errno))?)?;
        set(env, value, c"syscall", string(env, syscall)?)?;
    }
    Ok(value)
}

/// Throws `error` in JavaScript, unless an exception is pending already or the isolate is ending.
pub(crate) fn throw(env: Env, error: &Error) {
    if let Ok(value) = error_value(env, error) {
        // SAFETY: `value` is a handle of the current scope.
        unsafe { sys::napi_throw(env, value) };
    }
}

/// Throws `error` and returns what makes napi-rs leave the pending exception as it is.
pub(crate) fn raise(env: Env, error: &Error) -> napi::Error {
    throw(env, error);
    napi::Error::new(napi::Status::PendingException, error.message().to_owned())
}

/// Whether JavaScript may still run: not once the isolate is being terminated.
pub(crate) fn runs_javascript(env: Env) -> bool {
    let (mut scope, mut value, mut coerced, mut thrown) =
        (ptr::null_mut(), ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
    // SAFETY: the scope is closed below. The coercion is a call that Node refuses once JavaScript may not run, and that
    // runs none itself; an exception that it leaves is cleared.
    unsafe {
        sys::napi_open_handle_scope(env, &mut scope);
        sys::napi_get_boolean(env, true, &mut value);
        let runs = sys::napi_coerce_to_bool(env, value, &mut coerced) == sys::Status::napi_ok;
        if !runs {
            sys::napi_get_and_clear_last_exception(env, &mut thrown);
        }
        sys::napi_close_handle_scope(env, scope);
        runs
    }
}
