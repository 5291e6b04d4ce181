//! Publishing: what the control API takes, whether anybody listens or not, and whether many channels slow it down.

use anyhow::Result;
use futures_util::future::try_join_all;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::fleet::{Fleet, switchboard};
use crate::hub::{Hub, token};
use crate::load::Framing;
use crate::paired::{Pairs, Spread};
use crate::publisher::{Publisher, connect};
use crate::scenario::Setting;

/// Items a second of the hub's CPU, by `PublishStream` on one connection into a channel with history and no subscribers.
pub(crate) async fn stream_per_cpu_s(
    setting: &Setting,
    items: u64,
    rounds: usize,
) -> Result<Spread> {
    let hub = Hub::start(&setting.hub).await?;
    let mut publisher = Publisher::new(hub.api, vec!["b:nobody".to_owned()], 128).await?;
    publisher.stream(items / 10).await?;
    let mut rates = Vec::new();
    for _ in 0..rounds {
        let before = hub.process().cpu_s()?;
        publisher.stream(items).await?;
        rates.push(items as f64 / (hub.process().cpu_s()? - before));
    }
    Ok(Spread::of(rates.into_iter()))
}

/// CPU of a unary `Publish` with so many callers at a time against an empty call over the same stack: the health check,
/// which no key guards.
pub(crate) async fn unary_against_empty(
    setting: &Setting,
    callers: usize,
    pairs: usize,
) -> Result<Pairs> {
    const CALLS: usize = 200;
    let hub = Hub::start(&setting.hub).await?;
    let publisher = Publisher::new(hub.api, vec!["b:nobody".to_owned()], 128).await?;
    let health = HealthClient::new(connect(hub.api).await?);
    let publish = |_| {
        let mut publisher = publisher.clone();
        async move {
            for _ in 0..CALLS {
                publisher.one(0).await?;
            }
            anyhow::Ok(())
        }
    };
    let empty = |_| {
        let mut health = health.clone();
        async move {
            for _ in 0..CALLS {
                health.check(HealthCheckRequest::default()).await?;
            }
            anyhow::Ok(())
        }
    };
    let calls = (callers * CALLS) as f64;
    let mut all = Pairs::default();
    for pair in 0..=pairs {
        let before = hub.process().cpu_s()?;
        try_join_all((0..callers).map(publish)).await?;
        let between = hub.process().cpu_s()?;
        try_join_all((0..callers).map(empty)).await?;
        let after = hub.process().cpu_s()?;
        // The first pair warms up.
        if pair > 0 {
            all.push(
                (between - before) * 1e6 / calls,
                (after - between) * 1e6 / calls,
            );
        }
    }
    Ok(all)
}

/// CPU microseconds of a publication to one subscriber, each to another of so many channels, streamed.
pub(crate) struct ByChannels {
    hub: Hub,
    fleet: Fleet,
    publisher: Publisher,
    channels: usize,
}

impl ByChannels {
    /// Opens `sessions` with `each` channels of their own.
    pub(crate) async fn start(setting: &Setting, sessions: usize, each: usize) -> Result<Self> {
        let hub = Hub::start(&setting.hub).await?;
        let names: Vec<String> = (0..each).map(|n| format!("b:{n}-{{n}}")).collect();
        let group = switchboard(Framing::WebSocket, sessions, &names, &token("bench")?);
        let fleet = Fleet::open(hub.clients, vec![group]).await?;
        // Channels are visited in an order that has nothing to do with that of their making.
        let channels = sessions * each;
        let step = (611_953 % channels.max(2)) | 1;
        let mut at = 0;
        let names = (0..channels).map(|_| {
            at = (at + step) % channels;
            format!("b:{}-{}", at % each, at / each)
        });
        let names = names.collect();
        let publisher = Publisher::new(hub.api, names, 128).await?;
        Ok(Self {
            hub,
            fleet,
            publisher,
            channels,
        })
    }

    /// Publishes one at a time, so that nothing is joined, and gives microseconds each.
    pub(crate) async fn block(&mut self, publications: usize) -> Result<f64> {
        self.fleet.reset(false).await?;
        let before = self.hub.process().cpu_s()?;
        for n in 0..publications {
            self.publisher.one(n * 7919 % self.channels).await?;
        }
        self.fleet.arrived_in_all(publications as u64).await?;
        Ok((self.hub.process().cpu_s()? - before) * 1e6 / publications as f64)
    }

    pub(crate) async fn close(self) -> Result<()> {
        self.fleet.close().await
    }
}
