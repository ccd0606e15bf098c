//! A UDP socket as one isolate sees it.

mod event_loop;
mod methods;
mod sharing;
mod slots;
mod values;

use std::cell::{Cell, RefCell};
use std::ffi::c_int;
use std::os::fd::{IntoRawFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;

use napi::sys;
use wraith_transport::udp::{Receiver, ReceiverOptions, SendQueue, UdpOptions, UdpSocket};
use wraith_transport::{Code, Error};

use crate::exported::Shown;
use crate::isolate::{Isolate, OwnerNumber};
use crate::pool::{PoolOf, find_pool};
use crate::raw::{self, Env, Value};
use crate::uv::Poll;

use sharing::SharedHandle;
pub(crate) use sharing::attach;
use slots::Waiting;

/// Slots that may wait to be sent; beyond that `sendOwned` leaves the guard with its caller.
const SEND_QUEUE: usize = 1024;

/// Where a socket is between bind and the end of its descriptor.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Life {
    Open,
    /// `close` was called; libuv has yet to let go of the descriptor.
    Closing,
    /// The isolate is ending: as `Closing`, but JavaScript is not called any more.
    Ending,
    Closed,
}

/// One isolate's use of a socket, with everything that receives, sends and watches.
struct UdpBinding {
    env: Env,
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
    poll: RefCell<Option<Poll>>,
    /// Somebody consumes: watch for packets.
    reading: Cell<bool>,
    /// A send would have blocked: watch for room.
    writing: Cell<bool>,
    /// The events that the poll handle watches for.
    watched: Cell<c_int>,
    /// Batches so far.
    batches: Cell<u64>,
    life: Cell<Life>,
    dispatch: Cell<sys::napi_ref>,
    context: Cell<sys::napi_async_context>,
    cleanup: Cell<sys::napi_async_cleanup_hook_handle>,
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
    let binding = Rc::new(UdpBinding {
        env,
        pool,
        sends: RefCell::new(Some(SendQueue::new(Arc::clone(&socket), SEND_QUEUE))),
        socket: RefCell::new(Some(socket)),
        shared: RefCell::new(shared),
        watch_fd: RefCell::new(watch_fd),
        number,
        waiting: RefCell::new(None),
        receiver: RefCell::new(Some(receiver)),
        poll: RefCell::new(None),
        reading: Cell::new(false),
        writing: Cell::new(false),
        watched: Cell::new(0),
        batches: Cell::new(0),
        life: Cell::new(Life::Open),
        dispatch: Cell::new(std::ptr::null_mut()),
        context: Cell::new(std::ptr::null_mut()),
        cleanup: Cell::new(std::ptr::null_mut()),
        shown: RefCell::new(None),
    });
    let object = raw::object(env)?;
    // User code can refuse a property, with a setter on Object.prototype that throws.
    values::export_columns(env, object, &columns)
        .map(|shown| drop(binding.shown.replace(Some(shown))))
        .and_then(|()| values::describe(env, object, &binding))
        .and_then(|()| methods::install(env, object, &binding))
        .and_then(|()| event_loop::watch(&binding, dispatch))
        .inspect_err(|_| binding.abandon())?;
    Ok(object)
}

impl UdpBinding {
    /// Gives back what a socket holds that cannot be watched: its object lives until it is collected. A shared socket
    /// stays for the next one that attaches.
    fn abandon(&self) {
        drop(self.shared.take());
        self.close();
        if self.poll.borrow().is_none() {
            self.let_go();
        }
    }

    /// Closes the descriptor, unless other handles use it: at once when nothing watches it, else when libuv has let go
    /// of it.
    fn let_go(&self) {
        drop(self.socket.take());
        drop(self.watch_fd.take());
    }

    fn socket(&self) -> Result<Arc<UdpSocket>, Error> {
        match &*self.socket.borrow() {
            Some(socket) if self.life.get() == Life::Open => Ok(Arc::clone(socket)),
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
