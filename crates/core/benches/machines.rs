//! The machines that sessions wait in: the outbox of a slow reader, the wheel of deadlines.

#![allow(missing_docs, reason = "criterion's macros make public items")]

use std::hint::black_box;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use switchboard_core::outbox::{Droppable, Outbox};
use switchboard_core::wheel::{TICK_MS, Wheel};
use switchboard_core::{Epoch, Position, SlowConsumer};

const FRAMES: u64 = 1_000;
const FRAME_BYTES: usize = 200;

/// Sessions whose deadlines lie within half a minute, as those of pings do.
const DEADLINES: u64 = 10_000;

criterion_group!(machines, outbox, wheel);
criterion_main!(machines);

fn outbox(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("outbox");
    group.throughput(Throughput::Elements(FRAMES));
    group.bench_function("filled and written", |bencher| {
        bencher.iter(|| {
            let mut outbox = filled(SlowConsumer::Close, usize::MAX);
            // What a socket takes at once is no whole number of frames.
            while outbox.bytes() > 0 {
                let written = outbox.bytes().min(4_000);
                black_box(outbox.chunks().take(64).count());
                outbox.advance(written);
            }
            outbox
        });
    });
    for policy in [SlowConsumer::DropOldest, SlowConsumer::KeepLatest] {
        group.bench_function(format!("overflowing, {policy:?}"), |bencher| {
            bencher.iter(|| {
                let mut outbox = filled(policy, 100 * FRAME_BYTES);
                black_box(outbox.take_gaps());
                outbox
            });
        });
    }
}

/// An outbox into which all frames have been pushed.
fn filled(policy: SlowConsumer, bytes_max: usize) -> Outbox {
    let bytes = Bytes::from_static(&[b'x'; FRAME_BYTES]);
    let mut outbox = Outbox::new(0);
    for offset in 1..=FRAMES {
        let position = Position {
            epoch: Epoch(1),
            offset,
        };
        let droppable = Droppable {
            lane: 0,
            position,
            policy,
        };
        outbox
            .push(offset, bytes.clone(), Some(droppable), bytes_max)
            .expect("something may be dropped");
    }
    outbox
}

fn wheel(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("wheel");
    group.throughput(Throughput::Elements(DEADLINES));
    group.bench_function("put in and brought up", |bencher| {
        bencher.iter_batched_ref(
            || (Wheel::new(0), Vec::with_capacity(DEADLINES as usize)),
            |(wheel, due)| {
                for entry in 0..DEADLINES {
                    wheel.insert(15_000 + entry * 3 / 2, entry);
                }
                for now in (0..31_000).step_by(TICK_MS as usize) {
                    wheel.advance(now, due);
                }
                assert_eq!(due.len() as u64, DEADLINES);
            },
            BatchSize::SmallInput,
        );
    });
}
