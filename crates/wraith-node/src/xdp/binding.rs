//! Queues of an interface as one isolate sees them.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::thread;

use wraith_transport::memory::{Owner, State};
use wraith_transport::pool::PoolCore;
use wraith_transport::udp::Received;
use wraith_transport::xdp::XdpSocket;
use wraith_transport::{Code, Error};

use super::columns::Columns;
use super::epoll::Epoll;
use super::queues::{Queues, SharedHandle};
use super::{memory, methods};
use crate::attachment;
use crate::event_loop::{self, End, Flushed, OnLoop, Source};
use crate::exported::Shown;
use crate::frames::Rows;
use crate::isolate::OwnerNumber;
use crate::notifier::Notifier;
use crate::pool::find_attachment;
use crate::raw::{self, Env, Value};
use crate::views::{Left, Views};
use crate::waiting::{Waiting, Waits};

/// One isolate's use of queues.
pub(super) struct XdpBinding {
    on_loop: OnLoop,
    /// What names it among this thread's, and holds the slots that it waits for.
    pub(super) number: OwnerNumber,
    /// This isolate's attachment to the UMEM's pool.
    pub(super) attachment: Rc<attachment::Binding>,
    waiting: RefCell<Option<Waiting>>,
    pub(super) queues: RefCell<Option<Arc<Queues>>>,
    /// None while nobody else can come to use the queues.
    pub(super) shared: RefCell<Option<SharedHandle>>,
    /// While this isolate has the lease.
    pub(super) sockets: RefCell<Option<Vec<XdpSocket>>>,
    /// Which socket's batch is out, or was last.
    pub(super) current: Cell<usize>,
    /// The interface was down when it was looked at last.
    pub(super) down: Cell<bool>,
    /// User code has moved the UMEM, which nobody has been told yet.
    broken: Cell<bool>,
    epoll: RefCell<Option<Epoll>>,
    columns: Rc<Columns>,
    /// The windows of the UMEM, as JavaScript sees them during a batch.
    pub(super) umem: Views,
    /// Those that it has seen since they were last emptied.
    pub(super) looked: RefCell<Vec<u32>>,
    /// Told when the sockets are closed.
    gone: Arc<Notifier>,
    /// The ArrayBuffers of the columns.
    shown: RefCell<Vec<Shown>>,
}

thread_local! {
    /// The bindings of this thread's environments, by the number that their objects show.
    static BINDINGS: RefCell<HashMap<u32, Weak<XdpBinding>>> = RefCell::default();
}

/// This thread's living binding with this number.
pub(super) fn find(number: u32) -> Option<Rc<XdpBinding>> {
    BINDINGS.with_borrow(|all| all.get(&number).and_then(Weak::upgrade))
}

/// Begins to use queues whose lease the caller has. `dispatch` is called with what happens, `gone` when the sockets are closed.
/// Returns the object that the facade drives it with.
pub(super) fn start(
    env: Env,
    (queues, shared): (Arc<Queues>, Option<SharedHandle>),
    attachment: u32,
    dispatch: Value,
    gone: Value,
) -> Result<Value, Error> {
    let attachment = find_attachment(attachment)?;
    if !Arc::ptr_eq(attachment.core(), &queues.umem.pool.core) {
        return Err(Error::new(Code::Internal, "the attachment is another pool's"));
    }
    let epoll = Epoll::new()?;
    let fd = epoll.fd();
    let columns = Columns::new(queues.batch_size);
    let gone = Notifier::new(env, gone)?;
    let number = OwnerNumber::take().inspect_err(|_| gone.close())?;
    let umem = Views::windows(env, attachment.core().slab(), memory::WINDOW).inspect_err(|_| gone.close())?;
    let this = Rc::new(XdpBinding {
        on_loop: OnLoop::new::<XdpBinding>(env),
        number,
        attachment,
        waiting: RefCell::new(None),
        queues: RefCell::new(Some(queues)),
        shared: RefCell::new(shared),
        sockets: RefCell::new(None),
        current: Cell::new(0),
        down: Cell::new(false),
        broken: Cell::new(false),
        epoll: RefCell::new(Some(epoll)),
        columns,
        umem,
        looked: RefCell::default(),
        gone,
        shown: RefCell::default(),
    });
    BINDINGS.with_borrow_mut(|all| {
        all.retain(|_, it| it.strong_count() > 0);
        all.insert(this.number.get().get(), Rc::downgrade(&this));
    });
    let object = raw::object(env)?;
    this.take_sockets()
        .and_then(|()| this.columns.export(env, object))
        .map(|shown| this.shown.borrow_mut().extend(shown))
        .and_then(|()| methods::install(env, object, &this))
        .and_then(|()| event_loop::watch(&this, fd, dispatch))
        .inspect_err(|_| {
            // Shared queues stay for the next one that attaches.
            this.give_sockets_back();
            drop(this.shared.take());
            let watched = this.on_loop.is_watched();
            event_loop::close(&*this);
            if !watched {
                this.let_go();
            }
        })?;
    Ok(object)
}

impl XdpBinding {
    pub(super) fn queues(&self) -> Result<Arc<Queues>, Error> {
        match &*self.queues.borrow() {
            Some(queues) if self.on_loop.is_open() => Ok(Arc::clone(queues)),
            _ => Err(closed()),
        }
    }

    /// Takes the sockets of queues whose lease this has, and watches them.
    pub(super) fn take_sockets(&self) -> Result<(), Error> {
        if self.sockets.borrow().is_some() {
            return Ok(());
        }
        let queues = self.queues()?;
        let sockets = queues.take()?;
        let added = match &*self.epoll.borrow() {
            Some(epoll) => sockets.iter().try_for_each(|socket| epoll.add(socket.fd())),
            None => Err(closed()),
        };
        if let Err(error) = added {
            self.unwatch(&sockets);
            queues.give_back(sockets);
            return Err(error);
        }
        self.current.set(0);
        self.sockets.replace(Some(sockets));
        Ok(())
    }

    /// Gives the sockets back, for the next one that has the lease.
    pub(super) fn give_sockets_back(&self) {
        let _ = self.hide();
        if let (Some(sockets), Some(queues)) = (self.sockets.take(), &*self.queues.borrow()) {
            self.unwatch(&sockets);
            queues.give_back(sockets);
        }
    }

    fn unwatch(&self, sockets: &[XdpSocket]) {
        if let Some(epoll) = &*self.epoll.borrow() {
            for socket in sockets {
                epoll.remove(socket.fd());
            }
        }
    }

    /// Who holds the slots that JavaScript has.
    pub(super) fn mine(&self) -> (State, Owner) {
        (State::Cached, self.attachment.owner())
    }

    /// Empties every view of the UMEM: its frames may leave JavaScript. Cheap when JavaScript has not looked at the batch.
    ///
    /// # Errors
    /// [`memory::moved`]: user code has moved the memory. All queues of the UMEM are closed, those of other threads when they look.
    pub(super) fn hide(&self) -> Result<(), Error> {
        // Nothing is borrowed meanwhile: user code may have its own `transfer`, and look again.
        let mut looked = self.looked.take();
        let moved = looked.drain(..).filter(|&window| self.umem.hide(window) == Left::Moved).count();
        if self.looked.borrow().is_empty() {
            self.looked.replace(looked);
        }
        if moved == 0 {
            return Ok(());
        }
        if let Some(queues) = &*self.queues.borrow() {
            queues.umem.expose();
        }
        let all = BINDINGS.with_borrow(|all| all.values().filter_map(Weak::upgrade).collect::<Vec<_>>());
        for it in all.iter().filter(|it| Arc::ptr_eq(it.attachment.core(), self.attachment.core())) {
            it.break_off();
        }
        Err(memory::moved())
    }

    /// Closes the sockets because of what became of the UMEM; the next receive tells.
    fn break_off(&self) {
        let Some(sockets) = self.sockets.take() else { return };
        self.unwatch(&sockets);
        // Closing a socket makes the kernel stop writing before it returns.
        drop(sockets);
        self.broken.set(true);
        if let Some(epoll) = &mut *self.epoll.borrow_mut() {
            // Without it the next receive is later.
            let _ = epoll.ring();
        }
    }

    pub(super) fn is_exposed(&self) -> bool {
        self.queues.borrow().as_ref().is_some_and(|queues| queues.umem.is_exposed())
    }

    /// The socket whose batch is out.
    pub(super) fn with_batch<T>(
        &self,
        run: impl FnOnce(&mut XdpSocket) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut sockets = self.sockets.borrow_mut();
        let socket = sockets.as_mut().and_then(|all| all.get_mut(self.current.get()));
        run(socket.ok_or_else(closed)?)
    }
}

impl Source for XdpBinding {
    const RESOURCE: &'static str = "WRAITH_XDP";

    fn on_loop(&self) -> &OnLoop {
        &self.on_loop
    }

    /// One queue's batch, the queues in turn.
    fn receive(&self) -> Option<Received> {
        if self.is_exposed() {
            self.break_off();
        }
        if self.broken.take() {
            return Some(Received::Failed(memory::moved()));
        }
        let mut sockets = self.sockets.borrow_mut();
        let sockets = sockets.as_mut()?;
        let count = sockets.len();
        let mut nothing = Received::Empty;
        for step in 1..=count {
            let at = (self.current.get() + step) % count;
            match sockets[at].receive() {
                Received::Empty => {}
                Received::Starved => nothing = Received::Starved,
                Received::Failed(error) => {
                    // The others have their turn when reading goes on.
                    self.current.set(at);
                    return Some(Received::Failed(error));
                }
                Received::Rows { rows, more } => {
                    self.current.set(at);
                    self.columns.write(sockets[at].rows());
                    // The other queues have not been looked at.
                    return Some(Received::Rows { rows, more: more || count > 1 });
                }
            }
        }
        Some(nothing)
    }

    /// Whether any queue is: its frames would be lost.
    fn is_short(&self) -> bool {
        let mut sockets = self.sockets.borrow_mut();
        // Each is asked, which fills it up.
        sockets.iter_mut().flatten().map(XdpSocket::is_short).filter(|&short| short).count() > 0
    }

    fn finish(&self) {
        // The next receive tells.
        let _ = self.hide();
        if let Some(sockets) = &mut *self.sockets.borrow_mut() {
            // Only one of them has a batch.
            for socket in sockets {
                socket.finish();
            }
        }
    }

    fn abandon_batch(&self) {
        for socket in self.sockets.borrow().iter().flatten() {
            socket.metrics().count_abandoned(socket.rows().len());
        }
        self.finish();
    }

    fn has_successor(&self) -> bool {
        self.shared.borrow().is_some()
    }

    /// The facade looks at what is being sent by itself: poll(2) calls a ring writable that the device does not empty.
    fn flush(&self) -> Option<Flushed> {
        None
    }

    /// An epoll descriptor has no errors of its own.
    fn take_error(&self) {}

    fn part(&self, end: End) {
        drop(self.waiting.take());
        self.give_sockets_back();
        // Last: whoever takes the lease next must find nobody reading.
        if let Some(shared) = self.shared.take() {
            match end {
                End::Explicit => shared.close(),
                End::Isolate => drop(shared),
            }
        }
        if end == End::Isolate {
            self.umem.end(false);
        }
        let Some(queues) = self.queues.take() else { return };
        if end == End::Isolate {
            drop(queues);
            return self.gone.close();
        }
        // Closing waits for frames that are being sent, and for a driver that lets go late: not on the event loop.
        self.gone.set_ref(self.on_loop.env(), true);
        let gone = Arc::clone(&self.gone);
        let close = move || {
            drop(queues);
            gone.notify_once();
        };
        let name = thread::Builder::new().name("wraith-xdp-close".into());
        if let Err(_refused) = name.spawn(close) {
            // What the closure held went with it: the sockets are closed already.
            self.gone.notify_once();
        }
    }

    fn let_go(&self) {
        drop(self.epoll.take());
    }
}

impl Waits for XdpBinding {
    fn waiting(&self) -> &RefCell<Option<Waiting>> {
        &self.waiting
    }

    fn core(&self) -> &Arc<PoolCore> {
        self.attachment.core()
    }

    fn number(&self) -> Owner {
        self.number.get()
    }

    /// To the queue that has the fewest.
    fn post(&self, slot: u32, from: (State, Owner)) -> Result<bool, Error> {
        let mut sockets = self.sockets.borrow_mut();
        let hungry = sockets.iter_mut().flatten().filter(|socket| socket.wanted() > 0);
        let hungriest = hungry.min_by_key(|socket| socket.with_kernel().0);
        hungriest.map_or(Ok(false), |socket| socket.feed(slot, from))
    }
}

impl Rows for XdpSocket {
    fn pool(&self) -> &PoolCore {
        XdpSocket::pool(self)
    }

    fn count(&self) -> usize {
        self.rows().len()
    }

    fn place(&self, row: usize) -> Option<(u32, u32)> {
        self.rows().get(row).filter(|_| self.has(row)).map(|entry| (entry.offset, entry.length))
    }
}

pub(super) fn closed() -> Error {
    Error::new(Code::SocketClosed, "the socket is closed")
}
