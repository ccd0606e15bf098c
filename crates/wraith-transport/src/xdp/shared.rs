//! A UMEM that several sockets use: of several queues, and of several interfaces.

use std::fmt;
use std::os::fd::RawFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::sys::Errno;
use crate::memory::Owner;
use crate::pool::PoolCore;
use crate::{Code, Error};

/// Where the frames of a device's sockets lie.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum UmemPlan {
    /// Each queue has a UMEM of its own: nothing is shared between threads that have a queue each.
    #[default]
    PerQueue,
    /// One UMEM for all queues, as large as theirs together: frames that came through one queue are sent through another
    /// without a copy, and one pool has them all. Linux 5.10. The kernel keeps some hundred bytes for each frame of a
    /// UMEM with each of its sockets.
    PerDevice,
    /// The UMEM of another device that is open: frames that came through one interface are sent through another without a copy.
    /// Its frame size, headroom and memory are as they are, whatever the options say; it is zero-copy or not as the
    /// other device is. The sockets receive into frames that are free in it now: see [`XdpOptions::frames`].
    ///
    /// [`XdpOptions::frames`]: super::XdpOptions::frames
    Of(XdpUmem),
}

/// A UMEM that sockets share, and its pool. A clone refers to the same one.
///
/// It keeps the memory, but no queue bound: whether another device can still be opened with it depends on its sockets, one of
/// which must be open then.
#[derive(Clone)]
pub struct XdpUmem {
    inner: Arc<Inner>,
}

struct Inner {
    core: Arc<PoolCore>,
    headroom: u32,
    members: Mutex<Vec<Member>>,
}

/// A socket, from before it is bound until its slots are home.
struct Member {
    owner: Owner,
    /// While it is bound.
    bound: Option<Bound>,
}

struct Bound {
    fd: RawFd,
    zero_copy: bool,
}

impl XdpUmem {
    pub(super) fn new(core: Arc<PoolCore>, headroom: u32) -> XdpUmem {
        XdpUmem { inner: Arc::new(Inner { core, headroom, members: Mutex::default() }) }
    }

    /// The pool whose slots are the frames.
    pub fn pool(&self) -> &Arc<PoolCore> {
        &self.inner.core
    }

    /// Bytes of a frame.
    pub fn frame_size(&self) -> u32 {
        self.inner.core.slab().stride() as u32
    }

    /// Bytes left free before each received frame, the kernel's 256 not counted.
    pub fn headroom(&self) -> u32 {
        self.inner.headroom
    }

    /// How many sockets are bound with it now. Takes a lock.
    pub fn sockets(&self) -> usize {
        self.members().iter().filter(|member| member.bound.is_some()).count()
    }

    /// Whether the drivers use it without copying; `None`: no socket is bound.
    pub fn is_zero_copy(&self) -> Option<bool> {
        self.members().iter().find_map(|member| member.bound.as_ref()).map(|bound| bound.zero_copy)
    }

    fn members(&self) -> MutexGuard<'_, Vec<Member>> {
        // A panic leaves the list as it was.
        self.inner.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a socket that will be bound; `None`: under the largest number that no socket of the UMEM has.
    ///
    /// # Errors
    /// [`Code::OutOfRange`]: another socket has this owner.
    pub(super) fn enter(&self, owner: Option<Owner>) -> Result<Seat, Error> {
        let mut members = self.members();
        let taken = |owner: Owner| members.iter().any(|member| member.owner == owner);
        let owner = match owner {
            Some(owner) if taken(owner) => {
                let what = format!("owners has {owner:?}, which another socket of the UMEM has");
                return Err(Error::with_remedy(
                    Code::OutOfRange,
                    what,
                    "Give each socket an owner of its own.",
                ));
            }
            Some(owner) => owner,
            // There are more numbers than slots, and each socket has a queue.
            None => (1..=Owner::LARGEST)
                .rev()
                .filter_map(Owner::new)
                .find(|&owner| !taken(owner))
                .ok_or_else(|| Error::new(Code::OutOfRange, "All owners are in use"))?,
        };
        members.push(Member { owner, bound: None });
        Ok(Seat { umem: self.clone(), owner })
    }

    /// Binds another socket: `bind` gets the descriptor of one that is bound, which stays open meanwhile. EBADF: there is none,
    /// or none whose interface is still there.
    pub(super) fn bind_with(&self, mut bind: impl FnMut(RawFd) -> Result<(), Errno>) -> Result<(), Errno> {
        // Who closes a bound socket takes its descriptor out of the list first.
        let members = self.members();
        for bound in members.iter().filter_map(|member| member.bound.as_ref()) {
            match bind(bound.fd) {
                Err(libc::EBADF) => {}
                outcome => return outcome,
            }
        }
        Err(libc::EBADF)
    }
}

impl PartialEq for XdpUmem {
    fn eq(&self, other: &XdpUmem) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }
}

impl Eq for XdpUmem {}

impl fmt::Debug for XdpUmem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("XdpUmem")
            .field("sockets", &self.sockets())
            .field("headroom", &self.inner.headroom)
            .field("pool", &self.inner.core)
            .finish()
    }
}

/// A socket's place among those of a UMEM; given up when dropped.
pub(super) struct Seat {
    umem: XdpUmem,
    owner: Owner,
}

impl Seat {
    pub(super) fn owner(&self) -> Owner {
        self.owner
    }

    /// The socket is bound: others may be bound to its descriptor until [`Seat::unbound`].
    pub(super) fn bound(&self, fd: RawFd, zero_copy: bool) {
        self.change(Some(Bound { fd, zero_copy }));
    }

    /// The descriptor is about to be closed. When this returns nobody uses it.
    pub(super) fn unbound(&self) {
        self.change(None);
    }

    fn change(&self, bound: Option<Bound>) {
        let mut members = self.umem.members();
        if let Some(member) = members.iter_mut().find(|member| member.owner == self.owner) {
            member.bound = bound;
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.umem.members().retain(|member| member.owner != self.owner);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryOptions;

    fn umem() -> XdpUmem {
        XdpUmem::new(PoolCore::new(2048, 4, &MemoryOptions::default()).unwrap(), 0)
    }

    #[test]
    fn owners_are_distinct() {
        let umem = umem();
        let first = umem.enter(None).unwrap();
        let second = umem.enter(None).unwrap();
        assert_eq!((first.owner().get(), second.owner().get()), (Owner::LARGEST, Owner::LARGEST - 1));
        let seven = Owner::new(7);
        let third = umem.enter(seven).unwrap();
        let error = umem.clone().enter(seven).err().unwrap();
        assert_eq!(error.code(), Code::OutOfRange);
        assert!(error.message().starts_with("owners has owner 7"), "{error}");
        drop((first, third));
        assert_eq!(umem.enter(None).unwrap().owner().get(), Owner::LARGEST);
        assert_eq!(umem.enter(seven).unwrap().owner().get(), 7);
    }

    #[test]
    fn others_are_bound_to_a_socket_that_is_open() {
        let umem = umem();
        let tried = |umem: &XdpUmem, answers: &[Errno]| {
            let mut answers = answers.iter();
            let mut fds = Vec::new();
            let outcome = umem.bind_with(|fd| {
                fds.push(fd);
                answers.next().map_or(Ok(()), |&errno| Err(errno))
            });
            (fds, outcome)
        };
        let (first, second) = (umem.enter(None).unwrap(), umem.enter(None).unwrap());
        assert_eq!((umem.sockets(), umem.is_zero_copy()), (0, None));
        assert_eq!(tried(&umem, &[]), (vec![], Err(libc::EBADF)));
        first.bound(10, true);
        second.bound(11, true);
        assert_eq!((umem.sockets(), umem.is_zero_copy()), (2, Some(true)));
        assert_eq!(tried(&umem, &[]), (vec![10], Ok(())));
        // The interface of the first has gone.
        assert_eq!(tried(&umem, &[libc::EBADF]), (vec![10, 11], Ok(())));
        assert_eq!(tried(&umem, &[libc::EBUSY]), (vec![10], Err(libc::EBUSY)));
        first.unbound();
        assert_eq!(tried(&umem, &[]), (vec![11], Ok(())));
        drop(second);
        assert_eq!(tried(&umem, &[]), (vec![], Err(libc::EBADF)));
    }
}
