//! Rust threads on a shared pool while JavaScript goes on: a diagnostic that shows that both may.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use wraith_transport::pool::{BufferPool, Exhausted, Notify, PoolCore};
use wraith_transport::{Code, Error};

use crate::notifier::Notifier;
use crate::raw::{self, Args, Env, Reply};

/// How many threads there may be.
const MOST_THREADS: u32 = 64;

/// `(threads, acquires, done)`: each thread takes that many buffers, one after the other and waiting when it must, and looks
/// whether anybody else writes into them. Returns a function that says what was found once `done` was called.
pub(crate) fn start(env: Env, core: &Arc<PoolCore>, args: &Args) -> Result<Reply, Error> {
    let (threads, acquires) = (args.u32(0)?, args.u32(1)?);
    if !(1..=MOST_THREADS).contains(&threads) {
        return Err(Error::new(
            Code::OutOfRange,
            format!("threads is {threads}; allowed are 1 to {MOST_THREADS}"),
        ));
    }
    let pool = BufferPool::from_core(core, Exhausted::Wait)?;
    let notifier = Notifier::new(env, args.value(2))?;
    notifier.set_ref(env, true);
    let found = std::rc::Rc::new(Arc::new(Mutex::new((0, 0))));
    let object = raw::object(env)?;
    raw::method(env, object, c"found", &found, |env, found, _| {
        let (acquired, wrong) = *found.lock().unwrap_or_else(PoisonError::into_inner);
        raw::numbers(env, &[acquired as f64, wrong as f64]).map(Reply::Value)
    })?;
    let (found, notify) = (Arc::clone(&found), Arc::clone(&notifier));
    let spawned = std::thread::Builder::new().name("wraith-exercise".into()).spawn(move || {
        let (acquired, wrong) = (AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for thread in 0..threads {
                let (pool, acquired, wrong) = (&pool, &acquired, &wrong);
                let work = move || {
                    for round in 0..acquires {
                        match stamp(pool, (u64::from(thread) << 32) + u64::from(round) + 1) {
                            Some(whole) => {
                                acquired.fetch_add(1, Ordering::Relaxed);
                                wrong.fetch_add(u64::from(!whole), Ordering::Relaxed);
                            }
                            None => return,
                        }
                    }
                };
                // A thread that cannot be had is missing in the sum.
                let _ = std::thread::Builder::new().spawn_scoped(scope, work);
            }
        });
        let sums = (acquired.into_inner(), wrong.into_inner());
        *found.lock().unwrap_or_else(PoisonError::into_inner) = sums;
        notify.notify();
        notify.release();
    });
    if let Err(error) = spawned {
        notifier.close();
        return Err(Error::system("clone", error.raw_os_error().unwrap_or(0), "no thread could be started"));
    }
    Ok(Reply::Value(object))
}

/// Takes a buffer, which must be zeroed, writes a stamp all over it, lets others run, and looks whether it is still there.
/// `None`: the pool was closed.
fn stamp(pool: &BufferPool, stamp: u64) -> Option<bool> {
    let mut buffer = pool.try_acquire().ok()?;
    let mut whole = buffer.iter().all(|&byte| byte == 0);
    let pattern = stamp.to_ne_bytes();
    for chunk in buffer.chunks_mut(8) {
        let len = chunk.len();
        chunk.copy_from_slice(&pattern[..len]);
    }
    std::thread::yield_now();
    whole &= std::hint::black_box(&*buffer).chunks(8).all(|chunk| chunk == &pattern[..chunk.len()]);
    Some(whole)
}
