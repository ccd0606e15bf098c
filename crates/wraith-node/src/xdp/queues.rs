//! Queues of an interface that are read from together: what outlives the isolate that reads.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wraith_transport::xdp::{KernelStatistics, XdpDevice, XdpMetrics, XdpSocket, XdpUmem};
use wraith_transport::{Code, Error};

use super::memory::moved;
use crate::isolate::OwnerNumber;
use crate::lease::{Handle, Leases};
use crate::registry::Id;
use crate::shared::SharedPool;

/// The queues of this process that were shared.
pub(super) static QUEUES: Leases<Arc<Queues>> = Leases::new();

pub(super) type SharedHandle = Handle<Arc<Queues>>;

/// A UMEM as a pool that isolates attach to. It is closed with the last socket's queues.
pub(super) struct UmemPool {
    pub(super) pool: Arc<SharedPool>,
    pub(super) id: Id,
    /// User code has moved its memory, and may see it for ever.
    exposed: AtomicBool,
}

impl UmemPool {
    pub(super) fn enter(socket: &XdpSocket) -> Result<Arc<UmemPool>, Error> {
        let (pool, id) = SharedPool::enter(Arc::clone(socket.pool()))?;
        Ok(Arc::new(UmemPool { pool, id, exposed: AtomicBool::new(false) }))
    }

    /// Nobody may write there any more: no slot is handed out, and whoever has sockets closes them when they look.
    pub(super) fn expose(&self) {
        // Orders nothing but itself.
        self.exposed.store(true, Ordering::Relaxed);
        self.pool.core.close();
    }

    pub(super) fn is_exposed(&self) -> bool {
        self.exposed.load(Ordering::Relaxed)
    }
}

impl Drop for UmemPool {
    fn drop(&mut self) {
        self.pool.core.close();
    }
}

/// One socket's counters, for those who do not have the socket.
pub(super) struct Counters {
    pub(super) queue: u32,
    pub(super) ours: Arc<XdpMetrics>,
    pub(super) kernel: KernelStatistics,
}

/// Sockets that have one UMEM and one reader at a time, and the interface that they are bound to.
pub struct Queues {
    // Sockets first: the UMEM's pool is closed after them, and the program goes last.
    /// `None` while an isolate reads from them.
    resting: Mutex<Option<Vec<XdpSocket>>>,
    counters: Mutex<Vec<Counters>>,
    pub(super) umem: Arc<UmemPool>,
    /// What other interfaces can be opened with; `None` where each queue has a UMEM of its own.
    pub(super) xdp_umem: Option<XdpUmem>,
    /// Without sockets: its filter, and what it is.
    pub(super) device: Arc<Mutex<XdpDevice>>,
    /// Most rows of a batch.
    pub(super) batch_size: usize,
    /// Those of the sockets.
    _numbers: Arc<Vec<OwnerNumber>>,
}

/// What [`Queues`] are made of, apart from the sockets.
pub(super) struct Around {
    pub(super) umem: Arc<UmemPool>,
    pub(super) xdp_umem: Option<XdpUmem>,
    pub(super) device: Arc<Mutex<XdpDevice>>,
    pub(super) numbers: Arc<Vec<OwnerNumber>>,
}

impl Queues {
    pub(super) fn new(sockets: Vec<XdpSocket>, around: Around) -> Arc<Queues> {
        let counters = sockets.iter().map(|socket| Counters {
            queue: socket.queue(),
            ours: Arc::clone(socket.metrics()),
            kernel: KernelStatistics::default(),
        });
        let batch_size = sockets.iter().map(XdpSocket::batch_size).max().unwrap_or(0);
        Arc::new(Queues {
            counters: Mutex::new(counters.collect()),
            resting: Mutex::new(Some(sockets)),
            umem: around.umem,
            xdp_umem: around.xdp_umem,
            device: around.device,
            batch_size,
            _numbers: around.numbers,
        })
    }

    /// The sockets, for the one who has the lease.
    pub(super) fn take(&self) -> Result<Vec<XdpSocket>, Error> {
        if self.umem.is_exposed() {
            return Err(moved());
        }
        lock(&self.resting)
            .take()
            .ok_or_else(|| Error::new(Code::Busy, "another handle reads from the queues"))
    }

    /// Gives them back, before the lease is given up.
    pub(super) fn give_back(&self, mut sockets: Vec<XdpSocket>) {
        if self.umem.is_exposed() {
            // Closing a socket makes the kernel stop writing before it returns.
            return drop(sockets);
        }
        for socket in &mut sockets {
            socket.finish();
        }
        *lock(&self.resting) = Some(sockets);
    }

    pub(super) fn device(&self) -> MutexGuard<'_, XdpDevice> {
        lock(&self.device)
    }

    /// The counters: the kernel's of now where the sockets can be asked, `mine` or those that nobody reads from, else of the
    /// reader's last look.
    pub(super) fn counters(&self, mine: Option<&[XdpSocket]>) -> MutexGuard<'_, Vec<Counters>> {
        let mut counters = lock(&self.counters);
        let resting = lock(&self.resting);
        for socket in mine.or(resting.as_deref()).unwrap_or_default() {
            let entry = counters.iter_mut().find(|entry| entry.queue == socket.queue());
            if let (Some(entry), Ok(now)) = (entry, socket.statistics()) {
                entry.kernel = now;
            }
        }
        counters
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is guarded is whole at every moment.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
