//! What a shard keeps its channels in and is told things by: the registry at its sizes, the mailbox with its senders.

#![allow(missing_docs, reason = "criterion's macros make public items")]

use std::hint::black_box;
use std::thread;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use switchboard_core::ChannelName;
use switchboard_node::bench::parts::{Batch, Post, Registry};

/// Channels of a shard.
const CHANNELS: [usize; 4] = [1, 1_000, 100_000, 1_000_000];

/// Deliveries of a batch under load.
const BATCH: u64 = 64;

/// Deliveries of each sender where there are several: enough that starting the threads is not what is measured.
const DELIVERIES: u64 = 50_000;

const SENDERS: [u64; 3] = [1, 2, 4];

criterion_group!(parts, registry, mailbox);
criterion_main!(parts);

fn registry(criterion: &mut Criterion) {
    let name = |n: usize| ChannelName::parse(&format!("chat:room-{n}")).expect("valid");
    for count in CHANNELS {
        let names: Vec<_> = (0..count).map(name).collect();
        let mut registry = Registry::of(&names);
        // A walk in which no two neighbours were made together.
        let mut at = 0;
        let mut next = || {
            at = (at + 611_953) % count;
            &names[at]
        };
        let mut group = criterion.benchmark_group("registry");
        group.bench_function(BenchmarkId::new("find", count), |bencher| {
            bencher.iter(|| registry.find(black_box(next())).expect("it is there"));
        });
        group.bench_function(
            BenchmarkId::new("a subscriber more and gone", count),
            |bencher| {
                bencher.iter(|| {
                    let place = registry.enter(black_box(next()), 7);
                    registry.leave(place);
                });
            },
        );
        let others: Vec<_> = (count..count + 1_000).map(name).collect();
        let mut others = others.iter().cycle();
        group.bench_function(
            BenchmarkId::new("a channel more and gone", count),
            |bencher| {
                bencher.iter(|| {
                    let place = registry.enter(black_box(others.next().expect("a cycle")), 7);
                    registry.leave(place);
                });
            },
        );
    }
}

fn mailbox(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("mailbox");
    let post = Post::new(usize::MAX);
    let mut batch = Batch::default();
    for len in [1, BATCH] {
        group.throughput(Throughput::Elements(len));
        group.bench_function(BenchmarkId::new("sent and drained", len), |bencher| {
            bencher.iter(|| {
                (0..len).for_each(|_| post.send());
                assert_eq!(post.drain(&mut batch) as u64, len);
            });
        });
    }
    for senders in SENDERS {
        group.throughput(Throughput::Elements(senders * DELIVERIES));
        group.bench_function(
            BenchmarkId::new("drained while senders send", senders),
            |bencher| {
                bencher.iter(|| {
                    thread::scope(|scope| {
                        for _ in 0..senders {
                            scope.spawn(|| (0..DELIVERIES).for_each(|_| post.send()));
                        }
                        let mut drained = 0;
                        while drained < senders * DELIVERIES {
                            match post.drain(&mut batch) {
                                0 => thread::yield_now(),
                                count => drained += count as u64,
                            }
                        }
                    });
                });
            },
        );
    }
}
