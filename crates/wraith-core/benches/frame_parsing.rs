//! Frames into columns: `cargo bench -p wraith-core --bench frame_parsing`, one batch of 256 frames an iteration.
//!
//! `simd` is what the process uses: the fastest backend of this CPU, or the one that `WRAITH_SIMD` names. Criterion measures
//! one function after the other; `frames` lets them take turns and is what ratios come from.

mod support;

use std::hint::black_box;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use support::columns::check_frames;
use support::corpus::{Corpus, ROWS, good_frames};
use wraith_core::frames::{Backend, Batch, FrameColumns, Supported, naive};

fn parser<'a>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    batches: &'a [Batch<'a>],
    mut parse: impl FnMut(&Batch<'_>),
) {
    let mut in_turn = batches.iter().cycle();
    group.bench_function(name, |bencher| bencher.iter(|| parse(black_box(in_turn.next().expect("a batch")))));
}

fn measure(criterion: &mut Criterion, name: &str, corpus: &Corpus) {
    let batches = corpus.batches();
    check_frames(&batches, ROWS);
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Elements(ROWS as u64));
    group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2)).sample_size(50);
    let mut columns = FrameColumns::with_capacity(ROWS);
    let mut backend = |group: &mut BenchmarkGroup<'_, WallTime>, name: &str, backend: Supported| {
        parser(group, name, &batches, |batch| {
            let good = batch.frames(backend, &mut columns.as_mut()).expect("columns of a batch's rows");
            black_box((good, &mut columns));
        });
    };
    backend(&mut group, "scalar", Supported::SCALAR);
    if cfg!(feature = "simd") {
        backend(&mut group, "simd", Backend::active().expect("WRAITH_SIMD names a backend of this CPU"));
    }
    for supported in Backend::available().skip(1) {
        backend(&mut group, supported.backend().as_str(), supported);
    }
    let mut columns = FrameColumns::with_capacity(ROWS);
    parser(&mut group, "naive", &batches, |batch| {
        let good = naive::frames(batch, &mut columns.as_mut()).expect("columns of a batch's rows");
        black_box((good, &mut columns));
    });
    group.finish();
}

fn frames(criterion: &mut Criterion) {
    measure(criterion, "frame_parsing", &Corpus::hot(good_frames()));
    measure(criterion, "frame_parsing_cold", &Corpus::cold(good_frames()));
}

criterion_group!(benches, frames);
criterion_main!(benches);
