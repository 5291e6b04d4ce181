//! Latency: publish to arrival on a hub that does nothing else, against an echo over the same stack: an empty unary call,
//! which goes in as a publication does and comes back as its acknowledgement does.

use std::time::{Duration, Instant};

use anyhow::Result;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::fleet::{Fleet, switchboard};
use crate::hub::{Hub, token};
use crate::load::{Framing, Report, percentile};
use crate::publisher::{Publisher, connect};
use crate::scenario::Setting;

/// Both latencies, microseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Latency {
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) echo_p50_us: f64,
    pub(crate) echo_p99_us: f64,
}

/// Between two calls: nothing is warm that would not be so in a quiet hub.
const PAUSE: Duration = Duration::from_micros(500);

/// Rounds of both in turn.
pub(crate) async fn unloaded(setting: &Setting, rounds: usize) -> Result<Latency> {
    const BLOCK: usize = 100;
    let hub = Hub::start(&setting.hub).await?;
    let names = vec!["b:one".to_owned()];
    let group = switchboard(Framing::WebSocket, 1, &names, &token("bench")?);
    let mut fleet = Fleet::open(hub.clients, vec![group]).await?;
    let mut publisher = Publisher::new(hub.api, names, 128).await?;
    let mut health = HealthClient::new(connect(hub.api).await?);
    let (mut echoes, mut latencies) = (Vec::new(), Report::default());
    for _ in 0..rounds {
        fleet.reset(true).await?;
        for n in 1..=BLOCK {
            publisher.one(0).await?;
            fleet.arrived(n as u64).await?;
            tokio::time::sleep(PAUSE).await;
        }
        latencies.latency.extend(fleet.report().await?.latency);
        for _ in 0..BLOCK {
            let start = Instant::now();
            health.check(HealthCheckRequest::default()).await?;
            echoes.push(start.elapsed().as_secs_f64() * 1e6);
            tokio::time::sleep(PAUSE).await;
        }
    }
    fleet.close().await?;
    echoes.sort_by(f64::total_cmp);
    Ok(Latency {
        p50_us: percentile(&latencies.latency, 0.5) as f64,
        p99_us: percentile(&latencies.latency, 0.99) as f64,
        echo_p50_us: echoes[echoes.len() / 2],
        echo_p99_us: echoes[echoes.len() * 99 / 100],
    })
}
