//! Shared pools as the process sees them: found by a random id, with the counters of everybody who is or was attached.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wraith_transport::memory::Owner;
use wraith_transport::pool::PoolCore;
use wraith_transport::{Code, Error};

use crate::registry::{Id, Registry};

/// How many figures each attachment publishes.
pub(crate) const COUNTS: usize = 8;
/// The first of those that are gauges, and end with the attachment.
const GAUGES: usize = 5;
/// The position of how many slots rest in the magazine.
pub(crate) const CACHED: usize = 5;
/// The names of the figures, in the order in which the facade writes them.
pub(crate) const NAMES: [&std::ffi::CStr; COUNTS] = [
    c"acquires",
    c"exhaustions",
    c"waits",
    c"fallbackAllocations",
    c"leaked",
    c"cached",
    c"fallbackLive",
    c"waiting",
];

/// One attachment's figures. JavaScript writes them as doubles in one store each; any thread reads them.
pub(crate) struct Record {
    pub(crate) owner: Owner,
    pub(crate) thread: u32,
    counts: [AtomicU64; COUNTS],
}

impl Record {
    /// Where the figures lie, for the isolate that writes them.
    pub(crate) fn as_ptr(&self) -> *mut u8 {
        self.counts.as_ptr().cast_mut().cast()
    }

    /// The figures as they were published last. Nothing else hangs on them, hence relaxed; what is no number counts as 0.
    pub(crate) fn read(&self) -> [f64; COUNTS] {
        std::array::from_fn(|at| {
            let figure = f64::from_bits(self.counts[at].load(Ordering::Relaxed));
            if figure.is_finite() { figure } else { 0.0 }
        })
    }
}

/// An attachment and its figures.
pub(crate) type Figures = (Arc<Record>, [f64; COUNTS]);

#[derive(Default)]
struct Records {
    living: Vec<Arc<Record>>,
    /// Sums of those that have ended.
    ended: [f64; COUNTS],
}

/// A pool that isolates attach to.
pub(crate) struct SharedPool {
    pub(crate) core: Arc<PoolCore>,
    records: Mutex<Records>,
}

static POOLS: Registry<SharedPool> = Registry::new();

impl SharedPool {
    /// Enters a pool of which nobody else knows yet. It can be found as long as somebody holds it.
    pub(crate) fn enter(core: Arc<PoolCore>) -> Result<(Arc<SharedPool>, Id), Error> {
        let pool = Arc::new(SharedPool { core, records: Mutex::default() });
        let id = POOLS.enter(&pool)?;
        Ok((pool, id))
    }

    /// The pool that a token names.
    pub(crate) fn find(id: &str) -> Result<(Arc<SharedPool>, Id), Error> {
        let stale = || Error::new(Code::StaleToken, "the token names no pool that is alive in this process");
        let id = Id::parse(id).ok_or_else(stale)?;
        Ok((POOLS.find(id).ok_or_else(stale)?, id))
    }

    fn records(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn begin(&self, owner: Owner, thread: u32) -> Arc<Record> {
        let record = Arc::new(Record { owner, thread, counts: Default::default() });
        self.records().living.push(Arc::clone(&record));
        record
    }

    /// The attachment is over: its counters go on in the sums.
    pub(crate) fn end(&self, record: &Arc<Record>) {
        let mut records = self.records();
        let before = records.living.len();
        records.living.retain(|it| !Arc::ptr_eq(it, record));
        if records.living.len() == before {
            return;
        }
        let last = record.read();
        for (sum, count) in records.ended.iter_mut().zip(last) {
            *sum += count;
        }
        records.ended[GAUGES..].fill(0.0);
    }

    /// The figures of everybody who is attached, and the sums of those who were.
    pub(crate) fn figures(&self) -> (Vec<Figures>, [f64; COUNTS]) {
        let records = self.records();
        (records.living.iter().map(|it| (Arc::clone(it), it.read())).collect(), records.ended)
    }
}
