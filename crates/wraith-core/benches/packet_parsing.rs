//! Packets into columns: `cargo bench -p wraith-core --bench packet_parsing`, one batch of 256 packets an iteration.
//!
//! Criterion measures one function after the other; `frames` lets them take turns and is what ratios come from.

mod support;

use std::hint::black_box;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use support::corpus::{Corpus, ROWS};
use support::packets::{check_packets, each, etherparse, realistic_mix, smoltcp};
use wraith_core::frames::packet::{PacketColumns, naive};
use wraith_core::frames::{Backend, Batch, Supported};

/// The packets of this many slots differ: more than a branch predictor remembers.
const DIFFERENT: usize = 4096;

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
    check_packets(&batches);
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Elements(ROWS as u64));
    group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2)).sample_size(50);
    let mut columns = PacketColumns::with_capacity(ROWS);
    let mut backend = |group: &mut BenchmarkGroup<'_, WallTime>, name: &str, backend: Supported| {
        parser(group, name, &batches, |batch| {
            batch.packets(backend, &mut columns.as_mut()).expect("columns of a batch's rows");
            black_box(&mut columns);
        });
    };
    backend(&mut group, "scalar", Supported::SCALAR);
    backend(&mut group, "simd", Backend::active().expect("WRAITH_SIMD names a backend of this CPU"));
    for supported in Backend::available().skip(1) {
        backend(&mut group, supported.backend().as_str(), supported);
    }
    let mut columns = PacketColumns::with_capacity(ROWS);
    parser(&mut group, "naive", &batches, |batch| {
        naive::packets(batch, &mut columns.as_mut()).expect("columns of a batch's rows");
        black_box(&mut columns);
    });
    for (name, parse) in [("etherparse", etherparse as fn(&[u8]) -> bool), ("smoltcp", smoltcp)] {
        parser(&mut group, name, &batches, |batch| {
            black_box(each(batch, parse));
        });
    }
    group.finish();
}

fn packets(criterion: &mut Criterion) {
    measure(criterion, "packet_parsing", &Corpus::hot(realistic_mix(ROWS)));
    measure(criterion, "packet_parsing_cold", &Corpus::cold(realistic_mix(DIFFERENT)));
}

criterion_group!(benches, packets);
criterion_main!(benches);
