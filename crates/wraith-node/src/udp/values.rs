//! Addresses, sizes, counters and columns as JavaScript values.
#![allow(unsafe_code, reason = "exports the columns to JavaScript")]

use std::net::SocketAddr;
use std::sync::Arc;

use wraith_transport::Error;
use wraith_transport::udp::{BufferSize, Columns, Family, PEERS, UdpSnapshot};

use super::UdpBinding;
use crate::exported::{Shown, export};
use crate::raw::{self, Env, Value};

/// `publicBlock`, `privateBlock` and the `columns` object that says what lies where.
pub(super) fn export_columns(env: Env, object: Value, columns: &Arc<Columns>) -> Result<[Shown; 2], Error> {
    let (data, len) = columns.public_block();
    // SAFETY: the block lives as long as the Arc; native only writes it, through atomics.
    let (block, public) = unsafe { export(env, data, len, Arc::clone(columns)) }?;
    raw::set(env, object, c"publicBlock", block)?;
    let (data, len) = columns.private_block();
    // SAFETY: as above.
    let (block, private) = unsafe { export(env, data, len, Arc::clone(columns)) }?;
    raw::set(env, object, c"privateBlock", block)?;
    let layout = columns.layout();
    let places = raw::object(env)?;
    raw::set_numbers(
        env,
        places,
        &[
            (c"rows", layout.rows as f64),
            (c"timestamps", layout.timestamps as f64),
            (c"timestampsMs", layout.timestamps_ms as f64),
            (c"offsets", layout.offsets as f64),
            (c"lengths", layout.lengths as f64),
            (c"flags", layout.flags as f64),
            (c"privateSlots", layout.slots as f64),
            (c"privateOffsets", layout.private_offsets as f64),
            (c"privateLengths", layout.private_lengths as f64),
            (c"privateWireLengths", layout.wire_lengths as f64),
            (c"privatePeers", layout.peers as f64),
            (c"peerTable", layout.peer_table as f64),
            (c"peerCount", PEERS as f64),
        ],
    )?;
    raw::set(env, object, c"columns", places)?;
    Ok([public, private])
}

/// What the socket is: `family` (4 or 6) and `timestamps`.
pub(super) fn describe(env: Env, object: Value, binding: &UdpBinding) -> Result<(), Error> {
    let socket = binding.socket()?;
    let family = if socket.family() == Family::V4 { 4.0 } else { 6.0 };
    raw::set(env, object, c"family", raw::number(env, family)?)?;
    raw::set(env, object, c"timestamps", raw::boolean(env, socket.has_timestamps())?)
}

/// `{ address, family, port }`, an IPv6 address with its zone as dgram shows it.
pub(super) fn address(env: Env, address: &SocketAddr) -> Result<Value, Error> {
    let (text, family) = match address {
        SocketAddr::V4(v4) => (v4.ip().to_string(), "IPv4"),
        SocketAddr::V6(v6) if v6.scope_id() == 0 => (v6.ip().to_string(), "IPv6"),
        SocketAddr::V6(v6) => (format!("{}%{}", v6.ip(), zone_name(v6.scope_id())), "IPv6"),
    };
    let object = raw::object(env)?;
    raw::set(env, object, c"address", raw::string(env, &text)?)?;
    raw::set(env, object, c"family", raw::string(env, family)?)?;
    raw::set(env, object, c"port", raw::number(env, f64::from(address.port()))?)?;
    Ok(object)
}

/// The interface's name, or its number when it has gone.
fn zone_name(index: u32) -> String {
    let mut name = [0 as libc::c_char; libc::IF_NAMESIZE];
    // SAFETY: the buffer has the size that if_indextoname(3) wants.
    let found = unsafe { libc::if_indextoname(index, name.as_mut_ptr()) };
    if found.is_null() {
        return index.to_string();
    }
    // SAFETY: filled with a NUL-terminated name.
    unsafe { std::ffi::CStr::from_ptr(name.as_ptr()) }.to_string_lossy().into_owned()
}

/// `{ asked?, got, note? }`.
pub(super) fn buffer_size(env: Env, size: &BufferSize) -> Result<Value, Error> {
    let object = raw::object(env)?;
    if let Some(asked) = size.asked {
        raw::set(env, object, c"asked", raw::number(env, asked as f64)?)?;
    }
    raw::set(env, object, c"got", raw::number(env, size.got as f64)?)?;
    if let Some(note) = &size.note {
        raw::set(env, object, c"note", raw::string(env, note)?)?;
    }
    Ok(object)
}

/// The counters, under the names that users see, and the kernel's own drop count.
pub(super) fn metrics(
    env: Env,
    counters: &UdpSnapshot,
    kernel_drops: u64,
    queued: usize,
) -> Result<Value, Error> {
    let object = raw::object(env)?;
    raw::set_numbers(
        env,
        object,
        &[
            (c"rxPackets", counters.packets as f64),
            (c"rxBytes", counters.bytes as f64),
            (c"rxBatches", counters.batches as f64),
            (c"rxCalls", counters.receive_calls as f64),
            (c"rxEmptyCalls", counters.empty_polls as f64),
            (c"rxFullBatches", counters.full_batches as f64),
            (c"rxTruncated", counters.truncated as f64),
            (c"rxDroppedTruncated", counters.dropped_truncated as f64),
            (c"rxAbandoned", counters.abandoned as f64),
            (c"rxStarved", counters.starved as f64),
            (c"rxDroppedByKernel", kernel_drops as f64),
            (c"rxDroppedByKernelAtBatch", counters.drops_at_batch as f64),
            (c"icmpErrors", (counters.icmp_errors + counters.error_queue_entries) as f64),
            (c"peerCacheMisses", counters.peer_misses as f64),
            (c"txPackets", counters.sent as f64),
            (c"txBytes", counters.sent_bytes as f64),
            (c"txWouldBlock", counters.send_would_block as f64),
            (c"txErrors", counters.send_errors as f64),
            (c"txQueued", queued as f64),
            (c"txUnsent", counters.unsent as f64),
            (c"ownershipFaults", counters.ownership_faults as f64),
        ],
    )?;
    Ok(object)
}
