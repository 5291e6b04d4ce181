//! A delivery allocates nothing: what publications allocate does not depend on how many sessions they reach.

// Its own target, so that no other test allocates meanwhile.
#[path = "../benches/rig/mod.rs"]
mod rig;

use std::alloc::System;

use rig::{Mode, Rig};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use switchboard_protocol::wire::Wire;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Publications counted: a hundred rounds of eight.
const PUBLICATIONS: u64 = 800;

/// Rounds before that, in which vectors find their size and history fills up.
const WARM_UP: u64 = 40;

/// What timers and growing tables may allocate meanwhile. One allocation a delivery would be 800,000.
const NOISE: u64 = 400;

#[test]
fn a_delivery_allocates_nothing() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        for (mode, wire) in [
            (Mode::One, Wire::WebSocketJson),
            (Mode::Burst, Wire::WebSocketJson),
            (Mode::Channels, Wire::WebSocketJson),
            (Mode::One, Wire::SseChunked),
            (Mode::Burst, Wire::SseChunked),
            // Several channels: each event stream gets a cursor of its own.
            (Mode::Channels, Wire::SseChunked),
        ] {
            let few = allocations(1_000, mode, wire).await;
            let many = allocations(2_000, mode, wire).await;
            let mode = mode.name();
            println!("{mode} on {wire:?}: {few} allocations for 1,000 sessions, {many} for 2,000");
            assert!(
                few.abs_diff(many) <= NOISE,
                "{mode} on {wire:?}: {PUBLICATIONS} publications allocate {few} times for 1,000 sessions and {many} times for 2,000"
            );
        }
    });
}

/// Allocations, reallocations included, of all threads while the publications are made and delivered.
async fn allocations(sessions: u64, mode: Mode, wire: Wire) -> u64 {
    let mut rig = Rig::start(sessions, mode, wire).await;
    rig.publish(WARM_UP).await;
    let (sent, before) = (rig.send_calls().await, so_far());
    rig.publish(PUBLICATIONS / mode.round()).await;
    let allocations = so_far() - before;
    assert!(rig.send_calls().await - sent >= sessions * PUBLICATIONS / mode.round());
    allocations
}

fn so_far() -> u64 {
    let stats = ALLOCATOR.stats();
    (stats.allocations + stats.reallocations) as u64
}
