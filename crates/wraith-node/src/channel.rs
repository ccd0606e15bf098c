//! A channel of a shared pool as one isolate sees it: 32 slots at a time go in and come out, each in one call.
//!
//! A slot that JavaScript has seen must be emptied there before it leaves, which costs more than to copy a packet. So bytes in use
//! up to a limit are copied, on both sides: what leaves is a fresh slot that nobody here has seen, and what JavaScript reads of
//! a slot that came is an arena of its own. Larger ones are never copied.
#![allow(unsafe_code, reason = "copies bytes, and exports memory that JavaScript sees")]

use std::cell::{Cell, OnceCell, RefCell, UnsafeCell};
use std::rc::Rc;
use std::sync::Arc;

use wraith_transport::memory::{Dirty, Owner, State};
use wraith_transport::pool::{Channel, Entry, Received, Receiver};
use wraith_transport::{Code, Error};

use crate::attachment::{self, Binding};
use crate::exported::{Shown, export};
use crate::isolate::OwnerNumber;
use crate::mailbox::{MAILBOX_SLOTS, Mailbox};
use crate::notifier::Notifier;
use crate::raw::{self, Args, Env, Reply, Value};
use crate::registry::{Id, Registry};
use crate::views::Left;

/// A channel of this process. It lives as long as an isolate has a handle of it.
struct Shared {
    /// Before the number, which names the holder of what is in it.
    channel: Arc<Channel>,
    /// Numbers are taken in turn: a thread that is just closing the channel has done so long before this one comes again.
    _number: OwnerNumber,
}

static CHANNELS: Registry<Shared> = Registry::new();

/// The receiver's place, and how it is woken. Dropping it makes room for a successor.
struct Listening {
    receiver: Receiver,
    notifier: Arc<Notifier>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.notifier.close();
    }
}

/// A row of the batch that is out.
#[derive(Clone, Copy)]
struct Row {
    slot: u32,
    length: u32,
    dirty: u32,
    /// JavaScript has seen the slot itself.
    shown: bool,
    taken: bool,
}

/// What became of a slot that was to be sent, as JavaScript is told.
mod outcome {
    /// Its bytes are under way; the slot is still here.
    pub(super) const COPIED: u32 = 0;
    /// It is under way itself.
    pub(super) const LEFT: u32 = 1;
    /// User code had moved its memory: it is out of use.
    pub(super) const MOVED: u32 = 2;
}

/// Where JavaScript reads the rows of a batch that were copied: one place a row.
struct Arena {
    memory: Box<[UnsafeCell<u8>]>,
    stride: usize,
}

impl Arena {
    /// For rows of up to `most` bytes. `None`: none is copied.
    fn new(most: usize) -> Option<Rc<Arena>> {
        let stride = most.next_multiple_of(64);
        let memory = (0..stride * MAILBOX_SLOTS).map(|_| UnsafeCell::new(0)).collect();
        (most > 0).then(|| Rc::new(Arena { memory, stride }))
    }

    fn place(&self, row: usize) -> *mut u8 {
        self.memory[row * self.stride].get()
    }
}

/// One handle of a channel.
pub(crate) struct Endpoint {
    env: Env,
    binding: Rc<Binding>,
    shared: Arc<Shared>,
    slots: Rc<Mailbox>,
    lengths: Rc<Mailbox>,
    /// Bytes in use up to which a buffer is copied.
    copy_up_to: u32,
    /// Made when somebody receives.
    arena: OnceCell<Option<Rc<Arena>>>,
    listening: RefCell<Option<Listening>>,
    /// The batch that JavaScript has: {lent, the attachment's owner}, as far as they were not taken.
    rows: RefCell<Vec<Row>>,
    ended: Cell<bool>,
    /// The ArrayBuffers of the words.
    shown: RefCell<Vec<Shown>>,
}

const NOTHING: Entry = Entry { slot: 0, length: 0, dirty: 0 };

fn attachment_of(number: &str) -> Result<Rc<Binding>, Error> {
    let found = number.parse().ok().and_then(attachment::find).filter(|it| it.is_open());
    found.ok_or_else(|| Error::new(Code::PoolClosed, "the pool is closed"))
}

/// Makes a channel of the attachment's pool.
pub(crate) fn create(env: Env, pool: &str, copy_up_to: u32) -> Result<Value, Error> {
    let binding = attachment_of(pool)?;
    let number = OwnerNumber::take()?;
    let channel = binding.core().channel(number.get())?;
    let shared = Arc::new(Shared { channel, _number: number });
    let id = CHANNELS.enter(&shared)?;
    Endpoint::begin(env, binding, shared, id, copy_up_to)
}

/// One more handle of the channel that a token names.
pub(crate) fn attach(env: Env, id: &str, pool: &str, copy_up_to: u32) -> Result<Value, Error> {
    let binding = attachment_of(pool)?;
    let stale = || Error::new(Code::StaleToken, "the token names no channel that is alive in this process");
    let id = Id::parse(id).ok_or_else(stale)?;
    let shared = CHANNELS.find(id).ok_or_else(stale)?;
    if !Arc::ptr_eq(shared.channel.core(), binding.core()) {
        return Err(Error::with_remedy(
            Code::ForeignBuffer,
            "the channel carries the buffers of another pool",
            "Pass the pool that is attached to the one that the channel was made for.",
        ));
    }
    if shared.channel.is_closed() {
        return Err(Error::new(Code::ChannelClosed, "the channel was closed"));
    }
    Endpoint::begin(env, binding, shared, id, copy_up_to)
}

impl Endpoint {
    fn begin(
        env: Env,
        binding: Rc<Binding>,
        shared: Arc<Shared>,
        id: Id,
        copy_up_to: u32,
    ) -> Result<Value, Error> {
        let copy_up_to = copy_up_to.min(u32::try_from(binding.core().buffer_size()).unwrap_or(u32::MAX));
        let this = Rc::new(Endpoint {
            env,
            binding,
            shared,
            slots: Mailbox::new(),
            lengths: Mailbox::new(),
            copy_up_to,
            arena: OnceCell::new(),
            listening: RefCell::default(),
            rows: RefCell::default(),
            ended: Cell::new(false),
            shown: RefCell::default(),
        });
        this.binding.add_endpoint(&this);
        this.object(id)
    }

    /// The object that the facade drives it with.
    fn object(self: &Rc<Self>, id: Id) -> Result<Value, Error> {
        let env = self.env;
        let object = raw::object(env)?;
        raw::set(env, object, c"id", raw::string(env, &id.to_string())?)?;
        let depth = self.channel().depth();
        let put = |name, (memory, shown): (Value, Shown)| {
            self.shown.borrow_mut().push(shown);
            raw::set(env, object, name, memory)
        };
        put(c"slots", self.slots.export(env)?)?;
        put(c"lengths", self.lengths.export(env)?)?;
        // SAFETY: the word lives as long as the Arc that is handed over, and is an atomic. JavaScript only reads it.
        put(c"depth", unsafe { export(env, depth.as_ptr().cast(), 4, Arc::clone(depth)) }?)?;
        let add = |name, run| raw::method(env, object, name, self, run);
        add(c"send", |_, this, args| this.send(args))?;
        add(c"listen", |_, this, args| this.listen(args))?;
        add(c"receive", |_, this, args| this.receive(args))?;
        add(c"memory", |_, this, args| this.memory(args))?;
        add(c"arena", |_, this, _| this.show_arena())?;
        add(c"take", |_, this, args| this.take(args))?;
        add(c"finish", |_, this, _| this.finish().map(Reply::Index))?;
        add(c"leave", |_, this, _| {
            let moved = this.finish()?;
            this.listening.take();
            Ok(Reply::Index(moved))
        })?;
        add(c"setRef", |_, this, args| {
            if let Some(listening) = &*this.listening.borrow() {
                listening.notifier.set_ref(this.env, args.bool(0)?);
            }
            Ok(Reply::Undefined)
        })?;
        add(c"counts", |env, this, _| {
            let counts = this.channel().counts();
            let all = [counts.sent as f64, counts.received as f64, counts.dropped as f64];
            raw::numbers(env, &all).map(Reply::Value)
        })?;
        add(c"close", |_, this, _| Ok(Reply::Bool(this.channel().close())))?;
        Ok(object)
    }

    fn channel(&self) -> &Arc<Channel> {
        &self.shared.channel
    }

    fn owner(&self) -> Owner {
        self.binding.owner()
    }

    /// `(count)`: sends the slots of the mailbox, with their lengths. What became of each is in the mailbox then. Those that the closed
    /// channel does not take go home.
    fn send(&self, args: &Args) -> Result<Reply, Error> {
        let (slots, count) = self.slots.read(args.u32(0)? as usize);
        let (lengths, _) = self.lengths.read(count);
        let mine = (State::Cached, self.owner());
        // All of them are out of sight, or copied, before the first one may be seen elsewhere.
        let (mut leaving, mut out) = ([NOTHING; MAILBOX_SLOTS], 0);
        let mut outcomes = [outcome::COPIED; MAILBOX_SLOTS];
        for at in 0..count {
            let entry = self.depart(slots[at], lengths[at], &mut outcomes[at]).inspect_err(|_| {
                // A number that the facade did not write. Nobody knows of the copies but this call.
                for copy in leaving[..out].iter().filter(|it| it.dirty == it.length) {
                    let _ = self.binding.core().push(copy.slot, mine, Dirty::All);
                }
            })?;
            leaving[out] = entry.unwrap_or(NOTHING);
            out += usize::from(entry.is_some());
        }
        self.slots.write(&outcomes[..count]);
        let mut next = 0;
        let sent = self.channel().send(mine, || {
            next += 1;
            leaving[..out].get(next - 1).copied()
        });
        match sent {
            Err(error) if error.code() == Code::ChannelClosed => {
                for entry in &leaving[next - 1..out] {
                    self.binding.core().push(entry.slot, mine, Dirty::All)?;
                }
            }
            sent => drop(sent?),
        }
        Ok(Reply::Undefined)
    }

    /// What sets out for one slot of this isolate's: a copy, or the slot itself, out of sight. `None`: it is out of use.
    fn depart(&self, slot: u32, length: u32, became: &mut u32) -> Result<Option<Entry>, Error> {
        if length <= self.copy_up_to {
            let mine = (State::Cached, self.owner());
            // SAFETY: slots of this isolate's are written by its JavaScript alone, which does not run now.
            if let Some(copy) = unsafe { self.channel().copy_of(slot, length, mine) }? {
                return Ok(Some(copy));
            }
        }
        let left = self.binding.leave_if_mine(slot)?;
        *became = if left == Left::Unseen { outcome::LEFT } else { outcome::MOVED };
        Ok((left == Left::Unseen).then_some(Entry { slot, length, dirty: u32::MAX }))
    }

    /// `(wake)`: becomes the one who receives; `wake` is called when there is something after a `receive` that found nothing.
    fn listen(&self, args: &Args) -> Result<Reply, Error> {
        if self.listening.borrow().is_none() && !self.ended.get() {
            let notifier = Notifier::new(self.env, args.value(0))?;
            let receiver = self.channel().receiver(Arc::clone(&notifier) as Arc<_>);
            let receiver = receiver.inspect_err(|_| notifier.close())?;
            self.listening.replace(Some(Listening { receiver, notifier }));
        }
        Ok(Reply::Undefined)
    }

    /// `(most)`: a batch of so many at most; the batch before must have ended. How many came, with their lengths in the
    /// mailbox; 0: none, `wake` is called when there are; -1: the channel was closed.
    fn receive(&self, args: &Args) -> Result<Reply, Error> {
        let most = (args.u32(0)? as usize).min(MAILBOX_SLOTS);
        let listening = self.listening.borrow();
        let mut rows = self.rows.borrow_mut();
        // What an isolate that is ending takes out is lost to its successor.
        let Some(Listening { receiver, .. }) = &*listening else { return Ok(Reply::Number(-1.0)) };
        if !rows.is_empty() {
            return Err(Error::new(Code::Busy, "a batch of this channel is out"));
        }
        if !raw::runs_javascript(self.env) {
            return Ok(Reply::Number(-1.0));
        }
        let mut entries = [NOTHING; MAILBOX_SLOTS];
        match receiver.receive((State::Lent, self.owner()), &mut entries[..most])? {
            Received::Closed => Ok(Reply::Number(-1.0)),
            Received::Asleep => Ok(Reply::Number(0.0)),
            Received::Some(count) => {
                for (at, &Entry { slot, length, dirty }) in entries[..count].iter().enumerate() {
                    rows.push(Row { slot, length, dirty, shown: false, taken: false });
                    if let Some(arena) = self.arena().filter(|_| length <= self.copy_up_to) {
                        let from = self.binding.core().slab().slot(slot);
                        // SAFETY: the slot is this isolate's, and nobody writes it. The place has room for `copy_up_to` bytes;
                        // JavaScript, which sees it, does not run now.
                        unsafe { arena.place(at).copy_from_nonoverlapping(from, length as usize) };
                    }
                }
                self.lengths.write(&std::array::from_fn::<u32, MAILBOX_SLOTS, _>(|at| entries[at].length));
                Ok(Reply::Number(count as f64))
            }
        }
    }

    fn arena(&self) -> Option<&Rc<Arena>> {
        self.arena.get_or_init(|| Arena::new(self.copy_up_to as usize)).as_ref()
    }

    /// The arena as an ArrayBuffer; undefined when no row is copied.
    fn show_arena(&self) -> Result<Reply, Error> {
        let Some(arena) = self.arena() else { return Ok(Reply::Undefined) };
        // SAFETY: the memory lives as long as the Rc that is handed over, and is only used through cells.
        let exported = unsafe { export(self.env, arena.place(0), arena.memory.len(), Rc::clone(arena)) };
        let (memory, shown) = exported?;
        self.shown.borrow_mut().push(shown);
        Ok(Reply::Value(memory))
    }

    /// Looks at, or changes, a row that was not taken.
    fn with_row<R>(&self, row: u32, run: impl FnOnce(&mut Row) -> R) -> Result<R, Error> {
        match self.rows.borrow_mut().get_mut(row as usize) {
            Some(row) if !row.taken => Ok(run(row)),
            _ => Err(Error::new(Code::OutOfRange, format!("the batch has no row {row}"))),
        }
    }

    /// `(row)`: its slot as an ArrayBuffer; undefined when user code has moved its memory.
    fn memory(&self, args: &Args) -> Result<Reply, Error> {
        let slot = self.with_row(args.u32(0)?, |row| {
            row.shown = true;
            row.slot
        })?;
        Ok(self.binding.show(slot)?.map_or(Reply::Undefined, Reply::Value))
    }

    /// `(row, written)`: its slot is the attachment's from now on, and no part of the batch. `written`: with the bytes of the arena,
    /// if the row was copied there.
    fn take(&self, args: &Args) -> Result<Reply, Error> {
        let (row, written) = (args.u32(0)?, args.bool(1)?);
        let core = self.binding.core();
        let Row { slot, length, .. } = self.with_row(row, |row| *row)?;
        if let Some(arena) = self.arena().filter(|_| written && length <= self.copy_up_to) {
            // SAFETY: as in `receive`, the other way round.
            unsafe {
                core.slab().slot(slot).copy_from_nonoverlapping(arena.place(row as usize), length as usize)
            };
        }
        let owner = self.owner();
        core.exchange(slot, (State::Lent, owner), (State::Cached, owner))?;
        self.with_row(row, |row| row.taken = true)?;
        Ok(Reply::Index(slot))
    }

    /// Ends the batch: its slots go home, zeroed. How many could not, because user code has moved their memory.
    fn finish(&self) -> Result<u32, Error> {
        let lent = (State::Lent, self.owner());
        let core = self.binding.core();
        let mut moved = 0;
        for row in std::mem::take(&mut *self.rows.borrow_mut()).iter().filter(|row| !row.taken) {
            let dirty = if row.shown { Dirty::All } else { Dirty::Range { start: 0, len: row.dirty } };
            match self.binding.hide(row.slot) {
                Left::Unseen => core.push(row.slot, lent, dirty)?,
                Left::Moved => {
                    core.quarantine_for_good(row.slot, lent)?;
                    moved += 1;
                }
            }
        }
        Ok(moved)
    }

    /// The attachment ends, and brings home what it holds: the rows, too. The channel is a successor's.
    pub(crate) fn end(&self) {
        self.ended.set(true);
        self.rows.borrow_mut().clear();
        drop(self.listening.take());
    }
}
