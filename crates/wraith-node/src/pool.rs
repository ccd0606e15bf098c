//! A pool as one isolate sees it: its slab as an ArrayBuffer, a mailbox for slot numbers, and functions that are
//! called once per 32 slots, not once per slot.
#![allow(unsafe_code, reason = "exports the slab to JavaScript")]

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use wraith_transport::memory::{Dirty, Granted, MemoryOptions, Owner, State};
use wraith_transport::pool::PoolCore;
use wraith_transport::{Code, Error};

use crate::attachment;
use crate::exported::{Shown, export};
use crate::isolate::Isolate;
use crate::mailbox::{MAILBOX_SLOTS, Mailbox};
use crate::raw::{self, Args, Env, Reply, Value};
use crate::registry::{Id, Registry};

/// A pool and the one isolate that sees its memory. Nobody else may receive into it: bytes that change while JavaScript
/// reads them crash the engine.
struct Private {
    core: Arc<PoolCore>,
    isolate: Arc<Isolate>,
}

static POOLS: Registry<Private> = Registry::new();

/// A pool as a source of this isolate uses it.
pub(crate) struct PoolOf {
    pub(crate) core: Arc<PoolCore>,
    /// Who holds the slots that JavaScript has.
    pub(crate) owner: Owner,
    /// A shared pool's.
    pub(crate) attachment: Option<Rc<attachment::Binding>>,
}

fn closed() -> Error {
    Error::new(Code::PoolClosed, "the pool is closed")
}

/// Finds this isolate's attachment to a shared pool, which is open, by its number.
pub(crate) fn find_attachment(number: u32) -> Result<Rc<attachment::Binding>, Error> {
    attachment::find(number).filter(|it| it.is_open()).ok_or_else(closed)
}

/// Finds a living pool of this isolate by the id that its object shows.
pub(crate) fn find_pool(id: &str, isolate: &Arc<Isolate>) -> Result<PoolOf, Error> {
    if let Ok(number) = id.parse() {
        let attachment = find_attachment(number)?;
        let core = Arc::clone(attachment.core());
        return Ok(PoolOf { core, owner: attachment.owner(), attachment: Some(attachment) });
    }
    let pool = Id::parse(id).and_then(|id| POOLS.find(id)).ok_or_else(closed)?;
    if !Arc::ptr_eq(&pool.isolate, isolate) {
        return Err(Error::new(Code::Busy, "the pool belongs to another isolate"));
    }
    if pool.core.is_closed() {
        return Err(closed());
    }
    Ok(PoolOf { core: Arc::clone(&pool.core), owner: isolate.owner(), attachment: None })
}

struct PoolBinding {
    core: Arc<PoolCore>,
    isolate: Arc<Isolate>,
    mailbox: Rc<Mailbox>,
    /// Keeps the entry of the registry.
    _private: Arc<Private>,
    /// The ArrayBuffers of the mailbox and of the slab.
    shown: RefCell<Vec<Shown>>,
}

/// Makes a pool and returns the object that the facade drives it with.
pub(crate) fn create(
    env: Env,
    buffer_size: usize,
    capacity: u32,
    memory: &MemoryOptions,
) -> Result<Value, Error> {
    let isolate = Isolate::current(env)?;
    let core = PoolCore::new(buffer_size, capacity, memory)?;
    isolate.uses(&core);
    let private = Arc::new(Private { core: Arc::clone(&core), isolate: Arc::clone(&isolate) });
    let id = POOLS.enter(&private)?;
    let this = Rc::new(PoolBinding {
        core,
        isolate,
        mailbox: Mailbox::new(),
        _private: private,
        shown: RefCell::default(),
    });

    let object = raw::object(env)?;
    raw::set(env, object, c"id", raw::string(env, &id.to_string())?)?;
    raw::set(env, object, c"stride", raw::number(env, this.core.slab().stride() as f64)?)?;
    let (mailbox, shown) = this.mailbox.export(env)?;
    this.shown.borrow_mut().push(shown);
    raw::set(env, object, c"mailbox", mailbox)?;
    raw::set(env, object, c"memory", this.map(env)?)?;
    raw::method(env, object, c"map", &this, |env, this, _| this.map(env).map(Reply::Value))?;
    raw::method(env, object, c"refill", &this, |_, this, args| this.refill(args))?;
    raw::method(env, object, c"flush", &this, |_, this, args| this.flush(args))?;
    raw::method(env, object, c"quarantine", &this, |_, this, args| this.quarantine(args))?;
    raw::method(env, object, c"available", &this, |_, this, _| Ok(Reply::Index(this.core.available())))?;
    raw::method(env, object, c"audit", &this, |env, this, _| audit(env, &this.core).map(Reply::Value))?;
    raw::method(env, object, c"holders", &this, |env, this, _| holders(env, &this.core).map(Reply::Value))?;
    raw::method(env, object, c"info", &this, |env, this, _| info(env, &this.core).map(Reply::Value))?;
    raw::method(env, object, c"close", &this, |_, this, _| Ok(Reply::Bool(this.core.close())))?;
    Ok(object)
}

impl PoolBinding {
    /// The whole slab as an ArrayBuffer. The facade asks again when user code has detached the first one.
    fn map(&self, env: Env) -> Result<Value, Error> {
        let slab = Arc::clone(self.core.slab());
        // SAFETY: the slab is mapped for as long as the Arc lives, and no Rust reference is formed over it.
        let (memory, shown) = unsafe { export(env, slab.base(), slab.len(), slab) }?;
        let mut all = self.shown.borrow_mut();
        // Only the last one can still be asked about.
        all.truncate(1);
        all.push(shown);
        Ok(memory)
    }

    /// Takes up to `count` free slots for this isolate; their numbers are in the mailbox.
    fn refill(&self, args: &Args) -> Result<Reply, Error> {
        let count = (args.u32(0)? as usize).min(MAILBOX_SLOTS);
        let mut slots = [0; MAILBOX_SLOTS];
        let got = self.core.pop_into((State::Cached, self.isolate.owner()), &mut slots[..count]);
        self.mailbox.write(&slots[..got]);
        Ok(Reply::Index(got as u32))
    }

    /// Gives the first `count` slots of the mailbox back. The facade zeroed them, unless the second argument
    /// says that they are dirty.
    fn flush(&self, args: &Args) -> Result<Reply, Error> {
        let (slots, count) = self.mailbox.read(args.u32(0)? as usize);
        let dirty = if args.bool(1)? { Dirty::All } else { Dirty::Nothing };
        for &slot in &slots[..count] {
            self.core.push(slot, (State::Cached, self.isolate.owner()), dirty)?;
        }
        // All of them could leave: nothing but this isolate writes into a private pool.
        Ok(Reply::Index(0))
    }

    /// Takes a slot out of use for good: its guard was lost, and a forgotten view may still refer to it.
    fn quarantine(&self, args: &Args) -> Result<Reply, Error> {
        let owner = self.isolate.owner();
        self.core.exchange(args.u32(0)?, (State::Cached, owner), (State::Quarantined, owner))?;
        Ok(Reply::Undefined)
    }
}

/// The owner table, counted by state.
pub(crate) fn audit(env: Env, core: &PoolCore) -> Result<Value, Error> {
    let audit = core.audit();
    let object = raw::object(env)?;
    raw::set_numbers(
        env,
        object,
        &[
            (c"capacity", audit.capacity.into()),
            (c"free", audit.free.into()),
            (c"cached", audit.cached.into()),
            (c"lent", audit.lent.into()),
            (c"posted", audit.posted.into()),
            (c"op", audit.op.into()),
            (c"transit", audit.transit.into()),
            (c"retiring", audit.retiring.into()),
            (c"quarantined", audit.quarantined.into()),
        ],
    )?;
    raw::set(env, object, c"problems", raw::strings(env, &audit.problems)?)?;
    Ok(object)
}

/// The state of every slot by name; which of the cached ones are lent, the facade knows.
pub(crate) fn holders(env: Env, core: &PoolCore) -> Result<Value, Error> {
    let states: Vec<String> = (0..core.capacity())
        .filter_map(|slot| core.holding(slot))
        .map(|holding| holding.state.name().to_owned())
        .collect();
    raw::strings(env, &states)
}

/// What the memory is made of.
pub(crate) fn info(env: Env, core: &PoolCore) -> Result<Value, Error> {
    let info = core.slab().info();
    let object = raw::object(env)?;
    raw::set_numbers(env, object, &[(c"bytes", info.bytes as f64), (c"stride", info.stride as f64)])?;
    raw::set(env, object, c"mlock", granted(env, &info.mlock)?)?;
    raw::set(env, object, c"hugePages", granted(env, &info.huge_pages)?)?;
    Ok(object)
}

fn granted(env: Env, granted: &Granted) -> Result<Value, Error> {
    let object = raw::object(env)?;
    raw::set(env, object, c"asked", raw::boolean(env, granted.asked)?)?;
    raw::set(env, object, c"got", raw::boolean(env, granted.got)?)?;
    if let Some(why) = &granted.why {
        raw::set(env, object, c"why", raw::string(env, why)?)?;
    }
    Ok(object)
}
