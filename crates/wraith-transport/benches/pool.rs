//! The pool against the allocator: `cargo bench -p wraith-transport --bench pool`.
//!
//! Every case first checks that it does what it says, then measures. `allocator` rows are `vec![0; 1500]`, which
//! is what the guide's readers would write otherwise. A cycle is: get a buffer, write all of it, give it back.
//! Thread rows report the time of one cycle of one thread while all run.

use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use wraith_transport::BufferPool;

const SIZE: usize = 1500;
const BURST: usize = 256;

fn write(bytes: &mut [u8]) {
    bytes.fill(0x5a);
    black_box(bytes);
}

fn pool_cycle(pool: &BufferPool) {
    let mut buffer = pool.acquire();
    write(&mut buffer);
    pool.release(buffer);
}

fn allocator_cycle() {
    write(&mut vec![0; SIZE]);
}

fn check() {
    let pool = BufferPool::new(SIZE, BURST);
    pool_cycle(&pool);
    let buffers: Vec<_> = (0..BURST).map(|_| pool.acquire()).collect();
    assert!(buffers.iter().all(|b| b.is_pooled() && b.len() == SIZE && b.iter().all(|&byte| byte == 0)));
    drop(buffers);
    assert!(pool.audit().is_ok());
}

fn one_at_a_time(c: &mut Criterion) {
    check();
    let mut group = c.benchmark_group("pool/cycle");
    let pool = BufferPool::new(SIZE, BURST);
    group.bench_function("pool", |b| b.iter(|| pool_cycle(&pool)));
    group.bench_function("allocator", |b| b.iter(allocator_cycle));
    group.finish();

    // What is left when nothing is written: the pool's own cost, and the allocator's with its zeroing.
    let mut group = c.benchmark_group("pool/unwritten");
    group.bench_function("pool", |b| b.iter(|| pool.release(black_box(pool.acquire()))));
    group.bench_function("allocator", |b| b.iter(|| drop(black_box(vec![0_u8; SIZE]))));
    group.finish();
}

fn bursts(c: &mut Criterion) {
    let mut group = c.benchmark_group("pool/burst-256");
    let pool = BufferPool::new(SIZE, BURST);
    let mut held = Vec::with_capacity(BURST);
    group.bench_function("pool", |b| {
        b.iter(|| {
            held.extend((0..BURST).map(|_| pool.acquire()));
            held.iter_mut().for_each(|buffer| write(buffer));
            held.clear();
        });
    });
    let mut held = Vec::with_capacity(BURST);
    group.bench_function("allocator", |b| {
        b.iter(|| {
            held.extend((0..BURST).map(|_| vec![0; SIZE]));
            held.iter_mut().for_each(|buffer: &mut Vec<u8>| write(buffer));
            held.clear();
        });
    });
    group.finish();
}

/// Runs `cycles` of `work` on each of `threads` threads at once; the time from the first start to the last end.
fn on_threads(threads: usize, cycles: u64, work: impl Fn() + Sync) -> Duration {
    let start = Barrier::new(threads + 1);
    thread::scope(|scope| {
        let handles: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    start.wait();
                    (0..cycles).for_each(|_| work());
                })
            })
            .collect();
        start.wait();
        let began = Instant::now();
        handles.into_iter().for_each(|handle| handle.join().unwrap());
        began.elapsed()
    })
}

fn many_threads(c: &mut Criterion) {
    let mut group = c.benchmark_group("pool/threads");
    let pool = BufferPool::new(SIZE, BURST);
    for threads in [1, 2, 4, 8] {
        let name = |who| BenchmarkId::new(who, threads);
        group.bench_function(name("pool"), |b| {
            b.iter_custom(|n| on_threads(threads, n, || pool_cycle(&pool)))
        });
        group.bench_function(name("allocator"), |b| {
            b.iter_custom(|n| on_threads(threads, n, allocator_cycle))
        });
    }
    group.finish();
    assert!(pool.audit().is_ok());
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1500));
    targets = one_at_a_time, bursts, many_threads
}
criterion_main!(benches);
