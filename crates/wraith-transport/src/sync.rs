//! Atomics, locks and cells: those of std, or loom's when a model is being checked (`RUSTFLAGS="--cfg loom"`).

#[cfg(not(loom))]
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard, atomic};

#[cfg(loom)]
pub(crate) use loom::{
    cell::UnsafeCell,
    sync::{Condvar, Mutex, MutexGuard, atomic},
};

/// Sleeps on a condition variable, with a limit or without; `true`: the limit has passed. loom knows no time.
pub(crate) fn sleep_on<'a, T>(
    condvar: &Condvar,
    guard: MutexGuard<'a, T>,
    at_most: Option<std::time::Duration>,
) -> (MutexGuard<'a, T>, bool) {
    // Who panicked elsewhere has left nothing half-done: see the users of the locks.
    match at_most {
        None => (condvar.wait(guard).unwrap_or_else(|poisoned| poisoned.into_inner()), false),
        Some(at_most) => {
            let woken = condvar.wait_timeout(guard, at_most);
            let (guard, waited) = woken.unwrap_or_else(|poisoned| poisoned.into_inner());
            (guard, waited.timed_out())
        }
    }
}

/// loom's `UnsafeCell` is used through closures, so that it can see each access; this one does the same.
#[cfg(not(loom))]
#[derive(Debug)]
pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

#[cfg(not(loom))]
impl<T> UnsafeCell<T> {
    pub(crate) fn new(value: T) -> UnsafeCell<T> {
        UnsafeCell(std::cell::UnsafeCell::new(value))
    }

    #[inline]
    pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0.get())
    }
}

/// Waits a moment for another thread: spins, then yields to the scheduler. Never sleeps.
pub(crate) struct Backoff(#[cfg(not(loom))] crossbeam_utils::Backoff);

impl Backoff {
    pub(crate) fn new() -> Backoff {
        Backoff(
            #[cfg(not(loom))]
            crossbeam_utils::Backoff::new(),
        )
    }

    pub(crate) fn snooze(&self) {
        #[cfg(not(loom))]
        self.0.snooze();
        #[cfg(loom)]
        loom::thread::yield_now();
    }
}
