//! The pool against the allocator: `cargo bench -p wraith-transport --bench pool`.
//!
//! Every case first checks that it does what it says, then measures. `allocator` rows are `vec![0; 1500]`, which
//! is what the guide's readers would write otherwise. A cycle is: get a buffer, write all of it, give it back.
//! Thread rows report the time of one cycle of one thread while all run. `shared` rows are the pool that isolates and
//! threads use together: no magazines for threads, and a fence in each release. `hand-over` is a slot that becomes a ticket and is
//! adopted, against sending a copied `Vec`, both through one channel.

#![expect(unsafe_code, reason = "writes and reads slots that a thread holds")]

use std::hint::black_box;
use std::sync::{Arc, Barrier, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use wraith_transport::BufferPool;
use wraith_transport::memory::{Dirty, MemoryOptions, Owner, State};
use wraith_transport::pool::{Exhausted, PoolCore, SharingOptions};

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

fn shared_core() -> Arc<PoolCore> {
    PoolCore::shared(SIZE, BURST as u32, &MemoryOptions::default(), SharingOptions::default()).unwrap()
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
    let shared = BufferPool::from_core(&shared_core(), Exhausted::Fail).unwrap();
    pool_cycle(&shared);
    assert_eq!(shared.available(), BURST);
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
    let shared = BufferPool::from_core(&shared_core(), Exhausted::Fail).unwrap();
    group.bench_function("shared", |b| b.iter(|| shared.release(black_box(shared.acquire()))));
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
    let shared = BufferPool::from_core(&shared_core(), Exhausted::Wait).unwrap();
    for threads in [1, 2, 4, 8] {
        let name = |who| BenchmarkId::new(who, threads);
        group.bench_function(name("pool"), |b| {
            b.iter_custom(|n| on_threads(threads, n, || pool_cycle(&pool)))
        });
        group.bench_function(name("shared"), |b| {
            b.iter_custom(|n| on_threads(threads, n, || pool_cycle(&shared)))
        });
        group.bench_function(name("allocator"), |b| {
            b.iter_custom(|n| on_threads(threads, n, allocator_cycle))
        });
    }
    group.finish();
    assert!(pool.audit().is_ok() && shared.audit().is_ok());
}

/// Time until another thread has read `count` messages of 1500 bytes: both go through a channel of the same depth.
fn handed_over<T: Send>(count: u64, send: impl Fn() -> T + Send, receive: impl Fn(T)) -> Duration {
    let (sender, receiver) = mpsc::sync_channel(BURST / 2);
    thread::scope(|scope| {
        let began = Instant::now();
        scope.spawn(move || (0..count).for_each(|_| sender.send(send()).unwrap()));
        receiver.into_iter().for_each(receive);
        began.elapsed()
    })
}

fn hand_over(c: &mut Criterion) {
    let mut group = c.benchmark_group("pool/hand-over");
    let core = shared_core();
    let [from, to] = [1, 2].map(|number| (State::Cached, Owner::new(number).unwrap()));
    let source = vec![0x5a_u8; SIZE];
    let send = || {
        // The channel is shallower than the pool.
        let slot = core.pop(from).unwrap();
        // SAFETY: the slot is this thread's, and of SIZE bytes.
        unsafe { core.slab().slot(slot).copy_from_nonoverlapping(source.as_ptr(), SIZE) };
        (slot, core.transfer(slot, from, SIZE as u32).unwrap())
    };
    let receive = |(slot, generation)| {
        assert_eq!(core.adopt(slot, generation, to), Ok(SIZE as u32));
        // SAFETY: as above, on the other side.
        let bytes = unsafe { std::slice::from_raw_parts(core.slab().slot(slot), SIZE) };
        assert_eq!(black_box(bytes)[SIZE - 1], 0x5a);
        core.push(slot, to, Dirty::All).unwrap();
    };
    group.bench_function("ticket", |b| b.iter_custom(|n| handed_over(n, send, receive)));
    let read = |bytes: Vec<u8>| assert_eq!(black_box(bytes)[SIZE - 1], 0x5a);
    group.bench_function("allocator", |b| b.iter_custom(|n| handed_over(n, || source.clone(), read)));
    group.finish();
    assert_eq!(core.available(), BURST as u32);
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1500));
    targets = one_at_a_time, bursts, many_threads, hand_over
}
criterion_main!(benches);
