//! A UDP socket as one isolate sees it.

mod methods;
mod sharing;
mod slots;
mod values;

use std::cell::RefCell;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;

use wraith_transport::udp::{Received, Receiver, ReceiverOptions, SendQueue, UdpOptions, UdpSocket};
use wraith_transport::{Code, Error};

use crate::event_loop::{self, End, Flushed, OnLoop, Source};
use crate::exported::Shown;
use crate::isolate::{Isolate, OwnerNumber};
use crate::pool::{PoolOf, find_pool};
use crate::raw::{self, Env, Value};
use crate::waiting::Waiting;

use sharing::SharedHandle;
pub(crate) use sharing::attach;

/// Slots that may wait to be sent; beyond that `sendOwned` leaves the guard with its caller.
const SEND_QUEUE: usize = 1024;

/// One isolate's use of a socket, with everything that receives, sends and watches.
struct UdpBinding {
    on_loop: OnLoop,
    /// Who holds the slots that this socket receives into: nobody else gets the number while the binding lives.
    number: OwnerNumber,
    pool: PoolOf,
    /// A shared pool's queue.
    waiting: RefCell<Option<Waiting>>,
    socket: RefCell<Option<Arc<UdpSocket>>>,
    /// None while nobody else can come to use the socket.
    shared: RefCell<Option<SharedHandle>>,
    /// A descriptor of this handle's own, to watch the socket by: one loop cannot watch a descriptor twice. None: the
    /// socket's.
    watch_fd: RefCell<Option<OwnedFd>>,
    receiver: RefCell<Option<Receiver>>,
    sends: RefCell<Option<SendQueue>>,
    /// The ArrayBuffers of the columns.
    shown: RefCell<Option<[Shown; 2]>>,
}

/// Binds a socket and returns the object that the facade drives it with. `dispatch` is called with what happens.
pub(crate) fn bind(
    env: Env,
    pool_id: &str,
    options: &UdpOptions,
    receiver: ReceiverOptions,
    dispatch: Value,
) -> Result<Value, Error> {
    let isolate = Isolate::current(env)?;
    let pool = find_pool(pool_id, &isolate)?;
    let number = OwnerNumber::take()?;
    let socket = UdpSocket::bind(options)?;
    let bound = Receiver::new(Arc::clone(&socket), Arc::clone(&pool.core), number.get(), receiver).and_then(
        |receiver| start(env, Parts { number, pool, receiver, shared: None, watch_fd: None }, dispatch),
    );
    if bound.is_err()
        && options.fd.is_some()
        && let Some(socket) = Arc::into_inner(socket)
    {
        // A descriptor that was not adopted after all is still its owner's, who may be reading from it.
        let _ = socket.into_fd().into_raw_fd();
    }
    bound
}

/// What a handle is made of.
struct Parts {
    number: OwnerNumber,
    pool: PoolOf,
    receiver: Receiver,
    shared: Option<SharedHandle>,
    watch_fd: Option<OwnedFd>,
}

fn start(env: Env, parts: Parts, dispatch: Value) -> Result<Value, Error> {
    let Parts { number, pool, mut receiver, shared, watch_fd } = parts;
    if let Some(attachment) = &pool.attachment {
        receiver.set_before_leave(Some(slots::hiding_from(attachment)));
    }
    let columns = Arc::clone(receiver.columns());
    let socket = Arc::clone(receiver.socket());
    let fd = watch_fd.as_ref().map_or_else(|| socket.fd(), AsRawFd::as_raw_fd);
    let binding = Rc::new(UdpBinding {
        on_loop: OnLoop::new::<UdpBinding>(env),
        pool,
        sends: RefCell::new(Some(SendQueue::new(Arc::clone(&socket), SEND_QUEUE))),
        socket: RefCell::new(Some(socket)),
        shared: RefCell::new(shared),
        watch_fd: RefCell::new(watch_fd),
        number,
        waiting: RefCell::new(None),
        receiver: RefCell::new(Some(receiver)),
        shown: RefCell::new(None),
    });
    let object = raw::object(env)?;
    // User code can refuse a property, with a setter on Object.prototype that throws.
    values::export_columns(env, object, &columns)
        .map(|shown| drop(binding.shown.replace(Some(shown))))
        .and_then(|()| values::describe(env, object, &binding))
        .and_then(|()| methods::install(env, object, &binding))
        .and_then(|()| event_loop::watch(&binding, fd, dispatch))
        .inspect_err(|_| binding.abandon())?;
    Ok(object)
}

impl Source for UdpBinding {
    const RESOURCE: &'static str = "WRAITH_UDP";

    fn on_loop(&self) -> &OnLoop {
        &self.on_loop
    }

    fn receive(&self) -> Option<Received> {
        self.receiver.borrow_mut().as_mut().map(Receiver::receive)
    }

    fn finish(&self) {
        if let Some(receiver) = &mut *self.receiver.borrow_mut() {
            receiver.finish();
        }
    }

    fn abandon_batch(&self) {
        if let Some(receiver) = &mut *self.receiver.borrow_mut() {
            receiver.metrics().count_abandoned(receiver.rows().len());
            receiver.finish();
        }
    }

    fn has_successor(&self) -> bool {
        self.shared.borrow().is_some()
    }

    fn flush(&self) -> Option<Flushed> {
        let flushed = self.sends.borrow_mut().as_mut()?.flush();
        Some(Flushed { left: flushed.left, error: flushed.error })
    }

    fn take_error(&self) {
        // Which counts it.
        if let Ok(socket) = self.socket() {
            socket.take_error();
            socket.drain_error_queue();
        }
    }

    fn part(&self, end: End) {
        drop(self.receiver.take());
        drop(self.sends.take());
        drop(self.waiting.take());
        // Last: whoever takes the lease next must find nobody reading.
        if let Some(shared) = self.shared.take() {
            match end {
                End::Explicit => shared.close(),
                End::Isolate => drop(shared),
            }
        }
    }

    /// Closes the descriptor, unless other handles use it: at once when nothing watches it, else when libuv has let go
    /// of it.
    fn let_go(&self) {
        drop(self.socket.take());
        drop(self.watch_fd.take());
    }
}

impl UdpBinding {
    /// Gives back what a socket holds that cannot be watched: its object lives until it is collected. A shared socket
    /// stays for the next one that attaches.
    fn abandon(&self) {
        drop(self.shared.take());
        let watched = self.on_loop.is_watched();
        event_loop::close(self);
        if !watched {
            self.let_go();
        }
    }

    fn socket(&self) -> Result<Arc<UdpSocket>, Error> {
        match &*self.socket.borrow() {
            Some(socket) if self.on_loop.is_open() => Ok(Arc::clone(socket)),
            _ => Err(closed()),
        }
    }

    fn with_receiver<T>(&self, run: impl FnOnce(&mut Receiver) -> Result<T, Error>) -> Result<T, Error> {
        match &mut *self.receiver.borrow_mut() {
            Some(receiver) => run(receiver),
            None => Err(closed()),
        }
    }
}

fn closed() -> Error {
    Error::new(Code::SocketClosed, "the socket is closed")
}
