//! Publishing: what a publication costs the hub by itself, and to one subscriber among many channels.

use std::time::Instant;

use anyhow::Result;
use futures_util::future::try_join_all;
use serde::Serialize;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::fleet::Fleet;
use crate::hub::Hub;
use crate::paired::{Pairs, Spread};
use crate::publisher::{By, Publisher, connect};
use crate::scenario::Setting;
use crate::scenario::crowd::Crowd;

/// Publications of a batch, which is one call.
const BATCH: u64 = 64;
/// Callers of unary calls at a time.
pub(crate) const CALLERS: u64 = 64;

/// What publications cost.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Publishing {
    pub(crate) publications: u64,
    /// Wall time, with the publisher on the same cores.
    pub(crate) per_s: f64,
    /// A second of the hub's CPU.
    pub(crate) per_cpu_s: f64,
    pub(crate) cpu_us: f64,
}

/// A hub with a channel that has a history and no subscribers, and who publishes into it.
pub(crate) struct ToNobody {
    hub: Hub,
    publisher: Publisher,
}

impl ToNobody {
    pub(crate) async fn start(setting: &Setting, payload_len: usize) -> Result<Self> {
        let hub = Hub::start(&setting.hub).await?;
        let channels = vec!["b:nobody".to_owned()];
        let publisher = Publisher::new(hub.api, channels, payload_len).await?;
        Ok(Self { hub, publisher })
    }

    /// At least `count` publications: by 64 callers of unary calls, by batches of 64 one after the other, or on one stream.
    pub(crate) async fn publish(&mut self, by: By, count: u64) -> Result<Publishing> {
        let (before, start) = (self.hub.process().cpu_s()?, Instant::now());
        let publications = match by {
            By::Unary => {
                let calls = count.div_ceil(CALLERS);
                let callers = (0..CALLERS).map(|_| {
                    let mut publisher = self.publisher.another();
                    async move { publisher.publish(By::Unary, 0, calls).await }
                });
                try_join_all(callers).await?;
                calls * CALLERS
            }
            By::Batch => {
                let batches = count.div_ceil(BATCH);
                for _ in 0..batches {
                    self.publisher.publish(By::Batch, 0, BATCH).await?;
                }
                batches * BATCH
            }
            By::Stream => {
                self.publisher.publish(By::Stream, 0, count).await?;
                count
            }
        };
        let seconds = start.elapsed().as_secs_f64();
        let cpu_s = self.hub.process().cpu_s()? - before;
        Ok(Publishing {
            publications,
            per_s: publications as f64 / seconds,
            per_cpu_s: publications as f64 / cpu_s,
            cpu_us: cpu_s * 1e6 / publications as f64,
        })
    }
}

/// Items a second of the hub's CPU, by `PublishStream` on one connection.
pub(crate) async fn stream_per_cpu_s(
    setting: &Setting,
    items: u64,
    rounds: usize,
) -> Result<Spread> {
    let mut hub = ToNobody::start(setting, 128).await?;
    hub.publish(By::Stream, items / 10).await?;
    let mut rates = Vec::new();
    for _ in 0..rounds {
        rates.push(hub.publish(By::Stream, items).await?.per_cpu_s);
    }
    Ok(Spread::of(rates.into_iter()))
}

/// CPU of a unary `Publish` with 64 callers at a time against an empty call over the same stack: the health check,
/// which no key guards.
pub(crate) async fn unary_against_empty(setting: &Setting, pairs: usize) -> Result<Pairs> {
    const CALLS: u64 = 200;
    let mut hub = ToNobody::start(setting, 128).await?;
    let health = HealthClient::new(connect(hub.hub.api).await?);
    let empty = |_| {
        let mut health = health.clone();
        async move {
            for _ in 0..CALLS {
                health.check(HealthCheckRequest::default()).await?;
            }
            anyhow::Ok(())
        }
    };
    let mut all = Pairs::default();
    for pair in 0..=pairs {
        let published = hub.publish(By::Unary, CALLERS * CALLS).await?;
        let before = hub.hub.process().cpu_s()?;
        try_join_all((0..CALLERS).map(empty)).await?;
        let spent = hub.hub.process().cpu_s()? - before;
        // The first pair warms up.
        if pair > 0 {
            all.push(published.cpu_us, spent * 1e6 / (CALLERS * CALLS) as f64);
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
        let crowd = Crowd::of_own_channels(sessions, each)?;
        let fleet = Fleet::open(hub.clients, crowd.groups).await?;
        let publisher = Publisher::new(hub.api, crowd.channels, 128).await?;
        let channels = sessions * each;
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
