//! What outlives the isolates that use it: sources that were shared, by id, and the lease on each, the right to read from
//! it.
//!
//! A shared source is held here and by nobody's isolate, so that the end of an isolate never ends a source. Only the last
//! handle's explicit end does. One lock orders all of it: none of these calls is on a packet's way.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use wraith_transport::{Code, Error};

use crate::registry::Id;

/// The shared sources of one kind in this process.
pub(crate) struct Leases<T>(Mutex<Option<HashMap<Id, Entry<T>>>>);

struct Entry<T> {
    it: T,
    /// Handles of living isolates that were not closed.
    handles: u32,
    leased: bool,
}

impl<T: Clone> Leases<T> {
    pub(crate) const fn new() -> Self {
        Leases(Mutex::new(None))
    }

    /// Holds `it` from now on, without any handle: the last of those who attach ends it.
    pub(crate) fn enter(&'static self, it: T) -> Result<Id, Error> {
        let id = Id::random()?;
        self.lock().get_or_insert_default().insert(id, Entry { it, handles: 0, leased: false });
        Ok(id)
    }

    /// Holds `it` from now on. Returns its first handle, without the lease: whoever attaches may take it.
    pub(crate) fn share(&'static self, it: T) -> Result<Handle<T>, Error> {
        let id = self.enter(it)?;
        self.with(id, |entry| entry.handles += 1);
        Ok(Handle { of: self, id, leased: Cell::new(false), closing: Cell::new(false) })
    }

    /// One more handle, with the lease, and the source. None of it when somebody else has the lease, or nothing that is
    /// alive has this id: an id of another process, or one that was guessed, finds nothing.
    pub(crate) fn attach(&'static self, id: Id) -> Result<(Handle<T>, T), Error> {
        let mut entries = self.lock();
        let entry = entries
            .as_mut()
            .and_then(|entries| entries.get_mut(&id))
            .ok_or_else(|| Error::new(Code::StaleToken, "nothing that is open has this token"))?;
        entry.lease()?;
        entry.handles += 1;
        let handle = Handle { of: self, id, leased: Cell::new(true), closing: Cell::new(false) };
        Ok((handle, entry.it.clone()))
    }
}

impl<T> Leases<T> {
    fn lock(&self) -> MutexGuard<'_, Option<HashMap<Id, Entry<T>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<R>(&self, id: Id, run: impl FnOnce(&mut Entry<T>) -> R) -> Option<R> {
        self.lock().as_mut()?.get_mut(&id).map(run)
    }
}

impl<T> Entry<T> {
    fn lease(&mut self) -> Result<(), Error> {
        if std::mem::replace(&mut self.leased, true) {
            let what = "another handle of this source reads from it";
            return Err(Error::with_remedy(
                Code::Busy,
                what,
                "Close that one first, or have it share() again.",
            ));
        }
        Ok(())
    }
}

/// One isolate's use of a shared source. Dropping it is what the end of an isolate comes to: the lease is free, and the
/// source stays. [`close`](Handle::close) is the explicit end.
pub(crate) struct Handle<T: 'static> {
    of: &'static Leases<T>,
    id: Id,
    leased: Cell<bool>,
    closing: Cell<bool>,
}

impl<T> Handle<T> {
    pub(crate) fn id(&self) -> Id {
        self.id
    }

    /// Whether this handle has the lease.
    pub(crate) fn is_leased(&self) -> bool {
        self.leased.get()
    }

    /// Takes the lease, unless it has it. [`Code::Busy`]: another handle has.
    pub(crate) fn lease(&self) -> Result<(), Error> {
        if !self.leased.get() {
            self.of.with(self.id, Entry::lease).transpose()?;
            self.leased.set(true);
        }
        Ok(())
    }

    /// Gives the lease up, if it has it.
    pub(crate) fn release(&self) {
        if self.leased.replace(false) {
            self.of.with(self.id, |entry| entry.leased = false);
        }
    }

    /// Ends this use of the source, and the source when no other handle is left.
    pub(crate) fn close(self) {
        self.closing.set(true);
    }
}

impl<T> Drop for Handle<T> {
    fn drop(&mut self) {
        self.release();
        let mut entries = self.of.lock();
        let Some(entries) = &mut *entries else { return };
        let Some(entry) = entries.get_mut(&self.id) else { return };
        entry.handles -= 1;
        if entry.handles == 0 && self.closing.get() {
            entries.remove(&self.id);
        }
    }
}
