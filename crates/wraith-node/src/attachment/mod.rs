//! A shared pool as one `BufferPool` object sees it: an owner number of its own, a mailbox, the views onto its slots.
#![allow(unsafe_code, reason = "exports words that both sides read and write")]

mod channels;
mod report;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, Instant};

use wraith_transport::memory::{Dirty, MemoryOptions, Owner, State};
use wraith_transport::pool::{Attachment, Events, PoolCore, SharingOptions, WaitId, Waited};
use wraith_transport::{Code, Error};

use crate::channel::Endpoint;
use crate::exercise;
use crate::exported::{Shown, export};
use crate::isolate::{Isolate, OwnerNumber};
use crate::mailbox::{MAILBOX_SLOTS, Mailbox};
use crate::notifier::Notifier;
use crate::pool;
use crate::raw::{self, Args, Env, Reply, Value};
use crate::registry::Id;
use crate::shared::{COUNTS, Record, SharedPool};
use crate::views::{Left, Views};

/// Bits of what `events` answers first.
const FLUSH: u32 = 1;
const CLOSED: u32 = 2;
const HOME: u32 = 4;

/// One attachment of this isolate.
pub(crate) struct Binding {
    env: Env,
    pool: Arc<SharedPool>,
    number: OwnerNumber,
    record: Arc<Record>,
    /// `None` once it has left.
    member: RefCell<Option<Attachment>>,
    /// Whether closing it closes the pool.
    creator: bool,
    views: Views,
    notifier: Arc<Notifier>,
    mailbox: Rc<Mailbox>,
    ended: Cell<bool>,
    /// The channels' handles that use it.
    endpoints: RefCell<Vec<Weak<Endpoint>>>,
    /// The ArrayBuffers of the mailbox, the limit and the counters.
    shown: RefCell<Vec<Shown>>,
}

thread_local! {
    /// The attachments of this thread's environments, by the number that their objects show.
    static BINDINGS: RefCell<HashMap<u32, Weak<Binding>>> = RefCell::default();
}

/// This thread's living attachment with this number, for what else uses its slots.
pub(crate) fn find(number: u32) -> Option<Rc<Binding>> {
    let found = BINDINGS.with_borrow(|all| all.get(&number).and_then(Weak::upgrade));
    found.filter(|it| !it.ended.get())
}

fn all_of(env: Env) -> Vec<Rc<Binding>> {
    // At the end of a thread there may be nothing left to ask.
    let all = BINDINGS.try_with(|all| all.borrow().values().filter_map(Weak::upgrade).collect::<Vec<_>>());
    all.unwrap_or_default().into_iter().filter(|it| it.env == env).collect()
}

/// The environment is about to empty all ArrayBuffers that addons made: what user code has moved can be told only now.
pub(crate) fn environment_is_ending(env: Env) {
    for binding in all_of(env) {
        binding.views.note_moved();
    }
}

/// The environment has ended: everything that its attachments hold comes home.
pub(crate) fn environment_ended(env: Env) {
    for binding in all_of(env) {
        binding.end(!binding.views.keeps_names());
    }
}

/// Makes a shared pool and attaches to it.
pub(crate) fn create(
    env: Env,
    (buffer_size, capacity): (usize, u32),
    memory: &MemoryOptions,
    ticket_timeout_ms: u32,
    thread: u32,
    wake: Value,
) -> Result<Value, Error> {
    let ticket_timeout = (ticket_timeout_ms > 0).then(|| Duration::from_millis(ticket_timeout_ms.into()));
    let core = PoolCore::shared(buffer_size, capacity, memory, SharingOptions { ticket_timeout })?;
    let (pool, id) = SharedPool::enter(core)?;
    attach_to(env, pool, id, true, thread, wake)
}

/// Attaches to the pool that a token names.
pub(crate) fn attach(env: Env, id: &str, thread: u32, wake: Value) -> Result<Value, Error> {
    let (pool, id) = SharedPool::find(id)?;
    attach_to(env, pool, id, false, thread, wake)
}

fn attach_to(
    env: Env,
    pool: Arc<SharedPool>,
    id: Id,
    creator: bool,
    thread: u32,
    wake: Value,
) -> Result<Value, Error> {
    // So that its clean-up hook is there.
    Isolate::current(env)?;
    let number = OwnerNumber::take()?;
    let core = Arc::clone(&pool.core);
    let views = Views::new(env, core.slab())?;
    let notifier = Notifier::new(env, wake)?;
    let member =
        core.attach(number.get(), Arc::clone(&notifier) as Arc<_>).inspect_err(|_| notifier.close())?;
    let record = pool.begin(number.get(), thread);
    let this = Rc::new(Binding {
        env,
        pool,
        number,
        record,
        member: RefCell::new(Some(member)),
        creator,
        views,
        notifier,
        mailbox: Mailbox::new(),
        ended: Cell::new(false),
        endpoints: RefCell::default(),
        shown: RefCell::default(),
    });
    BINDINGS.with_borrow_mut(|all| {
        all.retain(|_, it| it.strong_count() > 0);
        all.insert(this.owner().get(), Rc::downgrade(&this));
    });
    this.object(env, id)
}

impl Binding {
    pub(crate) fn core(&self) -> &Arc<PoolCore> {
        &self.pool.core
    }

    /// Who holds this attachment's slots.
    pub(crate) fn owner(&self) -> Owner {
        self.number.get()
    }

    /// Whether slots can still be taken.
    pub(crate) fn is_open(&self) -> bool {
        self.member.borrow().is_some() && !self.core().is_closed()
    }

    fn mine(&self) -> (State, Owner) {
        (State::Cached, self.owner())
    }

    /// The object that the facade drives it with.
    fn object(self: &Rc<Self>, env: Env, id: Id) -> Result<Value, Error> {
        let object = raw::object(env)?;
        let core = self.core();
        raw::set(env, object, c"pool", raw::string(env, &id.to_string())?)?;
        raw::set_numbers(
            env,
            object,
            &[
                (c"number", self.owner().get().into()),
                (c"bufferSize", core.buffer_size() as f64),
                (c"capacity", core.capacity().into()),
            ],
        )?;
        raw::set(env, object, c"creator", raw::boolean(env, self.creator)?)?;
        self.show_words(env, object)?;
        let add = |name, run| raw::method(env, object, name, self, run);
        add(c"memory", |env, this, args| this.memory(env, args))?;
        add(c"refill", |_, this, args| this.refill(args))?;
        add(c"flush", |_, this, args| this.flush(args))?;
        add(c"quarantine", |_, this, args| this.quarantine(args))?;
        add(c"transfer", |env, this, args| this.transfer(env, args))?;
        add(c"adopt", |_, this, args| this.adopt(args))?;
        add(c"cancel", |_, this, args| {
            let (slot, generation) = ticket(args)?;
            Ok(Reply::Bool(this.core().cancel_ticket(slot, generation)))
        })?;
        add(c"wait", |_, this, _| this.wait())?;
        add(c"cancelWait", |_, this, args| {
            let wait = WaitId::new(args.u32(0)?.into());
            Ok(Reply::Bool(this.member.borrow().as_ref().is_some_and(|member| member.cancel(wait))))
        })?;
        add(c"events", |env, this, _| this.events(env))?;
        add(c"patience", |_, this, _| {
            let patience = this.core().patience(Instant::now());
            Ok(Reply::Number(patience.map_or(0.0, |patience| patience.as_secs_f64() * 1000.0)))
        })?;
        add(c"sweep", |_, this, _| Ok(Reply::Index(this.core().sweep(Instant::now()))))?;
        add(c"available", |_, this, _| Ok(Reply::Index(this.core().available())))?;
        add(c"audit", |env, this, _| this.audit(env))?;
        add(c"holders", |env, this, _| this.holders(env))?;
        add(c"info", |env, this, _| pool::info(env, this.core()).map(Reply::Value))?;
        add(c"figures", |env, this, _| this.figures(env))?;
        add(c"setRef", |env, this, args| {
            this.notifier.set_ref(env, args.bool(0)?);
            Ok(Reply::Undefined)
        })?;
        add(c"exercise", |env, this, args| exercise::start(env, this.core(), args))?;
        add(c"retire", |_, this, _| {
            // What left, and has everything home, counts in the sums from now on.
            this.pool.end(&this.record);
            Ok(Reply::Undefined)
        })?;
        add(c"close", |_, this, _| Ok(Reply::Bool(this.close())))?;
        Ok(object)
    }

    /// The words that JavaScript reads and writes without a call.
    fn show_words(&self, env: Env, object: Value) -> Result<(), Error> {
        let mut all = self.shown.borrow_mut();
        let mut put = |name, (memory, shown): (Value, Shown)| {
            all.push(shown);
            raw::set(env, object, name, memory)
        };
        put(c"mailbox", self.mailbox.export(env)?)?;
        let limit = self.core().limit_word().ok_or_else(|| raw::internal("a private pool"))?;
        // SAFETY: the word lives as long as the Arc that is handed over, and is an atomic. JavaScript only reads it.
        put(c"limit", unsafe { export(env, limit.as_ptr().cast(), 4, Arc::clone(limit)) }?)?;
        // SAFETY: as above. Only this thread writes them, in single stores.
        let figures = unsafe { export(env, self.record.as_ptr(), COUNTS * 8, Arc::clone(&self.record)) }?;
        put(c"counters", figures)
    }

    /// A slot of this attachment as an ArrayBuffer; undefined when its memory was moved, and it was taken out of use.
    fn memory(&self, env: Env, args: &Args) -> Result<Reply, Error> {
        let slot = args.u32(0)?;
        let held = self.core().holding(slot).map(|word| (word.state, word.owner));
        if held != Some(self.mine()) || self.ended.get() {
            return Err(raw::internal("to show a slot that is not this isolate's"));
        }
        if let Some(shown) = self.show(slot)? {
            return Ok(Reply::Value(shown));
        }
        let _ = env;
        self.views.hide(slot);
        self.core().quarantine_for_good(slot, self.mine())?;
        Ok(Reply::Undefined)
    }

    /// The ArrayBuffer of a slot that this isolate may see. `None`: its memory was moved.
    pub(crate) fn show(&self, slot: u32) -> Result<Option<Value>, Error> {
        self.views.show(slot)
    }

    /// Takes a slot out of JavaScript's sight, before somebody else may write it.
    pub(crate) fn hide(&self, slot: u32) -> Left {
        self.views.hide(slot)
    }

    /// Takes up to `count` free slots; their numbers are in the mailbox. -1: the pool is closed, or this left it.
    fn refill(&self, args: &Args) -> Result<Reply, Error> {
        if self.core().is_closed() || self.member.borrow().is_none() {
            return Ok(Reply::Number(-1.0));
        }
        let count = (args.u32(0)? as usize).min(MAILBOX_SLOTS);
        let mut slots = [0; MAILBOX_SLOTS];
        let got = self.core().pop_into(self.mine(), &mut slots[..count]);
        self.mailbox.write(&slots[..got]);
        Ok(Reply::Index(got as u32))
    }

    /// Gives the first `count` slots of the mailbox back; they are zeroed, unless the second argument says that they are dirty.
    /// Returns how many could not leave, because user code has moved their memory.
    fn flush(&self, args: &Args) -> Result<Reply, Error> {
        let (slots, count) = self.mailbox.read(args.u32(0)? as usize);
        let dirty = if args.bool(1)? { Dirty::All } else { Dirty::Nothing };
        let mut moved = 0;
        for &slot in &slots[..count] {
            match self.leave(slot)? {
                Left::Unseen => self.core().push(slot, self.mine(), dirty)?,
                Left::Moved => moved += 1,
            }
        }
        Ok(Reply::Index(moved))
    }

    /// Takes a slot of this attachment's out of sight; one whose memory was moved, out of use.
    fn leave(&self, slot: u32) -> Result<Left, Error> {
        let left = self.hide(slot);
        if left == Left::Moved {
            self.core().quarantine_for_good(slot, self.mine())?;
        }
        Ok(left)
    }

    fn quarantine(&self, args: &Args) -> Result<Reply, Error> {
        self.core().exchange(args.u32(0)?, self.mine(), (State::Quarantined, self.owner()))?;
        Ok(Reply::Undefined)
    }

    /// `(slot, length)`: the ticket's 16 digits; undefined when the slot's memory was moved.
    fn transfer(&self, env: Env, args: &Args) -> Result<Reply, Error> {
        let (slot, length) = (args.u32(0)?, args.u32(1)?);
        if self.core().is_closed() {
            return Err(Error::new(Code::PoolClosed, "the pool is closed"));
        }
        if self.leave(slot)? == Left::Moved {
            return Ok(Reply::Undefined);
        }
        let generation = self.core().transfer(slot, self.mine(), length)?;
        raw::string(env, &format!("{slot:08x}{generation:08x}")).map(Reply::Value)
    }

    /// `(digits)`: the slot, which is this attachment's now; the number of bytes in use is in the mailbox.
    fn adopt(&self, args: &Args) -> Result<Reply, Error> {
        let (slot, generation) = ticket(args)?;
        if self.member.borrow().is_none() {
            return Err(Error::new(Code::PoolClosed, "the pool is closed"));
        }
        let length = self.core().adopt(slot, generation, self.mine())?;
        self.mailbox.write(&[length]);
        Ok(Reply::Index(slot))
    }

    /// A slot, or -1 - id of a wait whose slot comes with the events.
    fn wait(&self) -> Result<Reply, Error> {
        let member = self.member.borrow();
        let member = member.as_ref().ok_or_else(|| Error::new(Code::PoolClosed, "the pool is closed"))?;
        Ok(Reply::Number(match member.wait()? {
            Waited::Granted(slot) => slot.into(),
            Waited::Waiting(id) => -1.0 - id.get() as f64,
        }))
    }

    /// What happened as bits, then pairs of the wait and its slot.
    fn events(&self, env: Env) -> Result<Reply, Error> {
        let mut came = Vec::new();
        let Events { flush, closed, home } =
            self.member.borrow().as_ref().map_or_else(Events::default, |member| member.events(&mut came));
        let bits = u32::from(flush) * FLUSH + u32::from(closed) * CLOSED + u32::from(home) * HOME;
        let pairs = came.iter().flat_map(|it| [it.wait.get() as f64, it.slot.into()]);
        let all: Vec<f64> = std::iter::once(f64::from(bits)).chain(pairs).collect();
        raw::numbers(env, &all).map(Reply::Value)
    }

    /// The creator closes the pool for all, others leave it. Slots that are out stay good.
    fn close(&self) -> bool {
        if self.creator {
            return self.core().close();
        }
        self.member.borrow_mut().take().is_some()
    }

    /// Brings home everything. `noted`: see [`Views::end`].
    fn end(&self, noted: bool) {
        if self.ended.replace(true) {
            return;
        }
        drop(self.member.borrow_mut().take());
        self.notifier.close();
        for endpoint in self.endpoints.take().iter().filter_map(Weak::upgrade) {
            endpoint.end();
        }
        for slot in self.views.end(noted) {
            // Held in one of these ways, or by a socket, which takes care of its own.
            for state in [State::Cached, State::Lent, State::Quarantined] {
                let _ = self.core().quarantine_for_good(slot, (state, self.owner()));
            }
        }
        self.core().reclaim(self.owner());
        self.pool.end(&self.record);
    }
}

impl Drop for Binding {
    /// No guard is left, for guards refer to the functions of this. What JavaScript still has are views alone.
    fn drop(&mut self) {
        self.end(false);
    }
}

/// Slot and generation from the 16 digits of the first argument.
fn ticket(args: &Args) -> Result<(u32, u32), Error> {
    let malformed = || Error::new(Code::InvalidArgType, "a ticket has 16 hexadecimal digits");
    let text = args.text(0).filter(|text| text.len() == 16 && text.is_ascii()).ok_or_else(malformed)?;
    let digits = |part: &str| u32::from_str_radix(part, 16).map_err(|_| malformed());
    Ok((digits(&text[..8])?, digits(&text[8..])?))
}
