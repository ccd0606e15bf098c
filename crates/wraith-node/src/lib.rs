//! wraith-transport for Node.js: conversion, lifetimes, the event loop and errors. Rules live in the crates below;
//! names and options that users see live in TypeScript.

mod attachment;
mod channel;
mod event_loop;
mod exercise;
mod exported;
mod frames;
mod isolate;
mod lease;
mod mailbox;
mod notifier;
mod pool;
mod raw;
mod registry;
mod sentinel;
mod shared;
mod sys;
mod udp;
mod uv;
mod views;
mod waiting;
mod xdp;

use napi::bindgen_prelude::{AsyncTask, Env, Unknown};
use napi::{JsValue, Result};
use napi_derive::napi;
use wraith_transport::memory::MemoryOptions;
use wraith_transport::udp::{Backend, Family, ReceiverOptions, UdpOptions, parse_address};
use wraith_transport::xdp::Prefix;
use wraith_transport::{Code, Error};

use crate::raw::{Value, raise};
pub use crate::xdp::filter::{XdpFilterOptions, XdpMatchOptions};
pub use crate::xdp::open::{OpenXdp, XdpOpenOptions};

/// A value that was made with raw calls, handed through napi-rs as it is.
pub struct Made(Value);

impl napi::bindgen_prelude::TypeName for Made {
    fn type_name() -> &'static str {
        "object"
    }

    fn value_type() -> napi::ValueType {
        napi::ValueType::Object
    }
}

#[expect(unsafe_code, reason = "a conversion trait of napi-rs")]
impl napi::bindgen_prelude::ToNapiValue for Made {
    unsafe fn to_napi_value(_env: napi::sys::napi_env, made: Self) -> Result<Value> {
        Ok(made.0)
    }
}

/// Runs a cold call: an error is thrown with its code, errno and system call.
fn enter(env: &Env, call: impl FnOnce(raw::Env) -> std::result::Result<Value, Error>) -> Result<Made> {
    call(env.raw()).map(Made).map_err(|error| raise(env.raw(), &error))
}

/// Makes a pool: `capacity` buffers of `bufferSize` bytes. Returns the functions that drive it.
#[napi(catch_unwind, ts_return_type = "object")]
pub fn create_pool(env: Env, buffer_size: u32, capacity: u32, mlock: bool, huge_pages: bool) -> Result<Made> {
    enter(&env, |env| pool::create(env, buffer_size as usize, capacity, &MemoryOptions { mlock, huge_pages }))
}

/// What `createSharedPool` is asked for.
#[napi(object)]
pub struct SharedPoolOptions {
    /// Bytes of each buffer.
    pub buffer_size: u32,
    /// How many buffers.
    pub capacity: u32,
    /// Keep the memory out of swap.
    pub mlock: bool,
    /// Huge pages.
    pub huge_pages: bool,
    /// Milliseconds after which a ticket that nobody adopted is taken back; 0: never.
    pub ticket_timeout: u32,
    /// The number of this thread, for metrics.
    pub thread_id: u32,
}

/// Makes a pool that other isolates can attach to. `wake` is called when something has happened to look at with
/// `events`; it must hold weakly what holds the returned object.
#[napi(catch_unwind, ts_return_type = "object")]
pub fn create_shared_pool(
    env: Env,
    options: SharedPoolOptions,
    #[napi(ts_arg_type = "() => void")] wake: Unknown,
) -> Result<Made> {
    enter(&env, |env| {
        let memory = MemoryOptions { mlock: options.mlock, huge_pages: options.huge_pages };
        let size = (options.buffer_size as usize, options.capacity);
        attachment::create(env, size, &memory, options.ticket_timeout, options.thread_id, wake.raw())
    })
}

/// Attaches to the shared pool that `id` names. Otherwise as `createSharedPool`.
#[napi(catch_unwind, ts_return_type = "object")]
pub fn attach_pool(
    env: Env,
    id: String,
    thread_id: u32,
    #[napi(ts_arg_type = "() => void")] wake: Unknown,
) -> Result<Made> {
    enter(&env, |env| attachment::attach(env, &id, thread_id, wake.raw()))
}

/// Makes a channel for buffers of the shared pool whose attachment has this number; those with up to `copyUpTo` bytes in use are
/// copied. Returns the functions that drive it.
#[napi(catch_unwind, ts_return_type = "object")]
pub fn create_channel(env: Env, pool: String, copy_up_to: u32) -> Result<Made> {
    enter(&env, |env| channel::create(env, &pool, copy_up_to))
}

/// One more handle of the channel that `id` names, for the attachment with this number. Otherwise as `createChannel`.
#[napi(catch_unwind, ts_return_type = "object")]
pub fn attach_channel(env: Env, id: String, pool: String, copy_up_to: u32) -> Result<Made> {
    enter(&env, |env| channel::attach(env, &id, &pool, copy_up_to))
}

/// What `bindUdp` is asked for. The facade has checked it for the message; it is checked here for safety.
#[napi(object)]
pub struct UdpBindOptions {
    /// The pool's id.
    pub pool: String,
    /// 4 or 6.
    pub family: u32,
    /// Where to bind; none is any address.
    pub address: Option<String>,
    /// 0 lets the kernel choose.
    pub port: u32,
    /// No IPv4 on an IPv6 socket.
    pub ipv6_only: bool,
    /// SO_REUSEADDR.
    pub reuse_addr: bool,
    /// SO_REUSEPORT.
    pub reuse_port: bool,
    /// SO_RCVBUF in bytes.
    pub recv_buffer_size: Option<u32>,
    /// SO_SNDBUF in bytes.
    pub send_buffer_size: Option<u32>,
    /// Kernel timestamps.
    pub timestamps: bool,
    /// A descriptor to adopt.
    pub fd: Option<i32>,
    /// Rows of a batch.
    pub batch_size: u32,
    /// Leave out packets larger than a slot.
    pub drop_truncated: bool,
    /// recvmsg one by one instead of recvmmsg.
    pub portable: bool,
}

fn udp_options(options: &UdpBindOptions) -> std::result::Result<(UdpOptions, ReceiverOptions), Error> {
    let family = match options.family {
        4 => Family::V4,
        6 => Family::V6,
        other => return Err(Error::new(Code::OutOfRange, format!("family is {other}; allowed are 4 and 6"))),
    };
    let port = u16::try_from(options.port).map_err(|_| {
        Error::new(Code::OutOfRange, format!("port is {}; allowed are 0 to 65535", options.port))
    })?;
    let address = match &options.address {
        Some(text) => parse_address(text, port, family)?,
        None => {
            let mut any = family.unspecified();
            any.set_port(port);
            any
        }
    };
    let socket = UdpOptions {
        address: Some(address),
        ipv6_only: options.ipv6_only,
        reuse_addr: options.reuse_addr,
        reuse_port: options.reuse_port,
        recv_buffer: options.recv_buffer_size.map(|bytes| bytes as usize),
        send_buffer: options.send_buffer_size.map(|bytes| bytes as usize),
        timestamps: options.timestamps,
        fd: options.fd,
        ..UdpOptions::new(family)
    };
    Ok((socket, receiver_options(options.batch_size, options.drop_truncated, options.portable)))
}

fn receiver_options(batch_size: u32, drop_truncated: bool, portable: bool) -> ReceiverOptions {
    let backend = if portable { Backend::Recvfrom } else { Backend::default() };
    ReceiverOptions { batch_size: batch_size as usize, drop_truncated, backend, ..ReceiverOptions::default() }
}

/// Binds a UDP socket that receives into the pool. `dispatch` is told what happens. Returns the functions that drive it.
#[napi(catch_unwind, ts_return_type = "object")]
pub fn bind_udp(
    env: Env,
    options: UdpBindOptions,
    #[napi(ts_arg_type = "(kind: number, value: number | Error) => number")] dispatch: Unknown,
) -> Result<Made> {
    enter(&env, |env| {
        let (socket, receiver) = udp_options(&options)?;
        udp::bind(env, &options.pool, &socket, receiver, dispatch.raw())
    })
}

/// The functions that parse and build frames and packets in memory of the caller's.
#[napi(catch_unwind, ts_return_type = "object")]
pub fn create_parsers(env: Env) -> Result<Made> {
    enter(&env, frames::create)
}

/// What `attachUdp` is asked for.
#[napi(object)]
pub struct UdpAttachOptions {
    /// The shared socket's id.
    pub id: String,
    /// The pool's id.
    pub pool: String,
    /// Rows of a batch.
    pub batch_size: u32,
    /// Leave out packets larger than a slot.
    pub drop_truncated: bool,
    /// recvmsg one by one instead of recvmmsg.
    pub portable: bool,
}

/// One more handle of a shared UDP socket, with the lease to read from it. Returns the functions that drive it.
#[napi(catch_unwind, ts_return_type = "object")]
pub fn attach_udp(
    env: Env,
    options: UdpAttachOptions,
    #[napi(ts_arg_type = "(kind: number, value: number | Error) => number")] dispatch: Unknown,
) -> Result<Made> {
    let UdpAttachOptions { id, pool, batch_size, drop_truncated, portable } = options;
    let receiver = receiver_options(batch_size, drop_truncated, portable);
    enter(&env, |env| udp::attach(env, &id, &pool, receiver, dispatch.raw()))
}

/// Whether a text is an address or a prefix that a filter can have.
#[napi(catch_unwind)]
pub fn check_xdp_prefix(env: Env, text: String) -> Result<()> {
    let prefix: std::result::Result<Prefix, Error> = text.parse();
    prefix.map(drop).map_err(|error| raise(env.raw(), &error))
}

/// Loads the program of a filter: an object with `takes(frame)`, which says whether the socket gets the frame.
#[napi(catch_unwind, ts_return_type = "object")]
pub fn create_xdp_filter_test(env: Env, filter: XdpFilterOptions) -> Result<Made> {
    enter(&env, |env| xdp::test_filter::create(env, &filter))
}

/// What opening an interface with AF_XDP would come to.
#[napi(catch_unwind, ts_return_type = "object")]
pub fn probe_xdp(env: Env, interface: String) -> Result<Made> {
    enter(&env, |env| xdp::probe::look(env, &interface))
}

/// Opens a network interface for AF_XDP. Resolves to what its queues are used with, or `{ error }`.
#[napi(catch_unwind, ts_return_type = "Promise<object>")]
pub fn open_xdp(options: XdpOpenOptions) -> AsyncTask<OpenXdp> {
    AsyncTask::new(OpenXdp::new(&options))
}

/// One more handle of shared queues, with the lease to read from them.
#[napi(catch_unwind, ts_return_type = "object")]
pub fn attach_xdp(env: Env, id: String) -> Result<Made> {
    enter(&env, |env| xdp::open::attach(env, &id))
}
