//! Sockets that several isolates use, one of which reads: `share`, `attach`, and who has the lease.

use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;

use wraith_transport::udp::{Receiver, ReceiverOptions, UdpSocket};
use wraith_transport::{Code, Error};

use super::{Parts, UdpBinding, start};
use crate::isolate::{Isolate, OwnerNumber};
use crate::lease::{Handle, Leases};
use crate::pool::find_pool;
use crate::raw::{self, Env, Reply, Value};
use crate::registry::Id;
use crate::waiting;

/// The shared sockets of this process.
static SOCKETS: Leases<Arc<UdpSocket>> = Leases::new();

pub(super) type SharedHandle = Handle<Arc<UdpSocket>>;

/// One more handle of the shared socket with this id, with the lease to read from it. Returns the object that the facade
/// drives it with.
pub(crate) fn attach(
    env: Env,
    id: &str,
    pool_id: &str,
    receiver: ReceiverOptions,
    dispatch: Value,
) -> Result<Value, Error> {
    let isolate = Isolate::current(env)?;
    let pool = find_pool(pool_id, &isolate)?;
    let id = Id::parse(id).ok_or_else(|| Error::new(Code::StaleToken, "no token has this id"))?;
    let number = OwnerNumber::take()?;
    let (handle, socket) = SOCKETS.attach(id)?;
    let watch_fd = socket.as_fd().try_clone_to_owned().map_err(|error| {
        Error::system("fcntl", error.raw_os_error().unwrap_or(0), "one more descriptor of the socket")
    })?;
    let receiver = Receiver::new(socket, Arc::clone(&pool.core), number.get(), receiver)?;
    let parts = Parts { number, pool, receiver, shared: Some(handle), watch_fd: Some(watch_fd) };
    start(env, parts, dispatch)
}

/// Puts the functions of sharing on the object.
pub(super) fn install(env: Env, object: Value, this: &Rc<UdpBinding>) -> Result<(), Error> {
    raw::method(env, object, c"share", this, |env, this, _| this.share(env))?;
    raw::method(env, object, c"lease", this, |_, this, _| {
        this.lease()?;
        Ok(Reply::Undefined)
    })
}

impl UdpBinding {
    /// Gives the lease up and the slots home, and returns the socket's id. The facade has seen to it that nobody consumes.
    fn share(&self, env: Env) -> Result<Reply, Error> {
        let socket = self.socket()?;
        self.with_receiver(|receiver| {
            if self.on_loop.is_reading() || !receiver.rows().is_empty() {
                return Err(Error::new(Code::Busy, "this handle is being read from"));
            }
            receiver.shed(0);
            Ok(())
        })?;
        waiting::stop_waiting(self);
        let mut shared = self.shared.borrow_mut();
        let id = match &*shared {
            Some(handle) => {
                handle.release();
                handle.id()
            }
            None => shared.insert(SOCKETS.share(socket)?).id(),
        };
        raw::string(env, &id.to_string()).map(Reply::Value)
    }

    /// Takes the lease, unless this handle has it.
    fn lease(&self) -> Result<(), Error> {
        self.socket()?;
        self.shared.borrow().as_ref().map_or(Ok(()), Handle::lease)
    }

    /// Only the one with the lease reads.
    pub(super) fn check_lease(&self) -> Result<(), Error> {
        match &*self.shared.borrow() {
            Some(handle) if !handle.is_leased() => {
                Err(Error::new(Code::Busy, "this handle has given up its lease of the socket"))
            }
            _ => Ok(()),
        }
    }
}
