//! What belongs to the process and not to one isolate, by random 128-bit id.
//!
//! The registry holds weakly: an entry lives as long as somebody uses it. An id that was guessed finds nothing
//! (2^128 of them), an id of another process neither.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use wraith_transport::Error;

/// A random id, printed and read as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Id(u128);

impl Id {
    pub(crate) fn random() -> Result<Id, Error> {
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
