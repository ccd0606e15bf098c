//! A socket on a shared pool: its slots are seen one by one, leave JavaScript's sight before they leave the socket, and
//! come in the order in which all who use the pool have asked.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use wraith_transport::memory::{Dirty, Owner, State};
use wraith_transport::pool::{Attachment, WaitId, Waited};
use wraith_transport::udp::BeforeLeave;
use wraith_transport::{Code, Error};

use super::UdpBinding;
use crate::attachment::{self, Binding};
use crate::notifier::Notifier;
use crate::raw::{self, Args, Env, Reply, Value, internal};
use crate::uv::Poll;
use crate::views::Left;

/// A socket's place among those who use a shared pool. Dropping it leaves the queue.
pub(super) struct Waiting {
    member: Attachment,
    notifier: Arc<Notifier>,
    wait: Cell<Option<WaitId>>,
    /// Somebody consumes: the event loop is kept alive until the slot comes, unless the socket was unref'd.
    consumed: Cell<bool>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.member.leave();
        self.notifier.close();
    }
}

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
    add(c"listen", |env, this, args| this.listen(env, args))?;
    add(c"wait", |_, this, args| this.wait(args.bool(0)?).map(Reply::Bool))?;
    add(c"fed", |_, this, _| this.fed().map(Reply::Bool))?;
    add(c"memory", |_, this, args| this.memory(args))?;
    add(c"lose", |_, this, args| this.lose(args))
}

impl UdpBinding {
    fn attachment(&self) -> Result<&Rc<Binding>, Error> {
        self.pool.attachment.as_ref().ok_or_else(|| internal("what only shared pools have"))
    }

    /// `(wake)`: enters the queue of the pool; `wake` is called when there is something to fetch with `fed`.
    fn listen(&self, env: Env, args: &Args) -> Result<Reply, Error> {
        let notifier = Notifier::new(env, args.value(0))?;
        let joined = self.pool.core.attach_source(self.number.get(), Arc::clone(&notifier) as Arc<_>);
        let member = match joined {
            Ok(member) => member,
            Err(error) => {
                notifier.close();
                // Closed by another thread just now: then no slot comes.
                return if error.code() == Code::PoolClosed { Ok(Reply::Undefined) } else { Err(error) };
            }
        };
        self.waiting.replace(Some(Waiting {
            member,
            notifier,
            wait: Cell::new(None),
            consumed: Cell::new(false),
        }));
        Ok(Reply::Undefined)
    }

    /// Gets a slot to receive into: whether there is one now. Otherwise it comes in its turn, unless the pool is closed.
    /// `consumed`: somebody waits for packets.
    fn wait(&self, consumed: bool) -> Result<bool, Error> {
        let waited = match &*self.waiting.borrow() {
            None => return Ok(false),
            Some(waiting) => {
                waiting.consumed.set(consumed);
                if waiting.wait.get().is_some() { None } else { Some(waiting.member.wait()) }
            }
        };
        let fed = match waited {
            Some(Ok(Waited::Granted(slot))) => self.feed(slot)?,
            Some(Ok(Waited::Waiting(id))) => {
                self.set_wait(Some(id));
                false
            }
            Some(Err(error)) if error.code() != Code::PoolClosed => return Err(error),
            _ => false,
        };
        self.keep_alive();
        Ok(fed)
    }

    fn set_wait(&self, id: Option<WaitId>) -> Option<WaitId> {
        self.waiting.borrow().as_ref().and_then(|waiting| waiting.wait.replace(id))
    }

    /// Keeps the event loop alive while a consumer waits for a slot, which others have to give back first.
    pub(super) fn keep_alive(&self) {
        if let Some(waiting) = &*self.waiting.borrow() {
            let reads = waiting.consumed.get() && waiting.wait.get().is_some();
            let referred = self.poll.borrow().as_ref().is_some_and(Poll::has_ref);
            waiting.notifier.set_ref(self.env, reads && referred);
        }
    }

    /// Posts what was delivered. Whether the wait is over.
    fn fed(&self) -> Result<bool, Error> {
        let mut deliveries = Vec::new();
        let events = match &*self.waiting.borrow() {
            Some(waiting) => waiting.member.events(&mut deliveries),
            None => return Ok(false),
        };
        let over = events.closed || !deliveries.is_empty();
        if over {
            self.set_wait(None);
            self.keep_alive();
        }
        for delivery in deliveries {
            self.feed(delivery.slot)?;
        }
        Ok(over)
    }

    /// Posts a slot that was delivered; home with it when there is no room, or no receiver any more.
    fn feed(&self, slot: u32) -> Result<bool, Error> {
        let from = (State::Cached, self.number.get());
        let fed = match &mut *self.receiver.borrow_mut() {
            Some(receiver) => receiver.feed(slot, from)?,
            None => false,
        };
        if !fed {
            self.pool.core.push(slot, from, Dirty::Nothing)?;
        }
        Ok(fed)
    }

    /// The socket wants no slot any more: what comes is for the next one.
    pub(super) fn stop_waiting(&self) {
        if let Some(wait) = self.set_wait(None)
            && let Some(waiting) = &*self.waiting.borrow()
        {
            waiting.member.cancel(wait);
        }
        self.keep_alive();
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
