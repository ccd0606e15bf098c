//! Each backend beside the scalar one, interleaved: `cargo bench -p wraith-core --bench frames`.
//!
//! Criterion measures one function after the other, and on a shared machine a minute is not like the next. Here all take turns. What
//! must be reached fails the run when the whole 95 % interval misses it.

mod support;

use std::hint::black_box;
use std::process::ExitCode;

use support::columns::check_frames;
use support::corpus::{Corpus, ROWS, good_frames, mostly_good_frames};
use support::packets::{check_packets, each, etherparse, one_shape, realistic_mix, smoltcp};
use support::report::{self, Goal};
use support::rounds::{Contender, measure};
use wraith_core::frames::packet::{self, PacketColumns};
use wraith_core::frames::{Backend, Batch, FrameColumns, naive};

const FRAME_GOALS: [Goal; 4] = [
    Goal { name: "sse2", gate: 1.2, aim: 1.3 },
    Goal { name: "sse41", gate: 2.0, aim: 2.4 },
    Goal { name: "avx2", gate: 2.5, aim: 3.2 },
    Goal { name: "avx512", gate: 3.3, aim: 5.0 },
];

const PACKET_GOALS: [Goal; 3] = [
    Goal { name: "sse41", gate: 1.6, aim: 1.8 },
    Goal { name: "avx2", gate: 1.8, aim: 2.2 },
    Goal { name: "avx512", gate: 2.1, aim: 2.5 },
];

/// The batches one after the other, for ever.
fn in_turn<'a, T>(
    batches: &'a [Batch<'a>],
    mut columns: T,
    mut parse: impl FnMut(&Batch<'_>, &mut T) -> usize + 'a,
) -> impl FnMut() -> usize + 'a
where
    T: 'a,
{
    let mut next = 0;
    move || {
        let batch = black_box(&batches[next]);
        next = (next + 1) % batches.len();
        black_box(parse(batch, &mut columns));
        black_box(&mut columns);
        batch.len()
    }
}

fn frame_contenders<'a>(batches: &'a [Batch<'a>]) -> Vec<Contender<'a>> {
    let columns = || FrameColumns::with_capacity(batches[0].len());
    let backends = Backend::available().map(|backend| {
        let parse = move |batch: &Batch<'_>, columns: &mut FrameColumns| {
            batch.frames(backend, &mut columns.as_mut()).expect("columns of a batch's rows")
        };
        Contender::new(backend.backend().as_str(), in_turn(batches, columns(), parse))
    });
    let naive = in_turn(batches, columns(), |batch: &Batch<'_>, columns: &mut FrameColumns| {
        naive::frames(batch, &mut columns.as_mut()).expect("columns of a batch's rows")
    });
    backends.chain([Contender::new("naive", naive)]).collect()
}

fn frames() -> bool {
    let hot = Corpus::hot(good_frames());
    check_frames(&hot.batches(), ROWS);
    let batches = hot.batches();
    let measured = measure(frame_contenders(&batches));
    let kept = report::group("frame_parsing", &measured, &FRAME_GOALS);

    // Shorter and longer: less and more than the first-level cache's table of pages covers.
    for (rows, name) in [(128, "frame_parsing_128_rows"), (1024, "frame_parsing_1024_rows")] {
        let other = Corpus::hot_rows(rows, good_frames());
        check_frames(&other.batches(), rows);
        report::group(name, &measure(frame_contenders(&other.batches())), &[]);
    }

    let mixed = Corpus::hot(mostly_good_frames());
    check_frames(&mixed.batches(), ROWS / 2);
    report::group("frame_parsing_1_percent_bad", &measure(frame_contenders(&mixed.batches())), &[]);

    let cold = Corpus::cold(good_frames());
    check_frames(&cold.batches(), ROWS);
    report::group("frame_parsing_cold", &measure(frame_contenders(&cold.batches())), &[]);
    kept
}

fn packet_contenders<'a>(batches: &'a [Batch<'a>]) -> Vec<Contender<'a>> {
    let columns = || PacketColumns::with_capacity(batches[0].len());
    let backends = Backend::available().map(|backend| {
        let parse = move |batch: &Batch<'_>, columns: &mut PacketColumns| {
            batch.packets(backend, &mut columns.as_mut()).expect("columns of a batch's rows")
        };
        Contender::new(backend.backend().as_str(), in_turn(batches, columns(), parse))
    });
    let naive = in_turn(batches, columns(), |batch: &Batch<'_>, columns: &mut PacketColumns| {
        packet::naive::packets(batch, &mut columns.as_mut()).expect("columns of a batch's rows")
    });
    let others = [("etherparse", etherparse as fn(&[u8]) -> bool), ("smoltcp", smoltcp)];
    let others = others.map(|(name, parse)| {
        Contender::new(name, in_turn(batches, (), move |batch: &Batch<'_>, (): &mut ()| each(batch, parse)))
    });
    backends.chain([Contender::new("naive", naive)]).chain(others).collect()
}

fn packets() -> bool {
    let hot = Corpus::hot(realistic_mix(ROWS));
    check_packets(&hot.batches());
    let kept = report::group("packet_parsing", &measure(packet_contenders(&hot.batches())), &PACKET_GOALS);

    for (rows, name) in [(128, "packet_parsing_128_rows"), (1024, "packet_parsing_1024_rows")] {
        let other = Corpus::hot_rows(rows, realistic_mix(rows));
        check_packets(&other.batches());
        report::group(name, &measure(packet_contenders(&other.batches())), &[]);
    }

    // One shape only, which a branch predictor learns; and one that the vectors leave to the scalar code.
    for (shape, name) in [("ipv4-udp", "packet_parsing_udp_only"), ("qinq", "packet_parsing_two_tags_only")] {
        let other = Corpus::hot(one_shape(shape, ROWS));
        check_packets(&other.batches());
        report::group(name, &measure(packet_contenders(&other.batches())), &[]);
    }

    // More different packets than a branch predictor remembers.
    let cold = Corpus::cold(realistic_mix(16 * ROWS));
    check_packets(&cold.batches());
    report::group("packet_parsing_cold", &measure(packet_contenders(&cold.batches())), &[]);
    kept
}

fn main() -> ExitCode {
    eprintln!("{}", support::machine::cpu());
    let kept = frames() & packets();
    report::platforms();
    if kept { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
