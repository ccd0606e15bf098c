//! The snippets of the WRAITH Buffer Pool Integration Guide, as written but for imports, line breaks and the code
//! around them. Each stands between a line `guide: <section>` and a line `end`.

use wraith_transport::pool::Exhausted;
use wraith_transport::{BufferPool, Code};

/// "Usage Patterns / Basic Usage"
#[test]
fn basic_usage() {
    #[expect(unused_mut, reason = "the guide receives into it")]
    fn snippet() -> BufferPool {
        // guide: Basic Usage
        use wraith_transport::BufferPool;

        // Create pool: 1500-byte buffers (MTU), 256 pre-allocated
        let pool = BufferPool::new(1500, 256);

        // Acquire buffer for packet receive
        let mut buffer = pool.acquire();
        // ... recv_from(&mut buffer) ...

        // Return buffer to pool
        pool.release(buffer);
        // end
        pool
    }
    let pool = snippet();
    assert_eq!((pool.available(), pool.capacity(), pool.buffer_size()), (256, 256, 1500));
    assert!(pool.audit().is_ok(), "{:?}", pool.audit());
}

/// What the comment in "Basic Usage" stands for.
#[test]
fn a_socket_receives_into_a_buffer() {
    let pool = BufferPool::new(1500, 2);
    let receiver = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    sender.send_to(b"hello", receiver.local_addr().unwrap()).unwrap();

    let mut buffer = pool.acquire();
    let (len, from) = receiver.recv_from(&mut buffer).unwrap();
    assert_eq!((&buffer[..len], from), (&b"hello"[..], sender.local_addr().unwrap()));
    pool.release(buffer);
    assert!(pool.acquire().iter().all(|&b| b == 0));
    assert!(pool.acquire().iter().all(|&b| b == 0));
}

/// "Shared Pool Across Threads"
#[test]
fn shared_pool_across_threads() {
    fn snippet() -> std::sync::Arc<BufferPool> {
        // guide: Shared Pool Across Threads
        use std::sync::Arc;
        use std::thread;
        use wraith_transport::BufferPool;

        let pool = Arc::new(BufferPool::new(1500, 256));

        let handles: Vec<_> = (0..4)
            .map(|_| {
                let pool = Arc::clone(&pool);
                thread::spawn(move || {
                    for _ in 0..1000 {
                        let buffer = pool.acquire();
                        // ... process packet ...
                        pool.release(buffer);
                    }
                })
            })
            .collect();

        for h in handles {
            h.join().unwrap();
        }
        // end
        pool
    }
    let pool = snippet();
    let counted = pool.snapshot();
    assert_eq!((counted.total_acquires, counted.releases, counted.exhaustions), (4000.0, 4000.0, 0.0));
    assert_eq!(pool.available(), 256);
    assert!(pool.audit().is_ok(), "{:?}", pool.audit());
}

/// "Performance Tuning / Monitoring Pool Utilization"
#[test]
fn monitoring_pool_utilization() {
    fn snippet() -> f64 {
        // guide: Monitoring Pool Utilization
        let pool = BufferPool::new(1500, 256);

        // Check pool status
        let available = pool.available();
        let capacity = pool.capacity();
        let utilization = 1.0 - (available as f64 / capacity as f64);

        if utilization > 0.8 {
            tracing::warn!("Buffer pool high utilization: {:.1}%", utilization * 100.0);
        }
        // end
        utilization
    }
    assert_eq!(snippet(), 0.0);

    let pool = BufferPool::new(1500, 4);
    let lent: Vec<_> = (0..3).map(|_| pool.acquire()).collect();
    assert_eq!(1.0 - (pool.available() as f64 / pool.capacity() as f64), 0.75);
    assert_eq!(pool.snapshot().utilization(), 0.75);
    drop(lent);
    assert_eq!(pool.snapshot().utilization(), 0.0);
}

/// "Detecting Pool Exhaustion"
#[test]
fn detecting_pool_exhaustion() {
    let pool = BufferPool::new(1500, 2);
    let metrics = pool.metrics();
    let process = || [pool.acquire(), pool.acquire()];

    // guide: Detecting Pool Exhaustion
    // Monitor for pool exhaustion
    let initial_available = pool.available();
    let lent = process();

    // After processing
    if pool.available() == 0 {
        // Pool exhausted - consider increasing pool_size
        metrics.record_pool_exhaustion();
    }
    // end

    assert_eq!(initial_available, 2);
    assert_eq!(pool.snapshot().exhaustions, 1.0);
    drop(lent);
}

/// "Troubleshooting / Pool Exhaustion Under Load"
#[test]
fn monitoring_the_exhaustion_rate() {
    let pool = BufferPool::new(1500, 99);
    let lent: Vec<_> = (0..100).map(|_| pool.acquire()).collect();
    let metrics = pool.snapshot();
    let mut alarm = false;

    // guide: Pool Exhaustion Under Load
    // Monitor exhaustion rate
    let exhaustion_rate = metrics.exhaustions / metrics.total_acquires;
    if exhaustion_rate > 0.01 {
        // >1%
        // Consider increasing pool_size
        // end
        alarm = true;
    }
    // One of a hundred is exactly 1 %, which is not more than 1 %.
    assert_eq!((exhaustion_rate, alarm), (0.01, false));
    drop(pool.acquire());
    assert!(pool.snapshot().exhaustion_rate() > 0.01);
    drop(lent);
}

/// "Automatic fallback allocation when pool exhausted"
#[test]
fn an_exhausted_pool_allocates() {
    let pool = BufferPool::new(1500, 1);
    let (mut pooled, mut fallback) = (pool.acquire(), pool.acquire());
    assert_eq!((pooled.is_pooled(), fallback.is_pooled()), (true, false));
    assert_eq!((pooled.len(), fallback.len()), (1500, 1500));
    pooled.fill(1);
    fallback.fill(2);
    pool.release(fallback);
    pool.release(pooled);
    let counted = pool.snapshot();
    assert_eq!((counted.exhaustions, counted.fallback_allocations), (1.0, 1.0));
    assert_eq!((counted.fallback_releases, counted.releases, counted.fallbacks_alive), (1.0, 1.0, 0));
    assert_eq!(pool.available(), 1);
}

/// "Memory Growth": the guide's guard, which holds a `Vec<u8>`
#[test]
fn buffer_guard() {
    // guide: Memory Growth
    // Use RAII pattern for automatic release
    struct BufferGuard<'a> {
        pool: &'a BufferPool,
        buffer: Option<Vec<u8>>,
    }

    impl Drop for BufferGuard<'_> {
        fn drop(&mut self) {
            if let Some(buffer) = self.buffer.take() {
                self.pool.release(buffer);
            }
        }
    }
    // end

    let pool = BufferPool::new(1500, 4);
    drop(BufferGuard { pool: &pool, buffer: Some(vec![7; 1500]) });
    drop(BufferGuard { pool: &pool, buffer: Some(Vec::new()) });
    drop(BufferGuard { pool: &pool, buffer: None });
    assert_eq!(pool.snapshot().foreign_releases, 2.0);
    assert_eq!(pool.available(), 4);
    assert!(pool.audit().is_ok(), "{:?}", pool.audit());
}

/// "Wrong Buffer Size"
#[test]
fn buffer_sizes() {
    {
        // guide: Wrong Buffer Size
        // For UDP: MTU - IP header - UDP header
        let buffer_size = 1500 - 20 - 8; // 1472 bytes
        // end
        assert_eq!(BufferPool::new(buffer_size, 1).buffer_size(), wraith_core::sizes::UDP_PAYLOAD);
    }
    {
        // guide: Wrong Buffer Size
        // For WRAITH protocol frames
        let buffer_size = 9000; // Max frame size
        // end
        assert_eq!(BufferPool::new(buffer_size, 1).acquire().len(), wraith_core::sizes::MAX_FRAME);
    }
}

/// "Security Considerations / Buffer Clearing"
#[test]
fn the_next_holder_sees_zeros() {
    let pool = BufferPool::new(64, 1);
    let mut buffer = pool.acquire();
    buffer.copy_from_slice(&[0xaa; 64]);
    pool.release(buffer);
    assert_eq!(*pool.acquire(), [0; 64]);
}

/// "Memory Locking": asked for and reported.
#[test]
fn memory_locking_is_reported() {
    let pool = BufferPool::builder(2048, 4).mlock(true).on_exhausted(Exhausted::Fail).build().unwrap();
    let mlock = &pool.info().mlock;
    assert!(mlock.asked);
    assert_eq!(mlock.got, mlock.why.is_none(), "{mlock:?}");
    let lent: Vec<_> = (0..4).map(|_| pool.acquire()).collect();
    assert_eq!(pool.try_acquire().unwrap_err().code(), Code::PoolExhausted);
    drop(lent);
}
