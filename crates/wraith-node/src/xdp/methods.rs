//! The functions of the object of queues.

use std::rc::Rc;

use wraith_transport::udp::Received;
use wraith_transport::{Code, Error};

use super::binding::XdpBinding;
use super::queues::QUEUES;
use super::{memory, send, values};
use crate::event_loop::{self, Source};
use crate::frames::{self, Kind};
use crate::raw::{self, Args, Env, Reply, Value};
use crate::views::Left;
use crate::waiting;

/// Puts every function on the object.
pub(super) fn install(env: Env, object: Value, this: &Rc<XdpBinding>) -> Result<(), Error> {
    let number = this.number.get().get();
    raw::set(env, object, c"number", raw::number(env, number.into())?)?;
    let add = |name, run| raw::method(env, object, name, this, run);
    add(c"resume", |_, this, _| this.set_reading(true))?;
    add(c"pause", |_, this, _| this.set_reading(false))?;
    add(c"hold", |_, this, _| {
        this.on_loop().hold();
        Ok(Reply::Undefined)
    })?;
    add(c"receive", |_, this, _| this.receive_now())?;
    add(c"finish", |_, this, _| {
        this.finish();
        Ok(Reply::Undefined)
    })?;
    add(c"memory", |_, this, args| memory::show(this, args))?;
    add(c"copyOut", |_, this, args| memory::copy_out(this, args))?;
    add(c"take", |_, this, args| this.take(args))?;
    add(c"parseFrames", |_, this, args| this.parse(Kind::Frames, args))?;
    add(c"explainFrame", |env, this, args| this.explain(env, Kind::Frames, args))?;
    add(c"parsePackets", |_, this, args| this.parse(Kind::Packets, args))?;
    add(c"explainPacket", |env, this, args| this.explain(env, Kind::Packets, args))?;
    // The kernel's ring is filled from the pool, and keeps what it has.
    add(c"missing", |_, _, _| Ok(Reply::Index(0)))?;
    add(c"shed", |_, this, _| {
        waiting::stop_waiting(&**this);
        Ok(Reply::Index(0))
    })?;
    add(c"sendSlots", |_, this, args| send::slots(this, args))?;
    add(c"sendRows", |_, this, args| send::rows(this, args))?;
    add(c"flush", |_, this, _| send::flush(this))?;
    add(c"check", |_, this, _| this.check())?;
    add(c"setFilter", |env, this, args| this.set_filter(env, args))?;
    add(c"info", |env, this, _| {
        let queues = this.queues()?;
        values::info(env, &queues).map(Reply::Value)
    })?;
    add(c"metrics", |env, this, _| {
        let queues = this.queues()?;
        let counters = values::look(&queues, this.sockets.borrow().as_deref());
        values::metrics(env, &counters).map(Reply::Value)
    })?;
    add(c"setRef", |_, this, args| {
        this.on_loop().set_ref(args.bool(0)?);
        waiting::keep_alive(&**this);
        Ok(Reply::Undefined)
    })?;
    add(c"hasRef", |_, this, _| Ok(Reply::Bool(this.on_loop().has_ref())))?;
    add(c"share", |env, this, _| this.share(env))?;
    add(c"lease", |_, this, _| this.lease())?;
    add(c"close", |_, this, _| {
        event_loop::close(&**this);
        Ok(Reply::Undefined)
    })?;
    waiting::install(env, object, this)
}

impl XdpBinding {
    /// Whether a queue that is to be read from is short of slots to receive into.
    fn set_reading(&self, reading: bool) -> Result<Reply, Error> {
        self.queues()?;
        if reading {
            self.check_lease()?;
        }
        self.on_loop().set_reading(reading)?;
        Ok(Reply::Bool(reading && self.is_short()))
    }

    /// One batch, without waiting: its rows, 0 when there is nothing, -1 when there is no slot to receive into.
    fn receive_now(&self) -> Result<Reply, Error> {
        self.queues()?;
        self.check_lease()?;
        // The facade has ended its batch; native's, which this call may come in, ends with it.
        self.finish();
        match self.receive() {
            Some(Received::Rows { rows, .. }) => {
                self.on_loop().batch_begins();
                Ok(Reply::Number(rows as f64))
            }
            Some(Received::Empty) | None => Ok(Reply::Number(0.0)),
            Some(Received::Starved) => Ok(Reply::Number(-1.0)),
            Some(Received::Failed(error)) => Err(error),
        }
    }

    /// `(row, copies?)`: makes its slot this isolate's, with the frame at the slot's front and zeros behind it. All views of the batch
    /// are empty then. `copies`: what `copyOut` filled. Returns the slot.
    fn take(&self, args: &Args) -> Result<Reply, Error> {
        let at = args.u32(0)? as usize;
        self.hide()?;
        let mine = self.mine();
        let copies = args.array_buffer(1).ok();
        self.with_batch(|socket| {
            let row = socket.rows().get(at).filter(|_| socket.has(at)).copied().ok_or_else(|| no_row(at))?;
            if let Some(copies) = copies {
                memory::copy_back(socket, at, copies);
            }
            memory::move_to_front(socket, &row);
            socket.take(at, mine)?;
            Ok(Reply::Index(row.slot))
        })
    }

    /// `(block, backend or undefined, base)`: the rows of the batch that is out, wherever JavaScript thinks that they are. Places are counted from
    /// byte `base` of the UMEM on; a row before that is out of bounds.
    fn parse(&self, kind: Kind, args: &Args) -> Result<Reply, Error> {
        let base = args.u32(2)?;
        self.with_batch(|socket| frames::parse_rows(kind, socket, base, args).map(Reply::Index))
    }

    /// `(row)`: what is wrong with it, if anything.
    fn explain(&self, env: Env, kind: Kind, args: &Args) -> Result<Reply, Error> {
        self.with_batch(|socket| frames::explain_row(env, kind, socket, args.u32(0)?))
    }

    /// Takes the error that the kernel has for one of the queues, or tells once that the interface is down: nothing else does.
    fn check(&self) -> Result<Reply, Error> {
        let taken = self.sockets.borrow().iter().flatten().find_map(|socket| socket.take_error());
        if let Some(error) = taken {
            return Err(error);
        }
        let down = self.queues()?.device().down();
        let was_down = self.down.replace(down.is_some());
        match down.filter(|_| !was_down) {
            Some(error) => Err(error),
            None => Ok(Reply::Undefined),
        }
    }

    /// `(filter)`.
    fn set_filter(&self, env: Env, args: &Args) -> Result<Reply, Error> {
        let filter = super::filter::from_value(env, args.value(0))?;
        self.queues()?.device().set_filter(&filter)?;
        Ok(Reply::Undefined)
    }

    /// Gives the lease up, and returns the id to attach with. The facade has seen to it that nobody consumes.
    fn share(&self, env: Env) -> Result<Reply, Error> {
        let queues = self.queues()?;
        let out = self.sockets.borrow().iter().flatten().any(|socket| !socket.rows().is_empty());
        if self.on_loop().is_reading() || out {
            return Err(Error::new(Code::Busy, "this handle is being read from"));
        }
        waiting::stop_waiting(self);
        self.give_sockets_back();
        let mut shared = self.shared.borrow_mut();
        let id = match &*shared {
            Some(handle) => {
                handle.release();
                handle.id()
            }
            None => shared.insert(QUEUES.share(queues)?).id(),
        };
        raw::string(env, &id.to_string()).map(Reply::Value)
    }

    /// Takes the lease, unless this handle has it.
    fn lease(&self) -> Result<Reply, Error> {
        self.queues()?;
        if let Some(handle) = &*self.shared.borrow() {
            handle.lease()?;
        }
        self.take_sockets().inspect_err(|_| {
            if let Some(handle) = &*self.shared.borrow() {
                handle.release();
            }
        })?;
        Ok(Reply::Undefined)
    }

    /// Only the one with the lease reads and sends.
    pub(super) fn check_lease(&self) -> Result<(), Error> {
        if self.sockets.borrow().is_some() {
            return Ok(());
        }
        if self.is_exposed() {
            return Err(memory::moved());
        }
        Err(Error::new(Code::Busy, "this handle has given up its lease of the queues"))
    }

    /// Before a slot of this isolate goes to native: out of JavaScript's sight with it. `false`: user code has moved its
    /// memory, and it is out of use.
    pub(super) fn let_leave(&self, slot: u32) -> Result<bool, Error> {
        let mine = self.mine();
        let core = self.attachment.core();
        if core.holding(slot).map(|word| (word.state, word.owner)) != Some(mine) {
            return Err(Error::new(Code::StaleBuffer, "the slot is not this isolate's"));
        }
        match self.attachment.hide(slot) {
            Left::Unseen => Ok(true),
            Left::Moved => core.quarantine_for_good(slot, mine).map(|()| false),
        }
    }
}

pub(super) fn no_row(row: usize) -> Error {
    Error::new(Code::OutOfRange, format!("the batch has no row {row}"))
}
