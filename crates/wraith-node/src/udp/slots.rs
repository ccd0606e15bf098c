//! A socket on a shared pool: its slots are seen one by one, leave JavaScript's sight before they leave the socket, and
//! come in the order in which all who use the pool have asked.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use wraith_transport::memory::{Dirty, Owner, State};
use wraith_transport::pool::PoolCore;
use wraith_transport::udp::BeforeLeave;
use wraith_transport::{Code, Error};

use super::UdpBinding;
use crate::attachment::{self, Binding};
use crate::raw::{self, Args, Env, Reply, Value, internal};
use crate::views::Left;
use crate::waiting::{self, Waiting, Waits};

/// What a receiver asks before a slot of its goes back to the pool: whether JavaScript does not see it any more.
///
/// A receiver is used on its isolate's thread only, where the attachment is found by its number.
pub(super) fn hiding_from(attachment: &Rc<Binding>) -> BeforeLeave {
    let number = attachment.owner().get();
    Box::new(move |slot| attachment::find(number).is_some_and(|it| it.hide(slot) == Left::Unseen))
}

/// Puts the functions that only sockets on shared pools need on the object.
pub(super) fn install(env: Env, object: Value, this: &Rc<UdpBinding>) -> Result<(), Error> {
    if this.pool.attachment.is_none() {
        return Ok(());
    }
    let add = |name, run| raw::method(env, object, name, this, run);
    waiting::install(env, object, this)?;
    add(c"memory", |_, this, args| this.memory(args))?;
    add(c"lose", |_, this, args| this.lose(args))
}

impl Waits for UdpBinding {
    fn waiting(&self) -> &RefCell<Option<Waiting>> {
        &self.waiting
    }

    fn core(&self) -> &Arc<PoolCore> {
        &self.pool.core
    }

    fn number(&self) -> Owner {
        self.number.get()
    }

    fn post(&self, slot: u32, from: (State, Owner)) -> Result<bool, Error> {
        self.receiver.borrow_mut().as_mut().map_or(Ok(false), |receiver| receiver.feed(slot, from))
    }
}

impl UdpBinding {
    fn attachment(&self) -> Result<&Rc<Binding>, Error> {
        self.pool.attachment.as_ref().ok_or_else(|| internal("what only shared pools have"))
    }

    /// `(row)`: the slot of a row as an ArrayBuffer; undefined when user code has moved its memory.
    fn memory(&self, args: &Args) -> Result<Reply, Error> {
        let slot = self.slot_of(args.u32(0)? as usize)?;
        Ok(self.attachment()?.show(slot)?.map_or(Reply::Undefined, Reply::Value))
    }

    /// `(row)`: takes the slot of a row out of use when user code has moved its memory. Whether it has.
    fn lose(&self, args: &Args) -> Result<Reply, Error> {
        let row = args.u32(0)? as usize;
        if self.receiver.borrow().is_none() {
            return Ok(Reply::Bool(false));
        }
        let slot = self.slot_of(row)?;
        let moved = self.attachment()?.hide(slot) == Left::Moved;
        if moved {
            self.with_receiver(|receiver| receiver.take(row, (State::Quarantined, Owner::NONE)))?;
        }
        Ok(Reply::Bool(moved))
    }

    /// The slot of a row that was not taken.
    fn slot_of(&self, row: usize) -> Result<u32, Error> {
        self.with_receiver(|receiver| match receiver.rows().get(row) {
            Some(entry) if receiver.has(row) => Ok(entry.slot),
            _ => Err(Error::new(Code::OutOfRange, format!("the batch has no row {row}"))),
        })
    }

    /// Before a slot of this isolate goes to native: out of JavaScript's sight with it, in a shared pool. `false`: user code has
    /// moved its memory, and it is out of use.
    pub(super) fn let_leave(&self, slot: u32) -> Result<bool, Error> {
        let Some(attachment) = &self.pool.attachment else { return Ok(true) };
        let mine = (State::Cached, self.pool.owner);
        if self.pool.core.holding(slot).map(|word| (word.state, word.owner)) != Some(mine) {
            return Err(Error::new(Code::StaleBuffer, "the slot is not this isolate's"));
        }
        match attachment.hide(slot) {
            Left::Unseen => Ok(true),
            Left::Moved => self.pool.core.quarantine_for_good(slot, mine).map(|()| false),
        }
    }

    /// A cached slot of this isolate for the pool, in exchange for one that was taken.
    pub(super) fn give_spare(&self, slot: u32) -> Result<(), Error> {
        if self.let_leave(slot)? {
            self.pool.core.push(slot, (State::Cached, self.pool.owner), Dirty::Nothing)?;
        }
        Ok(())
    }
}
