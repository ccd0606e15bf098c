//! One entry per Node environment: its owner number, and what must be given back when it ends.
#![allow(unsafe_code, reason = "Node's clean-up hooks are C callbacks")]

use std::collections::{HashMap, HashSet};
use std::ffi::c_void;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use napi::sys;
use wraith_transport::memory::Owner;
use wraith_transport::pool::PoolCore;
use wraith_transport::{Code, Error};

use crate::attachment;
use crate::raw::{Env, check};

/// An isolate as the owner table knows it.
pub(crate) struct Isolate {
    number: OwnerNumber,
    /// Weak: the hook must not keep a pool's memory alive, it only brings home what is still there.
    pools: Mutex<Vec<Weak<PoolCore>>>,
}

#[derive(Default)]
struct Isolates {
    by_env: HashMap<usize, Arc<Isolate>>,
}

static ISOLATES: Mutex<Option<Isolates>> = Mutex::new(None);

/// # Safety
/// Called once by Node when the environment `env` ends, on its thread.
unsafe extern "C" fn environment_ends(env: *mut c_void) {
    attachment::environment_ended(env.cast());
    let ended = {
        let mut isolates = ISOLATES.lock().unwrap_or_else(PoisonError::into_inner);
        isolates.as_mut().and_then(|all| all.by_env.remove(&(env as usize)))
    };
    if let Some(isolate) = ended {
        isolate.give_everything_back();
    }
}

impl Isolate {
    /// The isolate of `env`, entered on first use.
    pub(crate) fn current(env: Env) -> Result<Arc<Isolate>, Error> {
        let mut isolates = ISOLATES.lock().unwrap_or_else(PoisonError::into_inner);
        let isolates = isolates.get_or_insert_default();
        if let Some(isolate) = isolates.by_env.get(&(env as usize)) {
            return Ok(Arc::clone(isolate));
        }
        let isolate = Arc::new(Isolate { number: OwnerNumber::take()?, pools: Mutex::default() });
        // SAFETY: the hook runs once with this pointer, which it only compares.
        let status = unsafe { sys::napi_add_env_cleanup_hook(env, Some(environment_ends), env.cast()) };
        check(status, "an environment clean-up hook")?;
        isolates.by_env.insert(env as usize, Arc::clone(&isolate));
        Ok(isolate)
    }

    /// Who holds this isolate's slots.
    pub(crate) fn owner(&self) -> Owner {
        self.number.get()
    }

    /// Remembers a pool that this isolate takes slots from.
    pub(crate) fn uses(&self, pool: &Arc<PoolCore>) {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        pools.retain(|pool| pool.strong_count() > 0);
        pools.push(Arc::downgrade(pool));
    }

    fn give_everything_back(&self) {
        let pools = std::mem::take(&mut *self.pools.lock().unwrap_or_else(PoisonError::into_inner));
        for pool in pools.iter().filter_map(Weak::upgrade) {
            pool.reclaim(self.owner());
        }
    }
}

#[derive(Default)]
struct Numbers {
    taken: HashSet<u32>,
    last: u32,
}

static NUMBERS: Mutex<Option<Numbers>> = Mutex::new(None);

/// A number of the owner table for an isolate or a source, given back when dropped.
pub(crate) struct OwnerNumber(Owner);

impl OwnerNumber {
    /// The next number that nobody has. Numbers are taken in turn, so that a reader of a dump is not misled by
    /// one that was just given back.
    pub(crate) fn take() -> Result<OwnerNumber, Error> {
        let mut numbers = NUMBERS.lock().unwrap_or_else(PoisonError::into_inner);
        let numbers = numbers.get_or_insert_default();
        // One more try than there are numbers taken, and one for the wrap, must find a free one.
        for _ in 0..numbers.taken.len() + 2 {
            numbers.last += 1;
            match Owner::new(numbers.last) {
                Some(owner) if numbers.taken.insert(owner.get()) => return Ok(OwnerNumber(owner)),
                Some(_) => {}
                None => numbers.last = 0,
            }
        }
        Err(Error::new(Code::Internal, "all 16 million numbers of isolates and sources are taken"))
    }

    pub(crate) fn get(&self) -> Owner {
        self.0
    }
}

impl Drop for OwnerNumber {
    fn drop(&mut self) {
        let mut numbers = NUMBERS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(numbers) = numbers.as_mut() {
            numbers.taken.remove(&self.0.get());
        }
    }
}
