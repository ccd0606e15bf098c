//! Frames and packets for JavaScript: where the bytes lie, columns to fill, and what is wrong with a row.
#![expect(unsafe_code, reason = "parses bytes that JavaScript lends for the call, and rows of a receiver")]

mod block;
mod build;
mod problem;

use std::mem::MaybeUninit;
use std::ptr::{self, NonNull};
use std::rc::Rc;
use std::sync::OnceLock;

use wraith_core::frames::{
    Backend, BackendError, Batch, Descriptor, MAX_OVER_READ, Slab, Supported, VARIABLE,
};
use wraith_transport::pool::PoolCore;
use wraith_transport::udp::Receiver;
use wraith_transport::{Code, Error};

use self::block::Block;
use crate::raw::{self, Args, Env, Reply, Value};

/// What the rows are taken for.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// Frames of the WRAITH protocol.
    Frames,
    /// Packets that begin with an Ethernet header.
    Packets,
}

/// Descriptors that are on the stack at a time: 8 KiB of them, as many as the longest batch of a socket has.
const CHUNK: usize = 1024;

/// No bytes of any slab: the row of a packet that was taken.
const NOWHERE: Descriptor = Descriptor::new(u32::MAX, u32::MAX);

/// The object with the functions that need no socket.
pub(crate) fn create(env: Env) -> Result<Value, Error> {
    let object = raw::object(env)?;
    let this = Rc::new(());
    let add = |name, run| raw::method(env, object, name, &this, run);
    add(c"backend", |env, _, _| backend_info(env).map(Reply::Value))?;
    add(c"parseFrames", |_, _, args| parse_bytes(Kind::Frames, args).map(Reply::Index))?;
    add(c"explainFrame", |env, _, args| explain_bytes(env, Kind::Frames, args))?;
    add(c"parsePackets", |_, _, args| parse_bytes(Kind::Packets, args).map(Reply::Index))?;
    add(c"explainPacket", |env, _, args| explain_bytes(env, Kind::Packets, args))?;
    add(c"buildFrame", |_, _, args| build::build(args).map(Reply::Index))?;
    Ok(object)
}

/// Who has a batch out: its rows are slots of a pool that nobody else writes.
pub(crate) trait Rows {
    fn pool(&self) -> &PoolCore;

    /// How many rows the batch has, those that were taken included.
    fn count(&self) -> usize;

    /// First byte from the start of the slab, and how many; `None`: there is no such row any more.
    fn place(&self, row: usize) -> Option<(u32, u32)>;
}

impl Rows for Receiver {
    fn pool(&self) -> &PoolCore {
        Receiver::pool(self)
    }

    fn count(&self) -> usize {
        self.rows().len()
    }

    fn place(&self, row: usize) -> Option<(u32, u32)> {
        self.rows().get(row).filter(|_| self.has(row)).map(|entry| (entry.offset, entry.length))
    }
}

/// Parses the rows of a batch into argument 0, with the backend that argument 1 names, and says how many are good.
/// Where they lie is native's own list, counted from byte `base` of the slab on; a row that was taken is out of bounds.
pub(crate) fn parse_rows(kind: Kind, rows: &impl Rows, base: u32, args: &Args) -> Result<u32, Error> {
    let count = rows.count();
    let mut block = Block::of(args, 0, kind, count)?;
    let slab = rows.pool().slab();
    block.must_not_hold(kind, slab.base(), slab.len())?;
    let asked = backend(args, 1)?;
    // In smaller slots a parser that reads ahead would look into the next one, which may be somebody else's.
    let backend = if slab.stride() < MAX_OVER_READ { Supported::SCALAR } else { asked };
    let skipped = (base as usize).min(slab.len());
    // SAFETY: the slab is mapped while the pool lives. The rows that are named are lent to this isolate, whose JavaScript does
    // not run in the call; the kernel has none of them, and each has the whole stride, so nobody writes what is read.
    let memory = unsafe { Slab::from_raw_parts(slab.base().add(skipped), slab.len() - skipped) };
    let from_base = |row| match rows.place(row) {
        Some((offset, length)) if offset >= base => Descriptor::new(offset - base, length),
        _ => NOWHERE,
    };
    parse(kind, memory, count, from_base, &mut block, backend)
}

/// What is wrong with a row of a batch.
pub(crate) fn explain_row(env: Env, kind: Kind, rows: &impl Rows, row: u32) -> Result<Reply, Error> {
    let slab = rows.pool().slab();
    // SAFETY: as in `parse_rows`.
    let memory = unsafe { Slab::from_raw_parts(slab.base(), slab.len()) };
    explain(env, kind, memory, place(rows, row as usize))
}

fn place(rows: &impl Rows, row: usize) -> Descriptor {
    rows.place(row).map_or(NOWHERE, |(offset, length)| Descriptor::new(offset, length))
}

/// `(bytes, offsets, lengths, block, backend?)`: how many rows are good.
fn parse_bytes(kind: Kind, args: &Args) -> Result<u32, Error> {
    let (bytes, offsets, lengths) = (args.bytes(0)?, args.words(1)?, args.words(2)?);
    if offsets.len != lengths.len {
        let what = format!("offsets has {} rows, lengths {}", offsets.len, lengths.len);
        return Err(Error::with_remedy(Code::OutOfRange, what, "Give both the same length."));
    }
    let mut block = Block::of(args, 3, kind, offsets.len)?;
    let backend = backend(args, 4)?;
    block.must_not_hold(kind, bytes.data, bytes.len)?;
    let row = |row: usize| {
        debug_assert!(row < offsets.len);
        // SAFETY: both arrays have more than `row` words, which no reference is held to: they may lie among the columns, and
        // are read here before the columns of the row are written.
        unsafe { Descriptor::new(offsets.data.add(row).read(), lengths.data.add(row).read()) }
    };
    // SAFETY: `lent` says why.
    let memory = unsafe { lent(&bytes) };
    parse(kind, memory, offsets.len, row, &mut block, backend)
}

/// `(bytes, offset, length)`: what is wrong there.
fn explain_bytes(env: Env, kind: Kind, args: &Args) -> Result<Reply, Error> {
    let bytes = args.bytes(0)?;
    // SAFETY: `lent` says why.
    let memory = unsafe { lent(&bytes) };
    explain(env, kind, memory, Descriptor::new(args.u32(1)?, args.u32(2)?))
}

/// # Safety
/// The bytes are those of an argument of the running call, in which JavaScript cannot run: nobody writes or frees them before it returns,
/// and the slab is not used after that. What the call itself writes lies elsewhere.
unsafe fn lent(bytes: &raw::Bytes) -> Slab<'_> {
    // An empty array has no address.
    let base = if bytes.len == 0 { NonNull::<u8>::dangling().as_ptr().cast_const() } else { bytes.data };
    // SAFETY: Node gave pointer and length.
    unsafe { Slab::from_raw_parts(base, bytes.len) }
}

/// Parses `count` rows, a chunk of descriptors at a time, so that nothing is allocated and what JavaScript can write is read once.
fn parse(
    kind: Kind,
    slab: Slab<'_>,
    count: usize,
    row: impl Fn(usize) -> Descriptor,
    block: &mut Block<'_>,
    backend: Supported,
) -> Result<u32, Error> {
    // To clear it would cost as much as to parse a short batch.
    let mut descriptors = [const { MaybeUninit::<Descriptor>::uninit() }; CHUNK];
    let mut good = 0;
    for first in (0..count).step_by(CHUNK) {
        let chunk = &mut descriptors[..CHUNK.min(count - first)];
        for (at, descriptor) in chunk.iter_mut().enumerate() {
            descriptor.write(row(first + at));
        }
        // SAFETY: each element of the chunk has just been written.
        let chunk = unsafe { &*(ptr::from_ref::<[MaybeUninit<Descriptor>]>(chunk) as *const [Descriptor]) };
        let batch = Batch::new(slab, chunk).map_err(refused)?;
        good += match kind {
            Kind::Frames => batch.frames(backend, &mut block.frames(first, chunk.len())?),
            Kind::Packets => batch.packets(backend, &mut block.packets(first, chunk.len())?),
        }
        .map_err(refused)?;
    }
    Ok(good as u32)
}

fn explain(env: Env, kind: Kind, slab: Slab<'_>, descriptor: Descriptor) -> Result<Reply, Error> {
    let descriptors = [descriptor];
    let batch = Batch::new(slab, &descriptors).map_err(refused)?;
    let problem = match kind {
        Kind::Frames => batch.explain_frame(0).map(|error| problem::of_frame(env, &error)),
        Kind::Packets => batch.explain_packet(0).map(|error| problem::of_packet(env, &error)),
    };
    problem.transpose().map(|problem| problem.map_or(Reply::Undefined, Reply::Value))
}

fn refused(error: wraith_core::frames::BatchError) -> Error {
    Error::new(Code::OutOfRange, error.to_string())
}

/// The backend that argument `index` names, or the process's own.
fn backend(args: &Args, index: usize) -> Result<Supported, Error> {
    match args.text(index) {
        None => active().map(|(backend, _)| backend),
        Some(name) => name
            .parse()
            .and_then(Backend::supported)
            .map_err(|error| unusable(&error, "backend", "Choose one of them, or leave the option out.")),
    }
}

/// The process's backend, and whether the environment has chosen it.
fn active() -> Result<(Supported, bool), Error> {
    static FORCED: OnceLock<bool> = OnceLock::new();
    let forced = *FORCED.get_or_init(|| std::env::var_os(VARIABLE).is_some_and(|value| !value.is_empty()));
    match Backend::active() {
        Ok(backend) => Ok((backend, forced)),
        Err(error) => Err(unusable(error, VARIABLE, "Set WRAITH_SIMD to one of them, or unset it.")),
    }
}

fn unusable(error: &BackendError, option: &str, remedy: &str) -> Error {
    let code = match error {
        BackendError::Unsupported { .. } => Code::Unsupported,
        _ => Code::OutOfRange,
    };
    Error::with_remedy(code, format!("{option}: {error}"), remedy)
}

/// `{ active, available, forced }`.
fn backend_info(env: Env) -> Result<Value, Error> {
    let (active, forced) = active()?;
    let available: Vec<String> = Backend::available().map(|it| it.backend().to_string()).collect();
    let object = raw::object(env)?;
    raw::set(env, object, c"active", raw::string(env, active.backend().as_str())?)?;
    raw::set(env, object, c"available", raw::strings(env, &available)?)?;
    raw::set(env, object, c"forced", raw::boolean(env, forced)?)?;
    Ok(object)
}
