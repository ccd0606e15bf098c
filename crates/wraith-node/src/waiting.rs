//! A source's place in the queue of a shared pool: when it has no slot to receive into, one comes in its turn.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use wraith_transport::memory::{Dirty, Owner, State};
use wraith_transport::pool::{Attachment, PoolCore, WaitId, Waited};
use wraith_transport::{Code, Error};

use crate::event_loop::Source;
use crate::notifier::Notifier;
use crate::raw::{self, Args, Env, Reply, Value};

/// One member of the queue. Dropping it leaves.
pub(crate) struct Waiting {
    member: Attachment,
    notifier: Arc<Notifier>,
    wait: Cell<Option<WaitId>>,
    /// Somebody consumes: the event loop is kept alive until the slot comes, unless the source was unref'd.
    consumed: Cell<bool>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.member.leave();
        self.notifier.close();
    }
}

/// A source that may receive into slots of a shared pool.
pub(crate) trait Waits: Source {
    /// Its place in the queue, while it has one.
    fn waiting(&self) -> &RefCell<Option<Waiting>>;

    fn core(&self) -> &Arc<PoolCore>;

    /// Who holds the slots that are delivered.
    fn number(&self) -> Owner;

    /// Receives into this slot, unless there is no room or nothing to receive with.
    fn post(&self, slot: u32, from: (State, Owner)) -> Result<bool, Error>;
}

/// Puts the functions of a source that may have to wait on its object.
pub(crate) fn install<S: Waits>(env: Env, object: Value, source: &Rc<S>) -> Result<(), Error> {
    let add = |name, run| raw::method(env, object, name, source, run);
    add(c"listen", |env, this, args| listen(env, &**this, args))?;
    add(c"wait", |_, this, args| wait(&**this, args.bool(0)?).map(Reply::Bool))?;
    add(c"fed", |_, this, _| fed(&**this).map(Reply::Bool))
}

/// `(wake)`: enters the queue of the pool; `wake` is called when there is something to fetch with `fed`.
fn listen<S: Waits>(env: Env, source: &S, args: &Args) -> Result<Reply, Error> {
    let notifier = Notifier::new(env, args.value(0))?;
    let joined = source.core().attach_source(source.number(), Arc::clone(&notifier) as Arc<_>);
    let member = match joined {
        Ok(member) => member,
        Err(error) => {
            notifier.close();
            // Closed by another thread just now: then no slot comes.
            return if error.code() == Code::PoolClosed { Ok(Reply::Undefined) } else { Err(error) };
        }
    };
    let (wait, consumed) = (Cell::new(None), Cell::new(false));
    source.waiting().replace(Some(Waiting { member, notifier, wait, consumed }));
    Ok(Reply::Undefined)
}

/// Gets a slot to receive into: whether there is one now. Otherwise it comes in its turn, unless the pool is closed.
/// `consumed`: somebody waits for packets.
fn wait<S: Waits>(source: &S, consumed: bool) -> Result<bool, Error> {
    let waited = match &*source.waiting().borrow() {
        None => return Ok(false),
        Some(waiting) => {
            waiting.consumed.set(consumed);
            if waiting.wait.get().is_some() { None } else { Some(waiting.member.wait()) }
        }
    };
    let fed = match waited {
        Some(Ok(Waited::Granted(slot))) => feed(source, slot)?,
        Some(Ok(Waited::Waiting(id))) => {
            set_wait(source, Some(id));
            false
        }
        Some(Err(error)) if error.code() != Code::PoolClosed => return Err(error),
        _ => false,
    };
    keep_alive(source);
    Ok(fed)
}

fn set_wait<S: Waits>(source: &S, id: Option<WaitId>) -> Option<WaitId> {
    source.waiting().borrow().as_ref().and_then(|waiting| waiting.wait.replace(id))
}

/// Keeps the event loop alive while a consumer waits for a slot, which others have to give back first.
pub(crate) fn keep_alive<S: Waits>(source: &S) {
    if let Some(waiting) = &*source.waiting().borrow() {
        let reads = waiting.consumed.get() && waiting.wait.get().is_some();
        let on_loop = source.on_loop();
        waiting.notifier.set_ref(on_loop.env(), reads && on_loop.has_ref());
    }
}

/// Posts what was delivered. Whether the wait is over.
fn fed<S: Waits>(source: &S) -> Result<bool, Error> {
    let mut deliveries = Vec::new();
    let events = match &*source.waiting().borrow() {
        Some(waiting) => waiting.member.events(&mut deliveries),
        None => return Ok(false),
    };
    let over = events.closed || !deliveries.is_empty();
    if over {
        set_wait(source, None);
        keep_alive(source);
    }
    for delivery in deliveries {
        feed(source, delivery.slot)?;
    }
    Ok(over)
}

/// Posts a slot that was delivered; home with it when there is no room, or nothing to receive with any more.
fn feed<S: Waits>(source: &S, slot: u32) -> Result<bool, Error> {
    let from = (State::Cached, source.number());
    let fed = source.post(slot, from)?;
    if !fed {
        source.core().push(slot, from, Dirty::Nothing)?;
    }
    Ok(fed)
}

/// The source wants no slot any more: what comes is for the next one.
pub(crate) fn stop_waiting<S: Waits>(source: &S) {
    if let Some(wait) = set_wait(source, None)
        && let Some(waiting) = &*source.waiting().borrow()
    {
        waiting.member.cancel(wait);
    }
    keep_alive(source);
}
