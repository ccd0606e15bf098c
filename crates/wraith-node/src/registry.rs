//! What belongs to the process and not to one isolate: pools and sources by random 128-bit id, and the leases that
//! isolates hold on sources.
//!
//! The registry holds weakly: an entry lives as long as somebody uses it. An id that was guessed finds nothing
//! (2^128 of them), an id of another process neither.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use wraith_transport::memory::Owner;
use wraith_transport::{Code, Error};

/// A random id, printed and read as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Id(u128);

impl Id {
    fn random() -> Result<Id, Error> {
        Ok(Id(u128::from_ne_bytes(crate::sys::random_bytes()?)))
    }

    pub(crate) fn parse(text: &str) -> Option<Id> {
        (text.len() == 32).then(|| u128::from_str_radix(text, 16).ok().map(Id)).flatten()
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Everything of one kind that is alive in this process.
pub(crate) struct Registry<T>(Mutex<Option<HashMap<Id, Weak<T>>>>);

impl<T> Registry<T> {
    pub(crate) const fn new() -> Self {
        Registry(Mutex::new(None))
    }

    /// Enters `it` and returns its id. Entries whose last user is gone are dropped on the way.
    pub(crate) fn enter(&self, it: &Arc<T>) -> Result<Id, Error> {
        let id = Id::random()?;
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entries = entries.get_or_insert_default();
        entries.retain(|_, entry| entry.strong_count() > 0);
        entries.insert(id, Arc::downgrade(it));
        Ok(id)
    }

    pub(crate) fn find(&self, id: Id) -> Option<Arc<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref()?.get(&id)?.upgrade()
    }
}

/// Something that one isolate at a time may use, and that outlives the isolate that uses it.
pub(crate) struct Leasable<T> {
    it: T,
    holder: AtomicU32,
}

impl<T> Leasable<T> {
    pub(crate) fn new(it: T) -> Arc<Self> {
        Arc::new(Leasable { it, holder: AtomicU32::new(Owner::NONE.get()) })
    }

    /// Takes the lease for `owner`, or says that somebody else has it.
    pub(crate) fn lease(self: &Arc<Self>, owner: Owner) -> Result<Lease<T>, Error> {
        // Acquire pairs with the Release of the former holder's drop: what it did to the source is visible.
        self.holder
            .compare_exchange(Owner::NONE.get(), owner.get(), Ordering::Acquire, Ordering::Relaxed)
            .map_err(|_| Error::new(Code::Busy, "another isolate holds the lease of this source"))?;
        Ok(Lease { of: Arc::clone(self) })
    }
}

/// The right to use a source; dropping it lets a successor take it.
pub(crate) struct Lease<T> {
    of: Arc<Leasable<T>>,
}

impl<T> std::ops::Deref for Lease<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.of.it
    }
}

impl<T> Drop for Lease<T> {
    fn drop(&mut self) {
        self.of.holder.store(Owner::NONE.get(), Ordering::Release);
    }
}
