//! What a publish to the memory engine costs: `cargo run --release -p switchboard-engine --example publish_cost`.
//!
//! One thread, requests made beforehand, wall time of the calls alone; the median of seven rounds, with minimum and maximum.
#![allow(clippy::print_stdout, reason = "printing figures is what it is for")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use switchboard_core::{ChannelName, Payload, PresenceEvent, Publication, Retention};
use switchboard_engine::{Engine, Interrupted, MemoryConfig, MemoryEngine, PublishRequest, Sink};

const ROUNDS: usize = 7;
const PUBLISHES: usize = 500_000;

/// Takes everything and keeps nothing.
struct NullSink;

#[async_trait]
impl Sink for NullSink {
    fn has_room(&self) -> bool {
        true
    }

    async fn room(&self) {}

    fn publication(&self, publication: &Arc<Publication>) {
        std::hint::black_box(publication);
    }

    fn presence(&self, _: &Arc<PresenceEvent>) {}

    fn message(&self, _: bytes::Bytes) {}

    fn interrupted(&self, _: Interrupted) {}
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let hundred = Retention {
        count_max: 100,
        bytes_max: 1 << 20,
        age_max: Duration::from_mins(5),
    };
    for channels in [1, 1000, 1_000_000] {
        for (what, followed, retention) in [
            ("nobody follows, no history", false, Retention::NONE),
            ("nobody follows, history of 100", false, hundred),
            ("followed, history of 100", true, hundred),
        ] {
            measure(channels, what, followed, retention).await;
        }
    }
}

async fn measure(channels: usize, what: &str, followed: bool, retention: Retention) {
    let engine = MemoryEngine::new(Arc::new(NullSink), MemoryConfig::default());
    let names: Vec<_> = (0..channels)
        .map(|n| ChannelName::parse(&format!("bench:{n}")).expect("a valid name"))
        .collect();
    for name in &names {
        engine.follow(name).await.expect("the engine works");
        if !followed {
            engine.unfollow(name).await;
        }
    }
    let mut nanos: Vec<f64> = Vec::new();
    for _ in 0..=ROUNDS {
        // A stride that visits the channels in no order that the memory knows.
        let requests: Vec<_> = (0..PUBLISHES)
            .map(|n| request(&names[n.wrapping_mul(7_368_787) % channels], retention))
            .collect();
        let started = Instant::now();
        for request in requests {
            engine.publish(request).await.expect("the engine works");
        }
        nanos.push(started.elapsed().as_nanos() as f64 / PUBLISHES as f64);
    }
    // The first round fills histories.
    nanos.remove(0);
    nanos.sort_by(f64::total_cmp);
    let (min, median, max) = (nanos[0], nanos[ROUNDS / 2], nanos[ROUNDS - 1]);
    println!("{channels:>8} channels, {what}: {median:.0} ns a publish ({min:.0}-{max:.0})");
    engine.shutdown().await;
}

fn request(channel: &ChannelName, retention: Retention) -> PublishRequest {
    PublishRequest {
        channel: channel.clone(),
        payload: Payload::Json(Bytes::from_static(&[b'1'; 100])),
        id: None,
        skip_history: false,
        idempotency_window: Duration::ZERO,
        from: None,
        tags: Vec::new(),
        exclude: None,
        expected_position: None,
        retention,
    }
}
